"""Makes the accesses of one statement: its operations folded, its text read, its tables as pgaudit reported them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, FieldUse, Raw, Resource, Selector, SubjectUse
from custodes.model.words import UNKNOWN_ACTOR
from custodes.sources.pgaudit.lineage import last_part, routine_name
from custodes.sources.pgaudit.purpose import NOTHING, Stated, stated_by, stated_in
from custodes.sources.pgaudit.record import HIDDEN, Audit, Line, time_of
from custodes.statements import Catalog, Plan, Reading, Statements
from custodes.statements.catalog import SYSTEM_SCHEMAS, SYSTEM_TABLES, is_personal, plain
from custodes.statements.plan import widest
from custodes.statements.values import of_parameters

_VIEWS: Final = frozenset({"VIEW", "MATERIALIZED VIEW"})
_DELETES: Final = frozenset({"DELETE", "TRUNCATE", "TRUNCATE TABLE"})
_SHAPES: Final = 20_000
_TAGS: Final = 10_000
_PARSED_ONLY: Final = frozenset({"42"})
"""SQLSTATE classes of errors that come before anything runs."""


class Event(NamedTuple):
    """One AUDIT record."""

    raw: Raw
    line: Line
    audit: Audit
    time: datetime


class Operation(NamedTuple):
    """Records with equal (session, statement, substatement)."""

    audit: Audit
    text: str
    names: tuple[tuple[str, str], ...]


class Shape(NamedTuple):
    """A plan together with the tables that were reported for it."""

    plan: Plan
    resources: list[Resource]
    fields: list[FieldUse]
    scope: str
    covered: bool


class _Hot(NamedTuple):
    """What all statements of one record with one plan have in common."""

    shape: Shape
    action: str
    operation: str
    system: str
    counts_rows: bool


class Context(NamedTuple):
    """What is known around a statement."""

    catalog: Catalog
    routines: dict[str, bool]
    superusers: frozenset[str]
    gap: bool


class Accesses:
    """Makes drafts. Lists of resources and fields are shared between drafts of one shape: they are never changed."""

    def __init__(self, datamap: DataMap, statements: Statements) -> None:
        self._datamap = datamap
        self._statements = statements
        self._shapes: dict[tuple[object, ...], Shape] = {}
        self._hot: dict[tuple[int, str, str, str, str], _Hot] = {}
        self._tags: dict[str, Stated] = {}
        self._systems: dict[str, str] = {}

    def system(self, database: str) -> str:
        """Return the data map's word for a database: its own name, else `postgres`."""
        known = self._systems.get(database)
        if known is None:
            systems = self._datamap.systems
            known = database if database in systems or "postgres" not in systems else "postgres"
            if len(self._systems) < _TAGS:
                self._systems[database] = known
        return known

    def reading(self, line: Line, text: str, parameters: str | None, catalog: Catalog) -> Reading:
        """Read a statement's text."""
        params = None if parameters is None else of_parameters(parameters)
        return self._statements.read(self.system(line.dbname), text, params=params, catalog=catalog)

    def of(self, events: Sequence[Event], context: Context) -> tuple[Draft | None, str]:
        """Return the access of one statement, or None and the word under which its records are counted."""
        line = events[0].line
        if len(events) == 1:
            audit = events[0].audit
            if audit.object_name and audit.text not in HIDDEN and audit.kind in {"READ", "WRITE"}:
                reading = self.reading(line, audit.text, audit.parameters, context.catalog)
                if reading.plan.runs:
                    return self._single(events, reading, context), ""
        operations = _operations(events)
        about = [operation for operation in operations if operation.names]
        wrappers = len(operations) - len(about)
        routines = [op.audit.object_name for op in operations if op.audit.kind == "FUNCTION" and op.audit.command == "EXECUTE"]
        if not about:
            about = self._by_text(operations, line, context)
        if not about:
            return self._without(operations, routines, events, context)
        readings = [self.reading(line, op.text, op.audit.parameters, context.catalog) for op in about]
        if all(not reading.plan.runs and op.audit.command != "SELECT" for reading, op in zip(readings, about, strict=True)):
            return None, "prepare"
        if all("explain" in op.text[:200].lower() and not reading.plan.runs for reading, op in zip(readings, about, strict=True)):
            return None, "explain"
        shapes = [self._shape(reading.plan, op.names, line) for reading, op in zip(readings, about, strict=True)]
        draft = self._draft(events, readings[0], shapes[0])
        for reading, shape in zip(readings[1:], shapes[1:], strict=True):
            _join(draft, reading, shape)
        commands = [op.audit.command for op in operations]
        _describe(draft, about, commands, readings, wrappers)
        self._flags(draft, routines, commands, context, readings)
        self._purpose(draft, line, [comment for reading in readings for comment in reading.comments])
        return draft, ""

    def _single(self, events: Sequence[Event], reading: Reading, context: Context) -> Draft:
        """Return the access of a statement of one record: the common case, made with its final values at once."""
        raw, line, audit, time = events[0]
        plan, subjects, selectors, scope, basis, minimum, maximum, coverage, comments = reading
        hot = self._hot.get((id(plan), audit.object_name, audit.command, audit.kind, line.dbname))
        if hot is None or hot.shape.plan is not plan:
            hot = self._heat(plan, audit, line)
        _, resources, fields, own_scope, covered = hot.shape
        host = line.remote_host
        rows = audit.rows if hot.counts_rows else None
        name = line.application_name
        own_scope = own_scope if scope == plan.scope else widest((scope, own_scope))
        extra = {"database": line.dbname, "application_name": name} if name else {"database": line.dbname}
        # by place, in the order of Draft's columns: twice as fast, and held to the general way by a test
        draft = Draft(
            [raw], time, line.user or UNKNOWN_ACTOR, hot.action, hot.system, hot.operation, None, None,
            "unknown", None, None, None, None, "success", resources, fields, plan.field_basis,
            subjects, own_scope, basis, minimum, maximum if covered else None, selectors,
            plan.template or None, audit.text, rows, None, "none" if rows is None else "reported", None, "none", None,
            host if host and host[0] != "[" else None, None, line.session_id, None, None, None, None, None,
            line.session_id, line.line_num, list(coverage), extra,
        )  # fmt: skip
        if line.damaged:
            draft.coverage.append("bad_encoding")
        if plan.routines or context.gap or draft.actor in context.superusers:
            self._flags(draft, (), (), context, (reading,))
        if comments or name:
            self._purpose(draft, line, comments)
        return draft

    def _heat(self, plan: Plan, audit: Audit, line: Line) -> _Hot:
        """Put together, once, what all statements of one record with this plan have in common."""
        if audit.kind == "WRITE":
            action = "delete" if audit.command in _DELETES else "write"
        else:
            action = plan.action if plan.action == "export" else "query"
        shape = self._shape(plan, ((audit.object_type, audit.object_name),), line)
        operation = "COPY" if action == "export" else audit.command
        hot = _Hot(shape, action, operation, self.system(line.dbname), audit.command not in _UNCOUNTED)
        if len(self._hot) >= _SHAPES:
            self._hot.clear()
        self._hot[id(plan), audit.object_name, audit.command, audit.kind, line.dbname] = hot
        return hot

    def failed(self, raw: Raw, line: Line, context: Context) -> Draft | None:
        """Return the access of a statement that was refused or died; None if its text is none that reads or changes anything."""
        reading = self.reading(line, line.statement, None, context.catalog)
        plan = reading.plan
        undefined = line.state_code[:2] in _PARSED_ONLY and line.state_code != "42501" and not line.context
        if plan.action == "other" and plan.scope == "none" and not plan.resources and line.state_code != "42501":
            return None
        shape = self._shape(plan, (), line)
        draft = self._draft([Event(raw, line, _NO_AUDIT, time_of(line.timestamp))], reading, shape)
        draft.query = line.statement
        if undefined:
            self._only_known(draft)
        draft.operation = line.ps or plan.action.upper()
        draft.outcome = "denied" if line.state_code == "42501" and not line.context else "failure"
        if draft.outcome == "denied":
            draft.resources = [resource._replace(via="denied") for resource in draft.resources]
        elif not undefined:
            _flag(draft, "error_channel")
        self._flags(draft, [], [], context, [reading])
        self._purpose(draft, line, reading.comments)
        return draft

    def _by_text(self, operations: Sequence[Operation], line: Line, context: Context) -> list[Operation]:
        """Return operations that read or change tables although the log names none: cursors, or pgaudit.log_relation off."""
        found = []
        for operation in operations:
            if operation.audit.kind in {"READ", "WRITE"} and operation.audit.command != "PREPARE":
                plan = self.reading(line, operation.text, None, context.catalog).plan
                if plan.resources or plan.names:
                    found.append(operation)
        return found

    def _without(
        self, operations: Sequence[Operation], routines: Sequence[str], events: Sequence[Event], context: Context
    ) -> tuple[Draft | None, str]:
        """Return the access of a statement that names no table: a routine, an anonymous block, or nothing personal."""
        line = events[0].line
        main = next((op for op in operations if op.audit.kind in {"READ", "WRITE"}), None)
        command = operations[0].audit.command
        kinds = {op.audit.kind for op in operations}
        if main is not None and main.audit.command == "PREPARE" and not routines:
            return None, "prepare"
        block = "DO" in {op.audit.command for op in operations}
        if main is None and not routines and not block:
            return None, "setting" if command in {"SET", "RESET"} else min(kinds).lower()
        text = main or operations[0]
        reading = self.reading(line, text.text, text.audit.parameters, context.catalog)
        if main is not None and not reading.plan.runs and not routines:
            return None, "explain"
        resources = [Resource(routine_name(name), "routine") for name in dict.fromkeys(routines)]
        scope = "unknown" if routines or block else reading.scope
        shape = Shape(reading.plan, resources, [], scope, covered=True)
        draft = self._draft(events, reading, shape)
        draft.field_basis = "unknown" if scope == "unknown" else "parsed"
        draft.operation = main.audit.command if main is not None and not routines else command
        draft.query = text.text
        if routines or block:
            draft.subject_max = None
            draft.action = "query"
        elif main is not None and main.audit.rows is not None:
            draft.rows, draft.rows_basis = main.audit.rows, "reported"
        commands = [op.audit.command for op in operations]
        self._flags(draft, routines, commands, context, [reading], opaque=bool(routines))
        self._purpose(draft, line, reading.comments)
        return draft, ""

    def _draft(self, events: Sequence[Event], reading: Reading, shape: Shape) -> Draft:
        line = events[0].line
        plan = reading.plan
        scope = shape.scope if reading.scope == plan.scope else widest((reading.scope, shape.scope))
        coverage = list(reading.coverage)
        extra = {"database": line.dbname}
        if line.application_name:
            extra["application_name"] = line.application_name
        if line.damaged or (len(events) > 1 and any(event.line.damaged for event in events)):
            coverage.append("bad_encoding")
        host = line.remote_host
        return Draft(
            [event[0] for event in events],
            events[0].time,
            line.user or UNKNOWN_ACTOR,
            plan.action,
            self.system(line.dbname),
            outcome="success",
            resources=shape.resources,
            fields=shape.fields,
            field_basis=plan.field_basis,
            subjects=reading.subjects,
            subject_scope=scope,
            subject_basis=reading.basis,
            subject_min=reading.minimum,
            subject_max=reading.maximum if shape.covered else None,
            selectors=reading.selectors,
            template=plan.template or None,
            client_address=host if host and host[0] != "[" else None,
            session=line.session_id,
            seq_of=line.session_id,
            seq=line.line_num,
            coverage=coverage,
            extra=extra,
        )

    def _flags(
        self,
        draft: Draft,
        routines: Sequence[str],
        commands: Sequence[str],
        context: Context,
        readings: Sequence[Reading],
        *,
        opaque: bool = False,
    ) -> None:
        """Add what weakens the draft, taking away what the routine inventory knows to be harmless."""
        called = {last_part(routine_name(name)) for name in routines}
        unseen = {last_part(name) for reading in readings for name in reading.plan.routines} - called
        hidden = opaque or any(not context.routines.get(routine_name(name), False) for name in routines) or bool(unseen)
        if hidden:
            _flag(draft, "opaque_routine")
            draft.subject_max = None
        elif "opaque_routine" in draft.coverage:
            draft.coverage.remove("opaque_routine")
        if "DO" in commands:
            _flag(draft, "dynamic_sql")
        if draft.actor in context.superusers:
            _flag(draft, "superuser")
        if context.gap:
            _flag(draft, "gap_before")

    def _purpose(self, draft: Draft, line: Line, comments: Sequence[str]) -> None:
        name = line.application_name
        tag = self._tags.get(name)
        if tag is None:
            if len(self._tags) >= _TAGS:
                self._tags.clear()
            tag = self._tags[name] = stated_in(name)
        if not comments and not (tag.purpose or tag.reason):
            return
        if len(comments) == 1:
            said = self._tags.get(comments[0])
            if said is None:
                said = self._tags[comments[0]] = stated_in(comments[0])
        else:
            said = stated_in(" ".join(comments)) if comments else NOTHING
        (draft.purpose, draft.reason), draft.purpose_basis, conflict = stated_by(tag, said)
        if conflict:
            _flag(draft, "purpose_conflict")

    def _shape(self, plan: Plan, names: tuple[tuple[str, str], ...], line: Line) -> Shape:
        key = (id(plan), names, line.dbname)
        shape = self._shapes.get(key)
        if shape is None or shape.plan is not plan:
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            shape = self._shapes[key] = self._shaped(plan, names, self.system(line.dbname))
        return shape

    def _shaped(self, plan: Plan, names: tuple[tuple[str, str], ...], system: str) -> Shape:
        via = {last_part(resource.name): resource.via for resource in plan.resources}
        known = self._statements.names(system)
        if names:
            through_view = any(kind == "VIEW" for kind, _ in names)
            resources = [
                Resource(
                    plain(name),
                    "view" if kind in _VIEWS else "table",
                    via.get(last_part(name)) or ("view" if through_view else "direct"),
                )
                for kind, name in names
            ]
        else:
            resources = [
                resource
                if "." in resource.name or resource.kind == "routine"
                else resource._replace(name=f"public.{resource.name}")
                for resource in plan.resources
            ]
        resources = list(dict.fromkeys(resources))
        place = {last_part(resource.name): at for at, resource in enumerate(resources)}
        origin = [last_part(resource.name) for resource in plan.resources]
        fields = [
            field._replace(resource=place.get(origin[field.resource], -1)) if field.resource >= 0 else field
            for field in plan.fields
        ]
        mapped_view = any(kind == "VIEW" and known.entry(plain(name)) is not None for kind, name in names)
        beyond = []
        for resource in resources:
            if last_part(resource.name) in plan.names or mapped_view:
                continue
            entry = known.entry(resource.name)
            if entry is None or is_personal(entry):
                beyond.append(resource)
        reported = {plain(name) for _, name in names}
        # a copy or view of the same bare name in another schema, or a table named like a catalog's, is not what was read
        learned = [resource for resource in plan.resources if names and "." in resource.name and known.entry(resource.name) is None]
        beyond += [resource for resource in learned if resource.name not in reported]
        mimics = [resource for resource in resources if last_part(resource.name) in SYSTEM_TABLES]
        beyond += [resource for resource in mimics if resource.name.partition(".")[0] not in SYSTEM_SCHEMAS]
        scope = widest((plan.scope, "unknown")) if beyond else plan.scope
        return Shape(plan, resources, list(dict.fromkeys(fields)), scope, not beyond)

    def _only_known(self, draft: Draft) -> None:
        """Keep, of a text that the server could not resolve, only names of the data map: others may be anything that was typed."""
        words = self._statements.names(draft.system).words
        kept = [at for at, resource in enumerate(draft.resources) if last_part(resource.name) in words]
        moved = {at: new for new, at in enumerate(kept)}
        draft.fields = [field._replace(resource=moved.get(field.resource, -1)) for field in draft.fields if field.name in words]
        draft.resources = [draft.resources[at] for at in kept]
        draft.template = None


