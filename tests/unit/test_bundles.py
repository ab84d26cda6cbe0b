"""Bundles: what they hold, what they never hold, and that a reader with either verifier comes to the same verdicts."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from bundle_making import MONTHS, PEOPLE, Made, erase, key_of, make

from custodes.disclose.bundle import leaf_bundle, months_of, script, subject_bundle
from custodes.errors import InputError, LedgerRewritten, PartMissing
from custodes.ledger.bundle import open_bundle
from custodes.ledger.policy import parse_policy
from custodes.verify import standalone
from custodes.verify.bundle import check_bundle
from custodes.verify.verdict import VerifyReport


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("bundles"))


def judge(data: bytes, policy: bytes | None, key: bytes | None = None) -> tuple[int, Counter[str]]:
    """Return exit code and verdicts, which must be those of both verifiers."""
    report = VerifyReport()
    check_bundle(data, "bundle", None if policy is None else parse_policy(policy), key, report)
    other = standalone.check(data, policy, key)
    verdicts = Counter(claim.verdict.value for claim in report.claims)
    assert (report.exit_code, verdicts) == (other.exit_code(), Counter(claim[0] for claim in other.claims))
    return report.exit_code, verdicts


@pytest.mark.parametrize("person", PEOPLE)
def test_all_entries_about_a_subject_and_that_these_are_all(made: Made, person: str) -> None:
    data = subject_bundle(made.sources(), key_of(person), MONTHS, with_actor=False)
    manifest, members = open_bundle(data)
    code, verdicts = judge(data, made.policy, key_of(person))
    assert code == 0
    assert verdicts == {"COMPLETE": 3, "INCLUDED": len(manifest.included)}
    assert set(made.about[person]) <= set(manifest.included)
    listed = [at for month in MONTHS for at in json.loads(members[f"index/{month}.json"])["lookup"]["positions"]]
    assert listed == made.about[person]


def test_a_month_without_a_look_is_proven_too(made: Made) -> None:
    data = subject_bundle(made.sources(), key_of("carla"), MONTHS[:1], with_actor=False)
    assert judge(data, made.policy, key_of("carla")) == (0, {"COMPLETE": 1})
    assert "no entries about you" in standalone.check(data, made.policy, key_of("carla")).claims[0][1]


def test_without_the_tag_key_it_is_complete_for_a_tag_only(made: Made) -> None:
    data = subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)
    assert judge(data, made.policy)[0] == 0
    texts = [text for verdict, text, _ in standalone.check(data, made.policy, None).claims if verdict == "COMPLETE"]
    assert len(texts) == 3
    assert all("about this tag" in text and "with nobody resolved: 12" in text for text in texts)


def test_nothing_is_proven_without_a_policy(made: Made) -> None:
    data = subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)
    code, verdicts = judge(data, None, key_of("anna"))
    assert (code, set(verdicts)) == (2, {"UNVERIFIED"})


def test_bundle_deterministic(made: Made) -> None:
    assert subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=True) == subject_bundle(
        made.sources(), key_of("anna"), MONTHS, with_actor=True
    )
    assert leaf_bundle(made.sources(), [5], with_actor=False) == leaf_bundle(made.sources(), [5], with_actor=False)


def test_any_zip_program_reads_it_in_order(made: Made) -> None:
    data = leaf_bundle(made.sources(), [5], with_actor=False)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(archive.namelist())
        assert archive.read("verify.py") == script() == Path(standalone.__file__).read_bytes()
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_nothing_about_others_nor_the_actor_nor_raw(made: Made) -> None:
    data = subject_bundle(made.sources(), key_of("carla"), MONTHS, with_actor=False)
    for word in (
        b"subject-anna",
        b"subject-berta",
        b"marek",
        b"raw-own-id",
        b"SELECT",
        key_of("carla"),
        key_of("carla").hex().encode(),
    ):
        assert word not in data
    included = set(open_bundle(data)[0].included)
    accesses = included - set(made.about["carla"])
    assert {made.openings[at].leaf[16:48] for at in accesses} == {b"\xff" * 32}  # of entries about very many people
    for at, found in made.openings.items():
        stranger = at not in included
        for number, salt in enumerate(found.salts):
            if salt is not None and (stranger or number in {0, 4}):
                assert salt.hex().encode() not in data
        if stranger:
            assert found.leaf not in data
            assert found.leaf.hex().encode() not in data
    assert b"subject-carla" in data


def test_with_the_actor_the_actor_is_shown_and_raw_is_not(made: Made) -> None:
    data = subject_bundle(made.sources(), key_of("carla"), MONTHS, with_actor=True)
    assert judge(data, made.policy, key_of("carla"))[0] == 0
    assert b"marek" in data
    assert b"raw-own-id" not in data


def test_a_touch_brings_its_access_without_the_others(made: Made) -> None:
    touch = next(at for at in made.about["anna"] if made.openings[at].leaf[1] == 2)
    manifest, members = open_bundle(leaf_bundle(made.sources(), [touch], with_actor=False))
    assert len(manifest.included) == 2
    assert b"subject-berta" not in members["openings.ndjson"]
    assert judge(leaf_bundle(made.sources(), [touch], with_actor=False), made.policy)[0] == 0


def test_unknown_months_are_refused(made: Made) -> None:
    assert months_of(made.sources(), None, None) == list(MONTHS)
    assert months_of(made.sources(), "2026-10", None) == ["2026-10", "2026-11"]
    for span in (("2026-08", None), (None, "2026-12"), ("2026-11", "2026-10")):
        with pytest.raises(InputError):
            months_of(made.sources(), *span)


def test_what_was_erased_reads_erased_with_its_record(tmp_path: Path) -> None:
    made = make(tmp_path, looks=20)
    before = subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)
    record = erase(made, "anna")
    data = subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=True)
    code, verdicts = judge(data, made.policy, key_of("anna"))
    assert (code, verdicts["ERASED"]) == (0, len(made.erased))
    assert record in open_bundle(data)[0].included
    assert b"subject-anna" not in data
    # The bundle handed out before still proves what it did, and the others' groups open.
    assert judge(before, made.policy, key_of("anna"))[0] == 0
    assert judge(subject_bundle(made.sources(), key_of("berta"), MONTHS, with_actor=False), made.policy, key_of("berta"))[0] == 0


def test_contents_that_are_gone_without_a_record_make_no_bundle(tmp_path: Path) -> None:
    made = make(tmp_path, looks=10)
    del made.openings[made.about["anna"][0]]
    with pytest.raises(PartMissing, match="no record says"):
        subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)


def test_a_record_that_does_not_hold_makes_no_bundle(tmp_path: Path) -> None:
    made = make(tmp_path, looks=10)
    file = tmp_path / "log/seg/000000.log"
    data = bytearray(file.read_bytes())
    data[98 * made.about["anna"][0] + 60] ^= 1
    file.write_bytes(data)
    with pytest.raises(LedgerRewritten):
        leaf_bundle(made.sources(), [made.about["anna"][0]], with_actor=False)


def test_an_empty_looking_text_is_printed_without_its_control_characters(made: Made) -> None:
    entry = standalone.Entry(0, b"", 1, "2026-09", b"", {"why": {"purpose": "\x1b[2Jgone \u202e evil"}}, "")
    line = entry.lines()[0]
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "gone" in line
