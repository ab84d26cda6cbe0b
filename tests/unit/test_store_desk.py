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


def test_an_erased_person_is_blanked_everywhere_and_in_no_free_page(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk.sqlite")
    who, other, access = "s-aaaaaaaaaaaaaaaa", "s-bbbbbbbbbbbbbbbb", "x-" + "c" * 26
    row = {"rule": "D01", "sentence": f"a look at {who}, not at {other}", "subjects": [who, other], "accesses": [access]}
    desk.save_findings([{"finding": f"f{number}", **row} for number in range(300)])
    desk.save_findings([{"finding": "f9999", "rule": "D01", "subjects": [other], "evidence": [{"table": "subjects", "key": who}]}])
    desk.save_campaigns([{"campaign": "c1", "subjects": [who]}])
    assert desk.naming(who) == 301
    assert desk.forget({who, access}) == 302
    assert desk.forget({who, access}) == 0
    assert desk.naming(who) == 0
    assert desk.naming(other) == 301
    (first, *_, last) = desk.findings()
    assert first["sentence"] == f"a look at (erased), not at {other}"
    assert (first["subjects"], first["accesses"]) == (["(erased)", other], ["(erased)"])
    assert last["evidence"] == [{"table": "subjects", "key": "(erased)"}]
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert who.encode() not in data
        assert access.encode() not in data


def test_forgetting_makes_no_desk(tmp_path: Path) -> None:
    assert Desk(tmp_path / "desk.sqlite").forget({"s-aaaaaaaaaaaaaaaa"}) == 0
    assert not (tmp_path / "desk.sqlite").exists()


def test_a_changed_verdict_is_kept_beside_the_new_one_and_a_repeat_takes_the_place_of_its_former_self(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk.sqlite")
    desk.update([{"finding": "f1", "rule": "D01", "level": "medium"}, {"finding": "f2", "rule": "D01"}], {}, {})
    desk.update(
        [{"finding": "f3", "rule": "D01", "level": "low", "repeats": 1}], {"f1": "weakened", "f2": "withdrawn"}, {"f3": "f1"}
    )
    assert [(row["finding"], row.get("verdict")) for row in desk.findings()] == [("f2", "withdrawn"), ("f3", None)]
    kept = [(one["finding"], one["change"], one["before"]) for one in desk.verdicts()]
    assert kept == [
        ("f3", "weakened", {"finding": "f1", "rule": "D01", "level": "medium"}),
        ("f2", "withdrawn", {"finding": "f2", "rule": "D01"}),
    ]


def test_the_same_draw_is_kept_once_and_erasure_reaches_slots_labels_and_former_verdicts(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk.sqlite")
    access, who = "x-" + "c" * 26, "s-aaaaaaaaaaaaaaaa"
    for _ in range(2):
        desk.keep_slots([access, "x-" + "d" * 26], "root", 50)
    assert [(drawn, of) for _, drawn, of in desk.slots()] == [(2, 50), (2, 50)]
    desk.label(access, "misuse", "a-bbbbbbbbbbbbbbbb")
    desk.update([{"finding": "f1", "rule": "D01", "subjects": [who], "key": "k-1"}], {}, {})
    desk.update([], {"f1": "withdrawn"}, {})
    desk.forget({access, who})
    assert [slot[0] for slot in desk.slots()] == ["x-" + "d" * 26]
    assert desk.labels()[0]["what"] == "(erased)"
    assert desk.findings()[0]["key"] == "(erased)"
    assert who not in str(desk.verdicts())
    assert not [file for file in tmp_path.iterdir() if who.encode() in file.read_bytes() or access.encode() in file.read_bytes()]
