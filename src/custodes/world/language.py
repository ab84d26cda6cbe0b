"""The language of a scenario file, read into values and checked against the public input contract. Nothing is executed here.

A file holds scenarios under `abuse`, `benign` and `composites`, may hold a `world` (the company), and `worlds`: a name for several
scenarios that stand beside each other in one company. Whatever a scenario names -
table, column, field, group, row, act, knob - must exist, or the file is refused with the place of the fault: a slip of the pen
must not quietly plant nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from custodes.errors import ConfigError, InputError, UnreadableFile
from custodes.lines.whole import read_whole
from custodes.model.tables import TABLES
from custodes.world.access import COLUMNS

SCHEMA: Final = "custodes.scenarios/1"
OURS: Final = ("scenarios.json", "own.json")
PARTS: Final = ("abuse", "benign", "composites")
LEVELS: Final = ("easy", "medium", "hard")
PATTERNS: Final = ("spread", "burst", "daily", "weekly", "off_hours", "session")
PERS: Final = ("pair", "subject", "actor", "paired", "set", "total")
TRUTHS: Final = ("background", "path")
AFTER: Final = ("drop_lines", "rollback_ledger", "claim")
_REFERENCE: Final = re.compile(r"([@#$])(\w+)|\b(\w+)\.(?:first|last)\b")
_ACTOR_KEYS: Final = frozenset(
    {"is", "n", "unit", "role", "manager", "actor_kind", "kind_is", "was", "moved", "notice_from", "left", "joined"}
)
_SUBJECT_KEYS: Final = frozenset({"is", "n", "region", "kind", "protected", "linked_to", "link", "linked_ring", "account_of"})


@dataclass(frozen=True, slots=True)
class Group:
    """A named group of the cast. `is_actor`: staff or services, else subjects; `body`: its keys as written."""

    name: str
    is_actor: bool
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One context row, or one for each member of the group `over`."""

    name: str
    table: str
    over: str | None
    columns: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Act:
    """A set of accesses: who, on whom, how many, when, and their columns."""

    name: str
    by: tuple[str, ...]
    on: str | None
    n: object
    per: str
    start: str
    stop: str | None
    pattern: str
    truth: str | None
    columns: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario with what it inherits already in place."""

    id: str
    kind: str
    title: str
    story: str
    size: str
    gate: bool
    cast: Mapping[str, Group]
    rows: Mapping[str, Row]
    acts: Mapping[str, Act]
    after: tuple[Mapping[str, object], ...]
    knobs: Mapping[str, Mapping[str, object]]
    expect: Mapping[str, object]
    twins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is; `accesses` is reached or exceeded."""

    name: str
    staff: int
    subjects: int
    days: int
    accesses: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit sits: country of work, legal entity, employer."""

    country: str
    entity: str
    employer: str


@dataclass(frozen=True, slots=True)
class Charter:
    """The company of a scenario file: its sizes, units, data map and policy (the last two as documents)."""

    sizes: Mapping[str, Size]
    units: Mapping[str, Place]
    datamap: Mapping[str, Mapping[str, Mapping[str, str]]]
    policy: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Library:
    """Every scenario that can be built, by id, the company it happens in, and names for several scenarios in one company."""

    scenarios: Mapping[str, Scenario]
    charter: Charter
    worlds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def scenario(self, name: str) -> Scenario:
        """Return a scenario by id. Raises `ConfigError` that names the known ones."""
        found = self.scenarios.get(name)
        if found is None:
            known = ", ".join(sorted(self.scenarios))
            raise ConfigError(f"no scenario {name!r} in this file", hint=f"known: {known}")
        return found

    def named(self, names: Iterable[str]) -> list[Scenario]:
        """Return scenarios by id, those of a world in its place. Raises `ConfigError` like `scenario`."""
        return [self.scenario(one) for name in names for one in self.worlds.get(name, (name,))]


def library(file: Path | None = None) -> Library:
    """Read the shipped scenarios, and those of `file` before them: its scenarios and its world win where both have one."""
    ours = _shipped()
    if file is None:
        return _library(ours, {}, "scenarios.json")
    try:
        raw = read_whole(file)
    except OSError as wrong:
        raise UnreadableFile(f"{file.name}: {wrong.strerror or 'cannot be read'}") from None
    return _library(ours, _document(raw, file.name), file.name)


def _shipped() -> dict[str, object]:
    """Return the handbook's document with the scenarios that it lacks (`own.json`) behind its own."""
    book, own = (_document(resources.files("custodes.world").joinpath(name).read_bytes(), name) for name in OURS)
    return book | {part: [*_list(book.get(part, []), part), *_list(own.get(part, []), part)] for part in PARTS}


def _document(raw: bytes, where: str) -> dict[str, object]:
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise InputError(f"{where}: not JSON ({wrong})", hint=f"expected a document of schema {SCHEMA}") from None
    if not isinstance(document, dict) or document.get("schema", SCHEMA) != SCHEMA:
        raise InputError(f"{where}: expected a document of schema {SCHEMA}")
    return document


