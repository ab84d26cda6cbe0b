"""What makes templates fast changes no verdict: narrowed and quick ones say of random worlds what they say of every look asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from custodes.engines.duckdb_engine import open_engine
from custodes.explain import load_templates, quickly, run
from custodes.explain.few import Few
from custodes.explain.held import plain
from custodes.explain.prepared import Prepared
from custodes.explain.trial import world
from custodes.model.policy import Policy
from custodes.model.tables import TABLES

START = datetime(2026, 3, 2)  # noqa: DTZ001  # times of engines are UTC without a zone
VERDICTS = {
    "explanations": "access, subject, template, strength, evidence_table, evidence_key",
    "flags": "access, subject, template, code, evidence_table, evidence_key",
    "lacks": "access, subject, token, evidence_table, evidence_key",
    "residue": "access, subject",
}
Row = dict[str, Any]


class Drawn:
    """Random rows about few people and reasons, so that they often meet."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # a test must be repeatable

    def one(self, *words: Any) -> Any:
        return self.random.choice(words)

    def actor(self) -> str:
        return f"a{self.random.randrange(6)}"

    def subject(self) -> str:
        return f"s{self.random.randrange(8)}"

    def time(self) -> datetime:
        return START + timedelta(hours=self.random.randrange(0, 240, 6))

    def span(self) -> Row:
        begins = self.time()
        return {"valid_from": self.one(begins, begins, None), "valid_to": self.one(None, begins + timedelta(days=3))}

    def rows(self, count: int, make: Any) -> list[Row]:
        return [make(number) for number in range(count)]

    def tables(self) -> dict[str, list[Row]]:
        one, actor, subject, time = self.one, self.actor, self.subject, self.time

        def reason() -> str | None:
            return one(None, None, *(f"{kind}{self.random.randrange(8)}" for kind in "TTTKGLJI"))

        def opened(extra: Row) -> Row:
            begins = time()
            return {"opened": begins, "closed": one(None, begins + timedelta(days=2)), **extra}

        return {
            "looks": self.rows(
                160,
                lambda n: {
                    "look": n,
                    "access": n,
                    "subject": one(subject(), subject(), subject(), None),
                    "human": actor(),
                    "actor": one(actor(), "svc"),
                    "actor_kind": one("human", "service"),
                    "time": time(),
                    "reason": reason(),
                    "purpose": one("support", "repair", "legal_process", "(free text)", None),
                    "fieldset": one("f1", "f2"),
                    "subject_scope": one("named", "set"),
                    "deliberate": one(True, True, None),
                    "break_glass": one(False, False, True),
                    "public_only": one(0, 0, 0, 1),
                    "system": one("crm", "custodes"),
                    "unit": one("x/1", "x/2", "privacy/o", None),
                    "derived_from": one(None, None, None, "o1"),
                    "action": one("read", "write"),
                    "via": "direct",
                },
            ),
            "accesses": [{"access": 900, "derived": "o1", "reason": "J1", "time": START, "actor": "svc", "human": "svc"}],
            "staff": [
                {"actor": f"a{n}", "person": f"p{n}", "unit": ("x/1", "x/2", "privacy/o")[n % 3], "manager": f"a{n // 2}"}
                for n in range(6)
            ],
            "tickets": self.rows(
                8,
                lambda n: opened(
                    {
                        "ticket": f"T{n}",
                        "row_key": f"T{n}",
                        "subject": one(subject(), subject(), None),
                        "opened_by": one(actor(), None),
                        "origin": one("subject", "subject", "staff"),
                        "inbound": one("m", "m", None),
                        "kind": one("help", "privacy_request", "change"),
                    }
                ),
            ),
            "assignments": self.rows(
                30,
                lambda n: {
                    **self.span(),
                    "ticket": one(f"T{n % 8}", f"T{n % 8}", None),
                    "case": one(None, f"K{n % 8}"),
                    "row_key": f"T{n % 8}",
                    "actor": one(actor(), actor(), None),
                    "unit": one("x", "x/1", None),
                    "assigned_by": one("queue", actor(), None),
                },
            ),
            "cases": self.rows(
                8,
                lambda n: opened(
                    {
                        "case": f"K{n}",
                        "row_key": f"K{n}",
                        "kind": one("fraud", "training", "quality", "oversight"),
                        "opened_by": one(actor(), None),
                        "owner": one(actor(), None),
                        "scope_kind": one("subjects", "set", "staff"),
                        "recorded_at": one(None, time()),
                    }
                ),
            ),
            "case_scope": self.rows(
                10,
                lambda n: {
                    "case": f"K{n % 8}",
                    "subject": one(subject(), None),
                    "actor": one(None, actor()),
                    "added": one(None, time()),
                },
            ),
            "grants": self.rows(
                8,
                lambda n: {
                    **self.span(),
                    "grant": f"G{n}",
                    "row_key": f"G{n}",
                    "actor": actor(),
                    "subject": one(subject(), "*"),
                    "requested_by": one(actor(), None),
                    "break_glass": one(False, True),
                },
            ),
            "approvals": self.rows(
                12,
                lambda n: {
                    "grant": f"G{n % 8}",
                    "approver": actor(),
                    "at": time(),
                    "decision": one("approve", "deny", "review_ok"),
                },
            ),
            "legal": self.rows(
                6,
                lambda n: {
                    "process": f"L{n}",
                    "row_key": f"L{n}",
                    "kind": "warrant",
                    "verified": one(True, False),
                    "subject": subject(),
                    "served": time(),
                    "approver_class": one("judge", "clerk"),
                },
            ),
            "jobs": self.rows(
                4, lambda n: {**self.span(), "job": f"J{n}", "row_key": f"J{n}", "service": one("svc", actor()), "change": f"T{n}"}
            ),
            "incidents": self.rows(
                4, lambda n: opened({"incident": f"I{n}", "row_key": f"I{n}", "kind": one("outage", "life_safety")})
            ),
            "roster": self.rows(
                8, lambda n: {**self.span(), "incident": one(f"I{n % 4}", None), "actor": actor(), "row_key": f"R{n}"}
            ),
            "consents": self.rows(
                3, lambda n: {**self.span(), "subject": subject(), "actor": one(actor(), "*"), "row_key": f"c{n}"}
            ),
            "subjects": [
                {
                    "subject": f"s{n}",
                    "row_key": f"s{n}",
                    "kind": one("person", "test", "staff_account"),
                    "person": one(None, f"p{n % 6}"),
                }
                for n in range(8)
            ],
            "relations": self.rows(
                4, lambda n: {"actor": actor(), "subject": subject(), "kind": one("self", "neighbour"), "row_key": f"r{n}"}
            ),
        }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_narrowing_changes_no_verdict(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, shelf = Drawn(seed).tables(), load_templates()
    every = [replace(template, quick="", steps=(), alive={}, near={}) for template in shelf]
    found: list[dict[str, list[Any]]] = []
    counted: list[dict[str, int]] = []
    with open_engine(memory_mb=400, threads=1, directory=tmp_path) as engine:
        for templates, stretch in ((shelf, quickly.STRETCH), (shelf, 7), (every, quickly.STRETCH)):
            monkeypatch.setattr(quickly, "STRETCH", stretch)
            world(engine, tables)
            counted.append(run(engine, templates, Policy(), set(TABLES)).explained)
            found.append(
                {name: engine.rows(f"SELECT {columns} FROM {name} ORDER BY {columns}") for name, columns in VERDICTS.items()}
            )
    assert len(tables["looks"]) > 20
    looks = {(row[0], row[2]) for row in found[0]["explanations"]}
    assert counted == [dict(sorted(Counter(code for _, code in looks).items()))] * 3
    narrowed, in_stretches, asked = found
    assert any(template.quick for template in shelf)
    assert len({row[2] for row in asked["explanations"]}) >= 6
    for name in VERDICTS:
        assert asked[name], name
        assert narrowed[name] == asked[name], name
        assert in_stretches[name] == asked[name], name


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_few_later_looks_are_judged_as_all_are(seed: int, tmp_path: Path) -> None:
    tables, shelf = Drawn(seed).tables(), load_templates()
    loaded = set(TABLES) if seed % 4 else set(TABLES) - {"grants", "cases"}
    with open_engine(memory_mb=400, threads=1, directory=tmp_path, steady=True) as engine:
        world(engine, tables)
        run(engine, shelf, Policy(), loaded)
        late = f"look IN (SELECT look FROM looks WHERE time >= TIMESTAMP '{START + timedelta(days=5)}')"
        whole = {
            name: engine.rows(f"SELECT {columns} FROM {name} WHERE {late} ORDER BY {columns}") for name, columns in VERDICTS.items()
        }
        few = Few(engine, shelf, Policy(), loaded)
        rows = {
            "few_looks": engine.fetch(f"SELECT * FROM looks WHERE {late}"),
            "earlier_looks": engine.fetch(f"SELECT * FROM looks WHERE NOT {late}"),
            "earlier_explanations": engine.fetch(f"SELECT * FROM explanations WHERE NOT {late}"),
        }
        for name in ("looks", "explanations"):
            engine.run(f"DROP TABLE {name}")
        statements = Prepared(engine)
        for name, own in rows.items():
            statements.table(name, plain(own).schema)
        engine.run("CREATE VIEW looks AS SELECT * FROM few_looks")
        few.prepare(statements)
        statements.anew()
        for _ in range(2):  # a second batch finds nothing of the first
            statements.begin()
            for name, own in rows.items():
                statements.lay(name, plain(own))
            few.explain(few.asked())
        names = {look: (access, subject) for look, access, subject in engine.rows("SELECT look, access, subject FROM few_looks")}
        verdicts = few.conclude(names)
        told = {
            "explanations": engine.rows(f"SELECT {VERDICTS['explanations']} FROM few_explanations"),
            "residue": [names[look] for look, verdict in verdicts.items() if not verdict.reasons],
            "lacks": [(*names[look], *row) for look, verdict in verdicts.items() for row in verdict.lacks],
        }
        flags = {(*names[look], *row) for look, verdict in verdicts.items() for row in verdict.flags}
        for name, found in told.items():
            assert whole[name], name
            assert sorted(found, key=repr) == sorted(whole[name], key=repr), name
        assert flags == {(access, subject, *rest) for access, subject, _, *rest in whole["flags"]}
