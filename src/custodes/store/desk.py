"""The desk: findings and campaigns of the runs so far, in one SQLite file. Small; findings are rebuilt by running `watch` again.

A finding's id is made of its rule and accesses, so a second run updates the row and adds none; one that grew by new accesses takes
the place of its former self and counts a repeat. A verdict that changes is kept beside the new one. What was drawn by lot and what
people said about it stand apart from both: no rule and no score ever reads them. Only pseudonyms are kept here.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from custodes.errors import NotDurable

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS findings (
  finding TEXT PRIMARY KEY, rule TEXT NOT NULL, campaign TEXT,
  first_seen TEXT NOT NULL, last_seen TEXT NOT NULL, document BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS campaigns (
  campaign TEXT PRIMARY KEY, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL, document BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS verdicts (
  number INTEGER PRIMARY KEY, finding TEXT NOT NULL, at TEXT NOT NULL, change TEXT NOT NULL, document BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS slots (
  number INTEGER PRIMARY KEY, access TEXT NOT NULL, root TEXT NOT NULL, drawn INTEGER NOT NULL, of INTEGER NOT NULL,
  at TEXT NOT NULL, UNIQUE (access, root)
) STRICT;
CREATE TABLE IF NOT EXISTS labels (
  number INTEGER PRIMARY KEY, what TEXT NOT NULL, label TEXT NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
"""
_WORD: Final = re.compile(r"\b[a-z]-[a-z2-7]{16,26}\b")
"""Pseudonyms and access ids, also within sentences."""
ERASED: Final = "(erased)"
_PUT_FINDING: Final = """
INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (finding) DO UPDATE SET campaign = excluded.campaign, last_seen = excluded.last_seen, document = excluded.document
"""
_TAKE: Final = """
INSERT INTO quotas SELECT :grant, :left - 1 WHERE :left > 0
ON CONFLICT DO UPDATE SET left = min(left, :left) - 1 WHERE min(left, :left) > 0
"""
"""One statement, so that two processes cannot both take the last one: it changes a row, or nothing is left."""
_PUT_SLOT: Final = "INSERT INTO slots (access, root, drawn, of, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_PUT_CAMPAIGN: Final = """
INSERT INTO campaigns VALUES (?, ?, ?, ?)
ON CONFLICT (campaign) DO UPDATE SET last_seen = excluded.last_seen, document = excluded.document
"""


class Quotas:
    """How many releases a grant has left, counted over all processes. The record is held against it: it can only be too low."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def take(self, grant: int, limit: int, taken: int) -> bool:
        """Take one release, atomically, if any is left; False if not. Raises `NotDurable`.

        `limit`: of the grant; `taken`: releases in the record. A counter that shows more left than these leave is lowered first, so
        that an edited or restored desk refills nothing. Not for two threads at once.
        """
        try:
            if self._connection is None:
                Desk(self._path)._open().close()  # noqa: SLF001  # one module; makes the file as it should be
                self._connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False, isolation_level=None)
                self._connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes from here, the record has
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS quotas (grant_number INTEGER PRIMARY KEY, left INTEGER) STRICT"
                )
            return self._connection.execute(_TAKE, {"grant": grant, "left": limit - taken}).rowcount == 1
        except sqlite3.Error as wrong:
            self._connection = None
            raise NotDurable(f"desk.sqlite could not be written: {wrong.sqlite_errorname}") from None


