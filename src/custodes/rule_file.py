"""A rule as it stands in its file: one YAML page, read strictly into values.

Rules this page keeps: an unknown key, a doubled key, a missing part or a wrong type is an error that names file and place; the SQL
keeps the dialect; every word the sentence names is there; every parameter is an integer with limits, a unit and a reason.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from custodes.dialect import Statement, output_columns, read_statement
from custodes.errors import BadRule, UnknownKey
from custodes.lines.document import read_document
from custodes.model.tables import STORED_EXTRA, TABLES
from custodes.model.views import VIEWS
from custodes.model.words import LEVELS

SCHEMA: Final = "custodes.rule/1"
STATES: Final = ("preview", "stable", "retired")
KINDS: Final = ("flag", "threshold", "sequence", "baseline", "ring", "trigger")
ENTITIES: Final = ("actor", "subject", "pair", "group")
CONFIDENCE: Final = ("low", "medium", "high")
ROW: Final = ("access", "actor", "subject", "time")
"""What every row of a rule holds."""
SPECIAL: Final = frozenset({"level", "codes", "target", "derived", "evidence_table", "evidence_key"})
"""What a row may hold besides, with a meaning of its own: a level and V codes of the row instead of the rule's; the subject whose
links led to the row's subject; the id of a copy; the context row that the rule stands on."""
BUILT_IN: Final = frozenset({"actors", "subjects", "linked", "looks", "when", "data", "reason"})
"""Words that every sentence may name."""
TABLES_READ: Final[Mapping[str, Collection[str]]] = {
    **{name: tuple(columns) for name, columns in VIEWS.items()},
    **{name: (*(column.name for column in table.columns), *STORED_EXTRA) for name, table in TABLES.items()},
}
"""Every view and context table that a rule may read, with its columns."""

REACHES: Final = ("record", "look")
BEYOND_A_LOOK: Final = frozenset(
    {"flags", "lacks", "checked", "newcomers", "ring_looks", "gaps", "own_record", "attempts", "guard_readers", "selectors"}
)
"""Views that a rule of reach `look` may not read: they speak of other looks, or are worked out only for looks that are told."""

