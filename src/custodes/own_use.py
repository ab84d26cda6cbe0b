"""The home's own part in detection: who used custodes for what, and the rules in force. Both stand in the record.

A use is recorded before its answer is given. Until somebody has to sign in (the guard, the web), the name of a use is the login
of the operating system, which the machine vouches for and nobody else; it becomes the pseudonym of a staff id of that name.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from custodes.explain.wholeness import OwnUse
from custodes.guard.approval import read_time
from custodes.guard.book import Book
from custodes.guard.grants import name_of
from custodes.guard.taken import DECISION, OUTCOME
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json
from custodes.model.run import Change
from custodes.model.words import UNKNOWN_ACTOR
from custodes.rank import again, suppress
from custodes.rule import Rule, load_shelf
from custodes.store.own_leaves import OwnLeaf

FOLDER: Final = "rules"
"""The folder of a home that holds the company's own rules."""

Record = Callable[[int, Mapping[str, Json]], int]


class Names(NamedTuple):
    """How leaves are called in views: the public id of a decision's access ("d-…" to "x-…"), and the keyed id of a grant's name."""

    access: Callable[[str], str]
    grant: Callable[[str], str]


def note_use(leaves: Sequence[OwnLeaf], record: Record, who: str, act: str, about: str | None) -> None:
    """Record that `who` (a pseudonym) uses custodes: `act` is watch, explain or reveal, `about` an access id. Durable on return.

    The same use by the same login within an hour is recorded once, so that looking again adds nothing to the record.
    """
    what: dict[str, Json] = {"what": "use", "act": act, "who": who}
    if about:
        what["about"] = about
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    if not any(leaf.kind == Kind.DECISION and leaf.hour == now and leaf.what == what for leaf in leaves):
        record(Kind.DECISION, what)


def own_record(leaves: Sequence[OwnLeaf], names: Names) -> list[OwnUse]:
    """Return the home's own leaves as the view `own_record` shows them: what, who, when, and about which access and grant.

    Of a decision no subject is shown: its access has one, which an erasure can take away. An erasure that nobody approved as it is
    recorded is shown with the act `unfounded`.
    """
    book = Book.of(leaves)
    asked = {number: one.request.by for number, one in book.requests.items()}
    return [_shown(leaf, names, asked, leaf.number in book.unfounded_leaves) for leaf in leaves]


def note_rules(leaves: Sequence[OwnLeaf], record: Record, shelf: Sequence[Rule]) -> None:
    """Record the shelf if it is not the one that was recorded last. Call it before the shelf judges anything."""
    digest = sha256("\n".join(f"{rule.code} {rule.digest}" for rule in shelf).encode()).hexdigest()
    before = next((leaf.what.get("sha256") for leaf in reversed(leaves) if leaf.what.get("what") == "rules"), None)
    if before != digest:
        record(Kind.POLICY, {"what": "rules", "sha256": digest, "rules": [rule.code for rule in shelf]})


def note_score(leaves: Sequence[OwnLeaf], record: Record, recipe: Mapping[str, Json], digest: str) -> None:
    """Record what a trained score is refitted from, once for each digest. Call it before the score orders anything."""
    if not any(leaf.what.get("what") == "score" and leaf.what.get("sha256") == digest for leaf in leaves):
        record(Kind.POLICY, {"what": "score", "sha256": digest, "recipe": dict(recipe)})


def memory(
    findings: Iterable[Mapping[str, object]], leaves: Sequence[OwnLeaf], tag_key: Callable[[str], bytes | None]
) -> again.Memory:
    """Return what a run remembers: `findings` of the desk, the suppressions in force now, and how those call a subject."""
    return again.Memory(again.read(findings), suppress.in_force(Book.of(leaves), datetime.now(UTC)), suppress.referring(tag_key))


def note_verdicts(record: Record, changes: Sequence[Change]) -> None:
    """Record which findings are judged otherwise than before, and how. Durable on return."""
    if changes:
        told: list[Json] = [
            {"finding": one.finding, "rule": one.rule, "change": one.change, "was": one.was, "now": one.now} for one in changes
        ]
        record(Kind.DECISION, {"what": "verdicts", "changes": told})


def shelf_of(home: Path) -> list[Rule]:
    """Return the package's rules and those in the home's folder `rules`, sorted by code; both keep the same contract.

    Raises `BadRule` for one that breaks it: nothing is judged by a shelf that is not whole.
    """
    own = home / FOLDER
    return load_shelf(own if own.is_dir() else None)


def noted_shelf(home: Path, leaves: Sequence[OwnLeaf], record: Record) -> list[Rule]:
    """Return the shelf (`shelf_of`), recorded (`note_rules`)."""
    shelf = shelf_of(home)
    note_rules(leaves, record, shelf)
    return shelf


def login() -> str:
    """Return the login of the operating system; where it has none, the reserved actor id."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return UNKNOWN_ACTOR


def _shown(leaf: OwnLeaf, names: Names, asked: Mapping[int, str], unfounded: bool) -> OwnUse:
    what = leaf.what
    request, rows = what.get("request"), what.get("rows")
    number = request if isinstance(request, int) else leaf.number if isinstance(request, Mapping) else what.get("grant")
    by = what.get("who") or what.get("by") or _signer(what) or (asked.get(number) if isinstance(number, int) else None)
    act = "unfounded" if unfounded else what.get("act") or what.get("step") or _said(what)
    about = what.get("about") or (names.access(str(what["id"])) if what.get("what") in {DECISION, OUTCOME} else None)
    return OwnUse(
        leaf.number,
        leaf.hour,
        Kind(leaf.kind).name.lower(),
        str(what.get("what", "")),
        actor=_word(by),
        act=_word(act),
        about=_word(about),
        at=read_time(what.get("at")),
        why=_why(what),
        grant=names.grant(name_of(number)) if isinstance(number, int) else None,
        rows=rows if isinstance(rows, int) else None,
    )


def _word(value: Json) -> str | None:
    return None if value is None else str(value)


def _part(what: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = what.get(name)
    return found if isinstance(found, Mapping) else {}


def _signer(what: Mapping[str, Json]) -> Json:
    """Return who signed a request or an answer."""
    return _part(what, "statement").get("approver")


def _said(what: Mapping[str, Json]) -> Json:
    """Return what a request is for, and what an answer says."""
    return _part(what, "request").get("act") or _part(what, "statement").get("decision")


def _why(what: Mapping[str, Json]) -> str | None:
    """Return the code of a refusal. Of several that speak against a release the last, which is about the grant that was named."""
    reasons = what.get("reasons")
    if what.get("act") == "denied" and isinstance(reasons, list) and reasons:
        return str(reasons[-1])
    return str(what["why"]) if what.get("what") == "refusal" and "why" in what else None