class Desk:
    """Findings by id. Each call is one transaction. Raises `NotDurable` if the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save_findings(self, rows: Iterable[Mapping[str, object]]) -> int:
        """Keep findings (documents of `custodes.finding/1`) in place of older forms of the same. Returns how many are new."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = [(str(row["finding"]), str(row["rule"]), row.get("campaign"), now, now, msgspec.json.encode(row)) for row in rows]
        return self._put("findings", _PUT_FINDING, values)

    def update(self, rows: Iterable[Mapping[str, object]], changes: Mapping[str, str], same: Mapping[str, str]) -> None:
        """Keep findings of a run in one transaction, with what became of those kept before.

        `changes`: id on the desk → in a word how its verdict changed; the former document is kept. `same`: id of the run → id on
        the desk, whose row it takes. A finding that was withdrawn stays, marked so.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with closing(self._open()) as connection:
            try:
                with connection:
                    for name, change in changes.items():
                        self._keep_verdict(connection, name, change, now)
                    for row in rows:
                        self._replace(connection, row, same.get(str(row["finding"])), now)
            except sqlite3.Error as wrong:
                raise NotDurable(f"desk.sqlite could not be written: {wrong.sqlite_errorname}") from None

    @staticmethod
    def _keep_verdict(connection: sqlite3.Connection, name: str, change: str, now: str) -> None:
        held = connection.execute("SELECT document FROM findings WHERE finding = ?", (name,)).fetchone()
        if held is None:
            return
        connection.execute("INSERT INTO verdicts (finding, at, change, document) VALUES (?, ?, ?, ?)", (name, now, change, held[0]))
        if change == "withdrawn":
            marked = msgspec.json.encode({**msgspec.json.decode(held[0]), "verdict": change})
            connection.execute("UPDATE findings SET document = ?, last_seen = ? WHERE finding = ?", (marked, now, name))

    @staticmethod
    def _replace(connection: sqlite3.Connection, row: Mapping[str, object], before: str | None, now: str) -> None:
        name, first = str(row["finding"]), now
        if before is not None:
            held = connection.execute("SELECT first_seen FROM findings WHERE finding = ?", (before,)).fetchone()
            first = held[0] if held else now
            connection.execute("DELETE FROM findings WHERE finding = ?", (before,))
            connection.execute("UPDATE verdicts SET finding = ? WHERE finding = ?", (name, before))
        values = (name, str(row["rule"]), row.get("campaign"), first, now, msgspec.json.encode(row))
        connection.execute(_PUT_FINDING, values)

    def verdicts(self) -> list[dict[str, object]]:
        """Return earlier verdicts, oldest first: `finding`, `at`, `change`, and the document as it was before."""
        rows = self._rows("SELECT finding, at, change, document FROM verdicts ORDER BY number")
        return [{"finding": name, "at": at, "change": word, "before": msgspec.json.decode(held)} for name, at, word, held in rows]

    def keep_slots(self, accesses: Collection[str], root: str, of: int) -> None:
        """Keep what was drawn by lot from a checkpoint's root, out of `of` accesses. The same draw again adds nothing."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._put("slots", _PUT_SLOT, [(access, root, len(accesses), of, now) for access in accesses])

    def slots(self) -> list[tuple[str, int, int]]:
        """Return (access, how many were drawn with it, from how many), in the order of drawing."""
        rows = self._rows("SELECT access, drawn, of FROM slots ORDER BY number")
        return [(str(access), int(drawn), int(of)) for access, drawn, of in rows]

    def label(self, what: str, label: str, who: str) -> None:
        """Keep what `who` says about an access, finding or campaign. Nothing is overwritten: of several the last counts."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._put("labels", "INSERT INTO labels (what, label, who, at) VALUES (?, ?, ?, ?)", [(what, label, who, now)])

    def labels(self) -> list[dict[str, str]]:
        """Return all labels, oldest first: `what`, `label`, `who`, `at`."""
        rows = self._rows("SELECT what, label, who, at FROM labels ORDER BY number")
        return [dict(zip(("what", "label", "who", "at"), map(str, row), strict=True)) for row in rows]

    def save_campaigns(self, rows: Iterable[Mapping[str, object]]) -> int:
        """Keep campaigns (documents of `custodes.campaign/1`) likewise. Returns how many are new."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return self._put("campaigns", _PUT_CAMPAIGN, [(str(row["campaign"]), now, now, msgspec.json.encode(row)) for row in rows])

    def naming(self, subject: str) -> int:
        """Return how many findings name a subject (pseudonym)."""
        return sum(1 for row in self.findings() if subject in _words(row))

    def forget(self, words: Collection[str]) -> int:
        """Blank pseudonyms and access ids in all findings and campaigns; return in how many. Durable, repeatable.

        The file is made anew, so that no free page and no log of it keeps them.
        """
        if not self._path.exists():
            return 0
        count = 0
        with closing(self._open()) as connection:
            try:
                connection.execute("PRAGMA secure_delete = ON")
                with connection:
                    for table, key in (("findings", "finding"), ("campaigns", "campaign"), ("verdicts", "number")):
                        for name, document in connection.execute(f"SELECT {key}, document FROM {table}").fetchall():
                            row = msgspec.json.decode(document)
                            if _words(row).isdisjoint(words):
                                continue
                            fresh = msgspec.json.encode(_blank(row, set(words)))
                            connection.execute(f"UPDATE {table} SET document = ? WHERE {key} = ?", (fresh, name))
                            count += table != "verdicts"
                    for word in words:
                        connection.execute("DELETE FROM slots WHERE access = ?", (word,))
                        connection.execute("UPDATE labels SET what = ? WHERE what = ?", (ERASED, word))
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as wrong:
                raise NotDurable(f"desk.sqlite could not be written: {wrong.sqlite_errorname}") from None
        return count

    def findings(self) -> list[dict[str, object]]:
        """Return all findings kept, by id."""
        return self._documents("SELECT document FROM findings ORDER BY finding")

    def campaigns(self) -> list[dict[str, object]]:
        """Return all campaigns kept, by id."""
        return self._documents("SELECT document FROM campaigns ORDER BY campaign")

    def _put(self, table: str, statement: str, values: Sequence[tuple[object, ...]]) -> int:
        with closing(self._open()) as connection:
            try:
                with connection:
                    before = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                    connection.executemany(statement, values)
                    after = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            except sqlite3.Error as wrong:
                raise NotDurable(f"desk.sqlite could not be written: {wrong.sqlite_errorname}") from None
        return int(after - before)

    def _documents(self, query: str) -> list[dict[str, object]]:
        return [msgspec.json.decode(document) for (document,) in self._rows(query)]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        with closing(self._open()) as connection:
            return connection.execute(query).fetchall()

    def _open(self) -> sqlite3.Connection:
        try:
            fresh = not self._path.exists()
            if fresh:
                self._path.touch(mode=0o600)
            connection = sqlite3.connect(self._path, timeout=30)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)
        except (OSError, sqlite3.Error):
            raise NotDurable("desk.sqlite could not be opened") from None
        return connection


def _words(row: Mapping[str, object]) -> set[str]:
    return set(_WORD.findall(msgspec.json.encode(row).decode()))


def _blank(row: Mapping[str, object], words: set[str]) -> object:
    """Without the words, and without the key that was made of them: it would tell that somebody is the same again."""
    fresh = _without(dict(row), words)
    return {**fresh, "key": ERASED} if isinstance(fresh, dict) and "key" in fresh else fresh


def _without(value: object, words: set[str]) -> object:
    match value:
        case str():
            return _WORD.sub(lambda found: ERASED if found[0] in words else found[0], value)
        case list():
            return [_without(item, words) for item in value]
        case dict():
            return {name: _without(item, words) for name, item in value.items()}
        case _:
            return value
