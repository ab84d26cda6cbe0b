"""What the guard made in a database, as digests: a safe view that somebody replaced is told from the one that was installed.

A view is its text as the server writes it, with owner and options; a table its columns. The install's leaf has the digests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from custodes.guard.plan import GUARD, STAFF, safe_schema
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json

if TYPE_CHECKING:
    from custodes.catalogue import Database
    from custodes.guard.book import Leaf
    from custodes.guard.installation import Target

INSTALLED: Final = "guard installed"
OBJECTS: Final = "objects"
"""The part of an install's leaf with the digests, by name."""
_ALL: Final = """
select n.nspname || '.' || c.relname, c.relkind::text, pg_catalog.pg_get_userbyid(c.relowner),
       (select coalesce(pg_catalog.json_agg(o order by o), '[]') from pg_catalog.unnest(c.reloptions) o),
       case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid) end,
       (select pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))
        order by a.attnum) from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%s) and c.relkind in ('r', 'v', 'm', 'p', 'f') order by 1"""


def objects(database: Database, target: Target) -> dict[str, Json]:
    """Return the digest of every relation in the guard's schemas, by name. Raises `EngineUnavailable`."""
    schemas = {safe_schema(name.rpartition(".")[0] or "public") for name in target.resources}
    # Names must be written in full, whatever the reader's own path finds first.
    with database.transaction():
        database.rows("select pg_catalog.set_config('search_path', 'pg_catalog', true)")
        found = database.rows(_ALL, ([GUARD, *sorted(schemas)],))
    return {str(name): sha256(json.dumps(parts, default=str).encode()).hexdigest() for name, *parts in found}


def replaced(database: Database, target: Target, leaves: Iterable[Leaf]) -> Iterator[tuple[str, str]]:
    """Yield what is not as it was installed, each with the login group that reads it: nothing where no install is on record."""
    installed = _installed(target.system, leaves)
    if installed is None:
        return
    now = objects(database, target)
    for name in sorted({*installed, *now}):
        if installed.get(name) != now.get(name):
            word = "is gone" if name not in now else "was not installed" if name not in installed else "is not as it was installed"
            yield STAFF, f"{name} {word}: somebody changed what the guard made"


def _installed(system: str, leaves: Iterable[Leaf]) -> Mapping[str, Json] | None:
    last = None
    for leaf in leaves:
        if leaf.kind == Kind.POLICY and leaf.what.get("system") == system:
            if leaf.what.get("what") == INSTALLED:
                last = leaf.what.get(OBJECTS)
            elif leaf.what.get("what") == "guard uninstalled":
                last = None
    return last if isinstance(last, Mapping) else None
