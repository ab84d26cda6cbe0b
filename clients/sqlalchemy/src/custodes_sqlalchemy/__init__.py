"""Purpose and grant, carried with SQLAlchemy statements. Cooperative: it labels what is done, it keeps nobody from doing it.

/*custodes:purpose=support,grant=g-57,reason=T-991*/     at the end of each statement
application_name: custodes support g-57                  on PostgreSQL, at most 63 bytes
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

__all__ = ["NoPurpose", "Purpose", "attach", "purpose"]

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:#-]{0,99}")
_NAME: Final = "custodes_application_name"
_MOST_NAME: Final = 63


class NoPurpose(Exception):
    """A statement was about to run outside of a `purpose` block, on an engine that requires one."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What statements are for. Each part is a word that closes no comment; `reason` cites an id."""

    purpose: str
    grant: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("purpose", "grant", "reason"):
            value = getattr(self, name)
            if value is not None and not _WORD.fullmatch(value):
                raise ValueError(f"{name}: letters, digits and _ . : # - only, at most 100")

    def comment(self) -> str:
        """Return the comment that statements end with."""
        parts = (f"{name}={value}" for name in ("purpose", "grant", "reason") if (value := getattr(self, name)) is not None)
        return f"/*custodes:{','.join(parts)}*/"

    def name(self) -> str:
        """Return the `application_name`."""
        return " ".join(word for word in ("custodes", self.purpose, self.grant) if word)[:_MOST_NAME]


_current: ContextVar[Purpose | None] = ContextVar("custodes_purpose", default=None)


@contextmanager
def purpose(word: str, *, grant: str | None = None, reason: str | None = None) -> Iterator[Purpose]:
    """Say what the statements of this block are for, in this task or thread. Raises `ValueError` for what is no word."""
    said = Purpose(word, grant, reason)
    token = _current.set(said)
    try:
        yield said
    finally:
        _current.reset(token)


def attach(engine: Engine, *, require: bool = False) -> None:
    """Label all statements of an engine from now on. `require`: a statement without a purpose raises `NoPurpose`."""

    def label(  # noqa: PLR0917  # SQLAlchemy's signature
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        del context, executemany
        said = _current.get()
        if said is None and require:
            raise NoPurpose("say what this is for: with purpose(…)")
        if connection.dialect.name == "postgresql":
            _rename(connection, cursor, said)
        return (statement if said is None else f"{statement} {said.comment()}"), parameters

    def forget(connection: Connection) -> None:
        connection.info.pop(_NAME, None)  # the name goes back with the transaction: to which one is not known here

    event.listen(engine, "before_cursor_execute", label, retval=True)
    event.listen(engine, "rollback", forget)
    event.listen(engine, "rollback_savepoint", lambda connection, *_: forget(connection))
    event.listen(engine, "checkin", lambda _, record: record.info.pop(_NAME, None))  # the pool rolls back without saying so


def _rename(connection: Connection, cursor: Any, said: Purpose | None) -> None:
    """Give the connection the name of what it is used for now; without a purpose the one it came with."""
    base = connection.info.get(f"{_NAME}_before")
    known = connection.info.get(_NAME)
    if base is None:
        if said is None:
            return  # never renamed
        cursor.execute("select current_setting('application_name')")
        base = connection.info[f"{_NAME}_before"] = cursor.fetchone()[0]
    wanted = base if said is None else said.name()
    if wanted != known:
        cursor.execute("select set_config('application_name', %s, false)", (wanted,))
        connection.info[_NAME] = wanted
