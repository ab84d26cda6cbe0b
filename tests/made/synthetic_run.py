"""A seeded run for the tests of pictures and report: a ring of four actors on 24 subjects, dust around it, eight campaigns.

Made of values only; nothing here is a stand-in for our own code. `run(seed)` gives the same run for the same seed.
"""

from __future__ import annotations

import random
from base64 import b32encode
from collections import Counter
from datetime import UTC, datetime, timedelta

from custodes.model.finding import Campaign, Evidence, Finding
from custodes.model.run import (
    ActorFacts,
    Cell,
    Checkpoint,
    HeatCell,
    Mark,
    NotChecked,
    PressEvent,
    RuleUse,
    SourceCoverage,
    Span,
    WatchRun,
)

START = datetime(2026, 3, 2, tzinfo=UTC)
UNITS = [
    ("support/emea/billing", "IE"),
    ("support/emea/accounts", "PH"),
    ("support/apac/accounts", "PH"),
    ("trust_safety/abuse", "IE"),
    ("trust_safety/fraud", "SG"),
    ("security/operations", "US"),
    ("data/warehouse", "SG"),
    ("marketing/insight", "US"),
    ("legal/process", "IE"),
    ("product/growth", "US"),
]
CATEGORIES = ["identity", "contact", "ip_address", "device", "payment", "message", "location", "behaviour"]


def pseudonym(kind: str, number: int) -> str:
    """Return a pseudonym of the true form."""
    body = random.Random(f"{kind}{number}").randbytes(10)
    return f"{kind}-{b32encode(body).decode().lower()}"


def run(seed: int = 1, *, simulated: bool = True) -> WatchRun:
    """Return the whole run."""
    dice = random.Random(seed)
    ring = [pseudonym("a", n) for n in range(4)]
    ringed = [pseudonym("s", n) for n in range(24)]
    others = [pseudonym("a", n) for n in range(4, 190)]
    crowd = [pseudonym("s", n) for n in range(24, 4000)]
    actors = {name: ActorFacts("audit/internal", "US" if n < 2 else "CN") for n, name in enumerate(ring)}
    actors.update({name: ActorFacts(*dice.choice(UNITS)) for name in others})
    cells = _cells(dice, ring, ringed, others, crowd)
    marks = _marks(dice, ring, ringed, others[:12], crowd)
    findings, campaigns = _campaigns(dice, ring, ringed, others, crowd)
    looks, residue = 203_114, 9_822
    return WatchRun(
        simulated=simulated,
        since=START,
        until=START + timedelta(days=90),
        budget=20,
        accesses=214_871,
        looks=looks,
        residue=residue,
        explained={"E1": 121_408, "E2": 34_077, "E5": 18_422, "E13": 11_006, "E7": 4_213, "E9": 2_804, "E6": 1_240, "E3": 122},
        campaigns=campaigns,
        findings=findings,
        cut={"D01": 31, "D10": 2},
        audit=tuple(f"x-{b32encode(dice.randbytes(16)).decode().lower()[:26]}" for _ in range(3)),
        not_checked=(
            NotChecked("E12 imminent harm, reviewed from outside", "table `incidents` was never loaded"),
            NotChecked("D10 relation", "table `relations` ends on 2026-04-30; 30 days of the window are not covered"),
        ),
        failed_rules=(),
        coverage=(
            SourceCoverage("access", 198_300, 198_300, ("which rows of an opened file were read",)),
            SourceCoverage("pgaudit", 16_571, 14_012, ("parameters of prepared statements", "rows a cursor never fetched")),
        ),
        rejected={"time without a zone": 12, "not JSON": 3},
        checkpoint=Checkpoint("custodes.example/simulated", 214_990, "q3cM0mGJ7Xz0m1sQ2b7l7m5R6nY0Yv6o0bq0J8cF1zE="),
        rules=tuple(
            RuleUse(code, title, 1, dice.randbytes(32).hex(), found)
            for code, title, found in (
                ("D01", "Unexplained access", 212),
                ("D02", "Duty towards a protected person not met", 9),
                ("D03", "People linked to somebody who was read", 4),
                ("D04", "Staff whereabouts joined with data of subjects", 1),
                ("D05", "Read from where it may not be read", 3),
                ("D09", "Watchdogs without a case", 12),
                ("D10", "Personal relation", 2),
                ("E1", "The subject's own ticket", 0),
                ("E2", "Assigned case in scope", 0),
            )
        ),
        actors=actors,
        cells=tuple(cells),
        marks=tuple(marks),
        spans=(Span(ring[0], "GR-2231", START + timedelta(days=20), START + timedelta(days=27)),),
        press=(
            PressEvent("PR-17", "article", START + timedelta(days=32, hours=9)),
            PressEvent("PR-18", "leak", START + timedelta(days=38, hours=15)),
            PressEvent("PR-02", "lawsuit", START + timedelta(days=3)),
        ),
        heat=tuple(_heat(dice)),
        protected_actors=4,
        engine="duckdb 1.5.6",
    )


