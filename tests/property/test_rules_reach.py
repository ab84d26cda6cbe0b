"""A rule of reach `look` says of each access alone what it says of it among all others; one that does not is declared wrongly."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from custodes.dialect import bind_sql
from custodes.engines.duckdb_engine import DuckDBEngine
from custodes.errors import BadRule
from custodes.rule import load_shelf
from custodes.rule_file import TABLES_READ, read_rule
from custodes.rule_trial import SCHEMAS, fill

START = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001  # times of engines are UTC without a zone
SHELF = [rule for rule in load_shelf() if rule.reach == "look"]
OF_LOOKS = ("looks", "residue", "accesses", "explanations", "obligations")
"""What comes in with an access; everything else is there before."""
ACTORS, SUBJECTS, LANDS = [f"a{n}" for n in range(4)], [f"s{n}" for n in range(4)], ["IE", "PH", "SG", "CN"]
Rows = list[dict[str, Any]]


def _world(chance: Random) -> dict[str, Rows]:
    """Draw accesses at one to three people each, with verdicts, duties and the context that the rules read."""
    pick = chance.choice

    def span() -> dict[str, Any]:
        begins = pick([None, START - timedelta(days=1), START + timedelta(hours=3)])
        return {"valid_from": begins, "valid_to": pick([None, START + timedelta(hours=6)])}

    looks: Rows = []
    accesses: Rows = []
    for access in range(1, 6):
        actor, at = pick(ACTORS), START + timedelta(hours=chance.randrange(9))
        accesses.append({"access": access, "access_id": f"x-{access}", "actor": actor, "client_country": pick([None, *LANDS])})
        for subject in chance.sample(SUBJECTS, chance.randint(1, 3)):
            looks.append(
                {
                    "look": len(looks),
                    "access": access,
                    "subject": subject,
                    "actor": actor,
                    "human": actor,
                    "time": at,
                    "via": pick(["direct", "derived"]),
                    "subject_scope": pick(["named", "set"]),
                    "fieldset": pick(["f1", "f2"]),
                    "public_only": pick([0, 0, 0, 1]),
                    "deliberate": pick([True, False, None]),
                    "unit": pick(["x", "y"]),
                    "country": pick([None, *LANDS]),
                    "entity": pick([None, "own", "other"]),
                    "manager": pick([None, *ACTORS]),
                }
            )
    explained = [
        {
            **{key: look[key] for key in ("look", "access", "subject")},
            "template": pick(["E1", "E2", "E6", "E7"]),
            "strength": pick([2, 3, 4]),
        }
        for look in looks
        if chance.random() < 0.4
    ]
    return {
        "looks": looks,
        "residue": [look for look in looks if look["look"] not in {row["look"] for row in explained}],
        "accesses": accesses,
        "explanations": explained,
        "obligations": [
            {"access": look["access"], "subject": look["subject"], "duty": duty, "met": pick([0, 1])}
            for look in looks
            for duty in ("reason", "two_person", "outside_approver")
            if chance.random() < 0.3
        ],
        "subjects": [
            {"subject": name, "row_key": name, "region": pick(["EU", "US", None]), "person": pick([None, "p0", "p1"]), **span()}
            for name in SUBJECTS
        ],
        "policy_regions": [
            {"region": "EU", "kind": kind, "value": value}
            for kind, value in (("country", "IE"), ("entity", "own"), ("support_only", "PH"), ("set_scope_only", "SG"))
        ],
        "relations": [
            {"actor": pick(ACTORS), "subject": pick(SUBJECTS), "kind": pick(["self", "family"]), "row_key": f"r{n}", **span()}
            for n in range(4)
        ],
        "staff_spans": [
            {
                "actor": name,
                "person": f"p{number}",
                "unit": pick(["x", "y"]),
                "manager": pick([None, *ACTORS]),
                "valid_from": START - timedelta(days=9),
                "valid_to": START + timedelta(days=9),
            }
            for number, name in enumerate(ACTORS)
        ],
        "fieldsets": [{"fieldset": "f1", "category": "contact"}, {"fieldset": "f2", "category": "location"}],
    }


def _rows(engine: DuckDBEngine, sql: str, world: dict[str, Rows]) -> Counter[Any]:
    fill(engine, world, {name for name in SCHEMAS if name in sql})
    return Counter(engine.rows(sql))


def _differs(engine: DuckDBEngine, sql: str, worlds: int) -> tuple[bool, int]:
    """Say whether a statement says of accesses alone something else than of all at once; and how many rows it gave in all."""
    fired = 0
    for seed in range(worlds):
        world = _world(Random(seed))  # a test must be repeatable
        whole = _rows(engine, sql, world)
        alone: Counter[Any] = Counter()
        for access in range(1, 6):
            own = {name: [row for row in rows if row["access"] == access] for name, rows in world.items() if name in OF_LOOKS}
            alone += _rows(engine, sql, {**world, **own})
        fired += whole.total()
        if alone != whole:
            return True, fired
    return False, fired


@pytest.mark.parametrize("code", [rule.code for rule in SHELF])
def test_what_stands_on_single_looks_says_of_each_access_alone_what_it_says_among_all(engine: DuckDBEngine, code: str) -> None:
    rule = next(rule for rule in SHELF if rule.code == code)
    differs, fired = _differs(engine, rule.sql, 12)
    assert not differs
    assert fired >= 8


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT l.access, l.actor, l.subject, l.time FROM looks l JOIN looks k ON k.subject = l.subject AND k.time < l.time",
        "SELECT l.access, l.actor, l.subject, l.time, row_number() OVER (PARTITION BY l.actor ORDER BY l.look) AS n FROM looks l",
        """SELECT l.access, l.actor, l.subject, l.time FROM looks l
           WHERE NOT EXISTS (SELECT 1 FROM explanations e WHERE e.subject = l.subject)""",
    ],
)
def test_a_rule_that_needs_other_looks_is_recognised(engine: DuckDBEngine, sql: str) -> None:
    assert _differs(engine, bind_sql(sql, TABLES_READ, {}), 4)[0]


def test_single_looks_are_where_the_design_says_and_other_declarations_are_refused() -> None:
    assert {rule.code for rule in SHELF} == {"D02", "D05", "D10"}
    from importlib import resources

    shelf = resources.files("custodes.rules")
    for name, why in (("D01_unexplained_access.yml", "residue"), ("D14_break_glass.yml", "own_record")):
        text = (shelf / name).read_text("utf-8").replace("entity:", "reach: look\nentity:", 1)
        with pytest.raises(BadRule, match=why):
            read_rule(text, name)
    with pytest.raises(BadRule, match="reach"):
        read_rule((shelf / "D02_unmet_protection.yml").read_text("utf-8").replace("reach: look", "reach: week"), "D02_x.yml")
