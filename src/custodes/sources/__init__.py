"""The shelf of log formats: one file per kind of log, none knows another. `SHELF` is the list; a test holds it to the folder."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from custodes.errors import UnknownFormat
from custodes.lines import read_head
from custodes.source import Source

SHELF: Final[tuple[str, ...]] = ("access", "cloudtrail", "pgaudit")


def load(name: str) -> Source:
    """Return the source called `name`. Raises `UnknownFormat` naming the shelf."""
    if name not in SHELF:
        raise UnknownFormat("no such source", hint=f"known sources: {', '.join(SHELF)}, or auto")
    source: Source = import_module(f"custodes.sources.{name}").SOURCE
    return source


def detect(path: str) -> Source | None:
    """Return the one source that recognises the first 64 KiB of `path`; None for a file without content: nothing to read.

    Raises `UnknownFormat` if none does, or several do, and `UnreadableFile`.
    """
    head = read_head(path)
    if not head or head.isspace():
        return None
    found = [source for source in map(load, SHELF) if source.sniff(head, path)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownFormat(f"{path}: no source recognises this file", hint=f"name one with --source: {', '.join(SHELF)}")
    names = ", ".join(source.name for source in found)
    raise UnknownFormat(f"{path}: more than one source recognises this file ({names})", hint="name the right one with --source")
