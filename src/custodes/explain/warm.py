"""A record that was explained, kept warm: a few new accesses are explained against it in the time that they are worth.

What a look can be joined with is found by the few subjects and reasons of a batch and laid before the templates; rows of context
that name none of them are not read. Earlier looks at the same people are there for templates that read verdicts, and are asked
again where a look comes in that is older than they. What cannot be brought up to date so is said (`Outdated`), never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from custodes.explain import duties, looks, views
from custodes.explain.few import KEY, Few, Verdict
from custodes.explain.held import Grown, Held, plain
from custodes.explain.prepared import Prepared
from custodes.model.arrow import VIEW_TYPES
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine, SteadyEngine
    from custodes.explain.duties import Enrolment
    from custodes.explain.template import Template
    from custodes.model.datamap import DataMap
    from custodes.model.policy import Policy
    from custodes.store.accesses import Accesses
    from custodes.store.manifest import Manifest, Part

_LARGE: Final[Mapping[str, str]] = {
    "tickets": "SELECT *, hash(ticket) AS key_ticket, hash(subject) AS key_subject FROM tickets",
    "assignments": 'SELECT *, hash(ticket) AS key_ticket FROM assignments WHERE "case" IS NULL',
    "subjects": "SELECT *, hash(subject) AS key_subject FROM subjects",
}
"""Tables of which a batch is laid only what it names: by subject, or by the reason that it claims."""
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "tickets": ("key_ticket", "key_subject"),
    "assignments": ("key_ticket",),
    "subjects": ("key_subject",),
}
_SMALL: Final = (
    *("staff_spans", "chain", "units", "case_subjects", "grant_fields", "legal_fields", "fieldsets", "fieldset_facts", "copies"),
    *("purpose_beyond", "policy_regions", "policy_purposes", "policy_never", "policy_settings", "policy_legal"),
)
"""Tables that stay as they are, besides the small ones of the context."""
_CLASSES: Final = ("class_duties", "class_explained", "class_legal", "class_asks_legal", "class_fieldsets")
_LOOKS: Final = pa.schema([(name, VIEW_TYPES[kind]) for name, kind in VIEWS["looks"].items()])
_REASONS: Final = pa.schema([(name, VIEW_TYPES[kind]) for name, kind in VIEWS["explanations"].items()])
_OBLIGATIONS: Final = pa.schema([(name, VIEW_TYPES[kind]) for name, kind in VIEWS["obligations"].items()])
_READ: Final = (
    *("leaf", "access_id", "time", "observed", "actor", "on_behalf_of", "actor_kind", "action", "system", "fieldset"),
    *("subject_scope", "subject_count", "subject_max", "selectors", "rows", "purpose", "reason", "client_country", "session"),
    *("device", "deliberate", "break_glass", "derived", "derived_from", "outcome", "template"),
)
"""Columns of stored accesses that views are made of (`looks`); without one of them the engine refuses the view."""
_LATELY: Final = 8
"""How many parts of the store are kept of those that were read: most looks that are asked again came in lately."""
_COPIES: Final = "object, subject, certainty, fieldset, written"
_KEY: Final = KEY.format(column="subject")
_OTHERS: Final = """
INSERT INTO few_stored
SELECT * FROM written WHERE derived IN (SELECT derived_from FROM few_stored) AND leaf NOT IN (SELECT leaf FROM few_stored)
"""
"""Lay earlier writings of what is opened besides: who opens may have the reason of who wrote."""
_NOT_OLDER: Final = """
SELECT DISTINCT e.access FROM earlier_looks e INNER JOIN (
  SELECT subject, min(time) AS since FROM few_looks WHERE subject IS NOT NULL GROUP BY subject) n
ON n.subject = e.subject AND n.since <= e.time
"""
_LISTED: Final = ", ".join(VIEWS["looks"])


class Outdated(Exception):  # no failure: the caller makes the state anew and goes on
    """What is kept warm does not hold any more; `args[0]` says why."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where new rows come from and what they are judged by."""

    accesses: Accesses
    registry: duties.Registry
    datamap: DataMap
    policy: Policy
    templates: Sequence[Template]
    loaded: set[str]


