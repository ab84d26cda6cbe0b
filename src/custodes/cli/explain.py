"""`custodes explain`: every explanation that was tried for one access, and what each lacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from custodes.errors import InputError

if TYPE_CHECKING:
    from custodes.engine import Engine
    from custodes.explain import Tried
    from custodes.home import Home
    from custodes.minimise.display import Display

SCHEMA: Final = "custodes.explanation/1"
_MARKS: Final = {"explains": "+", "flags": "!", "neutral": "-", "could not check": "?"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to say about one access. `tried`: by subject; `duties`: (subject, duty, met)."""

    facts: dict[str, str | None]
    fields: tuple[str, ...]
    tried: dict[str | None, list[Tried]]
    duties: list[tuple[str, str, bool]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("access", metavar="ACCESS")
@click.option("--home", "folder", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What goes to stdout."
)
def command(access: str, folder: Path, form: str) -> int:
    """Show every explanation that was tried for one access: its verdict, its evidence, and what it lacked.

    \b
    custodes explain --home home x-mz4kq2
    custodes explain --home home x-mz4kq2 --format json

    ACCESS is an access id as `watch` prints it, or as much of it as is unique; in a simulated home also the source's own id.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.home import Home

    with Home.open(folder) as home:
        engine = home.engine()
        try:
            answer = ask(home, engine, access)
            home.note_use("explain", answer.facts["access"])  # before anything is shown
        finally:
            engine.close()
        if form == "json":
            click.echo(_json(answer))
        else:
            for line in _text(answer, _display(home, answer)):
                click.echo(line)
    return 0


def ask(home: Home, engine: Engine, access: str) -> Answer:
    """Explain one access with the context of its time. Raises `InputError` if it is not exactly one."""
    from custodes import explain
    from custodes.explain import granted, views

    found = _resolve(home, engine, access)
    context = granted.Granted(home.context(), home.own_leaves(), partial(home.pseudonyms.once, "ref"))
    views.build(engine, home.accesses(), context, home.datamap, home.policy, home.registry(), around=found)
    templates = explain.load_templates()
    explain.run(engine, templates, home.policy, home.context().tables() | context.tables)
    tried: dict[str | None, list[Tried]] = {}
    for entry in explain.one(engine, templates, found):
        tried.setdefault(entry.subject, []).append(entry)
    duties = engine.rows(
        f"""SELECT o.subject, o.duty, o.met FROM obligations o INNER JOIN accesses a ON a.access = o.access
            WHERE a.access_id = '{found}' ORDER BY o.subject, o.duty"""
    )
    facts, fields = _facts(engine, found)
    return Answer(facts, fields, tried, [(str(subject), str(duty), met == 1) for subject, duty, met in duties])


def _resolve(home: Home, engine: Engine, access: str) -> str:
    """Return the one public id that is meant."""
    home.accesses().register(engine)
    wanted = _quoted(access)
    if home.simulated:
        own = engine.rows(
            f"SELECT DISTINCT access_id FROM stored_accesses WHERE id_ref = {_quoted(home.pseudonyms.of('object', access))}"
        )
        if len(own) == 1:
            return str(own[0][0])
    rows = engine.rows(
        f"SELECT DISTINCT access_id FROM stored_accesses WHERE starts_with(access_id, {wanted}) ORDER BY access_id LIMIT 3"
    )
    if not rows or not access:
        raise InputError("no access with this id is recorded in this home", hint="use an id that `custodes watch` prints")
    if len(rows) > 1:
        raise InputError(
            "more than one access begins with this", hint=f"for example {rows[0][0]} and {rows[1][0]}: give more of it"
        )
    return str(rows[0][0])


def _facts(engine: Engine, access: str) -> tuple[dict[str, str | None], tuple[str, ...]]:
    names = (
        "access",
        "time",
        "actor",
        "human",
        "action",
        "system",
        "purpose",
        "reason",
        "reason_found",
        "unit",
        "country",
        "outcome",
    )
    row = engine.rows(
        f"""SELECT a.access_id, strftime(a.time, '%Y-%m-%dT%H:%M:%SZ'), a.actor, a.human, a.action, a.system, a.purpose,
              coalesce(r.row_key, a.reason), r.kind, p.unit, p.country, a.outcome
            FROM accesses a
            LEFT JOIN reasons r ON r.reason = a.reason
            LEFT JOIN staff_spans p ON p.actor = a.human AND p.valid_from <= a.time AND a.time < p.valid_to
            WHERE a.access_id = '{access}' ORDER BY r.kind, r.row_key LIMIT 1"""
    )[0]
    fields = engine.rows(
        f"""SELECT DISTINCT f.field FROM accesses a INNER JOIN fieldsets f ON f.fieldset = a.fieldset
            WHERE a.access_id = '{access}' AND f.field IS NOT NULL ORDER BY f.field"""
    )
    values = [None if value is None else str(value) for value in row]
    return dict(zip(names, values, strict=True)), tuple(str(name) for (name,) in fields)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _display(home: Home, answer: Answer) -> Display:
    from custodes.minimise.display import Display

    names = {answer.facts["actor"], answer.facts["human"], *answer.tried}
    names.update(entry.evidence_key for tried in answer.tried.values() for entry in tried)
    return Display(home.display_key, {name for name in names if name})


def _json(answer: Answer) -> str:
    import msgspec

    looks = [
        {
            "subject": subject,
            "explained": any(entry.verdict == "explains" for entry in tried),
            "duties": [{"duty": duty, "met": met} for whose, duty, met in answer.duties if whose == subject],
            "tried": [msgspec.to_builtins(entry) for entry in tried],
        }
        for subject, tried in answer.tried.items()
    ]
    document = {"schema": SCHEMA, **answer.facts, "fields": answer.fields, "looks": looks}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _text(answer: Answer, display: Display) -> Iterator[str]:
    """Yield the answer in lines; subjects with the same outcome are told together."""
    facts = answer.facts
    place = " · ".join(part for part in (facts["unit"], facts["country"]) if part) or "not in staff"
    touched = ", ".join(answer.fields) or "fields not in the log"
    yield f"{facts['access']}  {facts['time']}  {facts['action']} on {facts['system']}: {touched}"
    yield f"  by {display.name(facts['human'] or '')} ({place})" + (
        f", through {display.name(facts['actor'] or '')}" if facts["actor"] != facts["human"] else ""
    )
    found = "" if facts["reason"] is None else "" if facts["reason_found"] else " (found in no table)"
    yield f"  stated purpose: {facts['purpose'] or 'none'} · claimed reason: {facts['reason'] or 'none'}{found}"
    if not answer.tried:
        yield "  nothing to explain: it was denied, is no look at data, or touches nothing personal"
    groups: dict[str, list[str | None]] = {}
    for subject, tried in answer.tried.items():
        groups.setdefault("\n".join(_told(tried, display)), []).append(subject)
    for told, subjects in groups.items():
        yield ""
        yield from _whom(subjects, answer, display)
        yield from told.split("\n")


def _whom(subjects: Sequence[str | None], answer: Answer, display: Display) -> Iterator[str]:
    names = [display.name(subject) if subject else "nobody is named in the log" for subject in subjects]
    yield f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
    for duty, met in sorted({(duty, met) for subject, duty, met in answer.duties if subject in subjects}):
        yield f"  a duty of policy, {duty.replace('_', ' ')}: {'met' if met else 'NOT met'}"


def _told(tried: Sequence[Tried], display: Display) -> Iterator[str]:
    by = [entry for entry in tried if entry.verdict == "explains"]
    if by:
        yield f"  explained by {', '.join(f'{entry.template} (strength {entry.strength})' for entry in by)}"
    else:
        yield "  nothing explains it"
    silent = []
    for entry in tried:
        if entry.verdict == "neutral" and not entry.lacks:
            silent.append(entry.template)
            continue
        codes = f"  [{' '.join(entry.codes)}]" if entry.codes else ""
        yield f"  {_MARKS[entry.verdict]} {entry.template} {entry.title}{codes}"
        yield from _details(entry, display)
    if silent:
        yield f"  - no trace of: {', '.join(silent)}"


def _details(entry: Tried, display: Display) -> Iterator[str]:
    if entry.sentence:
        yield f"      {entry.sentence}"
    if entry.evidence_key:
        claimed = ", the claimed reason" if entry.claimed else ""
        yield f"      {entry.evidence_table} {display.name(entry.evidence_key)}{claimed}"
    for lack in entry.lacks:
        yield f"      lacks {lack.token.partition(':')[2]}: {lack.says}"
