"""A small company with a guarded system: people, a policy, a data map, tickets, a subject, and a gate. Everything is real."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from approval_stage import public_of, seed_of

from custodes import decisions
from custodes.decisions.terms import sets_for
from custodes.guard.approval import APPROVE, Statement, sign
from custodes.guard.book import GRANT, Asked
from custodes.guard.gate import Gate
from custodes.guard.grants import Terms, name_of
from custodes.guard.seams import Lease
from custodes.guard.words import Identity, Released, Request
from custodes.home import Home
from custodes.home_making import make_home
from custodes.model.canonical import Json
from custodes.protected.lookups import DECOYS

FIELD, SYSTEM = "app.users.last_ip", "app-db"
SUBJECT, OTHER = "4711", "4712"
ADDRESS = "203.0.113.77"
PEOPLE = {
    "dora": ("support/tier2/dublin", "hugo"),
    "finn": ("support/tier1/dublin", "hugo"),
    "hugo": ("operations/lead", "gwen"),
    "gwen": ("executive/office", ""),
    "ada": ("privacy/office/dublin", "gwen"),
    "ben": ("legal/counsel/dublin", "gwen"),
    "ben2": ("privacy/office/dublin", "gwen"),
    "cleo": ("privacy/outside", ""),
    "vera": ("audit/internal/eu", "wolf"),
    "wolf": ("audit/lead", "gwen"),
}
"""Actor → unit, manager. `ben2` is a second account of the person behind `ben`; `privacy` units stand outside."""
FIRST = ("ada", "ben", "ben2", "cleo", "dora", "finn", "gwen", "hugo", "vera", "wolf")
POLICY = """
schema: custodes.policy/1
regions:
  EU: {countries: [IE], support_only: [PH]}
  US: {countries: [US]}
purposes:
  support: [ip_address, identity]
  trust_safety: ["*"]
units_without_subject_duty: [audit]
outside_approver_units: [privacy]
protected:
  journalist: {obliges: [outside_approver, two_person]}
"""
DATAMAP = """
app-db:
  app.users:
    subject_key: id
    fields: {id: public, name: identity, last_ip: ip_address, note: message}
"""


class Rows:
    """Rows of subjects in memory, for gates that need no server. `down`: the database answers nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Json]]] = {
            SUBJECT: [{FIELD: ADDRESS, "app.users.name": "Ann Subject"}],
            OTHER: [{FIELD: "198.51.100.9", "app.users.name": "Bob Subject"}],
        }
        self.reads = 0
        self.leases: list[tuple[str, Lease]] = []

    def region(self, system: str, fields: Sequence[str], key: str) -> str | None:
        del system, fields, key
        return None

    def read(self, system: str, fields: Sequence[str], key: str, rows: int) -> list[Mapping[str, Json]]:
        del system, fields
        self.reads += 1
        return list(self.rows.get(key, []))[:rows]

    def open(self, system: str, lease: Lease) -> None:
        self.leases.append((system, lease))

    def end(self, grant: str) -> int:
        found = [item for item in self.leases if item[1].grant == grant]
        self.leases = [item for item in self.leases if item not in found]
        return len(found)


class GateStage:
    """A home with a gate. Every step takes its time: `now` moves only when a test moves it."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.folder, self.home, self.now = folder, home, datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
        self.rows = Rows()
        self.gate = self.fresh_gate()

    @classmethod
    def built(cls, folder: Path, settings: str = "") -> GateStage:
        """Make the home and load its company."""
        home = make_home(folder / "home", approvers={name: public_of(name) for name in FIRST})
        home.adopt("policy.yaml", POLICY.encode())
        home.adopt("datamap.yaml", DATAMAP.encode())
        key = folder / "home" / "keys" / "registry.key"
        while any(home.registry().drawn(home.pseudonyms.once("subject", name)) < DECOYS for name in (SUBJECT, OTHER)):
            key.write_bytes(os.urandom(32))  # the key made one of them a decoy, whom more people must approve
        home.close()
        if settings:
            file = folder / "home" / "custodes.toml"
            file.write_text(file.read_text() + settings)
        stage = cls(folder, Home.open(folder / "home"))
        stage.load("staff", [stage.staff_row(name) for name in PEOPLE])
        stage.load("subjects", [{"subject": SUBJECT, "region": "EU"}, {"subject": OTHER, "region": "EU"}])
        stage.load("tickets", [{"ticket": "T-1", "subject": SUBJECT, "opened": "2026-01-01T00:00:00Z"}])
        return stage

    def fresh_gate(self, home: Home | None = None, **seams: Any) -> Gate:
        """Return another gate of the home, as another process would have it."""
        made = decisions.gate(home or self.home)
        return Gate(replace(made._seams, **{"reader": self.rows, "leases": self.rows, **seams}))

    def staff_row(self, name: str, **changes: str) -> dict[str, str]:
        unit, manager = PEOPLE[name]
        person = f"person of {name.removesuffix('2')}"
        row = {
            "actor": name,
            "person": person,
            "unit": unit,
            "manager": manager,
            "country": "IE",
            "entity": "custodia-eu",
            "left": "",
        }
        return {**row, **changes}

    def load(self, table: str, rows: list[dict[str, str]], at: datetime | None = None) -> None:
        """Load rows into a context table, an hour ago unless told otherwise, each load a second after the one before."""
        number = len(list(self.folder.glob("*.csv")))
        path = self.folder / f"{table}-{number}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)
        self.home.context().load(table, path, now=at or self.now + timedelta(hours=-1, seconds=number))

    def actor(self, name: str) -> str:
        return self.home.pseudonyms.once("actor", name)

    def subject(self, name: str = SUBJECT) -> str:
        return self.home.pseudonyms.once("subject", name)

    def terms(self, by: str = "dora", **changes: Any) -> Terms:
        terms = Terms(
            actor=self.actor(by),
            purpose="support",
            reason_code="SUPPORT_CASE",
            reason="T-1",
            system=SYSTEM,
            fields=(FIELD,),
            subjects=(self.subject(),),
        )
        terms = replace(terms, **changes)
        return terms if "sets" in changes else replace(terms, sets=sets_for(self.home, terms))

    def ask(self, by: str = "dora", **changes: Any) -> Asked:
        """Hand in a request for a grant."""
        return self.ask_for(GRANT, by, self.terms(by, **changes).content())

    def ask_for(self, act: str, by: str, content: Mapping[str, Json]) -> Asked:
        asking = decisions.asking(self.home)
        request, statement = asking.draft(act, self.actor(by), content, self.now)
        return asking.hand_in(request, statement, sign(statement, seed_of(by)), self.now)

    def answer(self, asked: Asked, by: str, decision: str = APPROVE, *, key: str = "", **changes: Any) -> Statement:
        asking = decisions.asking(self.home)
        statement = asking.statement(asked.number, self.actor(by), decision, self.now)
        asking.answer(asked.number, replace(statement, **changes), sign(statement, seed_of(key or by)), self.now)
        return statement

    def granted(self, by: str = "dora", approvers: Sequence[str] = ("ada",), **changes: Any) -> Asked:
        asked = self.ask(by, **changes)
        for name in approvers:
            self.answer(asked, name)
        return asked

    def identity(self, by: str = "dora", **changes: Any) -> Identity:
        return replace(Identity(self.actor(by), login=by, session_country="IE", country_source="idp"), **changes)

    def request(self, asked: Asked | None, by: str = "dora", **changes: Any) -> Request:
        request = Request(
            actor=self.actor(by),
            mode="value",
            system=SYSTEM,
            fields=(FIELD,),
            subject=self.subject(),
            purpose="support",
            reason_code="SUPPORT_CASE",
            reason="T-1",
            grant=None if asked is None else name_of(asked.number),
        )
        return replace(request, **changes)

    def release(
        self, asked: Asked | None, by: str = "dora", *, gate: Gate | None = None, key: str = SUBJECT, **changes: Any
    ) -> Released:
        who = changes.pop("identity", self.identity(by))
        return (gate or self.gate).release(self.request(asked, by, **changes), who, self.now, key=key)