def _library(ours: Mapping[str, object], theirs: Mapping[str, object], where: str) -> Library:
    raw = {str(body["id"]): body for body in _bodies(ours)}
    raw |= {str(body["id"]): body for body in _bodies(theirs)}
    made: dict[str, Scenario] = {}
    for name in raw:
        _grow(name, raw, made, (), where)
    charter = _charter(_mapping(theirs.get("world") or ours["world"], f"{where}: world"))
    for scenario in made.values():
        _check(scenario, charter, made, f"{where}: {scenario.id}")
    worlds = {
        name: tuple(str(one) for one in _list(entry, name)) for name, entry in _mapping(theirs.get("worlds", {}), where).items()
    }
    for name, members in worlds.items():
        if unknown := set(members) - set(made):
            raise InputError(f"{where}: the world {name!r} names {min(unknown)!r}, which does not exist")
    return Library(made, charter, worlds)


def _bodies(document: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for part in PARTS:
        entries = document.get(part, [])
        if not isinstance(entries, list):
            raise InputError(f"{part}: expected a list of scenarios")
        for body in entries:
            if not isinstance(body, dict) or not isinstance(body.get("id"), str):
                raise InputError(f"{part}: a scenario without an id")
            yield body


def _grow(
    name: str, raw: Mapping[str, Mapping[str, object]], made: dict[str, Scenario], below: tuple[str, ...], where: str
) -> Scenario:
    """Read one scenario after the one it extends; own names win."""
    if name in made:
        return made[name]
    if name in below:
        raise InputError(f"{where}: {' → '.join((*below, name))} extend each other")
    if name not in raw:
        raise InputError(f"{where}: {below[-1]} extends {name!r}, which does not exist")
    body = raw[name]
    scenario = _scenario(body, f"{where}: {name}")
    parent = body.get("extends")
    if parent is not None:
        base = _grow(str(parent), raw, made, (*below, name), where)
        scenario = replace(
            scenario,
            cast={**base.cast, **scenario.cast},
            rows={**base.rows, **scenario.rows},
            acts={**base.acts, **scenario.acts},
            knobs={**base.knobs, **scenario.knobs},
        )
    made[name] = scenario
    return scenario


def _scenario(body: Mapping[str, object], where: str) -> Scenario:
    kind = str(body.get("kind", "abuse"))
    if kind not in ("abuse", "benign"):
        raise InputError(f"{where}: kind is abuse or benign, not {kind!r}")
    cast = {name: _group(name, _mapping(entry, where), where) for name, entry in _mapping(body.get("cast", {}), where).items()}
    rows = [_row(_mapping(entry, where), where) for entry in _list(body.get("rows", []), where)]
    acts = [_act(_mapping(entry, where), where) for entry in _list(body.get("acts", []), where)]
    return Scenario(
        id=str(body["id"]),
        kind=kind,
        title=str(body.get("title", body["id"])),
        story=str(body.get("story", "")),
        size=str(body.get("size", "demo")),
        gate=bool(body.get("gate", False)),
        cast=cast,
        rows={row.name: row for row in rows},
        acts={act.name: act for act in acts},
        after=tuple(_mapping(entry, where) for entry in _list(body.get("after", []), where)),
        knobs={name: _mapping(levels, where) for name, levels in _mapping(body.get("knobs", {}), where).items()},
        expect=_mapping(body.get("expect", {}), where),
        twins=tuple(str(twin) for twin in _list(body.get("twins", []), where)),
    )


def _group(name: str, body: Mapping[str, object], where: str) -> Group:
    what = body.get("is")
    if what not in ("actor", "service", "subject"):
        raise InputError(f"{where}: group {name!r} is an actor, a service or a subject, not {what!r}")
    known = _SUBJECT_KEYS if what == "subject" else _ACTOR_KEYS
    if unknown := set(body) - known:
        raise InputError(f"{where}: group {name!r} has an unknown key {min(unknown)!r}; known: {', '.join(sorted(known))}")
    if what == "service":
        body = {"actor_kind": "service", **body}
    return Group(name, what != "subject", body)


def _row(body: Mapping[str, object], where: str) -> Row:
    table = str(body.get("table"))
    if table not in TABLES:
        raise InputError(f"{where}: no context table {table!r}")
    columns = _mapping(body.get("set", {}), where)
    known = {column.name for column in TABLES[table].columns}
    if unknown := set(columns) - known:
        raise InputError(f"{where}: table {table} has no column {min(unknown)!r}")
    over = body.get("for")
    return Row(str(body.get("as", f"{table}?")), table, None if over is None else str(over), columns)


def _act(body: Mapping[str, object], where: str) -> Act:
    name = str(body.get("id"))
    place = f"{where}, act {name}"
    columns = _mapping(body.get("set", {}), place)
    if unknown := set(columns) - set(COLUMNS):
        raise InputError(f"{place}: an access has no column {min(unknown)!r}")
    pattern, per, truth = str(body.get("pattern", "spread")), str(body.get("per", "subject")), body.get("truth")
    for value, known in ((pattern, PATTERNS), (per, PERS)):
        if value not in known:
            raise InputError(f"{place}: expected one of {', '.join(known)}, not {value!r}")
    if truth is not None and truth not in TRUTHS:
        raise InputError(f"{place}: truth is one of {', '.join(TRUTHS)}, not {truth!r}")
    by = body.get("by")
    on, start, stop = body.get("on", "none"), body.get("from"), body.get("to")
    if by is None or start is None:
        raise InputError(f"{place}: `by` and `from` are needed")
    return Act(
        name=name,
        by=tuple(str(item) for item in by) if isinstance(by, list) else (str(by),),
        on=None if on == "none" else str(on),
        n=body.get("n", 1),
        per=per,
        start=str(start),
        stop=None if stop is None else str(stop),
        pattern=pattern,
        truth=None if truth is None else str(truth),
        columns=columns,
    )


def _charter(body: Mapping[str, object]) -> Charter:
    sizes = {
        name: Size(name, *(_count(_mapping(entry, name).get(part), f"size {name}.{part}") for part in _SIZE_PARTS))
        for name, entry in _mapping(body.get("sizes"), "sizes").items()
    }
    units = {}
    for name, entry in _mapping(body.get("units"), "units").items():
        country, entity, employer = (str(item) for item in _list(entry, f"unit {name}"))
        units[name] = Place(country, entity, employer)
    datamap = {
        system: {
            resource: {field_name: str(category) for field_name, category in _mapping(fields, resource).items()}
            for resource, fields in _mapping(entry, system).items()
        }
        for system, entry in _mapping(body.get("datamap"), "datamap").items()
    }
    return Charter(sizes, units, datamap, _mapping(body.get("policy"), "policy"))


_SIZE_PARTS: Final = ("staff", "subjects", "days", "accesses")


def _check(scenario: Scenario, charter: Charter, made: Mapping[str, Scenario], where: str) -> None:
    """Every name that a scenario uses exists."""
    if scenario.size not in charter.sizes:
        raise InputError(f"{where}: no size {scenario.size!r}")
    for twin in scenario.twins:
        if twin not in made:
            raise InputError(f"{where}: its twin {twin!r} does not exist")
    for group in scenario.cast.values():
        unit = group.body.get("unit")
        if group.is_actor and unit != "*" and unit not in charter.units:
            raise InputError(f"{where}: group {group.name!r} works in the unknown unit {unit!r}")
        for other in ("linked_to", "account_of"):
            if other in group.body and group.body[other] not in scenario.cast:
                raise InputError(f"{where}: group {group.name!r} is {other} an unknown group")
    fields = {name for entry in charter.datamap.values() for part in entry.values() for name in part}
    for act in scenario.acts.values():
        for name in (*act.by, *(() if act.on is None else (act.on,))):
            if name.partition(".")[0] not in scenario.cast:
                raise InputError(f"{where}, act {act.name}: no group {name!r}")
        for name in _field_names(act.columns.get("fields")):
            if name not in fields:
                raise InputError(f"{where}, act {act.name}: no field {name!r} in the data map")
    for row in scenario.rows.values():
        if row.over is not None and row.over not in scenario.cast:
            raise InputError(f"{where}, row {row.name}: no group {row.over!r}")
    for step in scenario.after:
        if step.get("do") not in AFTER:
            raise InputError(f"{where}: after the accesses, {step.get('do')!r} is none of {', '.join(AFTER)}")
    _check_references(scenario, where)


def _field_names(raw: object) -> Iterator[str]:
    if isinstance(raw, dict):
        for value in raw.values():
            yield from _field_names(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _field_names(value)
    elif isinstance(raw, str) and raw[:1] not in "$@#":
        yield raw


def _check_references(scenario: Scenario, where: str) -> None:
    names = {"@": scenario.cast, "#": scenario.rows, "$": scenario.knobs}
    for knob, levels in scenario.knobs.items():
        if set(levels) != set(LEVELS):
            raise InputError(f"{where}: knob {knob!r} needs the levels {', '.join(LEVELS)}")
    for text in _texts(
        [
            [dict(group.body) for group in scenario.cast.values()],
            [dict(row.columns) for row in scenario.rows.values()],
            [[dict(act.columns), act.start, act.stop, act.n] for act in scenario.acts.values()],
            [dict(step) for step in scenario.after],
            [dict(levels) for levels in scenario.knobs.values()],
        ]
    ):
        if " " in text:
            continue  # a statement or free text, not a reference
        for sign, name, act in _REFERENCE.findall(text):
            if sign and name not in names[sign]:
                raise InputError(f"{where}: {text!r} names {sign}{name}, which does not exist")
            if act and act not in scenario.acts and not text.startswith(("@", "#")):
                raise InputError(f"{where}: {text!r} names the act {act}, which does not exist")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {json.dumps(value)[:40] if value is not None else 'nothing'}")
    return value


def _list(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list")
    return value


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{where}: expected a whole number above zero")
    return value
