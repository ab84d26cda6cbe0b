"""What names in a statement mean: tables of the data map, views, and copies whose columns are known by lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from custodes.model.datamap import DataMap, ResourceMap

IDENTITIES: Final = frozenset({"user_id", "handle", "email", "phone"})
"""Selectors that name one person, as a key does."""
PLACES: Final = frozenset({"ip", "ip_range", "device", "location", "time_window"})
"""Selectors by which staff and subjects meet."""
SYSTEM_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema", "pg_toast"})
_NAMES: Final = """
    pg_am pg_attrdef pg_attribute pg_auth_members pg_available_extensions pg_cast pg_class pg_collation pg_constraint
    pg_conversion pg_database pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger
    pg_extension pg_foreign_server pg_foreign_table pg_indexes pg_index pg_inherits pg_language pg_locks pg_matviews
    pg_namespace pg_opclass pg_operator pg_partitioned_table pg_policies pg_policy pg_proc pg_publication pg_range
    pg_rewrite pg_roles pg_sequence pg_sequences pg_settings pg_shdescription pg_statio_user_tables pg_stat_database
    pg_stat_user_indexes pg_stat_user_tables pg_tables pg_tablespace pg_timezone_names pg_trigger pg_type pg_user
    pg_views
"""
SYSTEM_TABLES: Final = frozenset(_NAMES.split())
"""Catalog tables that need no schema in a statement, for PostgreSQL looks in its catalog first."""
_TEMPORARY: Final = "pg_temp"


def bare(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Catalog:
    """Views (name → defining SELECT) and copies (name → what its columns hold, None where unknown), by bare name.

    `marks` names each entry's content in short: plans made with one content are not used with another. `full`: the whole name of
    each entry, where known; a table of the same bare name in another schema is another table.
    """

    views: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, ResourceMap | None] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    full: Mapping[str, str] = field(default_factory=dict)

    def means(self, name: str) -> bool:
        """Say whether a name in a statement may stand for the entry of that bare name."""
        return "." not in name or plain(name) == self.full.get(bare(name), f"public.{bare(name)}")

    def touched(self, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Return the entries (name, mark) among `names`."""
        if not self.marks:
            return ()
        return tuple((name, self.marks[name]) for name in sorted(names) if name in self.marks)


EMPTY: Final = Catalog()


class Names:
    """The data map of one system, asked by the names that statements use."""

    def __init__(self, datamap: DataMap, system: str) -> None:
        self._exact = datamap.systems.get(system, {})
        self._bare: dict[str, ResourceMap] = {}
        for name in sorted(self._exact, reverse=True):
            self._bare[bare(name)] = self._exact[name]
        self.words = frozenset(self._bare).union(*(columns_of(entry) for entry in self._exact.values()))
        """Every table and column name of the map: words that may stand in clear."""

    def entry(self, name: str) -> ResourceMap | None:
        """Return what a table holds. An unqualified name finds the table in whatever schema the map has it."""
        return self._exact.get(name) or (self._exact.get(bare(name)) if "." in name else self._bare.get(name))

    def tables(self) -> Iterable[str]:
        """Return the bare names of all tables of the map."""
        return self._bare


def columns_of(entry: ResourceMap) -> list[str]:
    """Return the columns that the map knows of a table: keys, fields, selectors, region."""
    known = dict.fromkeys(entry.subject_key)
    known.update(dict.fromkeys(entry.fields))
    known.update(dict.fromkeys(entry.selectors))
    if entry.region_key:
        known[entry.region_key] = None
    return list(known)


def is_personal(entry: ResourceMap) -> bool:
    """Say whether a table holds anything about persons that is not public."""
    return bool(entry.subject_key) or any(category != "public" for category in entry.fields.values()) or bool(entry.selectors)


def is_staff(entry: ResourceMap) -> bool:
    """Say whether a table tells where staff were."""
    return not entry.subject_key and "staff_location" in entry.fields.values()


def is_temporary(schema: str) -> bool:
    """Say whether a schema is a session's own (`pg_temp`, `pg_temp_3`)."""
    return schema == _TEMPORARY or (schema.startswith(_TEMPORARY + "_") and schema[len(_TEMPORARY) + 1 :].isdecimal())


def plain(name: str) -> str:
    """Return the name with the session's temporary schema written in one way: `pg_temp_3.t` is `pg_temp.t`."""
    schema, dot, table = name.partition(".")
    return f"{_TEMPORARY}.{table}" if dot and is_temporary(schema) else name


def copy_of(
    outputs: Mapping[str, tuple[tuple[str, str, bool], ...] | None], entries: Mapping[str, ResourceMap]
) -> ResourceMap | None:
    """Make the entry of a copy from its lineage: a column inherits category, key and selector of what it was made from.

    `entries`: by resource name as in `outputs`. A computed column inherits the category only. None where an origin is not known:
    nothing is guessed.
    """
    fields: dict[str, str] = {}
    keys: list[str] = []
    selectors: dict[str, str] = {}
    for column, origins in outputs.items():
        if origins is None:
            return None
        for resource, name, plain_column in origins:
            entry = entries.get(resource)
            if entry is None:
                return None
            if name in entry.fields:
                fields[column] = entry.fields[name]
            elif name in entry.subject_key or name in entry.selectors:
                fields.setdefault(
                    column, "identity" if entry.selectors.get(name) not in {"ip", "location", "time_window"} else "behaviour"
                )
            if plain_column and name in entry.selectors:
                selectors[column] = entry.selectors[name]
            if plain_column and name in entry.subject_key and column not in keys:
                keys.append(column)
    return ResourceMap(fields, tuple(keys), None, selectors) if outputs else None
