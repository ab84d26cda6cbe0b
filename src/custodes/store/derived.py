"""`DIR/derived`: what earlier runs worked out, so that a new day costs what a new day is worth. A cache and no part of the record.

Rules this page keeps: deleting the folder costs time and nothing else; a file counts only if `state.json`, which is put in place in
one move and sealed with a key of the home, names it with its digest; what is damaged, forged without the key, of another version or
half written is recognised and not used. Nothing here says who is protected: duties are asked for anew in each run. Erasing somebody
empties the folder.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Final

import msgspec

from custodes.errors import NotDurable
from custodes.ledger.disk import Disk

FILE: Final = "state.json"
SCHEMA: Final = "custodes.derived/1"
_LEFT_OVER_S: Final = 3600.0
"""Age from which a file that the state does not name is removed: before, another run may still read it."""


class Piece(msgspec.Struct, frozen=True):
    """One file with its BLAKE2b digest."""

    file: str
    digest: str


class State(msgspec.Struct):
    """What the kept files stand on.

    `basis`: word → digest of all that must be equal for any of it to hold. `parts`: parts of the stored accesses that went in, with
    their sizes. `superseded`: rows hidden then. `context`: table → loads that went in. `looks`: how many got a number. `runs`: how
    many wrote. `pieces`: table → files, in the order in which they were written.
    """

    schema: str = SCHEMA
    basis: dict[str, str] = {}
    parts: dict[str, int] = {}
    superseded: tuple[int, ...] = ()
    context: dict[str, list[str]] = {}
    looks: int = 0
    runs: int = 0
    pieces: dict[str, list[Piece]] = {}


class Derived:
    """The folder of one home. Two runs at once do not disturb each other: the later one's state counts."""

    def __init__(self, folder: Path, key: bytes = b"") -> None:
        """`key`: seals the state; whoever only empties the folder needs none."""
        self.folder, self._key = folder, key

    def read(self) -> tuple[State | None, str]:
        """Return the state and an empty word, or None and why there is none that may be used. Every file named is read once."""
        try:
            seal, _, told = (self.folder / FILE).read_bytes().partition(b"\n")
            if not compare_digest(seal, self._seal(told)):
                return None, "what was kept is damaged"
            state = msgspec.json.decode(told, type=State)
        except FileNotFoundError:
            return None, "nothing was kept"
        except (OSError, msgspec.DecodeError):
            return None, "what was kept is damaged"
        if state.schema != SCHEMA:
            return None, "what was kept is of another version"
        for pieces in state.pieces.values():
            for piece in pieces:
                if _digest(self.folder / piece.file) != piece.digest:
                    return None, "what was kept is damaged"
        return state, ""

    def paths(self, state: State, table: str) -> list[str]:
        """Return the files of a table in the order in which they were written."""
        return [str(self.folder / piece.file) for piece in state.pieces.get(table, ())]

    def room(self) -> Path:
        """Return a path for a new file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{secrets.token_hex(8)}.parquet"

    def commit(self, state: State, written: Mapping[str, Path], *, anew: bool) -> None:
        """Put a state in force with the files that were just written: beside those it names, or `anew` instead of them."""
        pieces = {} if anew else {table: list(held) for table, held in state.pieces.items()}
        for table, path in written.items():
            pieces.setdefault(table, []).append(Piece(path.name, _digest(path)))
        state.pieces = pieces
        half = self.folder / f"{FILE}.{secrets.token_hex(4)}"
        told = msgspec.json.encode(state)
        half.write_bytes(self._seal(told) + b"\n" + told)
        half.replace(self.folder / FILE)  # from here on the new files count; a kill before leaves them to be cleared away
        self._clear({piece.file for held in pieces.values() for piece in held})

    def empty(self) -> None:
        """Remove everything. Durable on return. Raises `NotDurable`."""
        if not self.folder.is_dir():
            return
        (self.folder / FILE).unlink(missing_ok=True)  # first the state: a kill from here on leaves files that nothing names
        try:
            shutil.rmtree(self.folder)
        except OSError as wrong:
            raise NotDurable(f"{self.folder.name} cannot be emptied: {wrong.strerror}") from None
        Disk().sync_folder(self.folder.parent)

    def _seal(self, told: bytes) -> bytes:
        return blake2b(told, key=self._key, digest_size=32, person=b"custodes derived").hexdigest().encode()

    def _clear(self, named: Iterable[str]) -> None:
        keep, now = {*named, FILE}, time.time()
        for path in self.folder.iterdir():
            if path.name not in keep and now - path.stat().st_mtime > _LEFT_OVER_S:
                path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """Return the digest of a file's bytes; of one that cannot be read, a word that no file has."""
    digest = blake2b(digest_size=32)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return "unreadable"
    return digest.hexdigest()