def _cells(dice, ring, ringed, others, crowd):
    counts = Counter()
    for actor in ring:
        for place, subject in enumerate(ringed):
            if place < 2:
                counts[actor, subject] = dice.randint(6, 12)
            elif dice.random() < 0.8:
                counts[actor, subject] = dice.randint(1, 4)
    for actor in others:
        for _ in range(max(1, int(dice.lognormvariate(3.4, 0.6)))):
            counts[actor, dice.choice(crowd)] += 1
    for actor in others[:6]:  # a benign habit: a small team that shares a few subjects
        for subject in crowd[:5]:
            counts[actor, subject] += dice.randint(1, 3)
    cells = [Cell(actor, subject, count) for (actor, subject), count in counts.items()]
    dice.shuffle(cells)
    return cells


def _marks(dice, ring, ringed, others, crowd):
    def when(first, last):
        day = dice.randint(first, last)
        return START + timedelta(days=day, hours=dice.choice([8, 9, 10, 11, 13, 14, 15, 16]), minutes=dice.randint(0, 59))

    marks = []
    for actor in ring:
        marks += [Mark(actor, dice.choice(ringed), when(33, 52), residue=True) for _ in range(55)]
        marks += [Mark(actor, dice.choice(crowd), when(0, 89), residue=True) for _ in range(9)]
        marks += [Mark(actor, dice.choice(crowd), when(0, 89), residue=False) for _ in range(260)]
    for actor in others:
        marks += [Mark(actor, dice.choice(crowd[:40]), when(10, 60), residue=True) for _ in range(20)]
        marks += [Mark(actor, dice.choice(crowd), when(0, 89), residue=False) for _ in range(300)]
    dice.shuffle(marks)
    return marks


def _campaigns(dice, ring, ringed, others, crowd):
    findings = {}
    campaigns = [_ring_campaign(dice, findings, ring, ringed)]
    plans = [
        ("medium", others[:3], crowd[:5], ("V9", "V2"), ("E2:case_scope.subject", "E1:tickets.subject"), "D01"),
        ("medium", others[7:8], crowd[40:41], ("V11", "V1"), ("E1:tickets.subject", "E7:consents.subject"), "D10"),
        ("medium", others[8:9], crowd[50:52], ("V8",), ("E2:assignments.actor", "E3:grants.grant"), "D05"),
        ("low", others[9:10], crowd[60:64], ("V1",), ("E1:tickets.closed",), "D01"),
        ("low", others[10:11], crowd[70:71], ("V3", "V1"), ("E1:tickets.inbound", "E1:assignments.assigned_by"), "D01"),
        ("note", others[11:12], crowd[80:82], ("V1",), ("E1:tickets.subject",), "D01"),
        ("note", others[12:13], crowd[90:91], (), (), "D01"),
    ]
    for rank, (level, actors, subjects, codes, missing, rule) in enumerate(plans, 2):
        campaigns.append(_plain_campaign(dice, findings, rank, level, actors, subjects, codes, missing, rule))
    return findings, tuple(campaigns)


def _finding(dice, findings, rule, title, level, actors, subjects, sentence, codes, missing, *, day, days, many, evidence=()):  # noqa: PLR0917  # a row of a table
    name = f"f-{dice.randbytes(6).hex()}"
    findings[name] = Finding(
        finding=name,
        rule=rule,
        rule_version=1,
        title=title,
        level=level,
        confidence="medium",
        actors=tuple(actors),
        subjects=tuple(subjects),
        accesses=tuple(f"x-{b32encode(dice.randbytes(16)).decode().lower()[:26]}" for _ in range(many)),
        leaves=tuple(range(many)),
        first=START + timedelta(days=day, hours=10),
        last=START + timedelta(days=day + days, hours=17, minutes=12),
        sentence=sentence,
        codes=codes,
        missing=missing,
        evidence=evidence,
        questions=("Who asked for this, and on which mandate?", "Was the case meant to cover customers at all?"),
        innocent=(
            "The case's scope was agreed by word of mouth and entered late: ask the case's owner.",
            "A legal process is on file that has not been loaded.",
        ),
        score=dice.randint(300, 990),
    )
    return name


