"""Days and context may come in any steps: what is found at the end is what one run finds that had everything from the start."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from random import Random

import pytest

from custodes import watch, watching, world
from custodes.cli.load import load_folder
from custodes.home import Home
from custodes.home_making import make_home
from custodes.model.run import WatchRun

LATE = ("tickets", "assignments")
PLACES = frozenset({"leaves", "ledger"})
"""Where in the record an access stands follows the order in which it came, and is no part of a verdict."""

Verdicts = frozenset[tuple[object, ...]]


@dataclass(frozen=True)
class Seen:
    """One run, with its verdicts (access, subject, template, strength, evidence) and tickets (reason, subject, row)."""

    run: WatchRun
    verdicts: Verdicts
    flags: Verdicts
    tickets: Verdicts

    def findings(self) -> dict[str, dict[str, object]]:
        return {
            name: {entry.name: getattr(finding, entry.name) for entry in fields(finding) if entry.name not in PLACES}
            for name, finding in self.run.findings.items()
        }


def look(folder: Path) -> Seen:
    """Run the main path with a desk that knows nothing, so that only the rows and the context speak."""
    with Home.open(folder) as home:
        rooms = replace(watching.rooms(home), score="cold")
        try:
            run = watch.run(rooms)
            ask = rooms.engine.rows
            return Seen(
                run,
                frozenset(
                    ask(
                        """SELECT a.access_id, e.subject, e.template, e.strength, e.evidence_key
                           FROM explanations e INNER JOIN accesses a ON a.access = e.access"""
                    )
                ),
                frozenset(
                    ask(
                        """SELECT a.access_id, f.subject, f.template, f.code, f.evidence_key
                           FROM flags f INNER JOIN accesses a ON a.access = f.access"""
                    )
                ),
                frozenset(ask("SELECT ticket, subject, opened, closed, inbound FROM tickets")),
            )
        finally:
            rooms.engine.close()


def load(folder: Path, *exports: Path) -> None:
    with Home.open(folder) as home:
        for export in exports:
            report = load_folder(home, export)
            assert not report.unread
            assert not any(entry.rejected for entry in report.loads)


def days_of(exports: Path, chance: Random, steps: int, into: Path) -> list[Path]:
    """Write the accesses in so many folders, cut between random days; everything else goes into the first."""
    lines = sorted((exports / "accesses-001.ndjson").read_text("utf-8").splitlines(), key=_day)
    cuts = sorted(chance.sample(sorted({_day(line) for line in lines})[1:], steps - 1))
    folders = []
    for step in range(steps):
        folder = into / f"step{step}"
        folder.mkdir(parents=True)
        own = [line for line in lines if sum(_day(line) >= cut for cut in cuts) == step]
        (folder / f"accesses-{step}.ndjson").write_text("".join(f"{line}\n" for line in own), "utf-8")
        folders.append(folder)
    for name in ("datamap.yaml", "policy.yaml"):
        shutil.copy(exports / name, folders[0] / name)
    shutil.copytree(exports / "context", folders[0] / "context")
    return folders


def _day(line: str) -> str:
    at = line.index('"time":"') + 8
    return line[at : at + 10]


def hold_back(first: Path, chance: Random, into: Path) -> None:
    """Take a tenth of the tickets, with assignments, out of the first load; a tenth more first lacks the message of its subject."""
    tickets, assignments = (_rows(first / "context" / f"{name}.csv") for name in LATE)
    named = sorted({row["ticket"] for row in tickets})
    late, wrong = (set(chance.sample(named, len(named) // 10)) for _ in range(2))
    early = [{**row, "inbound": ""} if row["ticket"] in wrong else row for row in tickets if row["ticket"] not in late]
    (into / "context").mkdir(parents=True)
    _write(first / "context" / "tickets.csv", early)
    _write(into / "context" / "tickets.csv", [row for row in tickets if row["ticket"] in late | wrong])
    _write(first / "context" / "assignments.csv", [row for row in assignments if row["ticket"] not in late])
    _write(into / "context" / "assignments.csv", [row for row in assignments if row["ticket"] in late])


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def _write(file: Path, rows: Iterable[dict[str, str]]) -> None:
    listed = list(rows)
    assert listed
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)


@dataclass(frozen=True)
class Told:
    """The same company: told at once, in steps, and in steps before the corrections came."""

    whole: Seen
    before: Seen
    after: Seen


def tell(folder: Path, seed: int) -> Told:
    """Both homes are copies of one, so that the same ids get the same pseudonyms."""
    chance, exports = Random(seed), folder / "exports"
    world.build(["F01"], seed=seed, out=exports, size="tiny")
    with make_home(folder / "base", simulated=True):
        pass
    for name in ("whole", "steps"):
        shutil.copytree(folder / "base", folder / name)
    load(folder / "whole", exports)
    late = folder / "late"
    parts = days_of(exports, chance, 3, folder / "parts")
    hold_back(parts[0], chance, late)
    load(folder / "steps", parts[0])
    look(folder / "steps")  # whatever a run leaves behind must not reach the next
    load(folder / "steps", *parts[1:])
    before = look(folder / "steps")
    load(folder / "steps", late)
    return Told(look(folder / "whole"), before, look(folder / "steps"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return tell(tmp_path_factory.mktemp("steps"), 3)


def assert_same(told: Told) -> None:
    assert told.whole.run.campaigns
    assert told.after.verdicts == told.whole.verdicts
    assert told.after.flags == told.whole.flags
    assert told.after.findings() == told.whole.findings()
    assert [campaign.campaign for campaign in told.after.run.campaigns] == [
        campaign.campaign for campaign in told.whole.run.campaigns
    ]
    assert (told.after.run.looks, told.after.run.residue) == (told.whole.run.looks, told.whole.run.residue)
    assert told.after.run.failed_rules == ()


def test_steps_and_one_load_find_the_same(told: Told) -> None:
    assert_same(told)


def test_late_rows_change_only_what_they_touch(told: Told) -> None:
    touched = {row[1] for row in told.before.tickets ^ told.after.tickets}
    entered = {row[0] for row in told.before.tickets ^ told.after.tickets}
    changed = told.before.verdicts ^ told.after.verdicts
    assert changed
    assert {row[1] for row in changed} <= touched
    assert not told.before.verdicts - told.after.verdicts  # these rows only ever add a reason
    assert told.after.run.residue < told.before.run.residue
    flagged = told.before.flags ^ told.after.flags
    assert all(row[1] in touched or row[4] in entered for row in flagged)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_other_companies_and_other_steps_find_the_same(tmp_path: Path, seed: int) -> None:
    assert_same(tell(tmp_path, seed))
