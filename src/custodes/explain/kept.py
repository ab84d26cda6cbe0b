"""Verdicts of earlier runs, kept: a new day is explained, and what later rows of context can bear on; the rest stands.

Rules this page keeps: a look keeps its verdict only while everything that it stands on is the same (program, policy, data map,
staff, the parts that went in), or what changed names neither its subject, nor its reason, nor its reader; where that cannot be told
every look is asked again, and the run says why. A run over a part of the record neither uses nor changes what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from custodes.explain import duties, looks, touched, verdicts
from custodes.model.arrow import VIEW_TYPES, context_schema
from custodes.model.run import Kept
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS
from custodes.store.derived import Derived, State

if TYPE_CHECKING:
    from custodes.context.tables import ContextStore
    from custodes.engine import Engine, KeepingEngine
    from custodes.explain.template import Template
    from custodes.explain.verdicts import Explained
    from custodes.model.datamap import DataMap
    from custodes.model.policy import Policy
    from custodes.store.accesses import Accesses

VERDICTS: Final = ("explanations", "flags", "lacks", "residue")
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "explanations": ("look", "access", "subject", "template", "strength", "evidence_table", "evidence_key"),
    "flags": ("look", "access", "subject", "template", "code", "evidence_table", "evidence_key"),
    "lacks": ("look", "access", "subject", "token", "evidence_table", "evidence_key"),
    "residue": ("look",),
}
_COPIES: Final = ("object", "subject", "certainty", "fieldset", "written")
_NUMBERS: Final = {
    "look": pa.int64(),
    "access": pa.int64(),
    "strength": pa.int32(),
    "run": pa.int32(),
    "written": pa.timestamp("us"),
}
_MOST_RUNS: Final = 40
"""Runs whose files lie beside each other; then everything is put into one again."""
_LOOKS: Final = tuple(VIEWS["looks"])


@dataclass(frozen=True, slots=True)
class Ground:
    """What verdicts stand on besides accesses and context: `policy` and `datamap` in words, and what the engine is.

    `from_record`: grants and approvals come from the home's own leaves, not from loads.
    """

    policy: str
    datamap: str
    engine: str
    from_record: bool = False

    @classmethod
    def of(cls, policy: Policy, datamap: DataMap, engine: Engine, from_record: Collection[str]) -> Ground:
        """Return what a run stands on. `from_record`: tables that come from the home's own leaves."""
        return cls(repr(policy), repr(datamap), f"{engine.name} {engine.version}", bool(from_record))


