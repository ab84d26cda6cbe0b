"""A plain-Python reading of a folder of exports, apart from custodes' own explanations: which E conditions hold for an access.

It follows the wording of `e_codes` and answers for one access at a time. It is slow and simple on purpose.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import yaml

GRACE = timedelta(hours=72)
LATE = timedelta(minutes=15)


@cache
def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def table(folder: Path, name: str) -> list[dict[str, str]]:
    path = folder / "context" / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def accesses(folder: Path) -> list[dict]:
    decode = msgspec.json.Decoder().decode
    return [decode(line) for path in sorted(folder.glob("accesses-*.ndjson")) for line in path.read_bytes().splitlines()]


def within(start: str | None, end: str | None, time: datetime) -> bool:
    return (not start or moment(start) <= time) and (not end or time < moment(end))


class Reading:
    """The context of one world, indexed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = yaml.safe_load((folder / "policy.yaml").read_text("utf-8"))
        self.datamap = yaml.safe_load((folder / "datamap.yaml").read_text("utf-8"))
        self.truth = json.loads((folder / "truth.json").read_text("utf-8"))
        self.accesses = accesses(folder)
        self.staff = defaultdict(list)
        for row in table(folder, "staff"):
            self.staff[row["actor"]].append(row)
        self.tickets = self._by("tickets", "subject")
        self.ticket = {row["ticket"]: row for row in table(folder, "tickets")}
        self.assigned = defaultdict(list)
        for row in table(folder, "assignments"):
            self.assigned[row["ticket"] or row["case"]].append(row)
        self.case = {row["case"]: row for row in table(folder, "cases")}
        self.scope = defaultdict(list)
        persons = {row["person"]: row["subject"] for row in table(folder, "subjects") if row["person"]}
        self.subject = {row["subject"]: row for row in table(folder, "subjects")}
        for row in table(folder, "case_scope"):
            subject = row["subject"]
            if row["actor"]:
                subject = persons.get(self.staff[row["actor"]][0]["person"], "")
            self.scope[subject].append(row)
        self.grants = self._by("grants", "subject")
        self.approvals = self._by("approvals", "grant")
        self.legal = self._by("legal", "subject")
        self.jobs = self._by("jobs", "service")
        self.incident = {row["incident"]: row for row in table(folder, "incidents")}
        self.rostered = defaultdict(list)
        for row in table(folder, "roster"):
            if row["incident"]:
                self.rostered[row["actor"]].append(row)
        self.related = {(row["actor"], row["subject"]) for row in table(folder, "relations") if row["kind"] == "self"}
        self.consents = self._by("consents", "subject")
        self.copies = defaultdict(set)
        for access in self.accesses:
            if access.get("derived"):
                self.copies[access["derived"]] |= set(access.get("subjects", ()))
        self._chains: dict[str, set[str]] = {}
        self.protected = {row["subject"]: row["class"] for row in table(folder, "protected")}

    def _by(self, name: str, column: str) -> dict[str, list[dict[str, str]]]:
        found = defaultdict(list)
        for row in table(self.folder, name):
            found[row[column]].append(row)
        return found

    # --- people ---

    def row_of(self, actor: str, time: datetime) -> dict[str, str]:
        rows = [row for row in self.staff[actor] if within(row["valid_from"], row["valid_to"], time)]
        return rows[0] if rows else {}

    def chain(self, actor: str, time: datetime) -> set[str]:
        """Return the managers above; nobody in these worlds has one manager first and another later."""
        if actor in self._chains:
            return self._chains[actor]
        seen = self._chains[actor] = set()
        while (row := self.row_of(actor, time)) and row["manager"] and row["manager"] not in seen:
            actor = row["manager"]
            seen.add(actor)
        return seen

    def mine(self, by: str, actor: str, time: datetime) -> bool:
        """Say that `by` is the actor or reports to the actor."""
        return by == actor or actor in self.chain(by, time)

    def is_assigned(self, key: str, actor: str, time: datetime) -> bool:
        unit = self.row_of(actor, time).get("unit")
        return any(
            (row["actor"] == actor or (row["unit"] and row["unit"] == unit))
            and within(row["valid_from"], row["valid_to"], time)
            and row["assigned_by"]
            and not self.mine(row["assigned_by"], actor, time)
            for row in self.assigned[key]
        )

    def categories(self, access: dict) -> set[str]:
        resources = str(access.get("resource", "")).split(";")
        system = self.datamap.get(access["system"], {})
        found = set()
        for name in access.get("fields", ()):
            found |= {system[part]["fields"][name] for part in resources if name in system.get(part, {}).get("fields", {})}
        return found

    # --- the templates ---

    def explains(self, access: dict) -> set[str]:
        """Return the E codes that hold for every subject of an access."""
        subjects = set(access.get("subjects", ())) or set(self.copies.get(access.get("derived_from"), ()))
        time = moment(access["time"])
        actor = access.get("on_behalf_of", access["actor"])
        if self.categories(access) == {"public"}:
            return {"public"}
        if not subjects:
            return self._unnamed(access, actor, time)
        each = [self._subject(access, actor, subject, time) for subject in sorted(subjects)]
        if all(each):
            return set.intersection(*each) or {"mixed"}
        return set()

    def _unnamed(self, access: dict, actor: str, time: datetime) -> set[str]:
        found = {"E6"} if self._incident(actor, time) else set()
        for job in self.jobs[access["actor"]]:
            change = self.ticket.get(job["change"])
            if (
                within(job["valid_from"], job["valid_to"], time)
                and change
                and within(change["opened"], change["closed"], time)
                and access.get("subject_scope") in ("none", "aggregate", "set")
            ):
                found.add("E5")
        return found

    def _incident(self, actor: str, time: datetime) -> bool:
        return any(
            within(row["valid_from"], row["valid_to"], time)
            and within(self.incident[row["incident"]]["opened"], self.incident[row["incident"]]["closed"], time)
            for row in self.rostered[actor]
        )

    def _subject(self, access: dict, actor: str, subject: str, time: datetime) -> set[str]:
        found = {"E6"} if self._incident(actor, time) else set()
        row = self.row_of(actor, time)
        for ticket in self.tickets[subject]:
            closed = moment(ticket["closed"])
            open_then = moment(ticket["opened"]) <= time and (closed is None or time < closed + GRACE)
            if (
                open_then
                and ticket["origin"] == "subject"
                and ticket["inbound"]
                and self.is_assigned(ticket["ticket"], actor, time)
            ):
                found.add("E1")
                if ticket["kind"] == "privacy_request" and row.get("unit", "").startswith("privacy"):
                    found.add("E8")
        for scope in self.scope[subject]:
            case = self.case[scope["case"]]
            fits = (
                moment(scope["added"]) <= time
                and not self.mine(scope["added_by"], actor, time)
                and within(case["opened"], case["closed"], time)
                and moment(case["recorded_at"]) <= time + LATE
                and self.is_assigned(case["case"], actor, time)
            )
            allowed = self.policy["purposes"].get(access.get("purpose"), ["*"])
            if not fits:
                continue
            if case["kind"] == "oversight" and access["action"] not in ("write", "delete"):
                found.add("E11")
            if case["kind"] in ("quality", "training"):
                found.add("E9" if case["kind"] == "quality" else "E10")
            if "*" in allowed or self.categories(access) - {"public"} <= set(allowed):
                found.add("E2")
        for grant in self.grants[subject]:
            if self._granted(grant, access, actor, time):
                found.add("E12" if grant["break_glass"] == "true" else "E3")
        for legal in self.legal[subject]:
            if self._legal(legal, access, time, subject):
                found.add("E4")
        kind = self.subject.get(subject, {})
        if (
            kind.get("kind") == "test"
            or (actor, subject) in self.related
            or (kind.get("person") and kind["person"] == row.get("person"))
        ):
            found.add("E7")
        if any(within(c["valid_from"], c["valid_to"], time) and c["actor"] in (actor, "*") for c in self.consents[subject]):
            found.add("E7")
        return found

    def _granted(self, grant: dict, access: dict, actor: str, time: datetime) -> bool:
        fits = (
            grant["actor"] in (actor, access["actor"])
            and set(access.get("fields", ())) <= set(grant["fields"].split(";"))
            and within(grant["valid_from"], grant["valid_to"], time)
        )
        if not fits:
            return False
        asked = grant["requested_by"]
        for row in self.approvals[grant["grant"]]:
            at = moment(row["at"])
            unit = self.row_of(row["approver"], at).get("unit", "")
            outside = any(unit == part or unit.startswith(part + "/") for part in self.policy["outside_approver_units"])
            apart = unit != self.row_of(asked, at).get("unit") and row["approver"] not in {asked, *self.chain(asked, at)}
            apart = apart and asked not in self.chain(row["approver"], at)
            if grant["break_glass"] == "true":
                harm = any(
                    self.incident[r["incident"]]["kind"] == "life_safety"
                    for r in self.rostered[actor]
                    if within(r["valid_from"], r["valid_to"], time)
                )
                if row["decision"] == "review_ok" and outside and harm and at - time <= timedelta(hours=24):
                    return True
            elif row["decision"] == "approve" and at <= time and apart:
                return True
        return False

    def _legal(self, legal: dict, access: dict, time: datetime, subject: str) -> bool:
        word = self.policy["protected"].get(self.protected.get(subject, ""), {}).get("legal_approver_class", "counsel")
        return (
            legal["verified"] == "true"
            and set(access.get("fields", ())) <= set(legal["fields"].split(";"))
            and within(legal["served"], legal["expires"], time)
            and legal["approver_class"] in (word, "judge")
        )

    def is_look(self, access: dict) -> bool:
        return access["action"] != "login" and access.get("subject_scope") != "none" and access.get("outcome") != "denied"
