"""What the simulated company exports: one stream of accesses in the order of time, and context tables.

Everything that a log adds by itself - id, sequence number, device, session, outcome - is filled here, after background and
plants are merged and sorted, by one piece of code and one stream of chance: nothing in these columns can tell them apart.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from custodes.model.tables import TABLES, Table
from custodes.world.access import Access
from custodes.world.clock import DAY, HOUR, Calendar
from custodes.world.company import Staff
from custodes.world.dice import Dice

PROTECTED: Final = ("subject", "class", "enrolled", "expires")
ROWS_PER_FILE: Final = 250_000
ROWS_HELD: Final = 50_000
"""Rows of one context table that stay in memory."""
_MIX: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1


class Gap(NamedTuple):
    """Lines of `seq_of` in this window were lost before anybody read them."""

    seq_of: str
    start: int
    stop: int


class AccessBook:
    """Accesses, collected by day and written in the order of time once a day is over. Holds only days to come in memory."""

    def __init__(self, folder: Path, calendar: Calendar, dice: Dice) -> None:
        self._folder, self._calendar, self._bits = folder, calendar, dice.bits
        self._days: dict[int, list[tuple[int, Access, Staff]]] = {}
        self._seq: dict[str, int] = {}
        self._gaps: list[Gap] = []
        self._encode = msgspec.json.Encoder().encode
        self._files: list[Path] = []
        self._open_from = 0
        self.written = 0
        self.lost = 0

    def add(self, time: int, access: Access, staff: Staff) -> None:
        """Take one access of `staff`. Its `actor` and what the log adds are filled when it is written."""
        if time < self._open_from:
            raise ValueError("an access was added to a day that is already written")
        self._days.setdefault(time // DAY, []).append((time, access, staff))

    def lose(self, gap: Gap) -> None:
        """Lose the lines of a window: their numbers are used up, their rows never written."""
        self._gaps.append(gap)

    def close_day(self, day: int) -> None:
        """Write what happened on `day`; nothing may be added to it afterwards."""
        rows = self._days.pop(day, [])
        self._open_from = (day + 1) * DAY
        rows.sort(key=itemgetter(0))
        out = bytearray()
        for time, access, staff in rows:
            self._fill(time, access, staff)
            if self._gaps and self._is_lost(time, access):
                access.id = None
                self.lost += 1
                continue
            out += self._encode(access)
            out += b"\n"
            self.written += 1
            if self.written % ROWS_PER_FILE == 0:
                self._write(out)
                out = bytearray()
                self._files.append(self._next_file())
        self._write(out)

    def _fill(self, time: int, access: Access, staff: Staff) -> None:
        bits = self._bits(112)
        access.id = f"evt-{bits & _MASK:016x}"
        chance = bits >> 64
        access.time = self._calendar.millis(time)
        if access.actor is None:
            access.actor = staff.id
        access.actor_kind = staff.kind
        if access.client_country is None and chance & 0xFFF < 3890:  # 95 of 100
            access.client_country = staff.country
        if access.session is None and chance >> 12 & 0xFFF < 3970:
            mixed = (staff.number * _MIX ^ (time // (2 * HOUR) + 1) * 0xD1B54A32D192ED03) * _MIX & _MASK
            access.session = f"ses-{mixed % 10**10:010d}"
        if access.device is None and chance >> 24 & 0xFFF < 3690:
            access.device = staff.devices[0 if (staff.number + time // DAY) % 9 else 1]
        if access.outcome is None and chance >> 36 & 0xFFF < 3890:
            access.outcome = "success"
        access.seq_of = access.system
        access.seq = self._seq[access.system] = self._seq.get(access.system, 0) + 1

    def _is_lost(self, time: int, access: Access) -> bool:
        return any(gap.seq_of == access.seq_of and gap.start <= time < gap.stop for gap in self._gaps)

    def _next_file(self) -> Path:
        return self._folder / f"accesses-{len(self._files) + 1:03d}.ndjson"

    def _write(self, data: bytearray) -> None:
        if not data:
            return
        if not self._files:
            self._files.append(self._next_file())
        with self._files[-1].open("ab") as file:
            file.write(data)


class ContextBook:
    """Context rows by table, written once, sorted by their own values: order tells nothing.

    Once `spill` has named a folder, at most `ROWS_HELD` rows of each table stay in memory; the others wait there in sorted parts,
    which `write` merges and removes.
    """

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._lines: dict[str, list[list[str]]] = {name: [] for name in TABLES}
        self._plans = {name: _plan(table) for name, table in TABLES.items()}
        self._protected: list[tuple[str, str, int, int | None]] = []
        self._folder: Path | None = None
        self._parts: dict[str, list[Path]] = {name: [] for name in TABLES}

    def spill(self, folder: Path) -> None:
        """Let rows that are too many to hold wait in `folder`."""
        folder.mkdir(exist_ok=True)
        self._folder = folder

    def add(self, table: str, **columns: object) -> None:
        """Take one row; times are whole microseconds, missing columns stay empty."""
        self.add_row(table, columns)

    def add_row(self, table: str, columns: Mapping[str, object]) -> None:
        """Take one row given as a mapping, as it is now: what becomes of the mapping later does not count."""
        lines = self._lines[table]
        lines.append(self._line(self._plans[table], columns))
        if self._folder is not None and len(lines) >= ROWS_HELD:
            self._put_aside(table, self._folder)

    def enrol(self, subject: str, word: str, enrolled: int, expires: int | None = None) -> None:
        """Put a subject under the protection of a class."""
        self._protected.append((subject, word, enrolled, expires))

    def write(self, folder: Path) -> None:
        """Write one CSV file for each table that has rows, and `protected.csv`."""
        folder.mkdir(exist_ok=True)
        for name, table in TABLES.items():
            lines, parts = sorted(self._lines[name]), self._parts[name]
            if lines or parts:
                _save(folder / f"{name}.csv", [column.name for column in table.columns], merge(*map(_read, parts), lines))
            for part in parts:
                part.unlink()
        shown = self._calendar.seconds
        protected = sorted([s, w, shown(e), "" if x is None else shown(x)] for s, w, e, x in self._protected)
        _save(folder / "protected.csv", list(PROTECTED), protected)

    def _put_aside(self, table: str, folder: Path) -> None:
        parts = self._parts[table]
        part = folder / f"{table}.{len(parts) + 1}.part"
        _save(part, None, sorted(self._lines[table]))
        parts.append(part)
        self._lines[table] = []

    def _line(self, plan: Sequence[tuple[str, str, bool]], row: Mapping[str, object]) -> list[str]:
        end, shown = self._calendar.end, self._calendar.seconds
        line = []
        for name, kind, ending in plan:
            value = row.get(name)
            if value is None:
                line.append("")
            elif kind == "time":
                # What had not ended when the export was made has no end in it.
                line.append("" if ending and int(value) >= end else shown(int(value)))  # type: ignore[call-overload]  # times are int
            elif kind == "bool":
                line.append("true" if value else "false")
            elif isinstance(value, list):
                line.append(";".join(str(item) for item in value))
            else:
                line.append(str(value))
        return line


def _plan(table: Table) -> list[tuple[str, str, bool]]:
    return [(column.name, column.kind, column.name in _ENDINGS.get(table.name, ())) for column in table.columns]


def _save(path: Path, header: list[str] | None, lines: Iterable[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if header is not None:
            writer.writerow(header)
        writer.writerows(lines)


def _read(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


_ENDINGS: Final = {
    "tickets": ("closed",),
    "cases": ("closed",),
    "incidents": ("closed",),
    "assignments": ("valid_to",),
    "subjects": ("closed",),
}
"""Columns that say what did end (not what is planned to end): a time after the export cannot stand in them."""
