"""An explanation template as a value: one YAML file per code, declared and reviewed, never mined from the log.

A template's `sql` is one SELECT in the rule dialect that yields candidates: a look, the context row that may excuse it, a strength,
whether the log claims that very row, and one column per check (1 holds, 0 broken, null cannot be told). It explains a look if all
checks of one candidate hold and the strength is 2 or more. An unknown key or a check without its column is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from custodes.dialect import bind_sql, check_sql, output_columns
from custodes.dialect.steps import Step, in_steps
from custodes.errors import BadRule
from custodes.model.policy import Policy
from custodes.model.tables import STORED_EXTRA, TABLES
from custodes.model.views import VIEWS

SCHEMA: Final = "custodes.rule/1"
STEP: Final = "step_{name}"
"""How the table of a step is called."""
WEAKEST: Final = 2
"""The least strength that explains."""
_FIRST: Final = ("look", "evidence_table", "evidence_key", "strength", "claimed")
_QUICK: Final = ("look", "access", "subject", "evidence_table", "evidence_key", "strength", "claimed")
_SOME_TIME: Final = datetime(2026, 1, 1)  # noqa: DTZ001  # times of the engine are naive UTC
_NEAR: Final = ("subject", "reason", "actor", "human")
_HIDDEN: Final = frozenset({"residue", "flags", "lacks", "obligations", "checked", "ring_looks"})
READABLE: Final[Mapping[str, Collection[str]]] = {
    **{name: tuple(columns) for name, columns in VIEWS.items() if name not in _HIDDEN},
    **{name: (*(column.name for column in table.columns), *STORED_EXTRA) for name, table in TABLES.items()},
}
"""What a template may read: no verdict but `explanations`, and that only of templates named in `after`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole number with bounds and a reason; `policy` names the setting of the policy that it follows."""

    default: int
    low: int
    high: int
    unit: str
    why: str
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a candidate must show. `lacks`: the token's part after the code, `table.column`.

    `codes` are flagged where it is broken: for a row that the log claims (`claimed`), for any row while the look stays
    unexplained (`residue`), or unless a reason of strength 3 or more explains the look (`relation`).
    """

    column: str
    lacks: str
    says: str
    codes: tuple[str, ...] = ()
    flag: str = "claimed"


@dataclass(frozen=True, slots=True)
class Absence:
    """What is lacking where there is no candidate at all. `when`: a condition on the look `l`."""

    lacks: str
    says: str
    when: str = "TRUE"
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """One declared way in which an access may be fine. `tables`: without them there is no verdict.

    Four keys are for speed alone and change no verdict. `near`: a column of looks → SELECTs of the values without which a look has
    no candidate (one of them must be met; `when`: a condition on the look `l`). `quick`: a SELECT of all candidates that explain;
    then `sql` is asked only for looks of which something is still to be said, and claims only a row that the look's reason names.
    `steps`: parts of the WITH of `quick` or of `sql` that are made into tables first, once for all looks that are asked. `alive`: a
    context table or a step of `quick` → a condition on its row `r` without which `quick` finds nothing in the row for looks from
    `:since` to `:until`, both ends within; what only steps are made of needs none.
    """

    code: str
    title: str
    version: int
    state: str
    tables: tuple[str, ...]
    sql: str
    checks: tuple[Check, ...]
    absent: tuple[Absence, ...]
    sentence: str
    after: tuple[str, ...] = ()
    repeat: bool = False
    quick: str = ""
    steps: tuple[str, ...] = ()
    alive: Mapping[str, str] = field(default_factory=dict)
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    params: Mapping[str, Parameter] = field(default_factory=dict)
    pages: Mapping[str, object] = field(default_factory=dict)
    tests: tuple[Mapping[str, Any], ...] = ()
    digest: str = ""

    def bound(self, policy: Policy | None = None) -> str:
        """Return the SQL for the engine, with its parameters, after checking it once more. Raises `BadRule`."""
        return _bound(self.sql, self._values(policy))

    def bound_quick(self, policy: Policy | None = None) -> str:
        """Return `quick` likewise."""
        return _bound(self.quick, self._values(policy))

    def bound_alive(self, since: datetime, until: datetime, policy: Policy | None = None) -> dict[str, str]:
        """Return for each table of `alive` the SELECT of its rows that can explain a look between these times (naive UTC).

        A step is read from the table that `STEP` names.
        """
        values, made = self._values(policy), self._made(policy)
        known = {**READABLE, **{STEP.format(name=name): columns for name, columns in made.items()}}
        found = {}
        for table, condition in self.alive.items():
            source = STEP.format(name=table) if table in made else table
            found[table] = bind_sql(_alive(source, known[source], condition, since, until), known, dict(values))
        return found

    def in_steps(self, policy: Policy | None = None, source: str = STEP, *, quick: bool = False) -> tuple[list[Step], str]:
        """Return the `steps` of `sql`, or of `quick`, in their order, and what then is asked, reading them from `source`."""
        return _in_steps(self.bound_quick(policy) if quick else self.bound(policy), self.steps, source)

    def _made(self, policy: Policy | None) -> dict[str, tuple[str, ...]]:
        """Return the columns of each step of `quick`."""
        steps = self.in_steps(policy, quick=True)[0] if self.quick and self.steps else []
        return {step.name: output_columns(step.alone, READABLE) for step in steps}

    def _values(self, policy: Policy | None) -> tuple[tuple[str, int], ...]:
        values = {}
        for name, parameter in self.params.items():
            value = getattr(policy, parameter.policy) if policy and parameter.policy else parameter.default
            values[name] = min(max(int(value), parameter.low), parameter.high)
        return tuple(values.items())


