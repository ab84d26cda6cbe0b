"""What the record says about itself: holes and silence in the logs, actors who are new in it, own leaves, and what was denied.

Views `gaps`, `newcomers`, `own_record`, `guard_readers` and `attempts`. A hole is told by the source's own numbers, silence by the
pauses of its system; neither says what is missing. A newcomer is an actor of whom the record, which was kept before, knows nothing
older than two weeks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

NEW_DAYS: Final = 14
"""Days after the first access in which an actor counts as one without history; the record must have begun that long before."""


class OwnUse(NamedTuple):
    """One leaf of the home's own. `time`: start of the hour of recording; `what`: `use`, `erasure`, `policy.yaml` …; `actor`:
    pseudonym of who did it, None where the leaf does not say; `act`, `about`: for a use what was done and to what; `at`: when, as
    the leaf itself says; `why`: of a refusal; `grant`: keyed id, as in the table of grants; `rows`: of an outcome.
    """

    leaf: int
    time: datetime
    kind: str
    what: str
    actor: str | None = None
    act: str | None = None
    about: str | None = None
    at: datetime | None = None
    why: str | None = None
    grant: str | None = None
    rows: int | None = None


class Own(NamedTuple):
    """What a home knows of itself: its own leaves, and (system, account) of the guard's own reading."""

    leaves: Sequence[OwnUse] = ()
    readers: Sequence[tuple[str, str]] = ()


def build_newcomers(engine: Engine) -> None:
    """Make `newcomers` from all stored accesses, not only those of the window, and `staff`."""
    engine.run(_NEWCOMERS)


def build_gaps(engine: Engine) -> None:
    """Make `gaps` from the stored accesses of the window."""
    engine.run(_GAPS)


def build_own(engine: Engine, own: Own) -> None:
    """Make `own_record` and `guard_readers`."""
    _copied(engine, "own_record", [[_plain(value) for value in leaf] for leaf in own.leaves])
    _copied(engine, "guard_readers", own.readers)


def build_attempts(engine: Engine) -> None:
    """Make `attempts` from the stored accesses of the window, and staff."""
    engine.run(_ATTEMPTS)


def _copied(engine: Engine, name: str, rows: Sequence[Sequence[Any]]) -> None:
    types = {"BIGINT": pa.int64(), "VARCHAR": pa.string(), "TIMESTAMP": pa.timestamp("us")}
    columns = VIEWS[name]
    arrays = [pa.array([row[place] for row in rows], types[kind]) for place, kind in enumerate(columns.values())]
    engine.table(name, pa.table(arrays, names=list(columns)))


def _plain(value: object) -> object:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


_ATTEMPTS: Final = """
CREATE OR REPLACE TABLE attempts AS
SELECT DISTINCT a.leaf AS access, t.subject, a.time, a.actor, coalesce(a.on_behalf_of, a.actor) AS human, a.actor_kind, a.action,
  a.system, a.fieldset, a.purpose, a.reason, p.unit
FROM stored_accesses a
LEFT JOIN stored_touches t ON t.leaf = a.leaf
LEFT JOIN staff_spans p ON p.actor = coalesce(a.on_behalf_of, a.actor) AND p.valid_from <= a.time AND a.time < p.valid_to
WHERE a.outcome = 'denied' AND a.action NOT IN ('login', 'approve', 'grant')
"""
_NEWCOMERS: Final = f"""
CREATE OR REPLACE TABLE newcomers AS
WITH seen AS (SELECT actor, min(time) AS first_seen FROM stored_accesses GROUP BY actor),
known AS (SELECT actor, min(joined) AS joined FROM staff GROUP BY actor)
SELECT s.actor, s.first_seen + INTERVAL {NEW_DAYS} DAY AS until
FROM seen s LEFT JOIN known k ON k.actor = s.actor
CROSS JOIN (SELECT min(first_seen) AS beginning FROM seen) b
WHERE s.first_seen > b.beginning + INTERVAL {NEW_DAYS} DAY
  AND (k.joined IS NULL OR k.joined > s.first_seen - INTERVAL {NEW_DAYS} DAY)
"""
_GAPS: Final = """
CREATE OR REPLACE TABLE gaps AS
WITH holed AS (
  SELECT source, seq_of FROM stored_accesses WHERE seq IS NOT NULL
  GROUP BY source, seq_of HAVING max(seq) - min(seq) + 1 > count(DISTINCT seq)
), numbered AS (
  SELECT a.leaf, a.system, a.time, a.seq, lead(a.seq) OVER one AS next_seq, lead(a.time) OVER one AS next_time
  FROM stored_accesses a INNER JOIN holed h ON h.source = a.source AND h.seq_of IS NOT DISTINCT FROM a.seq_of
  WHERE a.seq IS NOT NULL
  WINDOW one AS (PARTITION BY a.source, a.seq_of ORDER BY a.seq, a.leaf)
), hours AS (
  SELECT system, epoch_us(time) // 3600000000 AS hour, arg_max(leaf, (time, leaf)) AS leaf,
    max(time) AS last_time, min(time) AS first_time
  FROM stored_accesses GROUP BY system, epoch_us(time) // 3600000000
), ended AS (SELECT max(last_time) AS latest FROM hours),
pauses AS (
  SELECT h.system, h.leaf, h.last_time, coalesce(lead(h.first_time) OVER one, e.latest) AS next_time,
    count(*) OVER (PARTITION BY h.system) AS active_hours
  FROM hours h CROSS JOIN ended e
  WINDOW one AS (PARTITION BY h.system ORDER BY h.hour)
), ordered AS (
  SELECT *, epoch_us(next_time) - epoch_us(last_time) AS length,
    row_number() OVER (PARTITION BY system ORDER BY epoch_us(next_time) - epoch_us(last_time) DESC, leaf) AS place
  FROM pauses
)
SELECT 'sequence' AS kind, system, leaf AS access, seq + 1 AS first_missing, next_seq - 1 AS last_missing,
  next_seq - seq - 1 AS missing, least(time, next_time) AS begins, greatest(time, next_time) AS ends
FROM numbered WHERE next_seq > seq + 1
UNION ALL
SELECT 'silence', a.system, a.leaf, NULL, NULL, NULL, a.last_time, a.next_time
FROM ordered a INNER JOIN ordered b ON b.system = a.system AND b.place = 2
WHERE a.place = 1 AND a.active_hours >= 100 AND a.length > 3 * b.length AND a.length > 4 * 3600000000
"""
