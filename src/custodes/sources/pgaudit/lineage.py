"""What a log teaches about its own databases: copies, views, routines, superusers. Learned from records only, in their order."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec

from custodes.model.datamap import ResourceMap
from custodes.statements import Catalog, Plan
from custodes.statements.catalog import bare, copy_of

_KNOWN_LIMIT: Final = 10_000
_NAME: Final = r'(?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))*'
_VIEW: Final = re.compile(
    rf"\s*create\s+(?:or\s+replace\s+)?(?:(?:temp|temporary)\s+)?view\s+{_NAME}\s+(?:with\s*\([^()]*\)\s*)?as\s+(.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_SUPERUSER: Final = re.compile(rf"\s*(?:create|alter)\s+(?:role|user)\s+({_NAME})\b(?=.*\bsuperuser\b)", re.IGNORECASE | re.DOTALL)
_DEFINER: Final = re.compile(r"\bsecurity\s+definer\b", re.IGNORECASE)
_INVOKER: Final = re.compile(r"\bsecurity\s+invoker\b", re.IGNORECASE)
_SETTING: Final = re.compile(
    r"(?<![\w.])(pgaudit\s*\.\s*\w+|log_\w+|logging_collector|shared_preload_libraries|session_preload_libraries|standard_conforming_strings)\b",
    re.IGNORECASE,
)
_What = TypeVar("_What")
_TEXT_LIMIT: Final = 64 * 1024


class Copy(msgspec.Struct, frozen=True):
    """What is known of a copy's columns; `known` False: nothing."""

    fields: dict[str, str]
    keys: tuple[str, ...]
    selectors: dict[str, str]
    known: bool = True


class Database(msgspec.Struct):
    """What was learned about one database, or about one session's temporary tables."""

    views: dict[str, str] = {}
    copies: dict[str, Copy] = {}
    routines: dict[str, bool] = {}
    """Routine name → whether it runs with its caller's rights only (in every form of it)."""


def copy_from(plan: Plan) -> Copy:
    """Return what a copy holds that a statement of this plan made."""
    entry = copy_of(plan.outputs, plan.entries)
    return Copy({}, (), {}, known=False) if entry is None else Copy(dict(entry.fields), entry.subject_key, dict(entry.selectors))


def remember(known: dict[str, _What], name: str, what: _What) -> None:
    """Keep `what` under `name`, the latest last, forgetting the oldest beyond the limit."""
    known.pop(name, None)
    known[name] = what
    while len(known) > _KNOWN_LIMIT:
        del known[next(iter(known))]


def catalog_of(database: Database, own: Database | None) -> Catalog:
    """Return the names of a database, and on top of them those of a session's temporary tables."""
    views = dict(database.views)
    copies = dict(database.copies)
    for name, copy in own.copies.items() if own else ():
        views.pop(name, None)
        copies[name] = copy
    marks = {name: _mark(text.encode()) for name, text in views.items()}
    marks |= {name: _mark(msgspec.json.encode(copy)) for name, copy in copies.items()}
    return Catalog(views, {name: _entry(copy) for name, copy in copies.items()}, marks)


def _mark(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()


def _entry(copy: Copy) -> ResourceMap | None:
    return ResourceMap(copy.fields, copy.keys, None, copy.selectors) if copy.known else None


def view_text(text: str) -> str | None:
    """Return the defining query of a CREATE VIEW."""
    found = _VIEW.match(text) if len(text) <= _TEXT_LIMIT else None
    return found[1].rstrip().rstrip(";") if found else None


def superuser_made(key: str) -> str | None:
    """Return the role that a statement makes a superuser."""
    found = _SUPERUSER.match(key)
    return found[1].strip('"') if found else None


def invoker_only(command: str, key: str) -> bool | None:
    """Say whether a routine runs with its caller's rights after this statement; None if the statement does not touch that."""
    if _DEFINER.search(key):
        return False
    if command.startswith("CREATE") or _INVOKER.search(key):
        return True
    return None


def setting_in(key: str) -> str | None:
    """Return the audit or log setting that a statement changes."""
    found = _SETTING.search(key)
    return re.sub(r"\s+", "", found[1]).lower() if found else None


def routine_name(name: str) -> str:
    """Return a routine's name without its arguments."""
    return name.partition("(")[0]


def last_part(name: str) -> str:
    """Return a name without its schema."""
    return bare(name)
