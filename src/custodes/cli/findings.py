"""`custodes findings`: what earlier runs found, what people say about it, and what two people agree need not be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodes.cli.ledger.place import HOME
from custodes.cli.ledger.signing import AT, acting, approve, as_json, clock, deny, hand_in, open_key, signed_by
from custodes.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from custodes.guard.book import Asked
    from custodes.home import Home

_FORM = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)
_WHY = ("context-missing", "known-work", "known-relation", "test-activity")
_SAYS = ("misuse", "innocent", "unclear")
_THING = re.compile(r"x-[a-z2-7]{26}|f-[0-9a-f]{20}|c-[0-9a-f]{12}")
_FINDING = re.compile(r"f-[0-9a-f]{20}")


@click.group()
def command() -> None:
    """Findings kept from run to run: list and label them, and hold back what two people agree on.

    \b
    custodes findings list --home home
    custodes findings label --home home x-… innocent
    custodes findings labels --home home
    custodes findings suppress --home home f-… --reason known-work --days 30 --key anna.key    prints the request's number
    custodes findings approve --home home 57 --key ben.key
    custodes findings suppressions --home home
    custodes findings show-again --home home 57 --key cleo.key

    A suppression needs a second person outside the chains of who asks and of all it covers; it ends after at most 90 days, stands
    in every report, and is refused (exit 4, and recorded) for D09, D19 and D22 and for oneself.
    """  # noqa: D301  # click reads \b as "do not rewrap"


command.add_command(approve)
command.add_command(deny)


@command.command("list")
@HOME
@_FORM
def list_(*, home: Path, form: str) -> int:
    """List the findings on the desk: level, how often each grew by new accesses, and how its verdict changed."""
    from custodes.home import Home

    with Home.open(home) as opened:
        opened.note_use("findings")  # before anything is shown
        rows, changes = opened.desk().findings(), opened.desk().verdicts()
        opened.checkpoint()
    changed: dict[str, list[str]] = {}
    for one in changes:
        changed.setdefault(str(one["finding"]), []).append(f"{str(one['at'])[:10]} {one['change']}")
    told = [_row(row, changed.get(str(row["finding"]), [])) for row in rows]
    if form == "json":
        click.echo(as_json({"schema": "custodes.findings/1", "findings": told}))
        return 0
    for row in told:
        repeats = f"  grew {row['repeats']} times" if row["repeats"] else ""
        history = f"  ({'; '.join(row['changes'])})" if row["changes"] else ""
        click.echo(f"{row['finding']}  {row['level']:<6}  {row['rule']}  {row['campaign']}{repeats}{history}")
    return 0


def _row(row: Mapping[str, object], changes: list[str]) -> dict[str, Any]:
    kept = {name: row.get(name) for name in ("finding", "rule", "level", "campaign", "window", "sentence")}
    return {**kept, "repeats": row.get("repeats", 0), "withdrawn": row.get("verdict") == "withdrawn", "changes": changes}


@command.command("label")
@click.argument("what")
@click.argument("label", type=click.Choice(_SAYS))
@HOME
def label(*, what: str, label: str, home: Path) -> int:
    """Say what WHAT (an access x-…, a finding f-… or a campaign c-…) turned out to be. Kept apart from evidence.

    No rule, threshold or score learns from it; `findings labels` says what the labels of audit slots tell about what is not shown.
    """
    from custodes import own_use
    from custodes.home import Home

    if not _THING.fullmatch(what):
        raise InputError("expected the id of an access (x-…), a finding (f-…) or a campaign (c-…)")
    with Home.open(home) as opened:
        desk = opened.desk()
        known = {str(row[name]) for row in desk.findings() for name in ("finding", "campaign")} | {row[0] for row in desk.slots()}
        shown = {str(access) for row in desk.findings() for access in _list(row.get("accesses"))}
        if what not in known | shown:
            raise InputError("the desk holds nothing of this id", hint="run `custodes watch` first; it keeps what it shows")
        opened.note_use("label", what)  # recorded before it counts: who labels is judged by the rules about those who watch
        desk.label(what, label, opened.pseudonyms.of("actor", own_use.login()))
        opened.checkpoint()
    return 0


@command.command("labels")
@HOME
@_FORM
def labels(*, home: Path, form: str) -> int:
    """Say what labels tell: of shown campaigns and findings how many were misuse, and from audit slots how much is missed."""
    from custodes.home import Home
    from custodes.rank.lessons import LABELS, missed

    with Home.open(home) as opened:
        desk = opened.desk()
        given, slots = desk.labels(), desk.slots()
    last = {row["what"]: row["label"] for row in given}
    counts = {
        kind: {name: sum(label == name and what.startswith(mark) for what, label in last.items()) for name in LABELS}
        for kind, mark in (("campaigns", "c-"), ("findings", "f-"))
    }
    found = missed(slots, given)
    if form == "json":
        slot = {name: getattr(found, name) for name in ("drawn", "labelled", "unclear", "misuse", "share", "low", "high")}
        click.echo(as_json({"schema": "custodes.labels/1", **counts, "slots": slot, "labels": given}))
        return 0
    for kind, by_label in counts.items():
        click.echo(f"{kind}: " + ", ".join(f"{count} {name}" for name, count in by_label.items()))
    click.echo(f"audit slots: {found.drawn} drawn, {found.labelled} labelled, {found.unclear} unclear, {found.misuse} misuse")
    if found.share is not None and found.low is not None and found.high is not None:
        told = f"{100 * found.share:.1f} % (95 %: {100 * found.low:.1f}–{100 * found.high:.1f} %)"
        click.echo(f"of what is not shown, weighted by 1/probability: {told} misuse")
    return 0


@command.command("suppress")
@click.argument("finding")
@click.option("--reason", type=click.Choice(_WHY), required=True, help="Why it need not be shown.")
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="From the approval on.")
@click.option("--unit", help="Cover this unit (a path) instead of the finding's actors.")
@signed_by
def suppress(*, finding: str, reason: str, days: int, unit: str | None, **options: Any) -> int:
    """Ask that findings such as FINDING be held back: same rule, no other actors or subjects, no louder. Prints a number.

    Nothing is held back before a second person has approved (`findings approve`).
    """

    def content(home: Home) -> dict[str, Any]:
        from custodes.guard.suppressing import Scope

        row = _finding(home, finding)
        people = [str(who) for name in ("subjects", "linked_subjects") for who in _list(row.get(name))]
        references = {_reference(home, who) for who in people}
        actors = () if unit else tuple(sorted({str(who) for who in _list(row["actors"])}))
        scope = Scope(str(row["rule"]), str(row["level"]), actors, unit, tuple(sorted(references)), reason, days)
        click.echo(
            f"it would hold back {row['rule']} up to {row['level']} on {unit or ', '.join(actors)} and {', '.join(people)}",
            err=True,
        )
        return scope.content()

    return _ask("suppress", content, **options)


@command.command("show-again")
@click.argument("number", type=click.IntRange(0))
@signed_by
def show_again(*, number: int, **options: Any) -> int:
    """End suppression NUMBER at once: one person does, to see more is the safe side."""
    return _ask("show-again", lambda _home: {"suppression": number}, **options)


@command.command("suppressions")
@HOME
@AT
@_FORM
def suppressions(*, home: Path, at: str | None, form: str) -> int:
    """List suppressions: asked for, in force, expired, ended or denied."""
    from custodes import decisions
    from custodes.home import Home

    with Home.open(home) as opened:
        now, book = clock(opened, at), decisions.asking(opened).book()
    rows = [_suppression(asked, now) for asked in book.requests.values() if asked.request.act == "suppress"]
    if form == "json":
        click.echo(as_json({"schema": "custodes.suppressions/1", "suppressions": rows}))
        return 0
    for row in rows:
        click.echo("  ".join(f"{name} {value}" for name, value in row.items() if value not in (None, [])))
    return 0


def _suppression(asked: Asked, now: datetime) -> dict[str, Any]:
    from datetime import timedelta

    from custodes.guard.approval import written

    content = asked.request.content
    until = asked.in_force + timedelta(days=int(str(content["days"]))) if asked.in_force else None
    state = "denied" if asked.denied else "ended" if asked.lifted else "asked for"
    if until and not asked.lifted:
        state = "in force" if now < until else "expired"
    return {
        "request": asked.number,
        "state": state,
        "rule": content["rule"],
        "level": content["level"],
        "actors": content["actors"],
        "unit": content["unit"],
        "subjects": len(_list(content["subjects"])),
        "reason": content["reason"],
        "by": asked.request.by,
        "approved_by": [answer.statement.approver for answer in asked.approvals],
        "until": written(until) if until else None,
    }


def _ask(act: str, content: Any, *, home: Path, key_file: Path, passphrase_file: Path | None, yes: bool, at: str | None) -> int:
    with acting(home) as opened:
        now = clock(opened, at)
        who = open_key(opened, key_file, passphrase_file, now)
        wanted = content(opened)
        opened.note_use(act)
        asked = hand_in(opened, who, act, wanted, now, yes=yes)
    click.echo(str(asked.number))
    click.echo(f"request {asked.number}: {act}, recorded", err=True)
    return 0


def _finding(home: Home, name: str) -> Mapping[str, object]:
    if not _FINDING.fullmatch(name):
        raise InputError("expected the id of a finding (f-…)")
    found = next((row for row in home.desk().findings() if row["finding"] == name), None)
    if found is None:
        raise InputError("the desk holds no finding of this id", hint="custodes findings list --home HOME")
    return found


def _reference(home: Home, subject: str) -> str:
    from custodes.guard.suppressing import reference

    key = home.tag_key(subject)
    if key is None:
        raise InputError("the finding names somebody whose data were erased, so nobody can be asked not to see it")
    return reference(key)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