def _ring_campaign(dice, findings, ring, ringed):
    press = (Evidence("cases", "CC-4471"), Evidence("press", "PR-17"), Evidence("press", "PR-18"))
    made = [
        _finding(
            dice, findings, "D09", "Watchdogs without a case", "high", ring[n : n + 1], ringed[:2],
            f"{ring[n]} (audit/internal) looked at {ringed[0]} and {ringed[1]} {9 + n} times under case CC-4471,"
            " which is about staff and names neither; the unit has no duty towards customers.",
            ("V2",), ("E2:case_scope.subject", "E3:grants.grant"), day=33 + n, days=12, many=9 + n, evidence=press[:1],
        )
        for n in range(4)
    ]  # fmt: skip
    made.append(
        _finding(
            dice, findings, "D03", "People linked to somebody who was read", "high", ring, ringed[2:],
            f"22 of 22 subjects hang on {ringed[0]} by follows and contact; none has a ticket, case or grant.",
            ("V6", "V2"), ("E2:case_scope.subject",), day=36, days=16, many=140, evidence=press[:1],
        )
    )  # fmt: skip
    made.append(
        _finding(
            dice, findings, "D02", "Duty towards a protected person not met", "high", ring, ringed[:2],
            f"A duty of protection towards {ringed[0]} was not met: no approver from outside, no second person.",
            ("V5",), ("E3:grants.grant",), day=33, days=14, many=41,
        )
    )  # fmt: skip
    made.append(
        _finding(
            dice, findings, "D04", "Staff whereabouts joined with data of subjects", "medium", ring[:1], ringed[:2],
            f"One statement by {ring[0]} joined staff.vpn_log with addresses of {ringed[0]} and {ringed[1]}.",
            ("V7",), ("E2:case_scope.subject",), day=40, days=0, many=1,
        )
    )  # fmt: skip
    return Campaign(
        campaign="c-1f0a93b2c7de",
        rank=1,
        level="high",
        score=987,
        sentence=(
            "4 actors (audit/internal, CN, US) looked at device, ip address and location data of 2 subjects and of 22 linked to"
            " them 214 times between 2026-04-04 and 2026-04-23: the case cited (CC-4471) does not name these subjects; a duty of"
            " protection was not met; it began after a press event about the subject; one statement joined places of staff with"
            " addresses of subjects."
        ),
        codes=("V2", "V5", "V6", "V7", "V10"),
        missing=("E2:case_scope.subject", "E3:grants.grant"),
        evidence=press,
        findings=tuple(made),
        accesses=tuple(sorted({access for name in made for access in findings[name].accesses})),
        actors=tuple(ring),
        subjects=tuple(ringed[:2]),
        linked_subjects=tuple(ringed[2:]),
        derived=(pseudonym("o", 1),),
        units=("audit/internal",),
        countries=("CN", "US"),
        first=START + timedelta(days=33, hours=10),
        last=START + timedelta(days=52, hours=17, minutes=12),
        fields=("device_id", "ip_log", "login_time"),
        route="privacy/office",
    )


def _plain_campaign(dice, findings, rank, level, actors, subjects, codes, missing, rule):  # noqa: PLR0917  # likewise
    name = _finding(
        dice, findings, rule, "Unexplained access", level, actors, subjects,
        f"{actors[0]} looked at {subjects[0]} without a ticket, case or grant.", codes, missing,
        day=10 + 3 * rank, days=rank % 3 * 4, many=3 + rank,
    )  # fmt: skip
    finding = findings[name]
    who = actors[0] if len(actors) == 1 else f"{len(actors)} actors"
    many = f"{len(subjects)} subjects" if len(subjects) > 1 else "1 subject"
    return Campaign(
        campaign=f"c-{dice.randbytes(6).hex()}",
        rank=rank,
        level=level,
        score=finding.score,
        sentence=f"{who} (support/emea/accounts, PH) looked at contact data of {many} {3 + rank} times"
        " between 2026-03-20 and 2026-04-02: no reason is recorded.",
        codes=codes,
        missing=missing,
        evidence=(),
        findings=(name,),
        accesses=finding.accesses,
        actors=tuple(actors),
        subjects=tuple(subjects),
        linked_subjects=(),
        derived=(),
        units=("support/emea/accounts",),
        countries=("PH",),
        first=finding.first,
        last=finding.last,
        fields=("email", "phone"),
        route="privacy/office",
    )


def _heat(dice):
    yield HeatCell("audit/internal", "ip_address", 261, 214)
    yield HeatCell("audit/internal", "device", 240, 190)
    yield HeatCell("audit/internal", "location", 9, 4)
    for unit, _ in UNITS:
        for category in CATEGORIES:
            if dice.random() < 0.75:
                looks = int(dice.lognormvariate(6.2, 1.2))
                yield HeatCell(unit, category, looks, int(looks * dice.choice([0, 0.02, 0.04, 0.05, 0.08, 0.15])))
