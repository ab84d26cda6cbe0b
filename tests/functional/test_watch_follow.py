"""`custodes watch --follow` as a process: findings as they come, a late ticket withdraws one, nothing twice, Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from approval_stage import OLD, SUBJECT, Stage

from custodes.cli.watch import run_watch
from custodes.home import Home

KIN = "customer-9"


class Followed:
    """A home and the process that follows it."""

    def __init__(self, stage: Stage, *more: str) -> None:
        self.stage = stage
        home = str(stage.folder / "home")
        arguments = [
            sys.executable,
            "-m",
            "custodes",
            "watch",
            "--home",
            home,
            "--follow",
            "--format",
            "ndjson",
            "--poll",
            "0.05",
            *more,
        ]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.talk = [self._line(self.process.stderr) for _ in range(3)]

    def news(self) -> dict[str, Any]:
        """Wait for the next line."""
        found: dict[str, Any] = json.loads(self._line(self.process.stdout))
        return found

    @staticmethod
    def _line(stream: Any) -> str:
        return str(stream.readline())

    def interrupted(self) -> tuple[int, str, str]:
        """Send Ctrl-C; return the exit code and what was still said."""
        os.kill(self.process.pid, signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage.built(tmp_path, simulated=True)
    first = OLD.isoformat()
    stage.load("relations", [{"actor": "mole", "subject": KIN, "kind": "family"}])
    stage.load("tickets", [{"ticket": "T-1", "subject": SUBJECT, "origin": "subject", "opened": first, "inbound": "mail"}])
    stage.load("assignments", [{"ticket": "T-1", "actor": "reader", "valid_from": first, "assigned_by": "queue"}])
    yield stage
    stage.home.close()


def _desk(home: Home) -> dict[str, Any]:
    return {found.finding: found for found in run_watch(home, since=None, until=None, budget=50).findings.values()}


@pytest.mark.timeout(240)
def test_findings_come_as_looks_do_grow_and_are_withdrawn_by_a_late_ticket(stage: Stage) -> None:
    followed = Followed(stage)
    assert "D02" not in followed.talk[2]
    assert "need more than one look" in followed.talk[2]
    stage.look("mole", [KIN], 1)
    first = followed.news()
    assert (first["event"], first["rule"], first["level"], first["instead_of"]) == ("finding", "D10", "medium", [])
    stage.look("mole", [KIN], 2)
    second = followed.news()
    assert second["instead_of"] == [first["finding"]]
    told = _desk(stage.home)[second["finding"]]
    assert (told.sentence, told.level, list(told.codes), list(told.missing)) == (
        second["sentence"], second["level"], second["codes"], second["missing"],
    )  # fmt: skip
    opened = (OLD - timedelta(days=1)).isoformat()
    stage.load("assignments", [{"ticket": "T-late", "actor": "mole", "valid_from": opened, "assigned_by": "queue"}])
    stage.load("tickets", [{"ticket": "T-late", "subject": KIN, "origin": "subject", "opened": opened, "inbound": "mail"}])
    change = followed.news()
    assert (change["event"], change["finding"], change["change"], change["now"]) == ("change", second["finding"], "withdrawn", None)
    status, out, err = followed.interrupted()
    assert (status, out) == (130, "")
    assert "2 findings were told, 1 judged otherwise" in err
    verdicts = [leaf.what for leaf in stage.home.own_leaves() if leaf.what.get("what") == "verdicts"]
    assert any(change["finding"] in json.dumps(what) for what in verdicts)
    assert [leaf.what["act"] for leaf in stage.home.own_leaves() if leaf.what.get("what") == "use"] == ["watch"]


@pytest.mark.timeout(120)
def test_it_ends_by_itself_when_nothing_comes_and_refuses_what_it_cannot_do(stage: Stage) -> None:
    followed = Followed(stage, "--idle-stop", "0.2")
    out, err = followed.process.communicate(timeout=100)
    assert (followed.process.returncode, out) == (0, "")
    assert "0 accesses came in" in err
    refused = subprocess.run(
        [sys.executable, "-m", "custodes", "watch", "--home", str(stage.folder / "home"), "--follow", "--format", "json"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == 2
