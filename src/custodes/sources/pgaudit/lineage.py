"""What a log teaches about its own databases: copies, views, routines, superusers. Learned from records only, in their order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec

from custodes.model.datamap import ResourceMap
from custodes.statements import Catalog, Plan
from custodes.statements.catalog import bare, copy_of

_KNOWN_LIMIT: Final = 2_000
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
    """What is known of a copy's columns; `known` False: nothing. `mark`: its content in short."""

    fields: dict[str, str]
    keys: tuple[str, ...]
    selectors: dict[str, str]
    known: bool = True
    mark: str = "?"


class View(msgspec.Struct, frozen=True):
    """The defining query of a view, and its content in short."""

    text: str
    mark: str


class Database(msgspec.Struct, frozen=True):
    """What was learned about one database, or about one session's temporary tables. Never changed: a changed one is a new one.

    `routines`: name → whether it runs with its caller's rights only, in every form of it.
    """

    views: dict[str, View]
    copies: dict[str, Copy]
    routines: dict[str, bool]


NOTHING: Final = Database({}, {}, {})


def copy_from(plan: Plan) -> Copy:
    """Return what a copy holds that a statement of this plan made."""
    entry = copy_of(plan.outputs, plan.entries)
    if entry is None:
        return Copy({}, (), {}, known=False)
    content = (dict(entry.fields), entry.subject_key, dict(entry.selectors))
    return Copy(*content, mark=_mark(msgspec.json.encode(content)))


def with_new(known: Mapping[str, _What], name: str, what: _What | None) -> dict[str, _What]:
    """Return `known` with `what` under `name`, or without it, forgetting the oldest beyond the limit."""
    changed = {key: value for key, value in known.items() if key != name}
    if what is not None:
        changed[name] = what
    while len(changed) > _KNOWN_LIMIT:
        del changed[next(iter(changed))]
    return changed


def catalog_of(database: Database, own: Database) -> Catalog:
    """Return the names of a database, and on top of them those of a session's temporary tables."""
    full: dict[str, str] = {}
    views: dict[str, str] = {}
    copies: dict[str, ResourceMap | None] = {}
    marks: dict[str, str] = {}
    for name, view in database.views.items():
        short = bare(name)
        marks[short] = f"{marks.get(short, '')} {name} {view.mark}"
        full[short], views[short] = name, view.text
    for name, copy in database.copies.items():
        short = bare(name)
        if short in full:  # a name of two things: nothing is known of either
            views.pop(short, None)
            copies[short] = None
        else:
            copies[short] = _entry(copy)
        marks[short] = f"{marks.get(short, '')} {name} {copy.mark}"
        full[short] = name
    for name, copy in own.copies.items():  # a session's own tables go before all others
        short = bare(name)
        views.pop(short, None)
        full[short], copies[short], marks[short] = name, _entry(copy), f"{name} {copy.mark}"
    return Catalog(views, copies, marks, full)


def _mark(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()


def _entry(copy: Copy) -> ResourceMap | None:
    return ResourceMap(copy.fields, copy.keys, None, copy.selectors) if copy.known else None


def view_in(text: str) -> View | None:
    """Return the view that a CREATE VIEW defines."""
    found = _VIEW.match(text) if len(text) <= _TEXT_LIMIT else None
    return View(found[1].rstrip().rstrip(";"), _mark(found[1].encode("utf-8", "replace"))) if found else None


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
