"""What is told: everything loud, everything about the same pair, the best of the rest; what is not told is counted."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from custodes import rule
from custodes.rank.sift import SLACK, Sieve
from custodes.rule_findings import Draft

SHELF = {entry.code: entry for entry in rule.load_shelf()}
WHERE = {"access": 0, "actor": 1, "subject": 2, "time": 3, "level": 4}
MONDAY = datetime(2026, 3, 2, 9)  # noqa: DTZ001  # times come from the engine without a zone, in UTC


def draft(access: int, actor: str, subject: str | None, level: str = "note", code: str = "D01", *, day: int = 0) -> Draft:
    return Draft(SHELF[code], WHERE, [(access, actor, subject, MONDAY + timedelta(days=day), level)])


def test_what_is_loud_is_always_told() -> None:
    drafts = [draft(n, f"a-{n}", "s-1", "medium") for n in range(50)]
    assert Sieve({}, 1)(drafts) == drafts


def test_the_best_of_the_rest_is_told_and_the_others_are_counted() -> None:
    drafts = [draft(n, f"a-{n}", f"s-{n}") for n in range(SLACK * 2 + 3)]
    sieve = Sieve({draft.rows[0][0]: n for n, draft in enumerate(drafts)}, 2)  # type: ignore[misc]  # whole numbers
    assert sieve(drafts) == drafts[3:]
    assert sieve.cut == {"D01": 3}


def test_a_week_is_a_week() -> None:
    drafts = [draft(n, f"a-{n}", f"s-{n}", day=7 * n) for n in range(SLACK + 4)]
    assert len(Sieve({}, 1)(drafts)) == len(drafts)


def test_the_looks_of_a_loud_pair_are_told_with_it() -> None:
    loud, weak = draft(1, "a-1", "s-1", "high", "D09"), draft(2, "a-1", "s-1")
    others = [draft(n, f"a-{n}", f"s-{n}") for n in range(10, 10 + SLACK + 1)]
    kept = Sieve(dict.fromkeys(range(10, 99), 900), 1)([loud, weak, *others])
    assert weak in kept
    assert len(kept) == 2 + SLACK


def test_nobody_named_ties_nothing_together() -> None:
    loud, weak = draft(1, "a-1", None, "high", "D09"), draft(2, "a-1", None)
    others = [draft(n, f"a-{n}", f"s-{n}") for n in range(10, 10 + SLACK)]
    assert weak not in Sieve(dict.fromkeys(range(10, 99), 900), 1)([loud, weak, *others])


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_of_groups_plays_no_part(turn: int) -> None:
    drafts = [draft(n, f"a-{n}", f"s-{n}") for n in range(SLACK + 5)][::turn]
    told = Sieve({}, 1)(drafts)
    assert {item.rows[0][0] for item in told} == {item.rows[0][0] for item in Sieve({}, 1)(drafts[::-1])}
