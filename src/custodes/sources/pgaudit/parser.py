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
from custodes.sources.pgaudit.knowledge import CHANGES, COPIES, Knowledge, Known
from custodes.sources.pgaudit.lineage import NOTHING, Database
from custodes.sources.pgaudit.record import Audit, Line, Unreadable, audit_of, decode, of_row, rows_of, time_of
from custodes.statements import Catalog, Plan, Statements, lexer
from custodes.statements.catalog import plain

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
_RELOADED: Final = re.compile(r'parameter "([\w.]+)" changed to|parameter "([\w.]+)" removed from')
_CLIENT: Final = "client backend"


class Session(msgspec.Struct):
    """One server session. `last`: highest line number seen; `pending`: records of the statement at hand; `given`: it was given out.

    `gap`: lines are missing before or within it; `ahead`: lines are missing before what comes next. `counted`: how many of its
    records were counted already. `known`: what was known when the last of them came; `own`: the session's temporary tables now.
    """

    last: int = 0
    client: bool = False
    closed: bool = False
    told: int = 0
    file: str = ""
    given: bool = False
    gap: bool = False
    ahead: bool = False
    counted: int = 0
    pending: list[Event] = []
    known: Known | None = None
    own: Database = NOTHING


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
    counted: int
    raws: list[Raw]
    own: Database | None
    known: tuple[Database, Database, list[str]] | None


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
        self._knowledge = Knowledge(self._tell, self._plan_of)
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
        knowledge = self._knowledge
        sessions = {name: _kept(session, knowledge) for name, session in self._sessions.items()}
        return msgspec.msgpack.encode(_State(sessions, knowledge.databases, sorted(knowledge.superusers)))

    def _restore(self, state: _State) -> None:
        self._knowledge.databases = state.databases
        self._knowledge.superusers = frozenset(state.superusers)
        for name, kept in state.sessions.items():
            session = self._sessions[name] = Session(
                kept.last, kept.client, kept.closed, kept.told, kept.file, kept.given, kept.gap, kept.ahead, kept.counted, []
            )
            session.own = NOTHING if kept.own is None else kept.own
            for raw in kept.raws:
                line = decode(raw)
                audit = audit_of(line.message)
                if audit is not None:
                    session.pending.append(Event(raw, line, audit, time_of(line.timestamp)))
                    session.known = self._knowledge.now(line.dbname, session.own)
            if kept.known is not None:
                database, own, superusers = kept.known
                session.known = Known(database, own, frozenset(superusers))

    # one record

    def _take(self, raw: Raw, line: Line) -> None:
        session = self._sessions.get(line.session_id)
        if session is None:
            session = self._sessions[line.session_id] = Session(file=raw.file, pending=[])
        message = line.message
        audit: Audit | None = None
        claims = message[:7] == "AUDIT: "
        if claims and not line.context and not line.statement:
            audit = audit_of(message)
            if audit is None:
                raise Unreadable("AUDIT record that is not as pgaudit writes it")
        time = time_of(line.timestamp)
        if line.line_num == session.last + 1:
            session.last += 1
        elif self._jump(session, raw, line):
            return
        session.file = raw.file
        if audit is not None:
            if audit.kind == "READ" and line.ps in _WRITE_TAGS and self._is_key_check(audit.text):
                session.client = True
                self._count("foreign_key_check")
            else:
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
        pending = session.pending
        last = pending[-1] if pending else None
        if (
            last is not None
            and last.audit.statement == audit.statement
            and event.line.line_num > last.line.line_num
            and len(pending) < _PENDING
        ):
            pending.append(event)
            session.gap |= session.ahead
        else:
            if last is not None:
                self._close(session)
            session.pending = [event]
            session.gap = session.ahead
        session.given = session.ahead = False
        session.known = self._knowledge.now(event.line.dbname, session.own)
        if audit.kind not in {"READ", "WRITE"}:
            session.own = self._knowledge.learn(event, session.own)

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
        if setting := lineage.setting_in(key) if line.ps in CHANGES else None:
            facts: dict[str, str | int] = {"operation": line.ps, "setting": setting, "outcome": "refused"}
            self._note("configuration", "a change of the log's settings was refused", raw, line, facts)
        known = self._knowledge.now(line.dbname, session.own)
        draft = self._accesses.failed(raw, line, self._context(known, gap=session.gap)) if line.ps not in CHANGES else None
        if draft is None:
            self._count("error")
        else:
            self._parsed.drafts.append(draft)

    # one statement

    def _close(self, session: Session, *, keep: bool = False) -> None:
        """Give out the statement at hand. `keep`: more of it may come."""
        pending = session.pending
        given, counted = session.given, session.counted
        session.given = keep
        session.counted = len(pending) if keep else 0
        if not keep:
            session.pending = []
        if given or not pending or session.known is None:
            return
        draft, kind = self._accesses.of(pending, self._context(session.known, gap=session.gap))
        if draft is None:
            self._count(kind, len(pending) - counted)
            return
        name = pending[0].line.session_id
        if len(pending) > 1:
            copies = (plain(event.audit.object_name) for event in pending if event.audit.command in COPIES)
            draft.derived = next((_copy_id(copy, name) for copy in copies if copy), None)
        if "derived_table" in draft.coverage:
            opened = (_copy_id(resource.name, name) for resource in draft.resources if resource.via == "derived")
            draft.derived_from = next(opened, None)
        self._parsed.drafts.append(draft)

    def _context(self, known: Known, *, gap: bool) -> Context:
        return Context(self._knowledge.catalog(known), known.database.routines, known.superusers, gap)

    def _plan_of(self, event: Event, catalog: Catalog) -> Plan:
        return self._accesses.reading(event.line, event.audit.text, None, catalog).plan

    def _forget(self) -> None:
        """Let go of sessions: closed ones first, then the oldest."""
        ended = [name for name, session in self._sessions.items() if session.closed and not session.pending]
        for name in ended or list(self._sessions)[: _SESSIONS // 2]:
            self._close(self._sessions[name])
            del self._sessions[name]

    def _count(self, kind: str, number: int = 1) -> None:
        counted = self._parsed.counted
        counted[kind] = counted.get(kind, 0) + number

    def _tell(self, kind: str, text: str, event: Event, facts: dict[str, str | int]) -> None:
        self._note(kind, text, event.raw, event.line, facts)

    def _note(self, kind: str, text: str, raw: Raw, line: Line, facts: dict[str, str | int]) -> None:
        where: dict[str, str | int] = {"seq_of": line.session_id, "seq": line.line_num}
        self._parsed.notes.append(Note(kind, text, raw.file, raw.line, {**where, **facts}))


def _copy_id(name: str, session: str) -> str:
    """Return the id of a copy: a temporary one is a session's own."""
    return f"{name}@{session}" if name.startswith("pg_temp.") else name


def _kept(session: Session, knowledge: Knowledge) -> _Kept:
    known = None
    if session.pending and session.known is not None:
        now = knowledge.now(session.pending[0].line.dbname, session.own)
        if any(mine is not current for mine, current in zip(session.known, now, strict=True)):
            known = (session.known.database, session.known.own, sorted(session.known.superusers))
    raws = [event.raw for event in session.pending]
    own = None if session.own is NOTHING else session.own
    return _Kept(
        session.last, session.client, session.closed, session.told, session.file, session.given, session.gap, session.ahead,
        session.counted, raws, own, known,
    )  # fmt: skip
