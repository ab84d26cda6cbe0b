"""From the rows of rules to groups, in the engine: most groups are never told, so nothing is made of them but a few columns.

The same groups as `rule_findings.grouped` makes of rows in hand: one for each key of a rule, none longer than the rule's days, and
groups of one rule over the same accesses are one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Self

import pyarrow as pa

from custodes.engine import Engine
from custodes.model.words import LEVELS
from custodes.rule_file import Rule
from custodes.rule_findings import Draft, Row, check_row, newcomers, order_of

ROWS: Final = "rule_rows"
"""Table: every row of every rule, with `draft` (the number of its group), `rule` (code), `place` (among the rows of its rule, which
are sorted), `access`, `actor`, `subject`, `derived`, `time` and `level` (by `LEVELS`; without history at most `low`)."""

_DAYS: Final = "rule_days"
_LATER: Final = "rule_later"
_ALIKE: Final = "rule_alike"
_CHOSEN: Final = "rule_chosen"
_TOLD: Final = "rule_told"

_EMPTY: Final = f"""CREATE OR REPLACE TEMP TABLE {ROWS} (draft BIGINT, rule VARCHAR, place BIGINT, access BIGINT, actor VARCHAR,
  subject VARCHAR, derived VARCHAR, time TIMESTAMP, level TINYINT)"""
_LONG: Final = f"""SELECT DISTINCT draft, rule, time FROM {ROWS} SEMI JOIN (
    SELECT draft FROM {ROWS} JOIN {_DAYS} USING (rule) GROUP BY draft, days HAVING max(time) > min(time) + to_days(days))
  USING (draft) ORDER BY draft, time"""
"""The times of each key whose rows do not all lie within the days of the first one."""
_SPLIT: Final = f"UPDATE {ROWS} r SET draft = l.part FROM {_LATER} l WHERE l.draft = r.draft AND l.time = r.time"
_SAME_ACCESSES: Final = f"""CREATE OR REPLACE TEMP TABLE {_ALIKE} AS
  WITH ends AS (
    SELECT draft, rule, min(access) AS least, max(access) AS most FROM {ROWS} GROUP BY draft, rule
    QUALIFY count(*) OVER (PARTITION BY rule, least, most) > 1),
  several AS (
    SELECT draft, list(access ORDER BY first, access) AS accesses FROM (
      SELECT draft, access, min(time) AS first FROM {ROWS} SEMI JOIN (SELECT draft FROM ends WHERE least < most) USING (draft)
      GROUP BY draft, access)
    GROUP BY draft)
  SELECT draft, min(draft) OVER (PARTITION BY rule, least, most, accesses) AS one FROM ends LEFT JOIN several USING (draft)"""
"""Groups over the same accesses, in the order of their rows: only those with the same ends are worth a closer look."""
_MERGED: Final = f"UPDATE {ROWS} r SET draft = a.one FROM {_ALIKE} a WHERE a.draft = r.draft AND a.one < a.draft"


class Groups:
    """The rows of some rules: `add` each rule, then `join` once, then take `drafts`. Leaves nothing in the engine at its end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rules: dict[str, Rule] = {}
        self._tables: list[str] = []
        self._rows = 0
        engine.run(_EMPTY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._drop(ROWS, _CHOSEN, _TOLD, *self._tables)

    def add(self, rule: Rule) -> None:
        """Run one rule and keep its rows. Raises if no finding can be made of one of them; then none of them is kept."""
        table, columns, order = _table(rule), _listed(rule.columns), _listed(order_of(rule))
        self._tables.append(table)
        self._engine.run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns} FROM ({rule.sql}) AS found ORDER BY {order}")
        count = int(str(self._engine.rows(f"SELECT count(*) FROM {table}")[0][0]))
        if count:
            self._check(rule)
            self._engine.run(_taken(rule, self._rows))
            self._rows += count
        self._rules[rule.code] = rule

    def _check(self, rule: Rule) -> None:
        """Check one row of each kind that the check can tell apart."""
        special = [name for name in ("level", "codes") if name in rule.columns]
        kinds = ", ".join(("access IS NULL", "actor IS NULL", "time IS NULL", *special))
        shown = ", ".join(("min(access)", "min(actor)", "min(time)", *special))
        where = {name: position for position, name in enumerate(("access", "actor", "time", *special))}
        for row in self._engine.rows(f"SELECT {shown} FROM {_table(rule)} GROUP BY {kinds} ORDER BY {kinds}"):
            check_row(row, where, rule.codes)
            if not isinstance(row[where["time"]], datetime):
                raise TypeError("a rule's time must be a time, never null")

    def join(self) -> dict[str, int]:
        """Finish table `ROWS`, whose groups are keys until then; return rule → how many groups it has."""
        days = {code: rule.dedup_days for code, rule in self._rules.items()}
        self._write(_DAYS, rule=pa.array(days, pa.string()), days=pa.array(days.values(), pa.int32()))
        self._split(days)
        for statement in (_SPLIT, _SAME_ACCESSES, _MERGED):
            self._engine.run(statement)
        self._drop(_DAYS, _LATER, _ALIKE)
        counted = self._engine.rows(f"SELECT rule, count(DISTINCT draft) FROM {ROWS} GROUP BY rule")
        return {**dict.fromkeys(days, 0), **{str(rule): int(str(count)) for rule, count in counted}}

    def _split(self, days: Mapping[str, int]) -> None:
        """Number the rows that come later than the first row of a group of their key plus the rule's days: they begin another one.

        Where a group ends is only known from where it begins, so these keys are walked through. The first group of a key keeps the
        key's number, later ones have numbers below zero.
        """
        later: list[tuple[int, datetime, int]] = []
        before = None
        until = datetime.min  # noqa: DTZ901  # engine times are UTC without a zone
        part = last = 0
        for key, rule, time in self._engine.rows(_LONG):
            if not isinstance(key, int) or not isinstance(time, datetime):
                raise TypeError("the engine returned a key that is no number or a time that is none")
            if key != before:
                before, part, until = key, key, time + timedelta(days=days[str(rule)])
            elif time > until:
                part = last = last - 1
                until = time + timedelta(days=days[str(rule)])
            if part < 0:
                later.append((key, time, part))
        keys, times, parts = zip(*later, strict=True) if later else ((), (), ())
        self._write(
            _LATER, draft=pa.array(keys, pa.int64()), time=pa.array(times, pa.timestamp("us")), part=pa.array(parts, pa.int64())
        )

    def drafts(self, chosen: Collection[int] | None = None) -> list[Draft]:
        """Return the groups of these numbers (all without), by rule; the rows of each sorted as `order_of` says."""
        only = ""
        if chosen is not None:
            self._write(_CHOSEN, draft=pa.array(chosen, pa.int64()))
            only = f" SEMI JOIN {_CHOSEN} USING (draft)"
        self._engine.run(f"CREATE OR REPLACE TEMP TABLE {_TOLD} AS SELECT rule, place, draft FROM {ROWS}{only}")
        told = {str(code) for (code,) in self._engine.rows(f"SELECT DISTINCT rule FROM {_TOLD}")}
        new = newcomers(self._engine) if any(self._rules[code].on == "residue" for code in told) else {}
        return [draft for code in sorted(told) for draft in self._told(self._rules[code], new)]

    def _told(self, rule: Rule, new: Mapping[object, datetime]) -> Iterable[Draft]:
        found: dict[object, list[Row]] = {}
        rows = self._engine.rows(
            f"SELECT f.*, t.draft FROM {_table(rule)} f JOIN {_TOLD} t ON t.place = f.rowid AND t.rule = {_text(rule.code)} "
            f"ORDER BY t.draft, t.place"
        )
        for row in rows:
            found.setdefault(row[-1], []).append(row[:-1])
        where = {name: position for position, name in enumerate(rule.columns)}
        return [Draft(rule, where, members, new if rule.on == "residue" else {}) for members in found.values()]

    def _write(self, name: str, **columns: pa.Array) -> None:
        self._engine.table(name, pa.table(columns))

    def _drop(self, *tables: str) -> None:
        for name in tables:
            self._engine.run(f"DROP TABLE IF EXISTS {name}")


