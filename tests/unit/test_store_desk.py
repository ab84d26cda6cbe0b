"""The desk keeps findings by id: a second run updates and adds none."""

from __future__ import annotations

from pathlib import Path

import pytest

from custodes.errors import NotDurable
from custodes.store.desk import Desk


def test_a_finding_is_kept_once_and_updated(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk.sqlite")
    assert desk.findings() == []
    assert not (tmp_path / "desk.sqlite").exists()
    one = {"finding": "f1", "rule": "D01", "campaign": "c1", "score": 5}
    assert desk.save_findings([one, {"finding": "f2", "rule": "D02"}]) == 2
    assert desk.save_findings([{**one, "score": 7}]) == 0
    assert [(row["finding"], row.get("score")) for row in desk.findings()] == [("f1", 7), ("f2", None)]
    assert desk.save_campaigns([{"campaign": "c1"}]) == 1
    assert desk.campaigns() == [{"campaign": "c1"}]


def test_a_file_that_is_no_desk_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "desk.sqlite").write_bytes(b"something else entirely, of some length" * 50)
    with pytest.raises(NotDurable):
        Desk(tmp_path / "desk.sqlite").findings()
