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
from typing import Final

from custodes.explain.wholeness import OwnUse
from custodes.guard.book import Book
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


def own_record(leaves: Sequence[OwnLeaf]) -> list[OwnUse]:
    """Return the home's own leaves as the view `own_record` shows them: what, who and about which access, nothing else of them."""
    return [_shown(leaf) for leaf in leaves]


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


def _shown(leaf: OwnLeaf) -> OwnUse:
    act = leaf.what.get("act", leaf.what.get("step"))
    words = [None if value is None else str(value) for value in (leaf.what.get("who"), act, leaf.what.get("about"))]
    return OwnUse(leaf.number, leaf.hour, Kind(leaf.kind).name.lower(), str(leaf.what.get("what", "")), *words)
