"""From the rows of rules to groups, in the engine: most groups are never told, so nothing is made of them but a few columns.

The same groups as `rule_findings.grouped` makes of rows in hand: one for each key of a rule, none longer than the rule's days, and
groups of one rule over the same accesses are one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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

_FOUND: Final = "rule_found"
_LATER: Final = "rule_later"
_GROUPS: Final = "rule_grouped"
_ALIKE: Final = "rule_alike"
_TOLD: Final = "rule_told"

_EMPTY: Final = f"""CREATE OR REPLACE TEMP TABLE {_FOUND} ("key" BIGINT, rule VARCHAR, place BIGINT, access BIGINT, actor VARCHAR,
  subject VARCHAR, derived VARCHAR, time TIMESTAMP, level TINYINT)"""

_LONG: Final = f"""SELECT "key", rule, time FROM {_FOUND} SEMI JOIN (
    SELECT "key" FROM {_FOUND} JOIN rule_days USING (rule) GROUP BY "key", days HAVING max(time) > min(time) + to_days(days))
  USING ("key") GROUP BY ALL ORDER BY "key", time"""
"""Times of the keys whose rows do not all lie within the days of the first."""

_GROUPED: Final = f"""CREATE OR REPLACE TEMP VIEW {_GROUPS} AS SELECT f.*, coalesce(l.part, f."key") AS part
  FROM {_FOUND} f LEFT JOIN {_LATER} l ON l."key" = f."key" AND l.time = f.time"""
_SAME_ACCESSES: Final = f"""CREATE OR REPLACE TEMP TABLE {_ALIKE} AS
  WITH ends AS (
    SELECT part, rule, min(access) AS least, max(access) AS most FROM {_GROUPS} GROUP BY part, rule
    QUALIFY count(*) OVER (PARTITION BY rule, least, most) > 1),
  several AS (
    SELECT part, list(access ORDER BY first, access) AS accesses FROM (
      SELECT part, access, min(time) AS first FROM {_GROUPS} SEMI JOIN (SELECT part FROM ends WHERE least < most) USING (part)
      GROUP BY part, access)
    GROUP BY part)
  SELECT part, min(part) OVER (PARTITION BY rule, least, most, accesses) AS draft FROM ends LEFT JOIN several USING (part)"""
"""Groups over the same accesses, in the same order: only those with the same least and most are worth a closer look."""
_JOINED: Final = f"""CREATE OR REPLACE TEMP TABLE {ROWS} AS
  SELECT coalesce(a.draft, g.part) AS draft, g.rule, g.place, g.access, g.actor, g.subject, g.derived, g.time, g.level
  FROM {_GROUPS} g LEFT JOIN {_ALIKE} a USING (part)"""


class Groups:
    """The rows of some rules. `add` each rule, then `join` once, then take `drafts`. Leaves nothing in the engine once it is closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rules: dict[str, Rule] = {}
        self._tables: list[str] = []
        self._keys = 0
        self._new: dict[object, datetime] | None = None
        engine.run(_EMPTY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.run(f"DROP VIEW IF EXISTS {_GROUPS}")
        for name in (_FOUND, _LATER, _ALIKE, ROWS, _TOLD, "rule_days", *self._tables):
            self._engine.run(f"DROP TABLE IF EXISTS {name}")

    def add(self, rule: Rule) -> None:
        """Run one rule and keep its rows. Raises if no finding can be made of one of them; then none of them is kept."""
        table, columns = f"rule_{rule.code}", ", ".join(map(_quoted, rule.columns))
        self._tables.append(table)
        order = ", ".join(map(_quoted, order_of(rule)))
        self._engine.run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns} FROM ({rule.sql}) AS found ORDER BY {order}")
        count = self._check(rule, table)
        if count:
            self._engine.run(self._found(rule, table))
            self._keys += count
        self._rules[rule.code] = rule

    def _check(self, rule: Rule, table: str) -> int:
        """Check one row of each kind of rows, as far as kinds are told apart by what is checked; return how many rows there are."""
        special = [name for name in ("level", "codes") if name in rule.columns]
        kinds = ", ".join(("access IS NULL", "actor IS NULL", "time IS NULL", *special))
        checked = ("access", "actor", "time", *special)
        shown = ", ".join(("min(access)", "min(actor)", "min(time)", *special, "count(*)"))
        where = {name: position for position, name in enumerate(checked)}
        count = 0
        for *row, rows in self._engine.rows(f"SELECT {shown} FROM {table} GROUP BY {kinds} ORDER BY {', '.join((kinds, '1'))}"):
            check_row(tuple(row), where, rule.codes)
            if not isinstance(row[where["time"]], datetime):
                raise TypeError("a rule's time must be a time, never null")
            count += int(str(rows))
        return count

    def _found(self, rule: Rule, table: str) -> str:
        """Return the statement that adds a rule's rows to all others, each with a number of its key.

        A row's place is its number in the table, which was written in order and from which nothing is deleted.
        """
        key = [f"{_quoted(name)} AS key_{at}" for at, name in enumerate(rule.dedup_key)]
        same = " AND ".join(f"k.key_{at} IS NOT DISTINCT FROM f.{_quoted(name)}" for at, name in enumerate(rule.dedup_key))
        level = f"list_position([{', '.join(map(_text, LEVELS))}], f.level) - 1" if "level" in rule.columns else "NULL"
        level = f"coalesce({level}, {LEVELS.index(rule.level)})"
        late = ""
        if rule.on == "residue":
            late = 'LEFT JOIN newcomers n ON n.actor = f.actor AND f.time < n."until"'
            level = f"CASE WHEN n.actor IS NULL THEN {level} ELSE least({level}, {LEVELS.index('low')}) END"
        return f"""INSERT INTO {_FOUND}
          WITH keys AS MATERIALIZED (
            SELECT {", ".join(key)}, {self._keys} + min(rowid) AS "key" FROM {table} GROUP BY {", ".join(map(_quoted, rule.dedup_key))})
          SELECT k."key", {_text(rule.code)}, f.rowid, f.access, f.actor, f.subject,
            {"f.derived" if "derived" in rule.columns else "NULL"}, f.time, {level}
          FROM {table} f JOIN keys k ON {same} {late}"""

    def join(self) -> dict[str, int]:
        """Put the rows of all rules together, into table `ROWS`; return rule → how many groups it has."""
        days = {rule.code: rule.dedup_days for rule in self._rules.values()}
        self._table("rule_days", {"rule": pa.array(days, pa.string()), "days": pa.array(days.values(), pa.int32())})
        self._split(days)
        for statement in (_GROUPED, _SAME_ACCESSES, _JOINED):
            self._engine.run(statement)
        counted = self._engine.rows(f"SELECT rule, count(DISTINCT draft) FROM {ROWS} GROUP BY rule")
        return {**dict.fromkeys(days, 0), **{str(rule): int(str(count)) for rule, count in counted}}

    def _split(self, days: dict[str, int]) -> None:
        """Find the rows that begin a new group of their key: later than the first row of the group before plus the rule's days.

        What ends a group is only known once its first row is, so these keys are walked through; groups after the first one of a
        key have numbers below zero.
        """
        keys: list[int] = []
        times: list[datetime] = []
        parts: list[int] = []
        before: int | None = None
        until = datetime.min  # noqa: DTZ901  # engine times are UTC without a zone
        part = last = 0
        for key, rule, time in self._engine.rows(_LONG):
            if not isinstance(key, int) or not isinstance(time, datetime):
                raise TypeError("a key is a number and a time a time")
            if key != before:
                before, part, until = key, key, time + timedelta(days=days[str(rule)])
            elif time > until:
                last -= 1
                part, until = last, time + timedelta(days=days[str(rule)])
            if part < 0:
                keys.append(key)
                times.append(time)
                parts.append(part)
        columns = {
            "key": pa.array(keys, pa.int64()),
            "time": pa.array(times, pa.timestamp("us")),
            "part": pa.array(parts, pa.int64()),
        }
        self._table(_LATER, columns)

    def drafts(self, chosen: Collection[int] | None = None) -> list[Draft]:
        """Return the groups of these numbers (all without), by rule; the rows of each sorted as `order_of` says."""
        only = ""
        if chosen is not None:
            self._table(_TOLD, {"draft": pa.array(chosen, pa.int64())})
            only = f" SEMI JOIN {_TOLD} USING (draft)"
        self._engine.run(f"CREATE OR REPLACE TEMP TABLE {_ALIKE} AS SELECT rule, place, draft FROM {ROWS}{only}")
        having = {str(code) for (code,) in self._engine.rows(f"SELECT DISTINCT rule FROM {_ALIKE}")}
        return [draft for code, rule in self._rules.items() if code in having for draft in self._of(rule)]

    def _of(self, rule: Rule) -> Iterable[Draft]:
        columns = ", ".join(f"f.{_quoted(name)}" for name in rule.columns)
        rows = self._engine.rows(
            f"SELECT a.draft, {columns} FROM rule_{rule.code} f JOIN {_ALIKE} a ON a.place = f.rowid AND a.rule = {_text(rule.code)} "
            f"ORDER BY a.draft, a.place"
        )
        where = {name: position for position, name in enumerate(rule.columns)}
        new = self._newcomers() if rule.on == "residue" else {}
        found: dict[object, list[Row]] = {}
        for number, *row in rows:
            found.setdefault(number, []).append(tuple(row))
        return [Draft(rule, where, members, new) for members in found.values()]

    def _newcomers(self) -> dict[object, datetime]:
        if self._new is None:
            self._new = newcomers(self._engine)
        return self._new

    def _table(self, name: str, columns: dict[str, pa.Array]) -> None:
        self._engine.table(name, pa.table(columns))


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: str) -> str:
    return f"'{value}'"