_NO_AUDIT: Final = Audit(0, 0, "", "", "", "", "", None, None)
_WEIGHT: Final = {"WRITE": 0, "READ": 1}
_UNCOUNTED: Final = frozenset({"DECLARE CURSOR", "COPY", "TRUNCATE TABLE"})
"""Commands for which the log says 0 rows whatever they did."""


def _operations(events: Sequence[Event]) -> list[Operation]:
    """Group records by substatement, in order. A text that was logged once only is taken from where it stands."""
    if len(events) == 1:
        audit = events[0].audit
        return [Operation(audit, audit.text, _named(audit))]
    grouped: dict[int, list[Audit]] = {}
    for event in events:
        grouped.setdefault(event.audit.substatement, []).append(event.audit)
    operations = []
    text = ""
    for audits in grouped.values():
        text = next((audit.text for audit in audits if audit.text not in HIDDEN), text)
        names = tuple(dict.fromkeys(name for audit in audits for name in _named(audit)))
        first = audits[0]
        chosen = min(audits, key=lambda audit: _WEIGHT.get(audit.kind, 2))
        operations.append(Operation(chosen._replace(parameters=first.parameters), text, names))
    return operations


def _named(audit: Audit) -> tuple[tuple[str, str], ...]:
    if audit.kind in {"READ", "WRITE"} and audit.object_name:
        return ((audit.object_type, audit.object_name),)
    return ()


