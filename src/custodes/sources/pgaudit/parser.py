"""Turns records into drafts: sessions, statements in the making, gaps, forged records, settings and routines that change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from custodes.model.datamap import DataMap
from custodes.model.draft import Note, Parsed, Raw, Rejected
from custodes.sources.pgaudit import lineage
from custodes.sources.pgaudit.access import Accesses, Context, Event
from custodes.sources.pgaudit.lineage import Copy, Database, remember
from custodes.sources.pgaudit.record import Audit, Line, Unreadable, audit_of, decode, of_row, rows_of, time_of
from custodes.statements import Catalog, Plan, Statements, lexer
from custodes.statements.catalog import EMPTY, plain

_SESSIONS: Final = 50_000
_PENDING: Final = 4096
"""Records of one statement held at most; a longer one becomes several accesses."""
_TOLD: Final = 100
_CHECKS: Final = 1000
_WRITE_TAGS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})
_ID: Final = r'"(?:[^"]|"")+"'
_SIDE: Final = rf"(?:{_ID}|\$\d+)(?:::\S+)?"
_TEST: Final = rf"{_SIDE} OPERATOR\([^()\s]+\) {_SIDE}"
_KEY_CHECK: Final = re.compile(
    rf"SELECT 1 FROM (?:ONLY )?{_ID}\.{_ID} x WHERE {_TEST}(?: AND {_TEST})*"
    r" FOR KEY SHARE OF x\Z"
)
_COPIES: Final = frozenset({"CREATE TABLE AS", "SELECT INTO", "CREATE MATERIALIZED VIEW"})
_ROUTINES: Final = re.compile(r"(?:CREATE|ALTER|DROP) (?:FUNCTION|PROCEDURE|ROUTINE)\Z")
_CHANGES: Final = frozenset({"SET", "RESET", "ALTER SYSTEM", "ALTER ROLE", "ALTER DATABASE", "ALTER USER"})
_RELOADED: Final = re.compile(r'parameter "([\w.]+)" changed to|parameter "([\w.]+)" removed from')
_CLIENT: Final = "client backend"


class Session(msgspec.Struct):
    """One server session. `last`: highest line number seen; `pending`: records of the statement at hand; `given`: it was given out.

    `gap`: lines are missing before or within it; `ahead`: lines are missing before what comes next. `learned`: how many of its
    records were counted or learned from already.
    """

    last: int = 0
    client: bool = False
    closed: bool = False
    told: int = 0
    file: str = ""
    given: bool = False
    gap: bool = False
    ahead: bool = False
    learned: int = 0
    pending: list[Event] = []
    own: Database | None = None


class _Kept(msgspec.Struct):
    """A session as it is kept between runs."""

    last: int
    client: bool
    closed: bool
    told: int
    file: str
    given: bool
    gap: bool
    ahead: bool
    learned: int
    raws: list[Raw]
    own: Database | None


class _State(msgspec.Struct):
    sessions: dict[str, _Kept]
    databases: dict[str, Database]
    superusers: list[str]


class PgauditParser:
    """The parser. Records of one session come in order; sessions interleave."""

    def __init__(self, datamap: DataMap, state: bytes | None = None) -> None:
        self._statements = Statements(datamap)
        self._accesses = Accesses(datamap, self._statements)
        self._sessions: dict[str, Session] = {}
        self._databases: dict[str, Database] = {}
        self._superusers = frozenset({"postgres"})
        self._catalogs: dict[str, Catalog] = {}
        self._own: dict[str, tuple[int, Catalog]] = {}
        self._version = 0
        self._checks: dict[str, bool] = {}
        self._parsed = Parsed()
        if state:
            self._restore(msgspec.msgpack.decode(state, type=_State))

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        """Take the next records."""
        parsed = self._parsed = Parsed()
        rows = rows_of([raw.data for raw in raws]) if raws and raws[0].data[:1] != b"{" else None
        take = self._take
        for at, raw in enumerate(raws):
            try:
                take(raw, decode(raw) if rows is None or raw.cut else of_row(rows[at]))
            except Unreadable as reason:
                parsed.rejected.append(Rejected(raw, str(reason)))
        if len(self._sessions) > _SESSIONS:
            self._forget()
        return parsed

    def finish(self) -> Parsed:
        """Give out the statements at hand, and say of which sessions the end is not proven."""
        parsed = self._parsed = Parsed()
        unproven = 0
        for name, session in self._sessions.items():
            if session.pending and not session.given:
                self._close(session, keep=True)
            if session.client and not session.closed and session.told != session.last:
                session.told = session.last
                unproven += 1
                if unproven <= _TOLD:
                    facts: dict[str, str | int] = {"seq_of": name, "last": session.last}
                    text = "no disconnection record: lines after the last one may be missing"
                    parsed.notes.append(Note("tail_unproven", text, session.file, None, facts))
        if unproven > _TOLD:
            facts = {"sessions": unproven - _TOLD}
            parsed.notes.append(Note("tail_unproven", "further sessions without a disconnection record", "", None, facts))
        return parsed

    def tails(self) -> dict[str, str]:
        """Return of each client session remembered whether its end is `proven` or `unproven`."""
        return {name: "proven" if session.closed else "unproven" for name, session in self._sessions.items() if session.client}

    def state(self) -> bytes:
        """Return what a new parser needs. Holds raw records."""
        sessions = {name: _kept(session) for name, session in self._sessions.items()}
        return msgspec.msgpack.encode(_State(sessions, self._databases, sorted(self._superusers)))

    def _restore(self, state: _State) -> None:
        self._databases = state.databases
        self._superusers = frozenset(state.superusers)
        for name, kept in state.sessions.items():
            session = Session(
                kept.last,
                kept.client,
                kept.closed,
                kept.told,
                kept.file,
                kept.given,
                kept.gap,
                kept.ahead,
                kept.learned,
                [],
                kept.own,
            )
            for raw in kept.raws:
                line = decode(raw)
                audit = audit_of(line.message)
                if audit is not None:
                    session.pending.append(Event(raw, line, audit, time_of(line.timestamp)))
            self._sessions[name] = session

    # one record

    def _take(self, raw: Raw, line: Line) -> None:
        session = self._sessions.get(line.session_id)
        if session is None:
            session = self._sessions[line.session_id] = Session(file=raw.file, pending=[])
        number = line.line_num
        message = line.message
        audit: Audit | None = None
        claims = message.startswith("AUDIT: ")
        if claims and not line.context and not line.statement:
            audit = audit_of(message)
            if audit is None:
                raise Unreadable("AUDIT record that is not as pgaudit writes it")
        time = time_of(line.timestamp)
        if number == session.last + 1:
            session.last = number
        elif self._jump(session, raw, line):
            return
        session.file = raw.file
        if audit is not None:
            self._audit(session, Event(raw, line, audit, time))
        elif claims:
            self._note("forged", "an AUDIT record written by a statement, not by pgaudit", raw, line, {})
            self._count("forged")
        else:
            self._other(session, raw, line)

    def _jump(self, session: Session, raw: Raw, line: Line) -> bool:
        """Look at a number that is not the next one. True: the record is one that is at hand already."""
        number, last = line.line_num, session.last
        if number > last:
            facts: dict[str, str | int] = {"after": last, "before": number, "missing": number - last - 1}
            self._note("gap", "lines of a session are missing", raw, line, facts)
            session.ahead = True
            session.last = number
            return False
        if any(event.line.line_num == number and event.raw.data == raw.data for event in session.pending):
            self._count("duplicate")
            return True
        return False

    def _audit(self, session: Session, event: Event) -> None:
        audit = event.audit
        session.client = True
        if audit.kind == "READ" and event.line.ps in _WRITE_TAGS and self._is_key_check(audit.text):
            self._count("foreign_key_check")
            return
        pending = session.pending
        if pending:
            last = pending[-1]
            if last.audit.statement == audit.statement and event.line.line_num > last.line.line_num and len(pending) < _PENDING:
                pending.append(event)
                session.given = False
                session.gap |= session.ahead
                session.ahead = False
                return
            self._close(session)
        session.pending = [event]
        session.given = False
        session.gap, session.ahead = session.ahead, False

    def _is_key_check(self, text: str) -> bool:
        known = self._checks.get(text)
        if known is None:
            known = _KEY_CHECK.match(text) is not None
            if len(self._checks) < _CHECKS:
                self._checks[text] = known
        return known

    def _other(self, session: Session, raw: Raw, line: Line) -> None:
        """Take a record that is not pgaudit's."""
        if line.error_severity in {"ERROR", "FATAL", "PANIC"}:
            session.client |= bool(line.user)
            self._close(session)
            session.gap, session.ahead = session.ahead, False
            self._failed(session, raw, line)
        elif line.message.startswith("disconnection: "):
            session.client = session.closed = True
            self._close(session)
            self._count("disconnection")
        elif line.message.startswith("connection "):
            session.client = True
            self._count("connection")
        else:
            if found := _RELOADED.match(line.message):
                name = found[1] or found[2]
                if lineage.setting_in(name):
                    self._note("configuration", "a setting of the log was changed by a reload", raw, line, {"setting": name})
            session.client |= bool(line.user) and line.backend_type in {_CLIENT, ""}
            self._count("server" if not line.user else "message")

    def _failed(self, session: Session, raw: Raw, line: Line) -> None:
        if not line.statement:
            self._count("error")
            return
        inside = bool(line.context or line.internal_query)
        if line.state_code == "25P02" and not inside:
            self._count("never_ran")
            return
        if line.state_code == "42601" and not inside:
            self._count("syntax_error")
            return
        key = lexer.strip(line.statement).key
        if setting := lineage.setting_in(key) if line.ps in _CHANGES else None:
            facts: dict[str, str | int] = {"operation": line.ps, "setting": setting, "outcome": "refused"}
            self._note("configuration", "a change of the log's settings was refused", raw, line, facts)
        draft = self._accesses.failed(raw, line, self._context(session, line)) if line.ps not in _CHANGES else None
        if draft is None:
            self._count("error")
        else:
            self._parsed.drafts.append(draft)

    # one statement

    def _close(self, session: Session, *, keep: bool = False) -> None:
        """Give out the statement at hand. `keep`: more of it may come."""
        pending = session.pending
        given, learned = session.given, session.learned
        session.given = keep
        session.learned = len(pending) if keep else 0
        if not keep:
            session.pending = []
        if given or not pending:
            return
        line = pending[0].line
        draft, counted, plan = self._accesses.of(pending, self._context(session, line))
        copy = None
        if len(pending) > 1 or pending[0].audit.kind not in {"READ", "WRITE"}:
            copy = self._learn(session, pending[learned:], plan)
        if draft is None:
            self._count(counted, len(pending) - learned)
            return
        draft.derived = copy
        if "derived_table" in draft.coverage:
            draft.derived_from = next(
                (_copy_id(resource.name, line.session_id) for resource in draft.resources if resource.via == "derived"), None
            )
        self._parsed.drafts.append(draft)

    def _context(self, session: Session, line: Line) -> Context:
        database = self._databases.get(line.dbname)
        return Context(
            self._catalog(session, line.session_id, line.dbname, database),
            database.routines if database is not None else {},
            self._superusers,
            session.gap,
        )

    def _catalog(self, session: Session, session_id: str, name: str, database: Database | None) -> Catalog:
        if session.own is not None:
            version, mine = self._own.get(session_id, (-1, EMPTY))
            if version != self._version:
                mine = lineage.catalog_of(database or Database(), session.own)
                self._own[session_id] = (self._version, mine)
            return mine
        if database is None:
            return EMPTY
        known = self._catalogs.get(name)
        if known is None:
            known = self._catalogs[name] = lineage.catalog_of(database, None)
        return known

    def _learn(self, session: Session, events: Sequence[Event], plan: Plan | None) -> str | None:
        """Learn from a statement's DDL and role records; return the name of the copy that it made."""
        made: str | None = None
        for event in events:
            audit = event.audit
            if audit.kind == "DDL":
                made = self._ddl(session, event, plan) or made
            elif audit.kind in {"ROLE", "MISC", "MISC_SET"}:
                key = lexer.strip(audit.text).key
                if role := lineage.superuser_made(key):
                    self._superusers |= {role}
                self._setting(event, key)
        return made

    def _setting(self, event: Event, key: str) -> None:
        setting = lineage.setting_in(key)
        if setting is not None and event.audit.command in _CHANGES:
            facts: dict[str, str | int] = {"operation": event.audit.command, "setting": setting, "outcome": "success"}
            self._note("configuration", "a setting of the log was changed", event.raw, event.line, facts)

    def _ddl(self, session: Session, event: Event, plan: Plan | None) -> str | None:
        audit, line = event.audit, event.line
        command, name = audit.command, plain(audit.object_name)
        if _ROUTINES.match(command):
            self._routine(event, lexer.strip(audit.text).key)
        elif command in _COPIES:
            return self._copy(session, line, name, plan)
        elif command == "CREATE VIEW":
            text = lineage.view_text(audit.text)
            database = self._database(line.dbname)
            database.views.pop(lineage.last_part(name), None)
            if text is not None:
                remember(database.views, lineage.last_part(name), text)
        elif command.startswith("DROP "):
            self._dropped(session, event, name)
        elif command == "REFRESH MATERIALIZED VIEW":
            return name
        elif command in _CHANGES:
            self._setting(event, lexer.strip(audit.text).key)
        return None

    def _copy(self, session: Session, line: Line, name: str, plan: Plan | None) -> str:
        what = lineage.copy_from(plan) if plan is not None else Copy({}, (), {}, known=False)
        if name.startswith("pg_temp."):
            session.own = session.own or Database(copies={})
            remember(session.own.copies, lineage.last_part(name), what)
            self._version += 1
            return _copy_id(name, line.session_id)
        remember(self._database(line.dbname).copies, lineage.last_part(name), what)
        return name

    def _dropped(self, session: Session, event: Event, name: str) -> None:
        database = self._database(event.line.dbname)
        table = lineage.last_part(name)
        owner = session.own if session.own is not None and table in session.own.copies else database
        owner.copies.pop(table, None)
        owner.views.pop(table, None)
        if event.audit.command == "DROP EXTENSION" and "pgaudit" in lexer.strip(event.audit.text).key.lower():
            facts: dict[str, str | int] = {"operation": "DROP EXTENSION", "setting": "pgaudit", "outcome": "success"}
            self._note("configuration", "pgaudit was removed from a database", event.raw, event.line, facts)

    def _routine(self, event: Event, key: str) -> None:
        """Note a routine that was made or changed, and what that says of its rights."""
        audit = event.audit
        database = self._database(event.line.dbname)
        name = lineage.routine_name(audit.object_name)
        invoker = lineage.invoker_only(audit.command, key)
        if audit.command.startswith("DROP"):
            database.routines.pop(name, None)
        elif invoker is not None:
            remember(database.routines, name, invoker and (database.routines.get(name, True) or audit.command.startswith("ALTER")))
        mode = {True: "invoker", False: "definer", None: "unchanged"}[invoker]
        facts: dict[str, str | int] = {"operation": audit.command, "routine": audit.object_name, "security": mode}
        self._note("routine", "a routine was made, changed or dropped", event.raw, event.line, facts)

    def _database(self, name: str) -> Database:
        self._catalogs.pop(name, None)
        self._version += 1
        known = self._databases.get(name)
        if known is None:
            known = self._databases[name] = Database(views={}, copies={}, routines={})
        return known

    def _forget(self) -> None:
        """Let go of sessions: closed ones first, then the oldest."""
        ended = [name for name, session in self._sessions.items() if session.closed and not session.pending]
        for name in ended or list(self._sessions)[: _SESSIONS // 2]:
            self._close(self._sessions[name])
            del self._sessions[name]
            self._own.pop(name, None)

    def _count(self, kind: str, number: int = 1) -> None:
        counted = self._parsed.counted
        counted[kind] = counted.get(kind, 0) + number

    def _note(self, kind: str, text: str, raw: Raw, line: Line, facts: dict[str, str | int]) -> None:
        where: dict[str, str | int] = {"seq_of": line.session_id, "seq": line.line_num}
        self._parsed.notes.append(Note(kind, text, raw.file, raw.line, {**where, **facts}))


def _copy_id(name: str, session: str) -> str:
    """Return the id of a copy: a temporary one is a session's own."""
    return f"{name}@{session}" if name.startswith("pg_temp.") else name


def _kept(session: Session) -> _Kept:
    raws = [event.raw for event in session.pending]
    return _Kept(
        session.last, session.client, session.closed, session.told, session.file, session.given, session.gap, session.ahead,
        session.learned, raws, session.own,
    )  # fmt: skip
