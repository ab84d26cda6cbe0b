"""A small company with approvers, a few looks, and a clock: for tests of erasure and of the keys that allow it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custodes import decisions
from custodes.guard.approval import APPROVE, Statement, sign
from custodes.guard.book import Asked
from custodes.home import Home
from custodes.home_making import make_home

SUBJECT, OTHER = "customer-4711", "customer-4712"
DAY = timedelta(days=1)
OLD = datetime(2026, 1, 10, tzinfo=UTC)
LATER = datetime.now(UTC).replace(microsecond=0) + 200 * DAY
"""All accesses of the stage are older than the floor by then: their leaves are of today."""
PEOPLE = {
    "ada": ("privacy/office/dublin", "gwen"),
    "ben": ("legal/counsel/austin", "gwen"),
    "cleo": ("oversight/outside", ""),
    "dora": ("support/tier2/dublin", "hugo"),
    "finn": ("support/tier1/dublin", "hugo"),
    "gwen": ("executive/office", ""),
    "hugo": ("operations/lead", "gwen"),
    "reader": ("support/tier1/dublin", "hugo"),
    "mole": ("support/tier1/austin", "hugo"),
    "ben2": ("oversight/outside", ""),
}
"""Actor → unit, manager. Accesses are by `reader` and `mole`."""
FIRST = ("ada", "ben", "ben2", "cleo", "dora", "finn", "hugo")
"""Those with a first key: `ada` asks, `ben` and `cleo` stand outside support, `dora` and `finn` within, `hugo` above; `ben2` is a
second account of the person behind `ben`."""


def seed_of(name: str) -> bytes:
    """Return a person's private key."""
    return name.encode().ljust(32, b".")


def public_of(name: str) -> str:
    """Return a person's public key in hex."""
    return Ed25519PrivateKey.from_private_bytes(seed_of(name)).public_key().public_bytes_raw().hex()


class Stage:
    """A home with people, keys and looks. Every step takes its time: `now` moves only when a test moves it."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.folder, self.now, self.home = folder, LATER, home
        self.subject = home.pseudonyms.once("subject", SUBJECT)

    @classmethod
    def built(cls, folder: Path, *, simulated: bool = False) -> Stage:
        """Make the home, load its people, record the looks."""
        approvers = {name: public_of(name) for name in FIRST}
        stage = cls(folder, make_home(folder / "home", simulated=simulated, approvers=approvers))
        stage.load("staff", [staff_row(name) for name in PEOPLE])
        stage.look("reader", [SUBJECT], 3)
        stage.look("mole", [SUBJECT, OTHER], 1)
        stage.look("reader", [OTHER], 2)
        return stage

    def copied(self, folder: Path) -> Stage:
        """Return a copy of the stage as it lies on disk."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Stage(folder, Home.open(folder / "home"))

    def actor(self, name: str) -> str:
        """Return an actor's pseudonym."""
        return self.home.pseudonyms.once("actor", name)

    def load(self, table: str, rows: list[dict[str, str]]) -> None:
        """Load rows into a context table."""
        path = self.folder / f"{table}-{len(list(self.folder.glob('*.csv')))}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)
        self.home.context().load(table, path)

    def look(self, actor: str, subjects: list[str], count: int, **more: str) -> None:
        """Record looks, one an hour."""
        number = len(list(self.folder.glob("*.ndjson")))
        lines = [
            {
                "id": f"{actor}-{number}-{place}",
                "time": (OLD + timedelta(hours=place)).isoformat(),
                "actor": actor,
                "action": "read",
                "system": "crm",
                "resource": "profile",
                "fields": ["email"],
                "subjects": subjects,
                **more,
            }
            for place in range(count)
        ]
        path = self.folder / f"accesses-{number}.ndjson"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        self.home.intake().read("access", [str(path)])

    def ask(self, by: str = "ada", basis: str = "GDPR-17-1-a", subject: str | None = None) -> Asked:
        """Hand in a request to erase the subject."""
        erasing = decisions.erasing(self.home)
        request, statement = erasing.draft(subject or self.subject, basis, self.actor(by), self.now)
        return erasing.hand_in(request, statement, sign(statement, seed_of(by)), self.now)

    def ask_for(self, act: str, by: str, **content: Any) -> Asked:
        """Hand in a request about keys or holds."""
        asking = decisions.asking(self.home)
        request, statement = asking.draft(act, self.actor(by), content, self.now)
        return asking.hand_in(request, statement, sign(statement, seed_of(by)), self.now)

    def answer(self, asked: Asked, by: str, decision: str = APPROVE, key: str = "", **changes: Any) -> Statement:
        """Answer a request; `changes`: fields of the statement that are edited after it was signed. `key`: whose key signs."""
        statement = decisions.asking(self.home).statement(asked.number, self.actor(by), decision, self.now)
        signature = sign(statement, seed_of(key or by))
        decisions.erasing(self.home).answer(asked.number, replace(statement, **changes), signature, self.now)
        return statement

    def carry_out(self, asked: Asked) -> Asked:
        """Carry out a request."""
        return decisions.erasing(self.home).carry_out(asked.number, self.now)

    def approved(self) -> Asked:
        """Ask, have two people approve, one from outside, and let the cooling-off period pass."""
        asked = self.ask()
        self.answer(asked, "ben")
        self.answer(asked, "cleo")
        self.now += 15 * DAY
        return asked


def staff_row(name: str, **changes: str) -> dict[str, str]:
    """Return a person's row of `staff`."""
    unit, manager = PEOPLE.get(name, ("sales/emea", "gwen"))
    return {"actor": name, "person": f"person of {name.removesuffix('2')}", "unit": unit, "manager": manager, **changes}