@dataclass(frozen=True, slots=True)
class Batch:
    """What came in. `accesses`: how many; `asked`: leaves whose looks were asked, also those asked again."""

    accesses: int
    asked: frozenset[int]


class Warm:
    """The warm state in an engine of its own. It serves until `Outdated`.

    What each batch fills is empty between batches (`Prepared.begin`); what is remembered lies here, or is written outside of that.
    """

    def __init__(self, engine: Engine, steady: SteadyEngine, sources: Sources, manifest: Manifest) -> None:
        """`engine` holds what a full run leaves (views, verdicts, duties) over the store of `manifest`; it is not needed later.

        `steady`: an empty engine, taken over.
        """
        self._sources, self._statements = sources, Prepared(steady)
        self._parts = {part.accesses: part.size for part in manifest.parts}
        self._superseded, self.fieldsets = set(manifest.superseded), tuple(manifest.fieldsets)
        self._few = Few(engine, sources.templates, sources.policy, sources.loaded)
        self._after = sorted({code for template in sources.templates for code in template.after})
        changes = engine.rows("SELECT DISTINCT hash(change) FROM jobs WHERE change IS NOT NULL")
        self._changes = [_int(value) for (value,) in changes]
        self._classes = {str(name) for (name,) in engine.rows("SELECT DISTINCT cls FROM registered")}
        read = {"look", "access", "subject", "time", *self._few.read_of_earlier()}
        self._earlier = pa.schema([field for field in _LOOKS if field.name in read])
        self._hold_history(engine)
        self._large = {name: Held(engine, _LARGE[name], {key: key for key in _KEYS[name]}) for name in _LARGE}
        self._move(engine)
        self._point()

    # — made once —

    def _hold_history(self, engine: Engine) -> None:
        keys = {"key_subject": "key_subject", "access": "access"}
        self._looks = Held(engine, f"SELECT {_LISTED}, {_KEY} AS key_subject FROM looks", keys)
        listed = ", ".join(f"'{code}'" for code in self._after) or "''"
        self._reasons_of = f"SELECT * FROM {{table}} WHERE template IN ({listed})"
        reasons = f"SELECT *, {_KEY} AS key_subject FROM ({self._reasons_of.format(table='explanations')})"
        self._reasons = Held(engine, reasons, {"key_subject": "key_subject"})
        self._fresh, self._fresh_reasons = Grown(), Grown()
        self._lately: dict[str, tuple[pa.Table, pa.Table]] = {}
        self._next = _int(engine.rows("SELECT coalesce(max(look) + 1, 0) FROM looks")[0][0])
        self._opened = [
            plain(engine.fetch("SELECT derived_from AS object, time FROM stored_accesses WHERE derived_from IS NOT NULL"))
        ]

    def _move(self, engine: Engine) -> None:
        """Copy what stays as it is, and the columns of what each batch fills."""
        steady, statements = self._statements.engine, self._statements
        selects = {name: f'SELECT * FROM "{name}"' for name in (*_SMALL, *_CLASSES, *(set(TABLES) - set(_LARGE)))}
        selects["case_assignments"] = 'SELECT * FROM assignments WHERE "case" IS NOT NULL'
        selects["written"] = f"SELECT {', '.join(_READ)} FROM stored_accesses WHERE derived IS NOT NULL"
        selects["written_touches"] = f"SELECT * FROM stored_touches WHERE leaf IN (SELECT leaf FROM ({selects['written']}))"
        for name, select in selects.items():
            steady.table(name, plain(engine.fetch(select)))
        filled = {"few_looks": _LOOKS, "earlier_explanations": _REASONS}
        filled["earlier_looks"] = self._earlier
        filled["tickets"] = _without_keys(self._large["tickets"].take([])).schema
        filled["ticket_assignments"] = _without_keys(self._large["assignments"].take([])).schema
        filled["subjects"] = _without_keys(self._large["subjects"].take([])).schema
        filled["registered"] = duties.registered({}).schema
        filled["few_stored"], filled["few_touches"] = self._stored = (
            plain(engine.fetch(f"{selects['written']} LIMIT 0")).schema,
            plain(engine.fetch("SELECT * FROM stored_touches LIMIT 0")).schema,
        )
        filled["obligations"] = _OBLIGATIONS
        for name, schema in filled.items():
            statements.table(name, schema)

    def _point(self) -> None:
        """Make the views that templates and rules read, and plan what each batch asks."""
        steady, statements = self._statements.engine, self._statements
        self._show()
        looks.build_accesses(steady)
        steady.run("CREATE VIEW looks AS SELECT * FROM few_looks")
        steady.run("CREATE VIEW assignments AS SELECT * FROM ticket_assignments UNION ALL SELECT * FROM case_assignments")
        views.build_reasons(steady)
        self._few.prepare(statements)
        steady.run("CREATE VIEW explanations AS SELECT * FROM few_explanations")
        steady.run("CREATE VIEW residue AS SELECT * FROM few_looks WHERE look NOT IN (SELECT look FROM few_explanations)")
        statements.add("judge", f"INSERT INTO obligations {duties.OBLIGATIONS}")
        statements.add("make_looks", f"INSERT INTO few_looks {looks.few('few_stored', 'few_touches', 'CAST($1 AS BIGINT)')}")
        statements.add("made_looks", f"SELECT *, {_KEY} AS key_subject FROM few_looks ORDER BY look")
        statements.add("not_older", _NOT_OLDER)
        statements.add("lay_others", _OTHERS)
        statements.add("not_earlier", "DELETE FROM earlier_looks WHERE look IN (SELECT look FROM few_looks)")
        statements.add("keep_reasons", self._reasons_of.format(table="few_explanations"))
        statements.anew()

    def prepare(self, name: str, sql: str) -> None:
        """Prepare a SELECT over the views that rules read, for `rows`."""
        self._statements.add(name, sql)

    # — each batch —

    def fresh(self) -> tuple[str, ...]:
        """Return the parts that came in since, oldest first. Raises `Outdated` if what went in before is not what it was."""
        manifest = self._sources.accesses.manifest()
        now = {part.accesses: part.size for part in manifest.parts}
        if any(now.get(name) != size for name, size in self._parts.items()):
            raise Outdated("stored accesses were written anew")
        if set(manifest.superseded) != self._superseded:
            raise Outdated("a later record replaced an access")
        return tuple(name for name in now if name not in self._parts)

    def take(self, parts: Collection[str]) -> Batch:
        """Explain the accesses of some parts that `fresh` names: a source's batch is whole. Raises `Outdated`."""
        manifest = self._sources.accesses.manifest()
        self._statements.end()
        read = [self._read(part) for part in manifest.parts if part.accesses in parts]
        stored, touches = (pa.concat_tables(own) for own in zip(*read, strict=True))
        if manifest.fieldsets != list(self.fieldsets):
            self._set_fieldsets(manifest)
        if stored["derived"].null_count < len(stored):
            self._copied(stored, touches)
        if stored["derived_from"].null_count < len(stored):
            opened = stored.filter(pc.is_valid(stored["derived_from"]))
            self._opened.append(pa.table({"object": opened["derived_from"], "time": opened["time"]}))
        asked, found = self._look(stored, touches, manifest)
        if unknown := {entry.cls for entries in found.values() for entry in entries} - self._classes:
            self._statements.end()
            self._know_classes(unknown)
            asked, found = self._look(stored, touches, manifest)
        self._lay(asked)
        self._few.explain(asked)
        if found:
            self._statements.run("judge")
        self._remember(asked)
        self._parts.update({part.accesses: part.size for part in manifest.parts if part.accesses in parts})
        leaves = {*stored["leaf"].to_pylist(), *asked["access"].to_pylist()}
        return Batch(len(stored), frozenset(leaves))

    def _read(self, part: Part) -> tuple[pa.Table, pa.Table]:
        """Return accesses and touches of a part. Those that were read last are kept: a part never changes under its name."""
        if part.accesses not in self._lately:
            accesses, touches = self._sources.accesses.read(part, self._stored[0].names)
            self._lately[part.accesses] = (
                accesses.cast(self._stored[0]),
                touches.select(self._stored[1].names).cast(self._stored[1]),
            )
        found = self._lately[part.accesses] = self._lately.pop(part.accesses)
        for name in list(self._lately)[:-_LATELY]:
            del self._lately[name]
        return found

    def rows(self, name: str, *values: Sequence[int]) -> list[tuple[object, ...]]:
        """Run what was `prepare`d over the batch at hand."""
        return self._statements.rows(name, *values)

    def conclude(self, numbers: Collection[int]) -> dict[int, Verdict]:
        """Return what is to be said of some looks of the batch at hand."""
        return self._few.conclude(numbers)

    def _look(self, stored: pa.Table, touches: pa.Table, manifest: Manifest) -> tuple[pa.Table, Mapping[str, Sequence[Enrolment]]]:
        """Begin a batch: make its looks, and lay beside them earlier ones at the same people. Return what narrows them all, and who
        of those looked at is protected.
        """
        statements = self._statements
        statements.begin()
        statements.lay("few_stored", stored)
        statements.lay("few_touches", touches)
        statements.run("make_looks", self._next)
        self._made = statements.fetch("made_looks")
        people = _distinct(self._made, "key_subject")
        self._beside(people)
        if late := [_int(access) for (access,) in statements.rows("not_older")]:
            self._ask_again(late, set(people), manifest)
        statements.run("lay_others")
        asked = self._few.asked()
        found = self._sources.registry.enrolments(_distinct(asked, "subject"))
        statements.lay("registered", duties.registered(found))
        return asked, found

    def _ask_again(self, leaves: Sequence[int], beside: set[int], manifest: Manifest) -> None:
        """Ask all looks of some earlier accesses together with the new ones: the reason of a new look may be theirs.

        `beside`: the people whose earlier looks are there already.
        """
        pieces = [self._looks.take(self._looks.find("access", leaves)), *self._fresh.take(self._fresh.find("access", leaves))]
        again = _joined(pieces, _LOOKS)
        self._statements.lay("few_looks", again)
        times = pc.min_max(again["time"].cast(pa.int64())).as_py()
        wanted = pa.array(leaves, pa.int64())
        for part in manifest.parts:
            if part.accesses in self._parts and part.first <= times["max"] and times["min"] <= part.last:
                stored, _ = self._read(part)
                self._statements.lay("few_stored", stored.filter(pc.is_in(stored["leaf"], wanted)))
        self._beside({key for piece in pieces for key in _distinct(piece, "key_subject")} - beside)
        self._statements.run("not_earlier")

    def _beside(self, people: Collection[int]) -> None:
        """Lay earlier looks at the people with these keys, and what explained them."""
        columns = self._earlier.names
        pieces = [
            self._looks.take(self._looks.find("key_subject", people), columns),
            *self._fresh.take(self._fresh.find("key_subject", people)),
        ]
        earlier = _joined(pieces, self._earlier)
        numbers = earlier.column("look").to_pylist()
        held = self._reasons.take(self._reasons.find("key_subject", people))
        if again := self._fresh_reasons.known("look", numbers):
            held = held.filter(pc.invert(pc.is_in(held["look"], value_set=pa.array(again, pa.int64()))))
        reasons = [held, *self._fresh_reasons.take(self._fresh_reasons.find("look", numbers))]
        self._statements.lay("earlier_looks", earlier)
        self._statements.lay("earlier_explanations", _joined(reasons, _REASONS))

    def _lay(self, asked: pa.Table) -> None:
        """Lay before the templates the rows of large tables that the looks name."""
        statements, large = self._statements, self._large
        subjects, reasons = _distinct(asked, "key_subject"), {*_distinct(asked, "key_reason"), *self._changes}
        tickets = set(large["tickets"].find("key_subject", subjects)).union(large["tickets"].find("key_ticket", reasons))
        laid = large["tickets"].take(sorted(tickets))
        statements.lay("tickets", _without_keys(laid))
        given = large["assignments"].find("key_ticket", _distinct(laid, "key_ticket"))
        statements.lay("ticket_assignments", _without_keys(large["assignments"].take(given)))
        statements.lay("subjects", _without_keys(large["subjects"].take(large["subjects"].find("key_subject", subjects))))

    def _remember(self, asked: pa.Table) -> None:
        """Keep the new looks, and the reasons of all that were asked, for those who come after."""
        self._fresh.add(self._made, "key_subject", "access")
        self._next += len(self._made)
        self._fresh_reasons.forget("look", asked["look"].to_pylist())
        self._fresh_reasons.add(self._statements.fetch("keep_reasons"), "look")

    # — what changes seldom: tables are made, and all is planned again —

    def _show(self, accesses: str = "few_stored", touches: str = "few_touches") -> None:
        """Show what came in, or other stored rows, as the store does."""
        steady = self._statements.engine
        steady.run(f"CREATE OR REPLACE VIEW stored_accesses AS SELECT * FROM {accesses}")
        steady.run(f"CREATE OR REPLACE VIEW stored_touches AS SELECT * FROM {touches}")

    def _set_fieldsets(self, manifest: Manifest) -> None:
        """Bring up to date what is known of fields."""
        steady, sources = self._statements.engine, self._sources
        sources.accesses.register(steady, only=())
        views.build_fieldsets(steady, sources.datamap, sources.policy)
        looks.build_fieldset_facts(steady)
        self._show()
        self.fieldsets = tuple(manifest.fieldsets)
        self._know_classes(set())  # which field sets a class protects is asked anew

    def _know_classes(self, more: set[str]) -> None:
        """Bring up to date what policy says of classes, with some `more` of them."""
        self._classes |= more
        duties.build_classes(self._statements.engine, self._sources.policy, sorted(self._classes), self._sources.datamap)
        self._statements.anew()

    def _copied(self, stored: pa.Table, touches: pa.Table) -> None:
        """Bring `copies` up to date with what was written. A copy that was opened before changes who was looked at then."""
        steady = self._statements.engine
        written = stored.filter(pc.is_valid(stored["derived"]))
        steady.table("now_written", written)
        steady.table("now_written_touches", touches.filter(pc.is_in(touches["leaf"], written["leaf"].combine_chunks())))
        for name in ("written", "written_touches"):
            steady.run(f"INSERT INTO {name} BY NAME SELECT * FROM now_{name}")
        steady.run(f"CREATE OR REPLACE TABLE copies_before AS SELECT {_COPIES} FROM copies")
        steady.table("opened_before", pa.concat_tables(self._opened))
        self._show("written", "written_touches")
        looks.build_copies(steady)
        self._show()
        differ = f"(SELECT {_COPIES} FROM copies EXCEPT SELECT {_COPIES} FROM copies_before)"
        gone = f"(SELECT {_COPIES} FROM copies_before EXCEPT SELECT {_COPIES} FROM copies)"
        opened = f"""SELECT 1 FROM opened_before o INNER JOIN ({differ} UNION ALL {gone}) c ON c.object = o.object
                     WHERE c.written <= o.time + INTERVAL 1 HOUR LIMIT 1"""
        rewritten = "SELECT 1 FROM opened_before o INNER JOIN now_written w ON w.derived = o.object AND w.time <= o.time LIMIT 1"
        if steady.rows(opened) or steady.rows(rewritten):
            raise Outdated("a copy that had been opened was written again")
        self._statements.anew()


def _joined(pieces: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([piece.select(schema.names).cast(schema) for piece in pieces])


def _without_keys(table: pa.Table) -> pa.Table:
    return table.select([name for name in table.column_names if not name.startswith("key_")])


def _distinct(table: pa.Table, column: str) -> list[Any]:
    return [value for value in table.column(column).unique().to_pylist() if value is not None]


def _int(value: object) -> int:
    return int(str(value))