def _alive(table: str, columns: Collection[str], condition: str, since: datetime, until: datetime) -> str:
    for name, moment in (("since", since), ("until", until)):
        condition = condition.replace(f":{name}", f"TIMESTAMP '{moment.isoformat(sep=' ')}'")
    return f"SELECT {', '.join(f'r.{_quoted(column)}' for column in columns)} FROM {table} r WHERE {condition}"


def _quoted(column: str) -> str:
    return f'"{column}"'


@cache
def _bound(sql: str, values: tuple[tuple[str, int], ...]) -> str:
    return bind_sql(sql, READABLE, dict(values))


@cache
def _in_steps(text: str, names: tuple[str, ...], source: str) -> tuple[list[Step], str]:
    return in_steps(text, names, source)


def load_templates(extra: Path | None = None) -> list[Template]:
    """Return the shelf, sorted by code number, with the files of folder `extra` besides. Raises `BadRule`."""
    shelf = resources.files("custodes.explain") / "templates"
    files = [(item.name, item.read_text("utf-8")) for item in shelf.iterdir() if item.name.endswith(".yml")]
    if extra is not None:
        files += [(path.name, path.read_text("utf-8")) for path in sorted(extra.glob("*.yml"))]
    found = [parse(text, name) for name, text in files]
    if len({entry.code for entry in found}) != len(found):
        raise BadRule("two templates have the same code")
    return sorted(found, key=lambda entry: (len(entry.code), entry.code))


def load_folder(folder: Path) -> list[Template]:
    """Return the templates of a folder alone, as an evaluation brings them. Raises `BadRule`."""
    return sorted((parse(path.read_text("utf-8"), path.name) for path in folder.glob("*.yml")), key=lambda entry: entry.code)