def _taken(rule: Rule, rows: int) -> str:
    """Return the statement that takes a rule's rows over to those of all rules, each with the number of its key.

    `rows`: how many were taken before; a key's number is that and its first row. A row's place is its number in its rule's table,
    which was written in order and from which nothing is deleted.
    """
    key = [_quoted(name) for name in rule.dedup_key]
    level = str(LEVELS.index(rule.level))
    if "level" in rule.columns:
        level = f"list_position([{', '.join(map(_text, LEVELS))}], f.level) - 1"
    late = ""
    if rule.on == "residue":
        late = 'LEFT JOIN newcomers n ON n.actor = f.actor AND f.time < n."until"'
        level = f"CASE WHEN n.actor IS NULL THEN {level} ELSE least({level}, {LEVELS.index('low')}) END"
    return f"""INSERT INTO {ROWS}
      WITH keys AS MATERIALIZED (SELECT {", ".join(key)}, min(rowid) AS "first row" FROM {_table(rule)} GROUP BY {", ".join(key)})
      SELECT {rows} + k."first row", {_text(rule.code)}, f.rowid, f.access, f.actor, f.subject,
        {"f.derived" if "derived" in rule.columns else "NULL"}, f.time, {level}
      FROM {_table(rule)} f JOIN keys k ON {" AND ".join(f"k.{name} IS NOT DISTINCT FROM f.{name}" for name in key)} {late}"""


def _table(rule: Rule) -> str:
    return f"rule_{rule.code}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: str) -> str:
    return f"'{value}'"
