"""A record that was explained, kept warm: a few new accesses are explained against it in the time that they are worth.

What a look can be joined with is found by the few subjects and reasons of a batch and laid before the templates; rows of context
that name none of them are not read. Earlier looks at the same people are there for templates that read verdicts, and are asked
again where a look comes in that is older than they. What cannot be brought up to date so is said (`Outdated`), never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from custodes.explain import duties, looks, views
from custodes.explain.few import Few, Verdict
from custodes.explain.held import Grown, Held
from custodes.model.arrow import ACCESSES, TOUCHES, VIEW_TYPES
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine
    from custodes.explain.template import Template
    from custodes.model.datamap import DataMap
    from custodes.model.policy import Policy
    from custodes.store.accesses import Accesses
    from custodes.store.manifest import Manifest

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
_SMALL: Final = ("staff_spans", "chain", "units", "case_subjects", "grant_fields", "legal_fields", "fieldsets", "fieldset_facts")
_KEPT: Final = frozenset(
    {*_SMALL, "purpose_beyond", "copies", "policy_regions", "policy_purposes", "policy_never", "policy_settings", "policy_legal"}
    | {"written", "written_touches", "opened_before", "case_assignments", "accesses", "reasons", "selectors"}
    | {"registered", "class_duties", "class_explained", "class_legal", "class_asks_legal", "class_fieldsets"}
)
"""Tables that stay as they are in the engine; all others that a full run made are given back."""
_LOOKS: Final = pa.schema([(name, VIEW_TYPES[kind]) for name, kind in VIEWS["looks"].items()])
_REASONS: Final = pa.schema([(name, VIEW_TYPES[kind]) for name, kind in VIEWS["explanations"].items()])
_COPIES: Final = "object, subject, certainty, fieldset, written"
_KEY: Final = "CASE WHEN subject IS NOT NULL THEN hash(CAST(subject AS VARCHAR)) END"
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
    """The warm state in one engine, which must hold what a full run leaves: views, verdicts, duties. It serves until `Outdated`."""

    def __init__(self, engine: Engine, sources: Sources, manifest: Manifest) -> None:
        """`manifest`: the store as the full run saw it. Takes the engine over: verdicts on the whole record are gone afterwards."""
        self._engine, self._sources = engine, sources
        self._parts = {part.accesses: part.size for part in manifest.parts}
        self._superseded, self._fieldsets = set(manifest.superseded), list(manifest.fieldsets)
        self._classes: set[str] = set()
        self._few = Few(engine, sources.templates, sources.policy, sources.loaded)
        self._after = sorted({code for template in sources.templates for code in template.after})
        changes = engine.rows("SELECT DISTINCT hash(change) FROM jobs WHERE change IS NOT NULL")
        self._changes = [_int(value) for (value,) in changes]
        self._hold_history()
        self._hold_context()
        self._clear()
        self._point()

    # — made once —

    def _hold_history(self) -> None:
        engine = self._engine
        keys = {"key_subject": "key_subject", "access": "access"}
        self._looks = Held(engine, f"SELECT {_LISTED}, {_KEY} AS key_subject FROM looks", keys)
        listed = ", ".join(f"'{code}'" for code in self._after) or "''"
        self._reasons_of = f"SELECT * FROM {{table}} WHERE template IN ({listed})"
        reasons = f"SELECT *, {_KEY} AS key_subject FROM ({self._reasons_of.format(table='explanations')})"
        self._reasons = Held(engine, reasons, {"key_subject": "key_subject"})
        self._fresh, self._fresh_reasons = Grown(), Grown()
        self._next = _int(engine.rows("SELECT coalesce(max(look) + 1, 0) FROM looks")[0][0])
        engine.run("CREATE OR REPLACE TABLE written AS SELECT * FROM stored_accesses WHERE derived IS NOT NULL")
        engine.run(
            "CREATE OR REPLACE TABLE written_touches AS SELECT * FROM stored_touches WHERE leaf IN (SELECT leaf FROM written)"
        )
        engine.run(
            """CREATE OR REPLACE TABLE opened_before AS
               SELECT derived_from AS object, time FROM stored_accesses WHERE derived_from IS NOT NULL"""
        )

    def _hold_context(self) -> None:
        engine = self._engine
        self._large = {name: Held(engine, _LARGE[name], {key: key for key in _KEYS[name]}) for name in _LARGE}
        engine.run('CREATE OR REPLACE TABLE case_assignments AS SELECT * FROM assignments WHERE "case" IS NOT NULL')
        for name in set(TABLES) - set(_LARGE):
            engine.run(f"CREATE OR REPLACE TABLE warm_{name} AS SELECT * FROM {name}")

    def _clear(self) -> None:
        """Give back what only a full run needs."""
        engine, kept = self._engine, _KEPT | {f"warm_{name}" for name in TABLES}
        there = engine.rows("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'main'")
        for name, kind in sorted(there, key=lambda entry: entry[1] != "VIEW"):
            if name not in kept:
                engine.run(f'DROP {"VIEW" if kind == "VIEW" else "TABLE"} "{name}"')
        for name in set(TABLES) - set(_LARGE):
            engine.run(f"ALTER TABLE warm_{name} RENAME TO {name}")

    def _point(self) -> None:
        """Make the views that templates and rules read, over the tables that each batch fills."""
        engine = self._engine
        engine.table("few_stored", ACCESSES.empty_table())
        engine.table("few_touches", TOUCHES.empty_table())
        self._stored(alone=True)
        looks.build_few(engine, "few_looks", self._next)
        self._beside([])
        engine.run("CREATE OR REPLACE VIEW looks AS SELECT * FROM few_looks")
        self._lay()
        engine.run(
            "CREATE OR REPLACE VIEW assignments AS SELECT * FROM ticket_assignments UNION ALL SELECT * FROM case_assignments"
        )
        self._owed = True
        self._explain()
        engine.run("CREATE OR REPLACE VIEW explanations AS SELECT * FROM few_explanations")
        engine.run(
            "CREATE OR REPLACE VIEW residue AS SELECT * FROM few_looks WHERE look NOT IN (SELECT look FROM few_explanations)"
        )

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
        engine = self._engine
        manifest = self._sources.accesses.register(engine, only=parts)
        engine.run("CREATE OR REPLACE TABLE few_stored AS SELECT * FROM stored_accesses")
        engine.run("CREATE OR REPLACE TABLE few_touches AS SELECT * FROM stored_touches")
        self._stored(alone=True)
        count, writes, opens = engine.rows("SELECT count(*), count(derived), count(derived_from) FROM few_stored")[0]
        if manifest.fieldsets != self._fieldsets:
            views.build_fieldsets(engine, self._sources.datamap, self._sources.policy)
            looks.build_fieldset_facts(engine)
            self._fieldsets, self._classes = list(manifest.fieldsets), set()  # which of them a class protects is asked anew
        if writes:
            self._copied()
        if opens:
            engine.run("INSERT INTO opened_before SELECT derived_from, time FROM few_stored WHERE derived_from IS NOT NULL")
        looks.build_few(engine, "few_looks", self._next)
        made = engine.fetch(f"SELECT *, {_KEY} AS key_subject FROM few_looks ORDER BY look")
        self._beside(_distinct(made, "key_subject"))
        if late := self._not_older():
            self._ask_again(late, manifest)
        self._stored(alone=False)
        self._lay()
        self._explain()
        self._remember(made)
        self._parts.update({part.accesses: part.size for part in manifest.parts if part.accesses in parts})
        asked = {_int(leaf) for (leaf,) in engine.rows("SELECT leaf FROM few_stored UNION SELECT access FROM few_looks")}
        return Batch(_int(count), frozenset(asked))

    def conclude(self, numbers: Collection[int]) -> dict[int, Verdict]:
        """Return what is to be said of some looks of the batch at hand."""
        return self._few.conclude(numbers)

    def _stored(self, *, alone: bool) -> None:
        """Show what came in, `alone` or with the earlier writings of what it opens: who opens may have the reason of who wrote."""
        beside = """ UNION ALL SELECT * FROM written WHERE derived IN (SELECT derived_from FROM few_stored)
            AND leaf NOT IN (SELECT leaf FROM few_stored)"""
        self._engine.run(f"CREATE OR REPLACE VIEW stored_accesses AS SELECT * FROM few_stored{'' if alone else beside}")
        self._engine.run("CREATE OR REPLACE VIEW stored_touches AS SELECT * FROM few_touches")

    def _copied(self) -> None:
        """Bring `copies` up to date with what was written. A copy that was opened before changes who was looked at then."""
        engine = self._engine
        engine.run("INSERT INTO written SELECT * FROM few_stored WHERE derived IS NOT NULL")
        engine.run(
            """INSERT INTO written_touches SELECT * FROM few_touches
               WHERE leaf IN (SELECT leaf FROM few_stored WHERE derived IS NOT NULL)"""
        )
        engine.run(f"CREATE OR REPLACE TABLE copies_before AS SELECT {_COPIES} FROM copies")
        engine.run("CREATE OR REPLACE VIEW stored_accesses AS SELECT * FROM written")
        engine.run("CREATE OR REPLACE VIEW stored_touches AS SELECT * FROM written_touches")
        looks.build_copies(engine)
        self._stored(alone=True)
        differ = f"(SELECT {_COPIES} FROM copies EXCEPT SELECT {_COPIES} FROM copies_before)"
        gone = f"(SELECT {_COPIES} FROM copies_before EXCEPT SELECT {_COPIES} FROM copies)"
        opened = f"""SELECT 1 FROM opened_before o INNER JOIN ({differ} UNION ALL {gone}) c ON c.object = o.object
                     WHERE c.written <= o.time + INTERVAL 1 HOUR LIMIT 1"""
        rewritten = "SELECT 1 FROM opened_before o INNER JOIN few_stored w ON w.derived = o.object AND w.time <= o.time LIMIT 1"
        if engine.rows(opened) or engine.rows(rewritten):
            raise Outdated("a copy that had been opened was written again")

    def _not_older(self) -> list[int]:
        """Return the leaves of earlier looks that are not older than a new look at the same person: its reason may be theirs."""
        late = self._engine.rows(
            """SELECT DISTINCT e.access FROM earlier_looks e INNER JOIN (
                 SELECT subject, min(time) AS since FROM few_looks WHERE subject IS NOT NULL GROUP BY subject) n
               ON n.subject = e.subject AND n.since <= e.time"""
        )
        return [_int(access) for (access,) in late]

    def _ask_again(self, leaves: Sequence[int], manifest: Manifest) -> None:
        """Ask all looks of some earlier accesses together with the new ones."""
        engine = self._engine
        again = [self._looks.take(self._looks.find("access", leaves)), *self._fresh.take(self._fresh.find("access", leaves))]
        engine.table("again", _joined(again, _LOOKS))
        engine.run(f"INSERT INTO few_looks SELECT {_LISTED} FROM again")
        first, last = (_int(value) for value in engine.rows("SELECT epoch_us(min(time)), epoch_us(max(time)) FROM again")[0])
        near = [
            part.accesses for part in manifest.parts if part.accesses in self._parts and part.first <= last and first <= part.last
        ]
        self._sources.accesses.register(engine, only=near)
        engine.run("INSERT INTO few_stored SELECT * FROM stored_accesses WHERE leaf IN (SELECT access FROM again)")
        self._beside(
            [_int(key) for (key,) in engine.rows("SELECT DISTINCT hash(subject) FROM few_looks WHERE subject IS NOT NULL")]
        )
        engine.run("DELETE FROM earlier_looks WHERE look IN (SELECT look FROM few_looks)")

    def _beside(self, subjects: Sequence[int]) -> None:
        """Make `earlier_looks` at the people with these keys, and by `earlier_explanations` what explained them."""
        pieces = [
            self._looks.take(self._looks.find("key_subject", subjects)),
            *self._fresh.take(self._fresh.find("key_subject", subjects)),
        ]
        earlier = _joined(pieces, _LOOKS)
        numbers = earlier.column("look").to_pylist()
        held = self._reasons.take(self._reasons.find("key_subject", subjects))
        if again := [number for number in numbers if self._fresh_reasons.knows("look", number)]:
            held = held.filter(pc.invert(pc.is_in(held["look"], value_set=pa.array(again, pa.int64()))))
        reasons = [held, *self._fresh_reasons.take(self._fresh_reasons.find("look", numbers))]
        self._engine.table("earlier_looks", earlier)
        self._engine.table("earlier_explanations", _joined(reasons, _REASONS))

    def _lay(self) -> None:
        """Lay before the templates the rows of large tables that the looks name."""
        engine, large = self._engine, self._large
        named = engine.rows("SELECT DISTINCT hash(subject), hash(reason), subject IS NULL, reason IS NULL FROM few_looks")
        subjects = {_int(subject) for subject, _, nobody, _ in named if not nobody}
        reasons = {_int(reason) for _, reason, _, nothing in named if not nothing}.union(self._changes)
        tickets = set(large["tickets"].find("key_subject", subjects)).union(large["tickets"].find("key_ticket", reasons))
        laid = large["tickets"].take(sorted(tickets))
        engine.table("tickets", _without_keys(laid))
        given = large["assignments"].find("key_ticket", _distinct(laid, "key_ticket"))
        engine.table("ticket_assignments", _without_keys(large["assignments"].take(given)))
        engine.table("subjects", _without_keys(large["subjects"].take(large["subjects"].find("key_subject", subjects))))

    def _explain(self) -> None:
        engine, sources = self._engine, self._sources
        self._few.explain()
        people = [str(subject) for (subject,) in engine.rows("SELECT DISTINCT subject FROM few_looks WHERE subject IS NOT NULL")]
        if found := sources.registry.enrolments(people):
            if not duties.register(engine, found) <= self._classes:
                duties.build(engine, sources.policy, sources.registry, sources.datamap)
                self._classes = {entry.cls for entries in found.values() for entry in entries}
            duties.judge(engine)
            self._owed = True
        elif self._owed:
            engine.run("CREATE OR REPLACE TABLE obligations (access BIGINT, subject VARCHAR, duty VARCHAR, met INTEGER)")
            self._owed = False

    def _remember(self, made: pa.Table) -> None:
        """Keep the new looks, and the reasons of all that were asked, for those who come after."""
        self._fresh.add(made, "key_subject", "access")
        self._next += len(made)
        asked = [number for (number,) in self._engine.rows("SELECT look FROM few_looks")]
        self._fresh_reasons.forget("look", asked)
        self._fresh_reasons.add(self._engine.fetch(self._reasons_of.format(table="few_explanations")), "look")


def _joined(pieces: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([piece.select(schema.names).cast(schema) for piece in pieces])


def _without_keys(table: pa.Table) -> pa.Table:
    return table.select([name for name in table.column_names if not name.startswith("key_")])


def _distinct(table: pa.Table, column: str) -> list[int]:
    return [value for value in table.column(column).unique().to_pylist() if value is not None]


def _int(value: object) -> int:
    return int(str(value))
