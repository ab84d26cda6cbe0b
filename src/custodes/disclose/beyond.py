"""What stands beside the campaigns in text and report: what is held back, what is judged otherwise now, how findings fall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from custodes.model.run import Change, Fairness, Spread, Suppressed, WatchRun
from custodes.model.wording import reason

_MOST: Final = 12
_DIMENSION: Final = {"country": "country of work"}


def lines(run: WatchRun) -> Iterator[str]:
    """Yield one sentence for each suppression and change, then the fairness of the run; pseudonyms are left to be named."""
    yield from (suppression(one) for one in run.suppressed)
    yield from changes(run)
    if run.fairness:
        yield from fairness(run.fairness)


def suppression(one: Suppressed) -> str:
    """Say what a suppression holds back, who agreed, why and until when."""
    count = "1 finding" if one.findings == 1 else f"{one.findings} findings"
    people = "1 subject" if one.subjects == 1 else f"{one.subjects} subjects"
    who = f"unit {one.unit}" if one.unit else ", ".join(one.actors)
    return (
        f"Held back: {count} of {one.rule} on {who} and {people}, until {one.until:%Y-%m-%d} ({one.reason}; asked by {one.by}, "
        f"approved by {one.approved_by}; request {one.number})."
    )


def changes(run: WatchRun) -> Iterator[str]:
    """Say which verdicts differ from an earlier run, the first of them one by one."""
    if not run.changes:
        return
    counted = Counter(one.change for one in run.changes)
    told = ", ".join(f"{count} {word}" for word, count in sorted(counted.items()))
    yield f"Judged otherwise than in an earlier run, with the context that is known now: {told}."
    for one in run.changes[:_MOST]:
        yield change(one)
    if len(run.changes) > _MOST:
        yield f"and {len(run.changes) - _MOST} more (--format json)"


def change(one: Change) -> str:
    """Say how one verdict differs."""
    if one.now is None:
        return f"{one.finding} ({one.rule}): was {one.was}, is withdrawn: the rule does not see it any more."
    why = f", for there is now {', '.join(f'{reason(code)} ({code})' for code in one.gained)}" if one.gained else ""
    return f"{one.finding} ({one.rule}): {one.change}, was {one.was}, is {one.now}{why}."


def fairness(table: Fairness) -> Iterator[str]:
    """Say how far the rates of groups lie apart."""
    told = [text for one in table.spreads if (text := spread(one))]
    if told:
        head = "Findings per 1,000 accesses, highest to lowest group (a question, no answer: groups do different work)"
        yield f"{head}: {'; '.join(told)}."
    yield (
        f"Actors without history made {100 * table.new_looks:.1f} % of the looks and "
        f"{100 * table.new_residue:.1f} % of those without a reason."
    )


def spread(one: Spread) -> str:
    """Say one ratio; nothing where fewer than two groups have enough accesses."""
    if one.groups < 2:
        return ""
    name = _DIMENSION.get(one.dimension, one.dimension)
    ratio = f"{one.ratio:.1f} times" if one.ratio is not None else "no finding in the lowest"
    return f"{name} {ratio} ({one.highest} to {one.lowest})"
