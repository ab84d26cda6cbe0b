"""What a witness remembers: for each log the largest checkpoint that it cosigned. One SQLite file, one row a log.

The memory is the witness. A row only ever moves to a checkpoint that was proven to extend it; comparing and storing are one
transaction, durable before anybody sees a cosignature. A lost file must not be made afresh under the same key, so it is made
once, with the key.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from custodes.errors import ConfigError, Outage, WouldCreate

_VERSION: Final = 1
_WAIT_S: Final = 5.0
_MOST_FORKS: Final = 100
_TABLES: Final = f"""
BEGIN;
CREATE TABLE seen (
  origin TEXT PRIMARY KEY, size INTEGER NOT NULL CHECK (size >= 0), root BLOB NOT NULL, note BLOB NOT NULL, time INTEGER NOT NULL);
CREATE TABLE forks (
  origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, seen BLOB NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY (origin, size, root));
PRAGMA user_version = {_VERSION};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest checkpoint of a log that this witness cosigned. `note`: with the log's signatures and its own."""

    origin: str
    size: int
    root: bytes
    note: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints of one log and size with different roots, both signed by the log: `refused` and the one cosigned, `seen`."""

    origin: str
    size: int
    refused: bytes
    seen: bytes
    time: int


class State:
    """A witness's memory, safe for threads and for several processes. Make it with `create` or `open`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use `create` or `open` instead."""
        self._db = connection
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make an empty memory, readable by its owner alone. Raises `ConfigError` if the file exists.

        Durable: with the first transaction. Order: none. Again: refused.
        """
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise ConfigError(f"{path} exists already; a witness's memory is never made twice") from None
        except OSError as wrong:
            raise ConfigError(f"{path} cannot be written: {wrong.strerror}") from None
        made = cls(_connect(path))
        made._db.execute("PRAGMA journal_mode = WAL")
        made._db.executescript(_TABLES)
        return made

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a memory. Raises `WouldCreate` if there is none, `ConfigError` if the file is none of this version.

        Durable: nothing. Order: none. Again: another connection to the same memory.
        """
        if not path.is_file():
            raise WouldCreate(
                f"{path} is not there, and a witness without its memory could be led into a second history",
                hint="put it back; if it is lost, make a new key with `custodes ledger witness keygen` and tell the readers",
            )
        try:
            connection = _connect(path)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError:
            raise ConfigError(f"{path} is no witness's memory") from None
        if version != _VERSION:
            connection.close()
            raise ConfigError(f"{path} is no witness's memory of version {_VERSION}")
        return cls(connection)

    def close(self) -> None:
        """Give the file back."""
        with self._mutex:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def comparing(self) -> Iterator[sqlite3.Cursor]:
        """Hold the only writing transaction while the body runs: committed and durable when it ends, undone if it raises.

        Raises `Outage` if the memory cannot be written, or another process holds it for too long.

        Durable: when the body has ended. Order: one transaction at a time, of all processes. Again: a new transaction.
        """
        with self._mutex:
            try:
                cursor = self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as wrong:
                raise _outage(wrong) from None
            try:
                yield cursor
                # Before this line the row is the old one and nobody has seen a cosignature; after it the new one stands.
                self._db.execute("COMMIT")
            except sqlite3.Error as wrong:
                self._undo()
                raise _outage(wrong) from None
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def latest(self, origin: str) -> Seen | None:
        """Return what was last cosigned for a log; `None` before the first time. Raises `Outage`."""
        with self._mutex:
            try:
                return find(self._db.cursor(), origin)
            except sqlite3.Error as wrong:
                raise _outage(wrong) from None

    def all(self) -> list[Seen]:
        """Return what was last cosigned for each log, by name."""
        with self._mutex:
            rows = self._db.execute("SELECT origin, size, root, note, time FROM seen ORDER BY origin").fetchall()
        return [Seen(*row) for row in rows]

    def forks(self) -> list[Fork]:
        """Return the proofs that a log signed two trees of one size, oldest first."""
        with self._mutex:
            rows = self._db.execute("SELECT origin, size, note, seen, time FROM forks ORDER BY time, origin, size").fetchall()
        return [Fork(*row) for row in rows]


def find(cursor: sqlite3.Cursor, origin: str) -> Seen | None:
    """Return a log's row within `comparing`."""
    row = cursor.execute("SELECT origin, size, root, note, time FROM seen WHERE origin = ?", (origin,)).fetchone()
    return None if row is None else Seen(*row)


def store(cursor: sqlite3.Cursor, seen: Seen) -> None:
    """Put a log's row in place of the one before, within `comparing`. A smaller size is never stored.

    Durable: when the transaction ends, before the witness answers. Order: sizes never fall. Again: the same row.
    """
    cursor.execute(
        "INSERT INTO seen (origin, size, root, note, time) VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE"
        " SET size = excluded.size, root = excluded.root, note = excluded.note, time = excluded.time WHERE excluded.size >= size",
        (seen.origin, seen.size, seen.root, seen.note, seen.time),
    )


def keep_fork(cursor: sqlite3.Cursor, refused: Seen, seen: Seen) -> None:
    """Keep two checkpoints of one size under one log's signature, within `comparing`: proof of a fork. At most 100 a log.

    Durable: when the transaction ends. Order: within it. Again: the same pair counts once.
    """
    (count,) = cursor.execute("SELECT count(*) FROM forks WHERE origin = ?", (seen.origin,)).fetchone()
    if count < _MOST_FORKS:
        cursor.execute(
            "INSERT OR IGNORE INTO forks (origin, size, root, note, seen, time) VALUES (?, ?, ?, ?, ?, ?)",
            (refused.origin, refused.size, refused.root, refused.note, seen.note, refused.time),
        )


def _outage(wrong: sqlite3.Error) -> Outage:
    return Outage(f"the witness's memory is not at hand ({getattr(wrong, 'sqlite_errorname', 'closed')})")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection
