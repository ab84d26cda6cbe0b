"""Builds the home that `bench/scale.py` measures: `python scale_home.py HOME ACCESSES SEED`. Bounded memory, a day at a time.

A company of 90 days: support works through tickets that people write in, a few in a hundred looks have no ticket behind them.
Everything is a function of the seed and of a row's number, so nothing is kept; small tables go in the ordinary way, by `load`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Numbers = Any
DAYS, DAY = 90, 86_400
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LOADED = BEGIN + timedelta(days=DAYS, hours=6)
TICKETS = 0.6
"""Tickets per access: 12 million for 20 million."""
PER_SUBJECT = 8
DATAMAP = """
crm: {account_page: {subject_key: account, fields: {name: identity, email: contact, orders: behaviour}}}
admin-tool: {account_detail: {subject_key: account, fields: {ip_log: ip_address, device_id: device, login_time: behaviour}}}
billing: {invoice: {subject_key: account, fields: {card: payment, amount: behaviour}}}
shop: {review: {subject_key: account, fields: {stars: public, text: public}}}
warehouse: {events: {subject_key: account, fields: {event: behaviour, device: device}}}
"""
POLICY = """
schema: custodes.policy/1
purposes:
  support: [identity, contact, behaviour, device, ip_address]
  fraud: ["*"]
  billing: [identity, contact, payment, behaviour]
regions: {EU: {countries: [IE, PL, US]}, US: {countries: [US, IE, PL]}, XA: {countries: [IE]}}
units_without_subject_duty: [audit]
outside_approver_units: [privacy/office]
protected: {journalist: {obliges: [outside_approver, reason]}, minor: {obliges: [reason]}}
"""
SETS = (
    ("crm", "account_page", ("name", "email", "orders")),
    ("crm", "account_page", ("name", "orders")),
    ("admin-tool", "account_detail", ("device_id", "login_time")),
    ("admin-tool", "account_detail", ("ip_log",)),
    ("billing", "invoice", ("card", "amount")),
    ("shop", "review", ("stars", "text")),
    ("warehouse", "events", ("event", "device")),
)
PUBLIC, BULK = 5, 6


def mix(salt: int, numbers: Numbers) -> Numbers:
    """Return 64 mixed bits for each number (splitmix64)."""
    with np.errstate(over="ignore"):
        x = np.asarray(numbers, dtype=np.uint64) + np.uint64((0x9E3779B97F4A7C15 * (salt + 1)) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def below(salt: int, numbers: Numbers, most: int) -> Numbers:
    """Return a whole number under `most` for each number."""
    return (mix(salt, numbers) % np.uint64(most)).astype(np.int64)


def words(prefix: str, salt: int, numbers: Numbers, length: int) -> pa.Array:
    """Return keyed-looking words: a prefix and `length` base32 letters of 5 bits each."""
    numbers = np.asarray(numbers)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)
    made = np.empty((len(numbers), len(prefix) + length), dtype=np.uint8)
    made[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    for start in range(0, length, 12):
        bits = mix(salt + start, numbers)
        for place in range(start, min(start + 12, length)):
            made[:, len(prefix) + place] = letters[(bits >> np.uint64(5 * (place - start))) & np.uint64(31)]
    width = made.shape[1]
    ends = pa.py_buffer(np.arange(0, (len(numbers) + 1) * width, width, dtype=np.int32).tobytes())
    return pa.StringArray.from_buffers(len(numbers), ends, pa.py_buffer(made.tobytes()))


def times(seconds: Numbers) -> pa.Array:
    """Return times that many seconds after the beginning."""
    start = int(BEGIN.timestamp())
    return pa.array((np.asarray(seconds, dtype=np.int64) + start) * 1_000_000, pa.timestamp("us", tz="UTC"))


def some(values: pa.Array, where: Numbers) -> pa.Array:
    """Return the values where the condition holds, else null."""
    import pyarrow.compute as pc

    return pc.if_else(pa.array(where), values, pa.scalar(None, values.type))


class Company:
    """Who works here and who is looked at."""

    def __init__(self, home: Any, accesses: int, seed: int) -> None:
        self.seed, self.accesses = seed * 1000, accesses
        self.staff = min(4_000, max(600, accesses // 5_000))
        self.subjects = max(5_000, accesses // PER_SUBJECT)
        self.per_day = accesses // DAYS
        self.exports = max(1, self.per_day // 20_000)
        self.tickets_per_day = int(self.per_day * TICKETS)
        self.support = np.array([n for n in range(self.staff) if n % 50 > 3], dtype=np.int64)
        of = home.pseudonyms
        self.actors = pa.array([of.once("actor", f"staff{n}") for n in range(self.staff)])
        self.people = pa.array([of.once("subject", f"subject{n}") for n in range(self.subjects)])
        self.services = pa.array([of.once("actor", f"svc{n}") for n in range(5)])
        self.queue, self.of = of.once("actor", "queue"), of
        self.cases, self.grants = max(20, accesses // 20_000), max(20, accesses // 40_000)
        named = [*(f"case{n}" for n in range(self.cases)), *(f"grant{n}" for n in range(self.grants))]
        self.cited = pa.array([of.once("ref", name) for name in named])

    def unit(self, number: int) -> str:
        """Return where a member of staff works."""
        special = {0: "audit/internal", 1: "privacy/office", 2: "sre/platform", 3: "fraud/desk"}
        return special.get(number % 50) or f"support/team{number // 25}"

    # — tickets: each a function of its number —

    def opened(self, t: Numbers) -> Numbers:
        """Return when, between seven and seven of its day."""
        t = np.asarray(t)
        return t // self.tickets_per_day * DAY + 7 * 3600 + t % self.tickets_per_day * (12 * 3600) // self.tickets_per_day

    def closed(self, t: Numbers) -> Numbers:
        """Return when; one in ten stays open (a time after the end)."""
        life = 3600 + below(self.seed + 3, t, 71 * 3600)
        return np.where(below(self.seed + 4, t, 10) == 0, 10**9, self.opened(t) + life)

    def about(self, t: Numbers) -> Numbers:
        """Return the subject's number."""
        return below(self.seed + 1, t, self.subjects)

    def assignee(self, t: Numbers) -> Numbers:
        """Return the number of who has it first."""
        return self.support[below(self.seed + 2, t, len(self.support))]

    def next_one(self, t: Numbers) -> Numbers:
        """Return the number of a colleague of the team to whom one ticket in twelve is handed over; -1 for the others."""
        first = self.assignee(t)
        team = first // 25 * 25
        other = np.minimum(team + (first - team + 1 + below(self.seed + 6, t, 20)) % 25, self.staff - 1)
        return np.where((below(self.seed + 5, t, 12) == 0) & (other != first), other, -1)

    def names(self, t: Numbers) -> pa.Array:
        """Return the keyed ids of tickets."""
        return words("k-", self.seed + 40, t, 16)

    def cites(self, numbers: Numbers) -> pa.Array:
        """Return the keyed ids of what is cited: tickets from 0 on, nothing for -1, cases and then grants from -2 down."""
        import pyarrow.compute as pc

        other = self.cited.take(pa.array(np.clip(-2 - numbers, 0, len(self.cited) - 1)))
        return some(pc.if_else(pa.array(numbers >= 0), self.names(np.maximum(numbers, 0)), other), numbers != -1)

    def case_opened(self, n: Numbers) -> Numbers:
        """Return when a case was opened."""
        return below(self.seed + 50, n, (DAYS - 10) * DAY)

    def fraud(self, n: Numbers) -> Numbers:
        """Return the number of who has a case."""
        return np.minimum(np.asarray(n) * 50 % self.staff // 50 * 50 + 3, self.staff - 1)


# — the large tables —


def tickets(c: Company, day: int) -> dict[str, Any]:
    """Return the rows of one day's tickets."""
    t = np.arange(day * c.tickets_per_day, (day + 1) * c.tickets_per_day)
    written = below(c.seed + 7, t, 200) > 0
    closed = c.closed(t)
    kinds = pa.array(["help", "complaint", "privacy_request"])
    return {
        "ticket": c.names(t),
        "subject": c.people.take(pa.array(c.about(t))),
        "kind": kinds.take(pa.array(np.where(below(c.seed + 8, t, 500) == 0, 2, below(c.seed + 9, t, 8) // 7))),
        "origin": pa.array(["staff", "subject"]).take(pa.array(written.astype(np.int64))),
        "opened": times(c.opened(t)),
        "closed": some(times(np.minimum(closed, 10**8)), closed < 10**8),
        "opened_by": some(c.actors.take(pa.array(c.assignee(t))), ~written),
        "inbound": some(words("v-", c.seed + 70, t, 16), written),
        "row_key": pa.array(np.char.add("T", t.astype("U9"))),
    }


def assignments(c: Company, day: int) -> dict[str, Any]:
    """Return who had that day's tickets: a queue gives them out, one in twelve is handed over after two hours."""
    t = np.arange(day * c.tickets_per_day, (day + 1) * c.tickets_per_day)
    handed = t[c.next_one(t) >= 0]
    both = np.concatenate([t, handed])
    second = np.arange(len(both)) >= len(t)
    first = c.actors.take(pa.array(c.assignee(both)))
    own = (below(c.seed + 7, both, 200) == 0) | (below(c.seed + 10, both, 400) == 0)
    actor = np.where(second, c.next_one(both), c.assignee(both))
    given = np.where(second, c.assignee(both), np.where(own, c.assignee(both), -1))
    by = pa.concat_arrays([c.actors, pa.array([c.queue])]).take(pa.array(np.where(given < 0, c.staff, given)))
    del first
    start = c.opened(both) + np.where(second, 7200, 0)
    ended = np.where(~second & (c.next_one(both) >= 0), c.opened(both) + 7200, c.closed(both))
    return {
        "ticket": c.names(both),
        "actor": c.actors.take(pa.array(actor)),
        "valid_from": times(start),
        "valid_to": some(times(np.minimum(ended, 10**8)), ended < 10**8),
        "assigned_by": by,
        "row_key": pa.array(np.char.add("T", both.astype("U9"))),
    }


def change_tickets(c: Company) -> dict[str, Any]:
    """Return the changes under which services work."""
    return {
        "ticket": pa.array([c.of.once("ref", f"change{n}") for n in range(5)]),
        "kind": pa.array(["change"] * 5),
        "origin": pa.array(["staff"] * 5),
        "opened": times([0] * 5),
        "opened_by": c.actors.take(pa.array([2] * 5)),
        "row_key": pa.array([f"change{n}" for n in range(5)]),
    }


def case_assignments(c: Company) -> dict[str, Any]:
    """Return who has which case."""
    n = np.arange(c.cases)
    return {
        "case": c.cited.slice(0, c.cases),
        "actor": c.actors.take(pa.array(c.fraud(n))),
        "valid_from": times(c.case_opened(n)),
        "assigned_by": c.actors.take(pa.array(np.full(c.cases, 4))),
        "row_key": pa.array([f"case{k}" for k in n]),
    }


def subjects(c: Company) -> dict[str, Any]:
    """Return everybody who may be looked at; the first are accounts of staff."""
    n = np.arange(c.subjects)
    regions = pa.array(["XA", "EU", "US"])
    person = [c.of.once("person", f"person{k}") if k < c.staff // 4 else None for k in range(c.subjects)]
    return {
        "subject": c.people,
        "region": regions.take(pa.array(np.where(n % 50 == 49, 0, 1 + n % 2))),
        "kind": pa.array(["staff_account", "test", "person"]).take(
            pa.array(np.where(n < c.staff // 4, 0, np.where(n % 10_000 == 9_999, 1, 2)))
        ),
        "person": pa.array(person, pa.string()),
        "row_key": c.people,
    }


def links(c: Company) -> dict[str, Any]:
    """Return who belongs together: one in five has somebody."""
    n = np.arange(0, c.subjects - 1, 5)
    return {
        "subject": c.people.take(pa.array(n)),
        "other": c.people.take(pa.array(below(c.seed + 11, n, c.subjects))),
        "kind": pa.array(["household"]).take(pa.array(np.zeros(len(n), dtype=np.int64))),
        "row_key": c.people.take(pa.array(n)),
    }


def roster(c: Company) -> dict[str, Any]:
    """Return a shift of twelve hours and a half on each day for everybody in support."""
    who = np.tile(c.support, DAYS)
    start = np.repeat(np.arange(DAYS), len(c.support)) * DAY + 6 * 3600 + 1800
    return {
        "unit": pa.array(["support"]).take(pa.array(np.zeros(len(who), dtype=np.int64))),
        "actor": c.actors.take(pa.array(who)),
        "valid_from": times(start),
        "valid_to": times(start + 14 * 3600),
        "row_key": pa.array(["support"]).take(pa.array(np.zeros(len(who), dtype=np.int64))),
    }


def write_context(folder: Path, table: str, chunks: Iterable[dict[str, Any]]) -> None:
    """Write one load of a table, in the schema in which loading stores it."""
    from custodes.model.arrow import context_schema

    schema = context_schema(table)
    target = folder / table / f"{table:0>16}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with pq.ParquetWriter(target, schema, compression="zstd") as out:
        for chunk in chunks:
            count = len(chunk["row_key"])
            chunk["recorded"] = pa.repeat(pa.scalar(LOADED, schema.field("recorded").type), count)
            columns = [
                chunk[name].cast(schema.field(name).type) if name in chunk else pa.nulls(count, schema.field(name).type)
                for name in schema.names
            ]
            out.write_table(pa.table(columns, schema=schema))


# — accesses —


def looks(c: Company, day: int) -> dict[str, Numbers]:
    """Return that day's looks as numbers. `ticket`: cited, -1 none; `set`: place in SETS."""
    t = np.arange(day * c.tickets_per_day, (day + 1) * c.tickets_per_day)
    often = 1 + (below(c.seed + 12, t, 1000) < 500) + (below(c.seed + 12, t, 1000) < 75)
    seen = np.repeat(t, often)
    turn = np.arange(len(seen)) - np.repeat(np.cumsum(often) - often, often)
    key = seen * 4 + turn
    wait = np.where(turn == 0, below(c.seed + 13, key, 1200), np.where(turn == 1, below(c.seed + 14, key, 14_400), DAY))
    moment = np.minimum(c.opened(seen) + 30 + wait, np.minimum(c.closed(seen) + 3600, DAYS * DAY - 1))
    next_one = c.next_one(seen)
    actor = np.where((next_one >= 0) & (moment >= c.opened(seen) + 7200), next_one, c.assignee(seen))
    helped = below(c.seed + 15, key, 150) == 0  # a colleague helps out, and nobody writes it down
    actor = np.where(helped, c.support[below(c.seed + 16, key, len(c.support))], actor)
    ours = {
        "time": moment,
        "actor": actor,
        "subject": c.about(seen),
        "ticket": np.where(below(c.seed + 17, key, 10) < 6, seen, -1),
        "set": below(c.seed + 18, key, 4),
        "meant": np.ones(len(seen), dtype=bool),
    }
    stray = max(0, c.per_day - len(seen) - 10)
    s = np.arange(stray) + day * c.per_day * 4 + 10**11
    sort = below(c.seed + 19, s, 100)
    near = day * c.tickets_per_day + below(c.seed + 20, s, c.tickets_per_day)  # a ticket of that day
    old = below(c.seed + 21, s, max(1, day * c.tickets_per_day))  # one long closed, for most
    case, mine = below(c.seed + 27, s, c.cases), (sort >= 60) & (sort < 66)
    grant, given = np.clip((day - 2) * 24 + below(c.seed + 28, s, 24), 0, c.grants - 1), (sort >= 66) & (sort < 70)
    mate = np.minimum(c.assignee(near) // 25 * 25 + 4 + below(c.seed + 23, s, 20), c.staff - 1)
    rested = {
        "time": day * DAY + 7 * 3600 + below(c.seed + 22, s, 12 * 3600),
        "actor": np.select(
            [sort < 35, mine, given], [mate, c.fraud(case), below(c.seed + 52, grant, c.staff)], below(c.seed + 24, s, c.staff)
        ),
        "subject": np.select(
            [sort < 35, sort < 55, mine, given],
            [c.about(near), c.about(old), below(c.seed + 51, case * 3 + s % 3, c.subjects), below(c.seed + 53, grant, c.subjects)],
            below(c.seed + 25, s, c.subjects),
        ),
        "ticket": np.select(
            [(sort >= 45) & (sort < 55), (sort >= 55) & (sort < 60), mine, given], [old, near, -2 - case, -2 - c.cases - grant], -1
        ),
        "set": np.where((sort >= 88), PUBLIC, below(c.seed + 26, s, 5)),
        "meant": ~((sort >= 80) & (sort < 88)),
    }
    return {name: np.concatenate([ours[name], rested[name]]) for name in ours}


def access_rows(c: Company, l: dict[str, Numbers], base: int, sets: list[str]) -> tuple[pa.Table, pa.Table]:  # noqa: E741
    """Return rows of ACCESSES and TOUCHES, in their schemas; leaves count on from `base`."""
    from custodes.model.arrow import ACCESSES, TOUCHES

    count = len(l["time"])
    leaf = base + np.arange(count)
    zero = pa.array(np.zeros(count, dtype=np.int32))

    def same(word: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(zero, pa.array([word]))

    def coded(numbers: Numbers, dictionary: pa.Array) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), dictionary)

    observed = pa.repeat(pa.scalar(LOADED, ACCESSES.field("observed").type), count)
    ids = words("x-", c.seed + 90, leaf, 26)
    devices = words("o-", c.seed + 120, np.arange(c.staff), 16)
    day = l["time"] // DAY
    columns: dict[str, Any] = {
        "leaf": pa.array(leaf),
        "access_id": ids,
        "source": same("app"),
        "parser": same("app/1"),
        "schema": same("access/1"),
        "time": times(l["time"]),
        "observed": observed,
        "actor": coded(l["actor"], c.actors),
        "actor_kind": same("human"),
        "action": same("read"),
        "system": coded(l["set"], pa.array([name for name, _, _ in SETS])),
        "fieldset": coded(l["set"], pa.array(sets)),
        "field_basis": same("reported"),
        "subject_scope": same("named"),
        "subject_basis": same("source_named"),
        "subject_count": pa.array(np.ones(count, dtype=np.int64)),
        "subject_min": pa.array(np.ones(count, dtype=np.int64)),
        "subject_max": pa.array(np.ones(count, dtype=np.int64)),
        "selectors": pa.array([[]] * count, ACCESSES.field("selectors").type),
        "rows": pa.array(np.ones(count, dtype=np.int64)),
        "rows_basis": same("reported"),
        "purpose": coded(np.where(l["set"] == 4, 1, 0), pa.array(["support", "billing"])),
        "purpose_basis": same("source_named"),
        "reason": c.cites(l["ticket"]),
        "session": words("o-", c.seed + 150, l["actor"] * DAYS + day, 16),
        "device": coded(l["actor"], devices),
        "deliberate": pa.array(l["meant"]),
        "break_glass": pa.array(np.zeros(count, dtype=bool)),
        "coverage": pa.array([[]] * count, ACCESSES.field("coverage").type),
    }
    accesses = pa.table([columns[f.name] if f.name in columns else pa.nulls(count, f.type) for f in ACCESSES], schema=ACCESSES)
    touched = {
        "leaf": pa.array(leaf),
        "touch_leaf": pa.array(leaf),
        "access_id": ids,
        "subject": c.people.take(pa.array(l["subject"])),
        "id_kind": same("user_id"),
        "relation": same("accessed"),
        "certainty": same("certain"),
        "basis": same("source_named"),
    }
    return accesses, pa.table([touched[f.name] for f in TOUCHES], schema=TOUCHES)


def bulk_rows(c: Company, day: int, base: int, sets: list[str]) -> tuple[pa.Table, pa.Table, int]:
    """Return that day's exports of services (fifty people each), and their openings by people."""
    from custodes.model.arrow import ACCESSES, TOUCHES

    accesses, touches, leaf = [], [], base
    for number in range(c.exports):
        one = day * c.exports + number
        about = c.people.take(pa.array(below(c.seed + 30, np.arange(50) + one * 64, c.subjects)))
        ids = words("x-", c.seed + 91, np.array([2 * one, 2 * one + 1]), 26).to_pylist()
        copy = words("o-", c.seed + 31, np.array([one]), 16)[0].as_py()
        shared = {
            "source": "app",
            "parser": "app/1",
            "schema": "access/1",
            "observed": LOADED,
            "system": "warehouse",
            "fieldset": sets[BULK],
            "field_basis": "reported",
            "subject_basis": "source_named",
            "selectors": [],
            "rows_basis": "reported",
            "purpose_basis": "none",
            "coverage": [],
            "deliberate": True,
            "break_glass": False,
            "subject_min": 0,
        }
        begins = BEGIN + timedelta(days=day, hours=3, minutes=5 * number)
        job = {"reason": c.of.once("ref", f"job{number % 5}"), "actor": c.services[number % 5].as_py(), "actor_kind": "service"}
        accesses.append(
            {
                **shared,
                **job,
                "leaf": leaf,
                "access_id": ids[0],
                "time": begins,
                "action": "export",
                "subject_scope": "set",
                "subject_count": 50,
                "rows": 50,
                "derived": copy,
            }
        )
        reader = {"actor": c.actors[int(below(c.seed + 32, one, c.staff))].as_py(), "actor_kind": "human"}
        accesses.append(
            {
                **shared,
                **reader,
                "leaf": leaf + 51,
                "access_id": ids[1],
                "time": begins + timedelta(hours=7),
                "action": "read",
                "subject_scope": "unknown",
                "subject_count": 0,
                "rows": 50,
                "derived_from": copy,
            }
        )
        for place, subject in enumerate(about.to_pylist()):
            touches.append(
                {
                    "leaf": leaf,
                    "touch_leaf": leaf + 1 + place,
                    "access_id": ids[0],
                    "subject": subject,
                    "id_kind": "user_id",
                    "relation": "accessed",
                    "certainty": "certain",
                    "basis": "source_named",
                }
            )
        leaf += 52
    return pa.Table.from_pylist(accesses, schema=ACCESSES), pa.Table.from_pylist(touches, schema=TOUCHES), leaf


def write_accesses(home: Any, c: Company) -> None:
    """Write the store: parts by the product's own writer, then the manifest that commits them."""
    from custodes.model.draft import Draft, FieldUse, Resource
    from custodes.store.manifest import SourceState, Tally, write_manifest
    from custodes.store.parts import Parts
    from custodes.store.rows import Fieldsets, fieldset_table

    known = Fieldsets(home.datamap, ())
    sets = [
        known.of(
            Draft(
                [], BEGIN, "", "read", system, resources=[Resource(thing, "page")], fields=[FieldUse(f, resource=0) for f in fields]
            )
        ).id
        for system, thing, fields in SETS
    ]
    folder = home.accesses().path
    manifest, parts = home.accesses().manifest(), Parts(folder)
    parts.fieldsets(manifest, fieldset_table(known.fresh))
    leaf, count = 1_000, 0
    for day in range(DAYS):
        accesses, touches = access_rows(c, looks(c, day), leaf, sets)
        leaf += accesses.num_rows
        parts.write(manifest, accesses, touches)
        count += accesses.num_rows
        accesses, touches, leaf = bulk_rows(c, day, leaf, sets)
        parts.write(manifest, accesses, touches)
        count += accesses.num_rows
    manifest.sources["app"] = SourceState(1, tally=Tally(lines=count, accesses=count, resolved=count))
    write_manifest(folder, manifest)


# — small tables, loaded the ordinary way —


def _stamp(seconds: int) -> str:
    return (BEGIN + timedelta(seconds=int(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_small(c: Company, folder: Path) -> None:
    """Write exports of the tables that are small in any company."""
    (folder / "context").mkdir(parents=True)
    (folder / "datamap.yaml").write_text(DATAMAP)
    (folder / "policy.yaml").write_text(POLICY)

    def table(name: str, header: str, rows: Iterable[tuple[object, ...]]) -> None:
        lines = [header, *(",".join(str(value) for value in row) for row in rows)]
        target = folder / "context" / f"{name}.csv"
        target.write_text("\n".join(lines) + "\n")

    def pick(salt: int, number: int, most: int) -> int:
        return int(below(c.seed + salt, number, most))

    lands = ("IE", "US", "PL")
    table(
        "staff",
        "actor,person,unit,manager,country,entity,joined,notice_from",
        (
            (
                f"staff{n}",
                f"person{n}",
                c.unit(n),
                f"staff{n // 25 * 25 if n % 25 else 0}",
                lands[n // 25 % 3],
                "own",
                "2020-01-01T00:00:00Z",
                _stamp(60 * DAY) if n % 400 == 77 else "",
            )
            for n in range(c.staff)
        ),
    )
    cases, grants = c.cases, c.grants
    opened = c.case_opened(np.arange(cases))
    table(
        "cases",
        "case,kind,opened,closed,opened_by,owner,scope_kind,recorded_at",
        ((f"case{n}", "fraud", _stamp(opened[n]), "", "staff4", "staff4", "subjects", _stamp(opened[n])) for n in range(cases)),
    )
    table(
        "case_scope",
        "case,subject,added,added_by",
        (
            (f"case{n}", f"subject{pick(51, n * 3 + k, c.subjects)}", _stamp(opened[n]), "staff4")
            for n in range(cases)
            for k in range(3)
        ),
    )
    table(
        "grants",
        "grant,actor,subject,purpose,valid_from,valid_to,requested_by,break_glass",
        (
            (
                f"grant{n}",
                f"staff{pick(52, n, c.staff)}",
                f"subject{pick(53, n, c.subjects)}",
                "fraud",
                _stamp(n * 3600 % (80 * DAY)),
                _stamp(n * 3600 % (80 * DAY) + 9 * DAY),
                f"staff{pick(52, n, c.staff)}",
                "true" if n % 40 == 0 else "false",
            )
            for n in range(grants)
        ),
    )
    table(
        "approvals",
        "grant,approver,at,decision",
        ((f"grant{n}", "staff1", _stamp(n * 3600 % (80 * DAY)), "approve") for n in range(grants)),
    )
    table(
        "incidents",
        "incident,kind,opened,closed",
        ((f"inc{n}", "outage", _stamp(n * 9 * DAY), _stamp(n * 9 * DAY + 7200)) for n in range(9)),
    )
    table(
        "legal",
        "process,kind,verified,authority,subject,served,expires,approver_class",
        (
            (
                f"legal{n}",
                "warrant",
                "true",
                "court",
                f"subject{pick(54, n, c.subjects)}",
                _stamp(n * DAY),
                _stamp(n * DAY + 30 * DAY),
                "judge",
            )
            for n in range(60)
        ),
    )
    table(
        "jobs",
        "job,service,owner,change,valid_from,valid_to,targeted",
        ((f"job{n}", f"svc{n}", "staff2", f"change{n}", _stamp(0), _stamp(DAYS * DAY), "false") for n in range(5)),
    )
    table(
        "consents",
        "subject,actor,valid_from",
        ((f"subject{pick(55, n, c.subjects)}", f"staff{pick(56, n, c.staff)}", _stamp(0)) for n in range(500)),
    )
    table(
        "relations",
        "actor,subject,kind",
        ((f"staff{pick(57, n, c.staff)}", f"subject{pick(58, n, c.subjects)}", "neighbour") for n in range(500)),
    )
    table(
        "outcomes",
        "case,actor,subject,decided,result",
        (
            (f"old{n}", f"staff{pick(59, n, c.staff)}", f"subject{pick(60, n, c.subjects)}", _stamp(n * DAY), "proven")
            for n in range(10)
        ),
    )
    table(
        "press",
        "event,time,kind,subject",
        ((f"press{n}", _stamp((10 + n) * DAY), "article", f"subject{pick(61, n, c.subjects)}") for n in range(40)),
    )
    table(
        "protected",
        "subject,class",
        ((f"subject{pick(62, n, c.subjects)}", "journalist" if n % 3 else "minor") for n in range(c.subjects // 5_000 + 50)),
    )


def build(path: Path, accesses: int, seed: int) -> None:
    """Make the home at `path`, whole: the file `built` in it comes last."""
    from custodes.home import Home

    shutil.rmtree(path, ignore_errors=True)
    custodes = [sys.executable, "-m", "custodes"]
    subprocess.run([*custodes, "init", str(path), "--simulated"], check=True, stdout=subprocess.DEVNULL)
    with Home.open(path) as home:
        c = Company(home, accesses, seed)
        with tempfile.TemporaryDirectory(prefix="custodes-bench-") as scratch:
            write_small(c, Path(scratch) / "exports")
            subprocess.run(
                [*custodes, "load", "--home", str(path), str(Path(scratch) / "exports")], check=True, stdout=subprocess.DEVNULL
            )
    with Home.open(path) as home:
        large: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
            "tickets": lambda: chain([change_tickets(c)], (tickets(c, day) for day in range(DAYS))),
            "assignments": lambda: chain([case_assignments(c)], (assignments(c, day) for day in range(DAYS))),
            "subjects": lambda: iter([subjects(c)]),
            "links": lambda: iter([links(c)]),
            "roster": lambda: iter([roster(c)]),
        }
        for name, chunks in large.items():
            write_context(path / "context", name, chunks())
        write_accesses(home, c)
    (path / "built").write_text(f"{accesses} accesses, seed {seed}\n")


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
