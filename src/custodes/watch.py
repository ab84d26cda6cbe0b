"""The main path. Read this first: intake has recorded the accesses; here they are explained, judged, ranked and handed on.

Nothing is analysed that was not recorded: every view stands on the stored rows, and every stored row has its leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from custodes import explain, rule
from custodes.engine import Engine
from custodes.model.canonical import Json
from custodes.model.finding import Campaign, Finding
from custodes.model.policy import Policy
from custodes.model.run import Checkpoint, NotChecked, RankedBy, SourceCoverage, WatchRun
from custodes.rank import assemble, facts, lot_of_accesses, order, ring_looks, score, sift
from custodes.rank import pictured as pictured_facts

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a run stands on, handed in by the composition root. `build_views`: makes the views over the stored rows."""

    engine: Engine
    build_views: Callable[[Engine, datetime | None, datetime | None], None]
    policy: Policy
    loaded: set[str]
    templates: Sequence[explain.Template]
    rules: Sequence[rule.Rule]
    checkpoint: Checkpoint | None
    coverage: Callable[[Engine], tuple[SourceCoverage, ...]]
    rejected: Mapping[str, int] = field(default_factory=dict)
    unconfirmed: Sequence[NotChecked] = ()
    simulated: bool = False
    score: str = "auto"
    record_score: Callable[[Mapping[str, Json], str], None] = lambda _values, _digest: None


def run(
    rooms: Rooms,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    budget: int = order.DEFAULT_BUDGET,
    say: Say = lambda _: None,
) -> WatchRun:
    """Explain, detect, rank; return everything that was found and everything that could not be checked.

    Deterministic: the same record gives the same run. `say` gets one short line as each step begins.
    """
    engine = rooms.engine
    say("looking at the accesses with the context of their time")
    rooms.build_views(engine, since, until)
    say("asking each look for its innocent reason")
    explained = explain.run(engine, rooms.templates, rooms.policy, rooms.loaded)
    say("judging what is left")
    scored = score.scores(engine, rooms.score)
    if scored.recipe:
        rooms.record_score(scored.recipe.as_values(), scored.digest)  # a model orders nothing before its recipe is recorded
    ring_looks.build(engine, scored.weights)
    sieve = sift.Sieve(scored.by_access, budget)
    shelf = rule.run_shelf(engine, rooms.rules, rooms.loaded, sieve)
    say("putting it in order")
    ranked = assemble.rank(shelf.findings, facts.gather(engine, rooms.policy, scored.by_access, shelf.findings))
    quotas = {entry.code: entry.per_week for entry in rooms.rules if entry.per_week}
    shown, cut = order.within_budget(ranked.campaigns, ranked.leads, budget=budget, quotas=quotas)
    shown, told = scored.reasoned().tell(shown, _of(shown, ranked.findings))
    pictured = pictured_facts.gather(engine, shown)
    return WatchRun(
        simulated=rooms.simulated,
        since=since or pictured.since,
        until=until or pictured.until,
        budget=budget,
        accesses=pictured.accesses,
        looks=explained.looks,
        residue=explained.residue,
        explained=explained.explained,
        campaigns=tuple(shown),
        findings=told,
        cut=order.added(cut, sieve.cut),
        audit=lot_of_accesses.draw(engine, rooms.checkpoint, shown),
        not_checked=(*rooms.unconfirmed, *explained.not_checked, *shelf.not_checked),
        failed_rules=tuple(shelf.failed),
        coverage=rooms.coverage(engine),
        rejected=rooms.rejected,
        checkpoint=rooms.checkpoint,
        rules=tuple(shelf.uses),
        actors=pictured.actors,
        cells=pictured.cells,
        marks=pictured.marks,
        spans=pictured.spans,
        press=pictured.press,
        heat=pictured.heat,
        protected_actors=pictured.protected_actors,
        waterfall=pictured.waterfall,
        reasons_known=explained.reasons_known,
        engine=f"{engine.name} {engine.version}",
        ranked_by=RankedBy(scored.method, scored.why, scored.digest),
    )


def _of(shown: Sequence[Campaign], findings: Mapping[str, Finding]) -> dict[str, Finding]:
    return {name: findings[name] for campaign in shown for name in campaign.findings}
