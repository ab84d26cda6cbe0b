"""Learns from DDL and role records at once, in the order of the log: a later record never changes what an earlier one said."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from custodes.sources.pgaudit import lineage
from custodes.sources.pgaudit.access import Event
from custodes.sources.pgaudit.lineage import NOTHING, Copy, Database, with_new
from custodes.statements import Catalog, Plan, lexer
from custodes.statements.catalog import EMPTY, plain

COPIES: Final = frozenset({"CREATE TABLE AS", "SELECT INTO", "CREATE MATERIALIZED VIEW", "REFRESH MATERIALIZED VIEW"})
CHANGES: Final = frozenset({"SET", "RESET", "ALTER SYSTEM", "ALTER ROLE", "ALTER DATABASE", "ALTER USER"})
_ROUTINES: Final = re.compile(r"(?:CREATE|ALTER|DROP) (?:FUNCTION|PROCEDURE|ROUTINE)\Z")
_CATALOGS: Final = 1000

Tell = Callable[[str, str, Event, dict[str, str | int]], None]
"""Takes kind and text of a note, the record that it is about, and facts."""


class Known(NamedTuple):
    """What was known when a record came: of its database, of its session's temporary tables, and who is a superuser."""

    database: Database
    own: Database
    superusers: frozenset[str]


class Knowledge:
    """What one log has taught so far. `plan_of`: reads the text of a record that made a copy."""

    def __init__(self, tell: Tell, plan_of: Callable[[Event, Catalog], Plan]) -> None:
        self._tell = tell
        self._plan_of = plan_of
        self.databases: dict[str, Database] = {}
        self.superusers = frozenset({"postgres"})
        self._catalogs: dict[tuple[int, int], tuple[Database, Database, Catalog]] = {}

    def now(self, database: str, own: Database) -> Known:
        """Return what is known at this moment."""
        return Known(self.databases.get(database, NOTHING), own, self.superusers)

    def catalog(self, known: Known) -> Catalog:
        """Return the names that statements may use."""
        database, own, _ = known
        if database is NOTHING and own is NOTHING:
            return EMPTY
        place = (id(database), id(own))
        found = self._catalogs.get(place)
        if found is None or found[0] is not database or found[1] is not own:
            if len(self._catalogs) >= _CATALOGS:
                self._catalogs.clear()
            found = self._catalogs[place] = (database, own, lineage.catalog_of(database, own))
        return found[2]

    def learn(self, event: Event, own: Database) -> Database:
        """Learn from one record; return what is known of the session's own tables after it."""
        audit = event.audit
        if audit.kind == "DDL":
            return self._ddl(event, own)
        if audit.kind in {"ROLE", "MISC", "MISC_SET"}:
            key = lexer.strip(audit.text).key
            if role := lineage.superuser_made(key):
                self.superusers |= {role}
            self._setting(event, key)
        return own

    def _ddl(self, event: Event, own: Database) -> Database:
        audit = event.audit
        command, name = audit.command, plain(audit.object_name)
        if _ROUTINES.match(command):
            self._routine(event, lexer.strip(audit.text).key)
        elif command in COPIES:
            return own if command.startswith("REFRESH") else self._copy(event, name, own)
        elif command == "CREATE VIEW":
            known = self.databases.get(event.line.dbname, NOTHING)
            views = with_new(known.views, name, lineage.view_in(audit.text))
            self._change(event, known, views=views)
        elif command.startswith("DROP "):
            return self._dropped(event, name, own)
        elif command in CHANGES:
            self._setting(event, lexer.strip(audit.text).key)
        return own

    def _copy(self, event: Event, name: str, own: Database) -> Database:
        known = self.databases.get(event.line.dbname, NOTHING)
        what = lineage.copy_from(self._plan_of(event, self.catalog(self.now(event.line.dbname, own))))
        if name.startswith("pg_temp."):
            return Database({}, with_new(own.copies, name, what), {})
        self._change(event, known, copies=with_new(known.copies, name, what))
        return own

    def _dropped(self, event: Event, table: str, own: Database) -> Database:
        if event.audit.command == "DROP EXTENSION" and "pgaudit" in lexer.strip(event.audit.text).key.lower():
            facts: dict[str, str | int] = {"operation": "DROP EXTENSION", "setting": "pgaudit", "outcome": "success"}
            self._tell("configuration", "pgaudit was removed from a database", event, facts)
        if table in own.copies:
            return Database({}, with_new(own.copies, table, None), {})
        known = self.databases.get(event.line.dbname, NOTHING)
        if table in known.copies or table in known.views:
            self._change(event, known, copies=with_new(known.copies, table, None), views=with_new(known.views, table, None))
        return own

    def _routine(self, event: Event, key: str) -> None:
        """Note a routine that was made or changed, and what that says of its rights."""
        audit = event.audit
        known = self.databases.get(event.line.dbname, NOTHING)
        name = lineage.routine_name(audit.object_name)
        invoker = lineage.invoker_only(audit.command, key)
        if audit.command.startswith("DROP"):
            self._change(event, known, routines=with_new(known.routines, name, None))
        elif invoker is not None:
            all_forms = invoker and (known.routines.get(name, True) or audit.command.startswith("ALTER"))
            self._change(event, known, routines=with_new(known.routines, name, all_forms))
        mode = {True: "invoker", False: "definer", None: "unchanged"}[invoker]
        facts: dict[str, str | int] = {"operation": audit.command, "routine": audit.object_name, "security": mode}
        self._tell("routine", "a routine was made, changed or dropped", event, facts)

    def _setting(self, event: Event, key: str) -> None:
        setting = lineage.setting_in(key)
        if setting is not None and event.audit.command in CHANGES:
            facts: dict[str, str | int] = {"operation": event.audit.command, "setting": setting, "outcome": "success"}
            self._tell("configuration", "a setting of the log was changed", event, facts)

    def _change(
        self,
        event: Event,
        known: Database,
        *,
        views: dict[str, lineage.View] | None = None,
        copies: dict[str, Copy] | None = None,
        routines: dict[str, bool] | None = None,
    ) -> None:
        self.databases[event.line.dbname] = Database(
            known.views if views is None else views,
            known.copies if copies is None else copies,
            known.routines if routines is None else routines,
        )