_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe reader, the one written in C where it was built: ten times as fast."""
_PAGES: Final = ("finds", "why", "innocent", "forger_needs", "known_gaps", "since", "strength")
_KEYS: Final = frozenset(
    {"schema", "code", "title", "version", "state", "kind", "requires", "after", "repeat", "quick", "steps", "alive", "near"}
    | {"params", "sql", "checks", "absent"}
    | {"sentence", "tests", *_PAGES}
)


def parse(text: str, name: str) -> Template:
    """Read one template file. Raises `BadRule` naming file and place."""
    try:
        body = yaml.load(text, Loader=_LOADER)  # noqa: S506  # a safe one, see there
    except yaml.YAMLError:
        raise BadRule(f"{name}: no YAML") from None
    _known(body, _KEYS, name)
    if body.get("schema") != SCHEMA or body.get("kind") != "explain":
        raise BadRule(f"{name}: expected schema {SCHEMA} and kind explain")
    template = Template(
        code=_text(body, "code", name),
        title=_text(body, "title", name),
        version=_number(body, "version", name),
        state=_text(body, "state", name),
        tables=_words((body.get("requires") or {}).get("tables"), name),
        sql=_text(body, "sql", name),
        checks=tuple(_check(column, entry, name) for column, entry in (body.get("checks") or {}).items()),
        absent=tuple(_absence(entry, name) for entry in body.get("absent") or ()),
        sentence=_text(body, "sentence", name),
        after=_words(body.get("after"), name),
        repeat=body.get("repeat") is True,
        quick=str(body.get("quick") or ""),
        steps=_words(body.get("steps"), name),
        alive=_conditions(body.get("alive"), _words(body.get("steps"), name), name),
        near={column: _words(entry, name) for column, entry in (body.get("near") or {}).items()},
        params={key: _parameter(entry, f"{name}: {key}") for key, entry in (body.get("params") or {}).items()},
        pages={key: body[key] for key in _PAGES if key in body},
        tests=tuple(body.get("tests") or ()),
        digest=sha256(text.encode()).hexdigest(),
    )
    _verify(template, name)
    return template


def _verify(template: Template, name: str) -> None:
    """The SQL keeps the dialect, yields what verdicts are made of, and reads verdicts only of templates named in `after`."""
    try:
        columns = output_columns(template.sql, READABLE)
        template.bound()
        for absence in template.absent:
            check_sql(f"SELECT l.look FROM looks l WHERE {absence.when}", READABLE)  # checked before it is ever run
        _verify_speed(template)
    except BadRule as wrong:
        raise BadRule(f"{name}: {wrong}") from None
    wanted = (*_FIRST, *(check.column for check in template.checks))
    if tuple(columns) != wanted:
        raise BadRule(f"{name}: sql yields {', '.join(columns)}; expected {', '.join(wanted)}")
    if "explanations" in template.sql and not (template.after or template.repeat):
        raise BadRule(f"{name}: a template that reads explanations names in `after` whose")
    if unknown := set(template.tables) - set(TABLES):
        raise BadRule(f"{name}: unknown table {min(unknown)!r}")


def _verify_speed(template: Template) -> None:
    """What narrows a template keeps the dialect, too."""
    for column, entries in template.near.items():
        for entry in entries:
            if column == "when":
                check_sql(f"SELECT l.look FROM looks l WHERE {entry}", READABLE)
            elif column not in _NEAR or len(output_columns(entry, READABLE)) != 1:
                raise BadRule(f"near: expected SELECTs of one column under {', '.join(_NEAR)}, or conditions under when")
    if template.alive and not template.quick:
        raise BadRule("alive is for a template with quick")
    if clash := set(template.steps) & set(READABLE):
        raise BadRule(f"steps: {min(clash)} is the name of a view")
    made = [*template.in_steps()[0], *(template.in_steps(quick=True)[0] if template.quick else ())]
    if unknown := set(template.steps) - {step.name for step in made}:
        raise BadRule(f"steps: no part of a statement is called {min(unknown)!r}")
    template.bound_alive(_SOME_TIME, _SOME_TIME)
    if template.quick:
        if tuple(output_columns(template.quick, READABLE)) != _QUICK:
            raise BadRule(f"quick yields something else than {', '.join(_QUICK)}")
        if template.repeat or template.after or any(check.flag == "relation" for check in template.checks):
            raise BadRule("quick is for a template that reads no verdicts and flags no relation")


def _conditions(entry: object, steps: Collection[str], name: str) -> dict[str, str]:
    found = _known(entry or {}, {*TABLES, *steps}, f"{name}: alive")
    return {table: _text(found, table, f"{name}: alive") for table in found}


def _check(column: str, entry: object, name: str) -> Check:
    body = _known(entry, {"lacks", "says", "codes", "flag"}, f"{name}: {column}")
    flag = str(body.get("flag", "claimed"))
    if flag not in ("claimed", "residue", "relation"):
        raise BadRule(f"{name}: {column}.flag: expected claimed, residue or relation")
    place = f"{name}: {column}"
    return Check(column, _text(body, "lacks", place), _text(body, "says", place), _words(body.get("codes"), place), flag)


def _absence(entry: object, name: str) -> Absence:
    place = f"{name}: absent"
    body = _known(entry, {"lacks", "says", "when", "codes"}, place)
    return Absence(
        _text(body, "lacks", place), _text(body, "says", place), str(body.get("when", "TRUE")), _words(body.get("codes"), place)
    )


def _parameter(entry: object, place: str) -> Parameter:
    body = _known(entry, {"default", "min", "max", "unit", "why", "policy"}, place)
    made = Parameter(
        _number(body, "default", place),
        _number(body, "min", place),
        _number(body, "max", place),
        _text(body, "unit", place),
        _text(body, "why", place),
        str(body.get("policy", "")),
    )
    if not made.low <= made.default <= made.high or (made.policy and made.policy not in Policy.__dataclass_fields__):
        raise BadRule(f"{place}: the default lies outside its bounds, or policy has no such setting")
    return made


def _known(value: object, keys: Collection[str], place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRule(f"{place}: expected a mapping")
    if unknown := set(value) - set(keys):
        raise BadRule(f"{place}: unknown key {min(map(str, unknown))!r}")
    return value


def _text(body: Mapping[str, Any], key: str, place: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadRule(f"{place}: {key}: expected a text")
    return value


def _number(body: Mapping[str, Any], key: str, place: str) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRule(f"{place}: {key}: expected a whole number")
    return value


def _words(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadRule(f"{place}: expected a list of words")
    return tuple(str(item) for item in value)