_CODE: Final = re.compile(r"[A-Z][0-9]{2}")
_V_CODE: Final = re.compile(r"V[0-9]{1,2}")
_E_CODE: Final = re.compile(r"E[0-9]{1,2}")
_FIELD: Final = re.compile(r"\{([a-z_]+)(?::([a-z ]+))?\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole number that the rule's SQL names as `:name`. `why`: the reason for its default."""

    name: str
    default: int
    minimum: int
    maximum: int
    unit: str
    why: str


@dataclass(frozen=True, slots=True)
class Requires:
    """What must be there, else the rule could not check: all `tables`, one of `any`, filled `columns`, `freshness` in days."""

    tables: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    freshness: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blind:
    """What the rule cannot judge: `sql` gives one row of counts, `words` names them; said if the first count is not zero."""

    sql: str
    words: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A test inside a rule: `tables` in, `rows` out (the columns named). Without rows it must stay quiet."""

    name: str
    tables: Mapping[str, tuple[Mapping[str, object], ...]]
    rows: tuple[Mapping[str, object], ...]
    boundary: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One detection. `sql` is bound: checked, with its parameters put in. `digest`: SHA-256 of the file."""

    code: str
    title: str
    version: int
    since: str
    state: str
    kind: str
    on: str
    entity: str
    level: str
    confidence: str
    codes: tuple[str, ...]
    tags: tuple[str, ...]
    requires: Requires
    params: tuple[Parameter, ...]
    sql: str
    columns: tuple[str, ...]
    sentence: str
    finds: str
    why: str
    innocent: tuple[str, ...]
    questions: tuple[str, ...]
    forger_needs: str
    known_gaps: tuple[str, ...]
    asks: tuple[str, ...]
    dedup_key: tuple[str, ...]
    dedup_days: int
    per_week: int | None
    blind: Blind | None
    tests: tuple[Trial, ...]
    bench: Mapping[str, str]
    digest: str
    place: str
    reach: str = "record"
    """`look`: each row stands on the looks of one access and their verdicts, so a look can be judged as soon as it is explained."""


class _Reader:
    """A mapping read key by key; what is left over at the end is unknown."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise BadRule(f"{place}: expected a mapping")
        self._left = dict(value)
        self._known: list[str] = []
        self.place = place

    def take(self, key: str) -> object:
        self._known.append(key)
        return self._left.pop(key, None)

    def text(self, key: str, *, required: bool = True) -> str:
        value = self.take(key)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not value.strip():
            raise BadRule(f"{self.place}.{key}: expected a text")
        return value.strip()

    def word(self, key: str, allowed: Collection[str]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise BadRule(f"{self.place}.{key}: expected one of {', '.join(allowed)}, not {value!r}")
        return value

    def number(self, key: str) -> int:
        value = self.take(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRule(f"{self.place}.{key}: expected a whole number")
        return value

    def words(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        value = self.take(key)
        if value is None and not required:
            return ()
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise BadRule(f"{self.place}.{key}: expected a list of texts")
        return tuple(item.strip() for item in value)

    def part(self, key: str) -> _Reader | None:
        value = self.take(key)
        return None if value is None else _Reader(value, f"{self.place}.{key}")

    def mapping(self, key: str) -> dict[str, object]:
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BadRule(f"{self.place}.{key}: expected a mapping")
        return value

    def end(self) -> None:
        if self._left:
            unknown = min(str(key) for key in self._left)
            raise UnknownKey(f"{self.place}: unknown key {unknown!r}; expected {', '.join(sorted(self._known))}")


def read_rule(text: str, place: str) -> Rule:
    """Read one rule file. Raises `BadRule` or `UnknownKey`, naming `place`, the key, and for SQL the line inside it."""
    try:
        document = read_document(text)
    except ValueError as wrong:
        raise BadRule(f"{place}: {wrong}") from None
    reader = _Reader(document, place)
    if reader.take("schema") != SCHEMA:
        raise BadRule(f"{place}: expected schema {SCHEMA}")
    rule = _rule(reader, sha256(text.encode()).hexdigest())
    reader.end()
    _check_words(rule)
    return rule


def _rule(reader: _Reader, digest: str) -> Rule:
    place = reader.place
    params = _params(reader)
    statement = _bound(reader.text("sql"), params, f"{place}.sql")
    _check_used(statement, params, f"{place}.sql")
    dedup = _need(reader.part("dedup"), f"{place}.dedup")
    budget = reader.part("budget")
    rule = Rule(
        code=_matching(reader.text("code"), _CODE, f"{place}.code"),
        title=reader.text("title"),
        version=reader.number("version"),
        since=reader.text("since"),
        state=reader.word("state", STATES),
        kind=reader.word("kind", KINDS),
        on=reader.word("on", ("residue", "all")),
        entity=reader.word("entity", ENTITIES),
        level=reader.word("level", LEVELS),
        confidence=reader.word("confidence", CONFIDENCE),
        codes=tuple(_matching(code, _V_CODE, f"{place}.codes") for code in reader.words("codes", required=True)),
        tags=reader.words("tags"),
        requires=_requires(reader.part("requires"), place),
        params=params,
        sql=statement.text,
        columns=statement.columns,
        sentence=" ".join(reader.text("sentence").split()),
        finds=reader.text("finds"),
        why=reader.text("why"),
        innocent=reader.words("innocent", required=True),
        questions=reader.words("questions", required=True),
        forger_needs=reader.text("forger_needs"),
        known_gaps=reader.words("known_gaps", required=True),
        asks=tuple(_matching(code, _E_CODE, f"{place}.asks") for code in reader.words("asks")) or ("E1", "E2", "E3", "E4"),
        dedup_key=dedup.words("key", required=True),
        dedup_days=dedup.number("days"),
        per_week=budget.number("per_week") if budget else None,
        blind=_blind(reader.part("blind"), params, place),
        tests=_tests(reader.take("tests"), f"{place}.tests"),
        bench={str(name): str(value) for name, value in reader.mapping("bench").items()},
        digest=digest,
        place=place,
        reach=reader.text("reach", required=False) or "record",
    )
    dedup.end()
    if budget:
        budget.end()
    return rule


def _need(part: _Reader | None, place: str) -> _Reader:
    if part is None:
        raise BadRule(f"{place}: is missing")
    return part


def _matching(value: str, pattern: re.Pattern[str], place: str) -> str:
    if not pattern.fullmatch(value):
        raise BadRule(f"{place}: {value!r} is no code")
    return value


def _params(reader: _Reader) -> tuple[Parameter, ...]:
    found = []
    for name, value in reader.mapping("params").items():
        part = _Reader(value, f"{reader.place}.params.{name}")
        parameter = Parameter(
            name, part.number("default"), part.number("min"), part.number("max"), part.text("unit"), part.text("why")
        )
        part.end()
        if not parameter.minimum <= parameter.default <= parameter.maximum:
            raise BadRule(f"{part.place}: default {parameter.default} lies outside {parameter.minimum} to {parameter.maximum}")
        found.append(parameter)
    return tuple(found)


def _bound(sql: str, params: tuple[Parameter, ...], place: str) -> Statement:
    """Return the checked statement with its parameters put in."""
    try:
        return read_statement(sql, TABLES_READ, {parameter.name: parameter.default for parameter in params})
    except BadRule as wrong:
        raise BadRule(f"{place}: {wrong}") from None


def _check_used(statement: Statement, params: tuple[Parameter, ...], place: str) -> None:
    if idle := {parameter.name for parameter in params} - statement.placeholders:
        raise BadRule(f"{place}: parameter {min(idle)!r} is declared but the statement does not use it")


def _requires(part: _Reader | None, place: str) -> Requires:
    if part is None:
        return Requires()
    fresh = {}
    for table, days in part.mapping("freshness").items():
        if not isinstance(days, int) or isinstance(days, bool):
            raise BadRule(f"{part.place}.freshness.{table}: expected days")
        fresh[str(table)] = days
    requires = Requires(part.words("tables"), part.words("any"), part.words("columns"), fresh)
    part.end()
    columns = [column.partition(".") for column in requires.columns]
    for table in (*requires.tables, *requires.any, *fresh, *(column[0] for column in columns)):
        if table not in TABLES:
            raise BadRule(f"{place}.requires: {table!r} is no context table")
    for table, _, column in columns:
        if column not in TABLES_READ[table]:
            raise BadRule(f"{place}.requires.columns: {table} has no column {column!r}")
    return requires


def _blind(part: _Reader | None, params: tuple[Parameter, ...], place: str) -> Blind | None:
    if part is None:
        return None
    statement = _bound(part.text("sql"), params, f"{place}.blind")
    blind = Blind(statement.text, " ".join(part.text("words").split()))
    part.end()
    known = set(statement.columns)
    if unknown := {name for name, _ in _FIELD.findall(blind.words)} - known:
        raise BadRule(f"{place}.blind.words: {{{min(unknown)}}} is not a column of its statement")
    return blind


def _check_reach(rule: Rule) -> None:
    """Refuse what no single look can tell; that its rows need no other look is what a test shows."""
    if rule.on == "residue":
        raise BadRule(f"{rule.place}.reach: a rule on the residue holds actors without history low, which other looks decide")
    if rule.requires.freshness:
        raise BadRule(f"{rule.place}.reach: freshness is about the last access of the record")
    try:
        output_columns(rule.sql, {name: columns for name, columns in TABLES_READ.items() if name not in BEYOND_A_LOOK})
    except BadRule as wrong:
        raise BadRule(f"{rule.place}.reach: {wrong}") from None


def _tests(value: object, place: str) -> tuple[Trial, ...]:
    if not isinstance(value, list):
        raise BadRule(f"{place}: a rule without tests is no rule")
    found = []
    for number, entry in enumerate(value, 1):
        reader = _Reader(entry, f"{place}[{number}]")
        tables = {name: _rows(rows, f"{reader.place}.tables.{name}") for name, rows in reader.mapping("tables").items()}
        for name, rows in tables.items():
            _check_columns(name, rows, f"{reader.place}.tables.{name}")
        boundary = reader.take("boundary") or False
        if not isinstance(boundary, bool):
            raise BadRule(f"{reader.place}.boundary: expected true or false")
        found.append(Trial(reader.text("name"), tables, _rows(reader.take("rows"), f"{reader.place}.rows"), boundary))
        reader.end()
    return tuple(found)


def _rows(value: object, place: str) -> tuple[Mapping[str, object], ...]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise BadRule(f"{place}: expected a list of rows")
    return tuple({str(name): item for name, item in row.items()} for row in value)


def _check_columns(table: str, rows: tuple[Mapping[str, object], ...], place: str) -> None:
    if table not in TABLES_READ:
        raise BadRule(f"{place}: no such view or context table")
    for row in rows:
        if unknown := set(row) - set(TABLES_READ[table]):
            raise BadRule(f"{place}: no column {min(unknown)!r}")


def _check_words(rule: Rule) -> None:
    """The rows must carry what the sentence, the key and the tests name."""
    if absent := [name for name in ROW if name not in rule.columns]:
        raise BadRule(f"{rule.place}.sql: returns no column {absent[0]!r}")
    if len(set(rule.columns)) != len(rule.columns):
        raise BadRule(f"{rule.place}.sql: returns a column twice")
    if unknown := {name for name, _ in _FIELD.findall(rule.sentence)} - BUILT_IN - set(rule.columns):
        raise BadRule(f"{rule.place}.sentence: {{{min(unknown)}}} is neither a column of the statement nor a built-in word")
    if absent := [name for name in rule.dedup_key if name not in rule.columns]:
        raise BadRule(f"{rule.place}.dedup.key: the statement returns no {absent[0]!r}")
    if rule.reach not in REACHES:
        raise BadRule(f"{rule.place}.reach: expected {' or '.join(REACHES)}")
    if rule.reach == "look":
        _check_reach(rule)
    if rule.on == "residue" and not re.search(r"\bresidue\b", rule.sql):
        raise BadRule(f"{rule.place}.on: the rule judges the residue, but its statement does not read it")
    if ("evidence_table" in rule.columns) != ("evidence_key" in rule.columns):
        raise BadRule(f"{rule.place}.sql: evidence_table and evidence_key come together")
    _check_tests(rule)


def _check_tests(rule: Rule) -> None:
    """A rule is shown to fire, to stay quiet, and to know its boundary."""
    inner = [trial for trial in rule.tests if not trial.boundary]
    for what, count, least in (
        ("fire", sum(bool(trial.rows) for trial in inner), 2),
        ("stay quiet", sum(not trial.rows for trial in inner), 2),
        ("stand on a boundary", len(rule.tests) - len(inner), 1),
    ):
        if count < least:
            raise BadRule(f"{rule.place}.tests: {count} {what}, at least {least} must")
    names = [trial.name for trial in rule.tests]
    if len(set(names)) != len(names):
        raise BadRule(f"{rule.place}.tests: two tests have one name")
    for trial in rule.tests:
        for row in trial.rows:
            if unknown := set(row) - set(rule.columns):
                raise BadRule(f"{rule.place}: test {trial.name!r} expects {min(unknown)!r}, which the statement does not return")


def split_sentence(sentence: str) -> list[tuple[str, str, str]]:
    """Return the parts of a template: (text before, name, noun); the last part has no name."""
    parts, at = [], 0
    for match in _FIELD.finditer(sentence):
        parts.append((sentence[at : match.start()], match[1], match[2] or ""))
        at = match.end()
    return [*parts, (sentence[at:], "", "")]
