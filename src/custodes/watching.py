"""Wires `custodes.watch` to a home: everything that the main path stands on, as of now."""

from __future__ import annotations

import base64
from datetime import datetime
from functools import partial

from custodes import explain, own_use, watch
from custodes.engine import Engine
from custodes.explain import granted, views, wholeness
from custodes.explain.kept import Ground, Keep
from custodes.guard.plan import REVEAL
from custodes.home import Home
from custodes.ledger import checkpoint
from custodes.ledger.signed import first_beyond
from custodes.ledger.witness_quorum import recorded_gaps
from custodes.model.run import Checkpoint, NotChecked, SourceCoverage
from custodes.store.accesses import Accesses


def rooms(home: Home, *, keep: bool = False, accesses: Accesses | None = None, threads: int | None = None) -> watch.Rooms:
    """Return everything that the main path stands on. The caller closes `engine`.

    `keep`: with the verdicts of earlier runs. `accesses`: other than the home's as they are now. `threads`: other than the settings
    say.
    """
    home.intake().take_in()
    context, accesses, registry = home.context(), accesses or home.accesses(), home.registry()
    shelf = own_use.noted_shelf(home.path, home.own_leaves(), home.record)
    loaded = granted.Granted(context, home.own_leaves(), partial(home.pseudonyms.once, "ref"))
    names = own_use.Names(home.access_id, partial(home.pseudonyms.once, "ref"))
    readers = [(system, home.pseudonyms.once("actor", REVEAL)) for system in sorted(home.settings.guard.databases)]
    point = home.checkpoint()

    def build(engine: Engine, since: datetime | None, until: datetime | None, known: views.Known | None = None) -> None:
        own = wholeness.Own(own_use.own_record(home.own_leaves(), names), readers)
        rest = home.datamap, home.policy, registry
        views.build(engine, accesses, loaded, *rest, since=since, until=until, own=own, known=known)

    engine = home.engine(threads)
    ground = Ground.of(home.policy, home.datamap, engine, loaded.tables)
    return watch.Rooms(
        engine=engine,
        build_views=build,
        policy=home.policy,
        loaded=context.tables() | loaded.tables,
        templates=explain.load_templates(),
        rules=shelf,
        checkpoint=_shown(point),
        signed_over=lambda index: _shown(first_beyond(home.path / "ledger" / "log" / "signed", index)),
        coverage=lambda _: coverage(home),
        rejected=rejected(home),
        unconfirmed=tuple(NotChecked("the record's witnesses", gap.text()) for gap in recorded_gaps(home.path / "ledger")),
        simulated=home.simulated,
        score=home.settings.rank.score,
        memory=own_use.memory(home.desk().findings(), home.own_leaves(), home.tag_key),
        record_score=lambda recipe, digest: own_use.note_score(home.own_leaves(), home.record, recipe, digest),
        keep=Keep(home.derived(), accesses, context, ground) if keep else None,
    )


def coverage(home: Home) -> tuple[SourceCoverage, ...]:
    """Return how much of each source names a subject, what such a log cannot show, and what intake noticed about it."""
    stored = home.accesses()
    notes = stored.notes()
    return tuple(
        SourceCoverage(
            name,
            state.tally.accesses,
            state.tally.resolved,
            tuple(state.cannot_see),
            tuple(dict.fromkeys(note["text"] for note in notes if note["source"] == name)),
        )
        for name, state in sorted(stored.manifest().sources.items())
    )


def rejected(home: Home) -> dict[str, int]:
    """Return rejected records by reason, over all sources."""
    counts: dict[str, int] = {}
    for state in home.accesses().manifest().sources.values():
        for reason, count in state.tally.rejected.items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def _shown(point: checkpoint.Checkpoint | None) -> Checkpoint | None:
    """Return a checkpoint as values that a run may hold and print."""
    if point is None:
        return None
    return Checkpoint(point.origin, point.size, base64.b64encode(point.root).decode("ascii"))
