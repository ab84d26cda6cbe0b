"""The main path. Read this first: intake has recorded the accesses; here they are explained, judged, ranked and handed on.

Nothing is analysed that was not recorded: every view stands on the stored rows, and every stored row has its leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from custodes import explain, rule
from custodes.engine import Engine, KeepingEngine
from custodes.explain.kept import Keep
from custodes.explain.views import Known
from custodes.intake import no_cycle_search
from custodes.model.canonical import Json
from custodes.model.finding import Campaign, Finding
from custodes.model.policy import Policy
from custodes.model.run import Checkpoint, NotChecked, RankedBy, SourceCoverage, WatchRun
from custodes.rank import again, assemble, coarse, facts, fairness, lot_of_accesses, order, ring_looks, score, sift, suppress
from custodes.rank import pictured as pictured_facts

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a run stands on, handed in by the composition root. `build_views`: makes the views over the stored rows.

    `memory`: what earlier runs left on the desk, and what two people agreed not to be shown. `signed_over`: the first checkpoint
    that was signed over a ledger index. `keep`: verdicts of earlier runs; none are used without it, or for a part of the record.
    """

    engine: KeepingEngine
    build_views: Callable[[Engine, datetime | None, datetime | None, Known | None], None]
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
    memory: again.Memory = field(default_factory=again.Memory)
    record_score: Callable[[Mapping[str, Json], str], None] = lambda _values, _digest: None
    signed_over: Callable[[int], Checkpoint | None] = lambda _index: None
    keep: Keep | None = None


@no_cycle_search()
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
    engine, memory = rooms.engine, rooms.memory
    say("looking at the accesses with the context of their time")
    keep = rooms.keep if since is None and until is None else None
    rooms.build_views(engine, since, until, keep)
    score.make_ready(engine, rooms.score)
    say("asking each look for its innocent reason")
    if keep:
        explained, kept = keep.explain(engine, rooms.templates, rooms.policy, rooms.loaded)
    else:
        explained, kept = explain.run(engine, rooms.templates, rooms.policy, rooms.loaded), None
    say("judging what is left")
    scored = score.scores(engine, rooms.score)
    if scored.recipe:
        rooms.record_score(scored.recipe.as_values(), scored.digest)  # a model orders nothing before its recipe is recorded
    ring_looks.build(engine, scored.weights)
    sieve = sift.Sieve(scored.by_access, budget, {leaf for one in memory.known for leaf in one.leaves})
    shelf = rule.run_shelf(engine, rooms.rules, rooms.loaded, sieve)
    say("putting it in order")
    printed = coarse.of_staff(engine)
    known_facts = facts.gather(engine, rooms.policy, scored.by_access, shelf.findings, printed)
    left, suppressed = suppress.divide(shelf.findings, memory.suppressions, memory.refer, known_facts.places)
    held_back = {finding.finding for finding in shelf.findings}.difference(finding.finding for finding in left)
    ran = {use.code for use in shelf.uses}
    days = {entry.code: entry.dedup_days for entry in rooms.rules if entry.code in ran}
    seen = again.compare(memory.known, left, again.Ran(sieve.met, days, held_back, since, until))
    ranked = assemble.rank(left, known_facts)
    quotas = {entry.code: entry.per_week for entry in rooms.rules if entry.per_week}
    shown, cut = order.within_budget(ranked.campaigns, ranked.leads, budget=budget, quotas=quotas)
    shown, told = scored.reasoned().tell(shown, _of(shown, ranked.findings))
    held = order.loud_beyond(ranked.campaigns, shown)
    pictured = pictured_facts.gather(engine, shown, printed)
    drawn = lot_of_accesses.draw(engine, rooms.signed_over, shown, pictured.accesses)
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
        held_back=held,
        held_findings=_of(held, ranked.findings),
        audit=drawn.accesses,
        audit_of=drawn.of,
        audit_by=drawn.by,
        suppressed=suppressed,
        changes=seen.changes,
        same=seen.same,
        repeats=seen.repeats,
        fairness=fairness.measure(engine, sieve.found, printed, pictured.about),
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
        kept=kept,
    )


def _of(shown: Sequence[Campaign], findings: Mapping[str, Finding]) -> dict[str, Finding]:
    return {name: findings[name] for campaign in shown for name in campaign.findings}
