"""Purpose and reason as stated in the session's name or in a comment: `purpose=support;case=T-1`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

_PAIR: Final = re.compile(
    r"(?<![\w-])(purpose|reason|case|ticket|grant|incident|process|job)\s*[:=]\s*(?:'([^']*)'|([^\s;,'\"*]+))", re.IGNORECASE
)
_LIMIT: Final = 4096
_LONGEST: Final = 200


class Stated(NamedTuple):
    """What is stated, if anything."""

    purpose: str | None = None
    reason: str | None = None


NOTHING: Final = Stated()


def stated_in(text: str) -> Stated:
    """Read the tags of a text."""
    if ":" not in text and "=" not in text:
        return NOTHING
    purpose = reason = None
    for key, quoted, plain in _PAIR.findall(text[:_LIMIT]):
        value = unquote(quoted or plain)[:_LONGEST]
        if key.lower() == "purpose":
            purpose = purpose or value
        else:
            reason = reason or value
    return Stated(purpose, reason)


def stated_by(session: Stated, comment: Stated) -> tuple[Stated, str, bool]:
    """Return what holds, its basis, and whether session and comment contradict each other: the session's tag goes first."""
    if session.purpose or session.reason:
        conflict = any(mine and theirs and mine != theirs for mine, theirs in zip(session, comment, strict=True))
        return session, "session_tag", conflict
    return comment, "sql_comment" if comment.purpose or comment.reason else "none", False