class Keep:
    """What one run takes from earlier ones and leaves to later ones. It serves one run."""

    def __init__(self, derived: Derived, accesses: Accesses, context: ContextStore, ground: Ground) -> None:
        self._derived, self._accesses, self._context, self._ground = derived, accesses, context, ground
        self._state, self._why = derived.read()
        self._began = self._inputs()
        self._asked = 0
        self._new_copies = True

    # — in the place of building all looks —

    def copies(self, engine: Engine) -> None:
        """Make `copies`: as kept where no new access wrote one, else worked out anew."""
        if self._state is not None:
            self._why = self._changed_parts(engine) or self._changed_ground()
        if self._why or self._state is None:
            looks.build_copies(engine)
            return
        state = self._state
        _files(engine, "kept_copies", self._derived.paths(state, "copies"), _COPIES)
        self._accesses.register(engine, only=self._new)
        self._new_copies = bool(engine.rows("SELECT 1 FROM stored_accesses WHERE derived IS NOT NULL LIMIT 1"))
        self._accesses.register(engine)
        if self._new_copies:
            looks.build_copies(engine)
        else:
            engine.run("CREATE OR REPLACE TABLE copies AS SELECT * FROM kept_copies")

    def looks(self, engine: Engine) -> None:
        """Make `looks` of what is kept and what is new."""
        for name in set(TABLES) - set(touched.SNAPSHOTS):
            if len(self._context.version(name)) > 1:  # what several loads say of a row is worked out once, not by every reader
                engine.run(f"CREATE OR REPLACE TABLE {name}_now AS SELECT * FROM {name}")
                engine.run(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {name}_now")
        if not self._why and self._state is not None:
            _files(engine, "kept_looks", self._derived.paths(self._state, "looks"), _LOOKS)
            self._why = self._changed_copies(engine)
        if self._why or self._state is None:
            looks.build_looks(engine, None)
            return
        self._accesses.register(engine, only=self._new)
        looks.build_looks(engine, None)
        self._accesses.register(engine)
        made = ", ".join(_as_text(name, f"look + {self._state.looks}") for name in _LOOKS)
        engine.run(f"CREATE OR REPLACE TABLE made_looks AS SELECT {made} FROM looks")
        engine.run("DROP VIEW looks")
        engine.run("DROP TABLE stored_looks")
        kept = f"SELECT {', '.join(_LOOKS)} FROM kept_looks UNION ALL SELECT {', '.join(_LOOKS)} FROM made_looks"
        looks.hold(engine, kept)
        engine.run(f"CREATE OR REPLACE VIEW old_looks AS SELECT * FROM held_looks WHERE look < {self._state.looks}")
        engine.run(f"CREATE OR REPLACE VIEW new_looks AS SELECT * FROM held_looks WHERE look >= {self._state.looks}")
        engine.run("CREATE OR REPLACE VIEW looks AS SELECT * FROM held_looks")

    # — in the place of explaining all of them —

    def explain(
        self, engine: KeepingEngine, templates: Sequence[Template], policy: Policy, loaded: set[str]
    ) -> tuple[Explained, Kept]:
        """Explain what has to be, put it beside what is kept, and keep it. The views are then as after `verdicts.run`."""
        if not self._why and self._state is not None:
            self._why = self._find_touched(engine, templates, loaded)
            if self._why:
                self._whole_again(engine)
        if self._why or self._state is None:
            explained = verdicts.run(engine, templates, policy, loaded)
            self._save_all(engine, templates, loaded)
            return explained, Kept(explained.looks, 0, self._why)
        explained = self._resume(engine, templates, policy, loaded)
        self._save_more(engine, templates, loaded)
        return explained, Kept(self._asked, explained.looks - self._asked, "")

    def _whole_again(self, engine: Engine) -> None:
        for name in ("looks", "new_looks", "old_looks"):
            engine.run(f"DROP VIEW {name}")
        engine.run("DROP TABLE held_looks")  # its codes are about to be made anew
        if not self._new_copies:
            looks.build_copies(engine)
        looks.build_looks(engine, None)

    def _resume(self, engine: KeepingEngine, templates: Sequence[Template], policy: Policy, loaded: set[str]) -> Explained:
        engine.run("CREATE OR REPLACE TABLE asked_looks AS SELECT * FROM held_looks WHERE look IN (SELECT look FROM asked)")
        self._asked = int(str(engine.rows("SELECT count(*) FROM asked_looks")[0][0]))
        for name in VERDICTS:
            columns = (*_COLUMNS[name], "run")
            _files(engine, f"old_{name}", self._derived.paths(self._state, name) if self._state else [], columns)
        _files(engine, "kept_voided", self._derived.paths(self._state, "voided") if self._state else [], ("look", "run"))
        voided = bool(engine.rows("SELECT 1 FROM kept_voided LIMIT 1"))
        for name in VERDICTS:
            still = " AND NOT EXISTS (SELECT 1 FROM kept_voided v WHERE v.look = o.look AND v.run > o.run)" if voided else ""
            engine.run(
                f"CREATE OR REPLACE VIEW kept_{name} AS SELECT {', '.join(_COLUMNS[name])} FROM old_{name} o "
                f"WHERE o.look NOT IN (SELECT look FROM asked){still}"
            )
        course = _Course(engine)
        explained = verdicts.run(engine, templates, policy, loaded, course)
        for name in VERDICTS:
            engine.run(f"ALTER TABLE {name} RENAME TO fresh_{name}")
            listed = ", ".join(_COLUMNS[name])
            # In memory: rules read each of them many times, and the files again and again would cost more.
            both = f"SELECT {listed} FROM kept_{name} UNION ALL SELECT {listed} FROM fresh_{name}"
            if name == "residue":
                both = f"SELECT * FROM held_looks WHERE look IN ({both})"
            engine.run(f"CREATE TABLE {name} AS {both}")
        _point(engine, "SELECT * FROM held_looks")
        duties.judge(engine)
        counts = engine.rows("SELECT template, count(DISTINCT look) FROM explanations GROUP BY template ORDER BY template")
        return replace(
            explained,
            looks=int(str(engine.rows("SELECT count(*) FROM looks")[0][0])),
            residue=int(str(engine.rows("SELECT count(*) FROM residue")[0][0])),
            explained={str(code): int(str(count)) for code, count in counts},
        )

    # — what changed —

    def _changed_ground(self) -> str:
        state = self._state
        if state is None:
            return "nothing was kept"
        now = self._basis()
        for word, digest in now.items():
            if state.basis.get(word) != digest:
                return f"{word} changed"
        return ""

    def _basis(self) -> dict[str, str]:
        ground = self._ground
        return {
            "the program": _digest(_program()),
            "the engine": _digest(ground.engine),
            "policy": _digest(ground.policy),
            "the data map": _digest(ground.datamap),
        }

    def _changed_parts(self, engine: Engine) -> str:
        """Parts are only ever added; one that is gone or was written anew may have lost rows of somebody who was erased."""
        state, (now, superseded, _) = self._state, self._began
        if state is None:
            return "nothing was kept"
        if any(now.get(name) != size for name, size in state.parts.items()):
            return "stored accesses were written anew"
        hidden = set(superseded) - set(state.superseded)
        if set(state.superseded) - set(superseded):
            return "stored accesses were written anew"
        if hidden:
            engine.table("hidden", pa.table({"leaf": pa.array(sorted(hidden), pa.int64())}))
            _files(engine, "kept_looks", self._derived.paths(state, "looks"), _LOOKS)
            if engine.rows("SELECT 1 FROM kept_looks WHERE access IN (SELECT leaf FROM hidden) LIMIT 1"):
                return "a later record replaced an access that had been explained"
        if state.runs >= _MOST_RUNS:
            return "what is kept is put together again"
        self._new = frozenset(now) - frozenset(state.parts)
        return ""

    def _changed_copies(self, engine: Engine) -> str:
        """A copy written later than it was opened changes who was looked at then."""
        if not self._new_copies:
            return ""
        columns = ", ".join(_COPIES)
        engine.run(
            f"""CREATE OR REPLACE TABLE changed_copies AS
                (SELECT {columns} FROM copies EXCEPT SELECT {columns} FROM kept_copies)
                UNION ALL (SELECT {columns} FROM kept_copies EXCEPT SELECT {columns} FROM copies)"""
        )
        opened = engine.rows(
            """SELECT 1 FROM kept_looks k INNER JOIN changed_copies c ON c.object = k.derived_from
               WHERE c.written <= k.time + INTERVAL 1 HOUR LIMIT 1"""
        )
        written = engine.rows(
            """SELECT 1 FROM stored_accesses w INNER JOIN kept_looks k ON k.derived_from = w.derived AND w.time <= k.time
               WHERE w.leaf NOT IN (SELECT access FROM kept_looks) AND w.derived IS NOT NULL LIMIT 1"""
        )
        return "a copy that had been opened was written again" if opened or written else ""

    def _find_touched(self, engine: Engine, templates: Sequence[Template], loaded: set[str]) -> str:
        """Make `asked`: the new looks, and the kept ones that something new can bear on. Return why that cannot be told."""
        state = self._state
        if state is None:
            return "nothing was kept"
        if state.basis.get("templates") != _templates(templates):
            return "templates changed"
        if state.basis.get("tables") != _digest(" ".join(sorted(loaded))):
            return "a table of context is loaded that was not"
        if any(template.repeat for template in templates):
            return "a template reads its own verdicts"
        before = state.context
        versions = self._began[2]
        if gone := [name for name in TABLES if set(before.get(name, ())) - set(versions[name])]:
            return f"loads of {', '.join(gone)} were written anew"
        for name in touched.SNAPSHOTS:
            _context_files(engine, f"was_{name}", self._derived.paths(state, f"was_{name}"), name)
        changed = [
            name
            for name in TABLES
            if versions[name] != list(before.get(name, ())) or (name in touched.SNAPSHOTS and self._ground.from_record)
        ]
        read = {table for template in templates if set(template.tables) <= loaded for table in template.tables}
        if why := touched.unbounded(changed, read):
            return why
        touched.compare(engine, self._context, before, [name for name in changed if name not in touched.NO_REASON])
        if touched.jobs_hang_on(engine):
            return "the change ticket of a job differs"
        touched.find(engine, "old_looks")
        engine.run(
            """CREATE OR REPLACE TABLE asked AS SELECT look FROM new_looks UNION SELECT look FROM touched
               UNION SELECT k.look FROM old_looks k
               INNER JOIN (SELECT subject, min(time) AS since FROM new_looks WHERE subject IS NOT NULL GROUP BY subject) n
               ON n.subject = k.subject AND n.since <= k.time"""
        )
        return ""

    # — keeping —

    def _save_all(self, engine: KeepingEngine, templates: Sequence[Template], loaded: set[str]) -> None:
        state = self._described(templates, loaded, runs=0)
        state.looks = int(str(engine.rows("SELECT coalesce(max(look) + 1, 0) FROM looks")[0][0]))
        selects = {"looks": f"SELECT {', '.join(_LOOKS)} FROM looks"}
        selects |= {name: f"SELECT {', '.join(_COLUMNS[name])}, 0 AS run FROM {name}" for name in VERDICTS}
        self._write(engine, state, {**selects, **_small()}, anew=True)

    def _save_more(self, engine: KeepingEngine, templates: Sequence[Template], loaded: set[str]) -> None:
        old = self._state
        if old is None:
            return
        run = old.runs + 1
        state = self._described(templates, loaded, runs=run)
        state.pieces = {table: pieces for table, pieces in old.pieces.items() if table not in _small()}
        state.looks = old.looks + int(str(engine.rows("SELECT count(*) FROM new_looks")[0][0]))
        selects = {"looks": f"SELECT {', '.join(_LOOKS)} FROM new_looks"}
        selects |= {name: f"SELECT {', '.join(_COLUMNS[name])}, {run} AS run FROM fresh_{name}" for name in VERDICTS}
        selects["voided"] = f"SELECT look, {run} AS run FROM asked WHERE look < {old.looks}"
        self._write(engine, state, {**selects, **_small()}, anew=False)

    def _described(self, templates: Sequence[Template], loaded: set[str], runs: int) -> State:
        basis = {**self._basis(), "templates": _templates(templates), "tables": _digest(" ".join(sorted(loaded)))}
        parts, superseded, context = self._began
        return State(basis=basis, parts=parts, superseded=superseded, context=context, runs=runs)

    def _inputs(self) -> tuple[dict[str, int], tuple[int, ...], dict[str, list[str]]]:
        """Return what is stored now: parts with their sizes, hidden rows, loads of each table."""
        manifest = self._accesses.manifest()
        context = {name: list(self._context.version(name)) for name in TABLES}
        return {part.accesses: part.size for part in manifest.parts}, manifest.superseded, context

    def _write(self, engine: KeepingEngine, state: State, selects: Mapping[str, str], *, anew: bool) -> None:
        if self._inputs() != self._began:
            return  # something came in while this run was reading: what it worked out may hold half of it, and is not kept
        written: dict[str, Path] = {}
        for table, sql in selects.items():
            path = self._derived.room()
            engine.keep(sql, str(path))
            written[table] = path
        self._derived.commit(state, written, anew=anew)


class _Course:
    """Templates are tried on the looks that are asked; one that reads verdicts also sees earlier looks at the same people."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._beside = False
        _point(engine, "SELECT * FROM asked_looks")

    def before(self, template: Template) -> None:
        engine = self._engine
        if not template.after:
            return
        near = "subject IN (SELECT subject FROM asked_looks)"
        if not self._beside:
            self._beside = True
            engine.run(
                f"""INSERT INTO explanations BY NAME SELECT {", ".join(_COLUMNS["explanations"])} FROM kept_explanations
                    WHERE {near} AND template IN ({", ".join(f"'{code}'" for code in template.after)})"""
            )
        _point(
            engine,
            f"SELECT * FROM asked_looks UNION ALL SELECT * FROM old_looks WHERE look NOT IN (SELECT look FROM asked) AND {near}",
        )

    def judged(self) -> None:
        for name in ("explanations", "tried"):
            self._engine.run(f"DELETE FROM {name} WHERE look NOT IN (SELECT look FROM asked)")
        _point(self._engine, "SELECT * FROM asked_looks")


def _as_text(column: str, number: str) -> str:
    """Return how a column of a look just made is kept: a word is a text, whatever code the engine has for it."""
    if column == "look":
        return f"{number} AS look"
    return f"CAST({column} AS VARCHAR) AS {column}" if VIEWS["looks"][column] == "VARCHAR" else column


def _point(engine: Engine, select: str) -> None:
    engine.run(f"CREATE OR REPLACE VIEW looks AS {select}")


def _small() -> dict[str, str]:
    """Return what is kept whole by every run, instead of beside what was kept."""
    snapshots = {f"was_{name}": f"SELECT * FROM {name}" for name in touched.SNAPSHOTS}
    return {"copies": f"SELECT {', '.join(_COPIES)} FROM copies", **snapshots}


def _files(engine: Engine, name: str, files: Sequence[str], columns: Sequence[str]) -> None:
    kinds = VIEWS["looks"]
    schema = pa.schema([(column, _NUMBERS.get(column) or VIEW_TYPES[kinds.get(column, "VARCHAR")]) for column in columns])
    engine.parquet(name, files, schema)


def _context_files(engine: Engine, name: str, files: Sequence[str], table: str) -> None:
    engine.parquet(name, files, context_schema(table))


def _templates(templates: Sequence[Template]) -> str:
    return _digest(" ".join(sorted(template.digest for template in templates)))


def _program() -> str:
    """Return the text of everything that looks and verdicts are made by."""
    rooms: Sequence[tuple[str, Callable[[str], bool]]] = (
        ("custodes.explain", lambda name: name.endswith(".py")),
        ("custodes.model", lambda name: name in {"views.py", "tables.py", "arrow.py", "policy.py", "datamap.py"}),
        ("custodes.dialect", lambda name: name.endswith(".py")),
    )
    texts = []
    for room, wanted in rooms:
        entries = sorted((entry for entry in resources.files(room).iterdir() if wanted(entry.name)), key=lambda entry: entry.name)
        texts += [entry.read_text("utf-8") for entry in entries]
    return "\0".join(texts)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=32).hexdigest()