def _join(draft: Draft, reading: Reading, shape: Shape) -> None:
    """Fold a further operation into a draft."""
    resources = list(dict.fromkeys([*draft.resources, *shape.resources]))
    place = {resource: at for at, resource in enumerate(resources)}
    moved = [
        field._replace(resource=place[shape.resources[field.resource]]) if field.resource >= 0 else field for field in shape.fields
    ]
    draft.resources, draft.fields = resources, list(dict.fromkeys([*draft.fields, *moved]))
    subjects: dict[str, SubjectUse] = {}
    for subject in [*draft.subjects, *reading.subjects]:
        if subject.id not in subjects or subject.relation == "accessed":
            subjects[subject.id] = subject
    draft.subjects = list(subjects.values())
    draft.selectors = list(dict.fromkeys([*draft.selectors, *reading.selectors]))
    draft.subject_scope = widest((draft.subject_scope, reading.scope, shape.scope))
    both = draft.subject_max is not None and reading.maximum is not None and shape.covered
    draft.subject_max = (draft.subject_max or 0) + (reading.maximum or 0) if both else None
    if draft.subject_basis == "none":
        draft.subject_basis = reading.basis
    for flag in reading.coverage:
        _flag(draft, flag)
    bases = {reading.plan.field_basis, draft.field_basis}
    draft.field_basis = next(basis for basis in ("unknown", "star_expanded", "parsed") if basis in bases)


def _describe(
    draft: Draft, about: Sequence[Operation], commands: Sequence[str], readings: Sequence[Reading], wrappers: int
) -> None:
    """Set action, operation, rows and text."""
    main = next((op for op in about if op.audit.kind == "WRITE"), about[0])
    draft.operation = main.audit.command
    draft.query = main.text
    if main.audit.kind == "WRITE":
        draft.action = "delete" if main.audit.command in _DELETES else "write"
    elif "COPY" in commands or any(reading.plan.action == "export" for reading in readings):
        draft.action = "export"
        draft.operation = "COPY"
    else:
        draft.action = "query"
    rows = [op.audit.rows for op in about if op.audit.command not in _UNCOUNTED]
    if rows and None not in rows:
        draft.rows = sum(row for row in rows if row is not None)
        draft.rows_basis = "inner_statement" if wrappers else "reported"


def _flag(draft: Draft, flag: str) -> None:
    if flag not in draft.coverage:
        draft.coverage.append(flag)


__all__ = ["Accesses", "Context", "Event", "Selector"]
