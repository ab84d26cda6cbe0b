"""The registry answers for subjects that are named, and for nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from custodes.errors import ConfigError, MissingSecret, PartMissing
from custodes.protected.key import read_key
from custodes.protected.registry import FILE, Enrolment, Registry

KEY = b"r" * 32
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_it_answers_for_named_subjects_only(tmp_path: Path) -> None:
    Registry(tmp_path, KEY).enrol_all([("s-one", Enrolment("journalist")), ("s-two", Enrolment("vip"))])
    again = Registry(tmp_path, KEY)
    assert again.classes_of(["s-one", "s-three"], NOON) == {"s-one": ("journalist",)}
    public = {name for name in dir(again) if not name.startswith("_")}
    assert public == {
        "enrol",
        "enrol_all",
        "enrolments",
        "classes_of",
        "drawn",
        "forget",
        "is_current",
        "is_exactly",
        "leave_to",
    }  # every question names its subjects


def test_an_erased_subject_is_forgotten_with_all_classes_and_others_stay(tmp_path: Path) -> None:
    registry = Registry(tmp_path, KEY)
    registry.enrol_all([("s-one", Enrolment("journalist")), ("s-one", Enrolment("vip")), ("s-two", Enrolment("vip"))])
    (tmp_path / "registry.new").write_bytes(b"what a crash left")
    assert [Registry(tmp_path, KEY).forget("s-one") for _ in range(2)] == [2, 0]
    again = Registry(tmp_path, KEY)
    assert again.classes_of(["s-one", "s-two"], NOON) == {"s-two": ("vip",)}
    assert not (tmp_path / "registry.new").exists()
    assert again.enrol("s-one", "minor")
    assert again.classes_of(["s-one"], NOON) == {"s-one": ("minor",)}


def test_a_class_holds_from_enrolment_up_to_expiry(tmp_path: Path) -> None:
    registry = Registry(tmp_path, KEY)
    registry.enrol("s-one", "minor", NOON + timedelta(hours=1), enrolled=NOON)
    at = [NOON - timedelta(microseconds=1), NOON, NOON + timedelta(minutes=59), NOON + timedelta(hours=1)]
    assert [bool(registry.classes_of(["s-one"], time)) for time in at] == [False, True, True, False]
    assert registry.enrolments(["s-one"]) == {"s-one": (Enrolment("minor", NOON, NOON + timedelta(hours=1)),)}


def test_one_subject_may_have_several_classes_and_enrolling_again_adds_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path, KEY)
    assert registry.enrol("s-one", "vip")
    assert registry.enrol("s-one", "official")
    assert not registry.enrol("s-one", "vip")
    assert registry.classes_of(["s-one"], NOON) == {"s-one": ("vip", "official")}


def test_the_file_shows_neither_who_nor_what_nor_how_many(tmp_path: Path) -> None:
    sizes = set()
    for count in (1, 200):
        folder = tmp_path / str(count)
        Registry(folder, KEY).enrol_all([(f"s-{number}", Enrolment("journalist")) for number in range(count)])
        data = (folder / FILE).read_bytes()
        sizes.add(len(data))
        assert b"journalist" not in data
        assert b"s-0" not in data
        assert (folder / FILE).stat().st_mode & 0o077 == 0
    assert len(sizes) == 1


def test_another_key_finds_nobody(tmp_path: Path) -> None:
    Registry(tmp_path, KEY).enrol("s-one", "vip")
    assert Registry(tmp_path, b"x" * 32).classes_of(["s-one"], NOON) == {}


def test_many_enrolments_over_several_writes_all_answer(tmp_path: Path) -> None:
    registry = Registry(tmp_path, KEY)
    for start in (0, 300):
        registry.enrol_all([(f"s-{number}", Enrolment("vip")) for number in range(start, start + 300)])
    names = [f"s-{number}" for number in range(700)]
    assert len(Registry(tmp_path, KEY).classes_of(names, NOON)) == 600


def test_a_changed_or_cut_file_is_no_answer(tmp_path: Path) -> None:
    Registry(tmp_path, KEY).enrol("s-one", "vip")
    file = tmp_path / FILE
    good = file.read_bytes()
    file.write_bytes(good[:-1])
    with pytest.raises(PartMissing):
        Registry(tmp_path, KEY).classes_of(["s-one"], NOON)
    registry = Registry(tmp_path, KEY)
    file.write_bytes(good)
    name = registry._name("s-one", 0)
    at = good.index(name) + 40
    file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(PartMissing):
        Registry(tmp_path, KEY).classes_of(["s-one"], NOON)


def test_a_class_name_that_would_show_by_its_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Registry(tmp_path, KEY).enrol("s-one", "x" * 33)


def test_an_empty_registry_protects_nobody(tmp_path: Path) -> None:
    assert Registry(tmp_path / "none", KEY).classes_of(["s-one"], NOON) == {}


def test_the_key_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "good.key").write_bytes(KEY)
    (tmp_path / "short.key").write_bytes(b"x")
    assert read_key(tmp_path / "good.key") == KEY
    for name in ("short.key", "absent.key"):
        with pytest.raises(MissingSecret):
            read_key(tmp_path / name)
