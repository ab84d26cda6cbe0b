"""One simulated company, from nothing to a verdict: build, load, watch, compare with its truth, replay for the time to detect.

Everything happens in a temporary folder that is removed afterwards. `truth.json` is opened after the company was watched.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from custodes import watch, watching, world
from custodes.errors import CouldNotCheck, CustodesError
from custodes.evaluate import scenarios_score as score
from custodes.home import Home
from custodes.home_making import make_home
from custodes.rank import order
from custodes.world.language import library

if TYPE_CHECKING:
    from custodes.model.finding import Campaign, Finding
    from custodes.model.run import WatchRun

Load = Callable[[Home, Path], object]
_AFTER: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Case:
    """What to judge: scenarios that stand in one company. `twins`: innocent look-alikes of each kind.

    `replay`: also find out how early each would have been seen. `wrong_labels`: also label what was shown, so many per cent of it
    wrongly, and watch again.
    """

    scenarios: tuple[str, ...]
    seed: int
    level: str
    size: str | None
    twins: int
    replay: bool
    file: Path | None = None
    wrong_labels: int | None = None


def judge(case: Case, load: Load) -> dict[str, Any]:
    """Return the figures of one world, or, where it cannot be judged, `not_judged` with the reason; never both."""
    began = monotonic()
    head = {"scenario": "+".join(case.scenarios), "seed": case.seed, "level": case.level}
    try:
        with TemporaryDirectory(prefix="custodes-scenario-") as scratch:
            figures = _judge(case, load, Path(scratch))
    except CustodesError as wrong:
        return head | {"not_judged": f"{wrong}{f' ({wrong.hint})' if wrong.hint else ''}"}
    return head | figures | {"seconds": round(monotonic() - began, 1)}


def _judge(case: Case, load: Load, scratch: Path) -> dict[str, Any]:
    exports = scratch / "exports"
    built = world.build(
        _wanted(case), seed=case.seed, out=exports, level=case.level, size=case.size, twins=case.twins, file=case.file
    )
    with make_home(scratch / "home", simulated=True) as home:
        load(home, exports)
        run = _watch(home)
        if run.failed_rules:
            failed = ", ".join(f"{item.what}: {item.why}" for item in run.failed_rules)
            raise CouldNotCheck(f"rules failed in this world: {failed}")
        seen = _told(home, run)
        truth = _truth(exports)
        figures = score.score(truth, seen)
        if case.replay:
            for one in figures["abuse"]:
                if one["found"]:
                    one["detected"] = _detected(home, truth, one["id"])
        if case.wrong_labels is not None:
            figures["labels"] = _labelled(home, truth, seen, [one.campaign for one in run.campaigns], case) | {
                "found_before": sum(one["found"] for one in figures["abuse"])
            }
    return {
        "size": built.size,
        "accesses": built.accesses,
        "campaigns": len(run.campaigns),
        "not_done": list(built.pending),
        "not_checked": sorted({item.what for item in run.not_checked}),
        **figures,
    }


def _wanted(case: Case) -> list[str]:
    """Return what to build: an innocent scenario that is named on its own comes as often as a twin would."""
    shelf = library(case.file)
    return [one for one in case.scenarios for _ in range(1 if shelf.scenario(one).kind == "abuse" else max(case.twins, 1))]


def _watch(home: Home, until: datetime | None = None) -> WatchRun:
    rooms = watching.rooms(home)
    try:
        return watch.run(rooms, until=until, budget=order.DEFAULT_BUDGET)
    finally:
        rooms.engine.close()


def _told(home: Home, run: WatchRun) -> score.Seen:
    """Turn pseudonyms back into company ids, which only a simulated home allows."""
    campaigns = [*run.campaigns, *run.held_back]
    findings = {**run.findings, **run.held_findings}
    words: set[str] = set()
    for one in campaigns:
        words.update(one.accesses, one.actors, one.subjects, one.linked_subjects, (row.key for row in one.evidence))
    names = home.reveal_simulated(words)
    shown = {one.campaign for one in run.campaigns}
    told = [_campaign(one, findings, names, shown=one.campaign in shown) for one in campaigns]
    loud = [_ids(finding.accesses, names) for finding in findings.values() if finding.level in score.LOUD]
    return score.Seen(tuple(told), tuple(loud), tuple(item.what for item in run.not_checked), run.ranked_by.method)


def _campaign(one: Campaign, findings: Mapping[str, Finding], names: Mapping[str, str], *, shown: bool) -> score.Told:
    members = [findings[name] for name in one.findings]
    members.sort(key=lambda finding: (-score.LEVELS.index(finding.level), finding.rule))
    return score.Told(
        rank=one.rank,
        level=one.level,
        shown=shown,
        codes=one.codes,
        rules=tuple(dict.fromkeys(finding.rule for finding in members)),
        missing=frozenset(one.missing),
        evidence=frozenset((row.table, names.get(row.key, row.key)) for row in one.evidence),
        accesses=_ids(one.accesses, names),
        actors=_ids(one.actors, names),
        subjects=_ids(one.subjects, names),
        linked=_ids(one.linked_subjects, names),
        loud=frozenset().union(*(_ids(one.accesses, names) for one in members if one.level in score.LOUD)),
        explained_by=frozenset(code for finding in members for code in finding.explained_by),
    )


def _ids(words: Sequence[str], names: Mapping[str, str]) -> frozenset[str]:
    return frozenset(names.get(word, word) for word in words)


def _truth(exports: Path) -> score.World:
    """Read the truth and, for the pairs, the accesses as they were exported."""
    truth = json.loads((exports / "truth.json").read_text("utf-8"))
    lines = [line for path in sorted(exports.glob("accesses-*.ndjson")) for line in path.read_text("utf-8").splitlines()]
    pairs: dict[str, frozenset[score.Pair]] = {}
    times: dict[str, datetime] = {}
    opened: dict[str, datetime] = {}
    for line in lines:
        access = json.loads(line)
        who, name = access["actor"], access["id"]
        whom = access.get("subjects") or [value for value in (access.get("derived"), access.get("derived_from")) if value]
        pairs[name] = frozenset((who, one) for one in whom or [name])
        times[name] = datetime.fromisoformat(access["time"]).astimezone(UTC)
        opened["first"] = min(opened.get("first", times[name]), times[name])
        opened["last"] = max(opened.get("last", times[name]), times[name])
    staff, events = _keys(exports, "staff", "actor"), _keys(exports, "press", "event")
    days = max((opened["last"] - opened["first"]).days + 1, 1) if opened else 1
    return score.World(tuple(truth["campaigns"]), pairs, times, staff, days, events, tuple(truth["pending"]))


def _keys(exports: Path, table: str, column: str) -> int:
    """Return how many different keys a context table has."""
    with (exports / "context" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return len({row[column] for row in csv.DictReader(file)})


def _labelled(home: Home, truth: score.World, seen: score.Seen, shown: Sequence[str], case: Case) -> dict[str, int]:
    """Label every shown campaign by the truth, `wrong_labels` per cent of them wrongly, by lot; return what a new watch finds."""
    lot = Random(case.seed)  # noqa: S311  # a benchmark must be repeatable
    wrong = set(lot.sample(range(len(shown)), len(shown) * (case.wrong_labels or 0) // 100))
    desk = home.desk()
    for place, (campaign, told) in enumerate(zip(shown, seen.campaigns, strict=False)):
        misuse = not score.mostly_other(truth.pairs_of(told.accesses), truth.pairs_of(truth.abusive()))
        desk.label(campaign, "misuse" if misuse is not (place in wrong) else "innocent", "the benchmark")
    after = score.score(truth, _told(home, _watch(home)))
    return {"labelled": len(shown), "wrong": len(wrong), "found_after": sum(one["found"] for one in after["abuse"])}


def _detected(home: Home, truth: score.World, episode: str) -> dict[str, Any]:
    """Return after how many abusive reads, and hours, the episode would have been shown, by halving the line of its reads.

    The record is cut at a read, the context is not: rows entered later are seen as of the access all the same, and no template lets
    a late row explain.
    """
    one = next(entry for entry in truth.episodes if entry["id"] == episode)
    reads = sorted((name for name, word in one["truth"].items() if word == "abuse"), key=lambda name: (truth.times[name], name))
    low, high = 1, len(reads)
    while low < high:
        middle = (low + high) // 2
        if _shown_by(home, truth, reads[:middle]):
            high = middle
        else:
            low = middle + 1
    waited = truth.times[reads[low - 1]] - truth.times[reads[0]]
    return {"reads": low, "of": len(reads), "hours": round(waited.total_seconds() / 3600, 1)}


def _shown_by(home: Home, truth: score.World, reads: Sequence[str]) -> bool:
    """Say whether a watch right after the last of these reads shows a campaign that hits them."""
    seen = _told(home, _watch(home, truth.times[reads[-1]] + _AFTER))
    hit = score.match(truth, [frozenset(reads)], seen.campaigns).get(0)
    return hit is not None and hit.shown
