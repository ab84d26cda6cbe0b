"""The index on real homes: bulk accesses through real intake, the month's turn, older homes, the commands, and nothing personal."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, md5, sha1, sha256
from hmac import digest as hmac
from pathlib import Path

import pytest
from intake_reading import ingest, new_home, write

from custodes.cli import run
from custodes.home import Home
from custodes.ledger.blobs import Blobs
from custodes.ledger.export import export
from custodes.ledger.fsck import fsck
from custodes.ledger.index import parse_entry, parse_lookup, verify_in_entry
from custodes.ledger.index_check import recompute
from custodes.ledger.leaf import MANY_TAG, NO_TAG, Kind, decode, epoch_of, hour_of, tag_under


def look(number: int, subjects: list[str], **more: object) -> bytes:
    record = {
        "id": f"own-{number}",
        "time": f"2026-09-01T10:{number % 60:02d}:00Z",
        "actor": f"staff-{number % 3}@company.example",
        "action": "export",
        "system": "crm",
        "resource": "profile",
        "fields": ["email"],
        "client_ip": f"198.51.100.{number % 250}",
        "subjects": subjects,
        **more,
    }
    return json.dumps(record).encode()


def crowd(size: int) -> list[str]:
    return [f"person-{number:05d}@people.example" for number in range(size)]


@pytest.fixture(scope="module")
def bulk_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bulk")
    home = new_home(folder / "home", batch=3)
    lines = [
        look(0, ["person-00003@people.example"]),
        look(1, crowd(1_000)),
        look(2, crowd(1_001)),
        look(3, []),
        look(4, [*crowd(5_000), "person-00003@people.example"]),
        look(5, ["person-00003@people.example"]),
    ]
    ingest(home, write(folder / "a.ndjson", lines))
    with Home.open(home) as opened:
        opened.checkpoint()
    return home


def leaves_of(home: Path) -> list[bytes]:
    with Home.open(home) as opened:
        return opened.log().read(0, opened.log().size)


def test_above_a_thousand_subjects_one_bulk_leaf_stands_for_the_touches(bulk_home: Path) -> None:
    kinds = [(decode(entry).kind, decode(entry).tag) for entry in leaves_of(bulk_home)]
    assert [kind for kind, _ in kinds].count(Kind.TOUCH) == 1_000
    lists = [tag for kind, tag in kinds if kind == Kind.BULK]
    accesses = [tag for kind, tag in kinds if kind == Kind.ACCESS]
    assert (accesses.count(MANY_TAG), accesses.count(NO_TAG)) == (3, 1)
    blobs = Blobs(bulk_home / "ledger/log")
    assert [len(blobs.read(tag)) for tag in lists] == [1_001, 5_000]
    # Each bulk leaf follows its access.
    for at, (kind, _) in enumerate(kinds):
        if kind == Kind.BULK:
            assert kinds[at - 1] == (Kind.ACCESS, MANY_TAG)


def test_rows_are_the_same_as_with_touches(bulk_home: Path) -> None:
    with Home.open(bulk_home) as opened, closing(opened.engine()) as engine:
        opened.accesses().register(engine)
        found = engine.fetch("SELECT leaf, touch_leaf FROM stored_touches").to_pylist()
    assert len(found) == 1 + 1_000 + 1_001 + 5_000 + 1
    entries = leaves_of(bulk_home)
    counts: dict[int, int] = {}
    for row in found:
        kind, access = entries[row["touch_leaf"]][1], entries[row["leaf"]]
        counts[kind] = counts.get(kind, 0) + 1
        assert access[1] == Kind.ACCESS
    assert counts == {Kind.ACCESS: 2, Kind.TOUCH: 1_000, Kind.BULK: 6_001}


def test_everybody_in_a_bulk_access_is_answered_completely(bulk_home: Path) -> None:
    with Home.open(bulk_home) as opened:
        index = opened.index()
        (entry,) = index.entries()
        kinds = [decode(leaf).kind for leaf in opened.log().read(0, entry.size)]
        assert (entry.many, entry.unresolved, entry.tags) == (3, 1, 5_001)
        one, other = (at for at, kind in enumerate(kinds) if kind == Kind.BULK)
        for number, expected in ((3, 5), (0, 3), (999, 3), (1_000, 2), (1_001, 1), (4_999, 1), (5_000, 0)):
            name = opened.pseudonyms.of("subject", f"person-{number:05d}@people.example")
            key = opened.tag_key(name)
            assert (key is None) == (expected == 0)
            tag = tag_under(key or bytes(32), opened.log().origin, entry.epoch)
            lookup, _ = index.lookup(tag, entry.epoch)
            verify_in_entry(lookup, entry)
            assert len(lookup.positions) == expected
            assert (one in lookup.positions, other in lookup.positions) == (expected in {5, 3, 2}, expected > 0)


def test_a_home_with_bulk_leaves_is_sound_and_its_mirror_agrees(bulk_home: Path, tmp_path: Path) -> None:
    with Home.open(bulk_home) as opened:
        report = fsck(bulk_home / "ledger/log", opened.vault(), index=bulk_home / "ledger/index")
    assert (report.exit_code, report.problems, report.unread) == (0, [], [])
    assert report.opened == report.entries
    export(bulk_home / "ledger/log", tmp_path / "public")
    found = recompute(tmp_path / "public")
    assert (found.exit_code, found.lists, found.entries) == (0, 2, 1)


def test_reading_a_bulk_access_again_adds_nothing(bulk_home: Path, tmp_path: Path) -> None:
    shutil.copytree(bulk_home, tmp_path / "home")
    before = len(leaves_of(tmp_path / "home"))
    ingest(tmp_path / "home", write(tmp_path / "a.ndjson", [look(2, crowd(1_001))]))
    assert len(leaves_of(tmp_path / "home")) == before


def test_tags_are_of_the_month_in_which_their_leaf_stands(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    later = datetime.now(UTC) + timedelta(days=70)
    with Home.open(home) as opened:
        opened.record(4, {"what": "rehearsal"}, later)  # the log's hour never falls behind this
    lines = [look(0, ["person-0"]), look(1, ["person-0", "person-1"]), look(2, crowd(1_100))]
    ingest(home, write(tmp_path / "a.ndjson", lines))
    with Home.open(home) as opened:
        opened.checkpoint()
        opened.index().publish(later, force=True)
        month = epoch_of(hour_of(later))
        assert {epoch_of(decode(leaf).hour) for leaf in leaves_of(home) if leaf[1] in {1, 2, 3}} == {month}
        finals = [entry for entry in opened.index().entries() if entry.final]
        assert {entry.positions for entry in finals} == {0}
        for name, count in (("person-0", 2), ("person-1", 1), (crowd(1)[0], 1)):
            key = opened.tag_key(opened.pseudonyms.of("subject", name))
            assert key is not None
            lookup, _ = opened.index().lookup(tag_under(key, opened.log().origin, month), month)
            assert len(lookup.positions) == count
        report = fsck(home / "ledger/log", opened.vault(), index=home / "ledger/index")
    assert (report.exit_code, report.problems) == (0, [])


def test_a_month_that_is_over_is_closed_by_the_next_checkpoint(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    with Home.open(home) as opened:
        opened.checkpoint()
        size = opened.log().size
        month = epoch_of(decode(opened.log().read(size - 1, size)[0]).hour)
        assert opened.index().month_to_close(datetime.now(UTC) + timedelta(days=32)) == month
        opened.checkpoint()
        if epoch_of(hour_of(datetime.now(UTC))) == month:  # else a month ended while this ran
            assert opened.log().size == size  # nothing to close now, so nothing is recorded


def test_a_home_made_before_there_was_an_index_gets_one_recorded(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    shutil.rmtree(home / "ledger/index")
    (home / "keys/index.key").unlink()
    with Home.open(home) as opened:
        size = opened.log().size
        opened.checkpoint()
        assert opened.index().log.origin == f"{opened.log().origin}/index"
        assert opened.log().size == size + 1
        (told,) = [json.loads(own.what) for own in opened.vault().own_records() if own.first == size]
        assert told["what"] == "index"
        assert told["keys"] == [key.vkey() for key in _keys(home)]
        assert len(opened.index().entries()) == 1
    assert run(["ledger", "fsck", "--home", str(home), "--deep"]) == 0


def _keys(home: Path) -> tuple:  # type: ignore[type-arg]  # of note.Key
    from custodes.ledger.signer import Signer

    return Signer.from_bytes((home / "keys/index.key").read_bytes()).keys


def test_the_commands_publish_show_and_answer(
    bulk_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(bulk_home, home)
    ingest(home, write(tmp_path / "b.ndjson", [look(9, ["person-00003@people.example"])]))
    capsys.readouterr()
    assert run(["ledger", "index", "publish", "--home", str(home)]) == 0
    assert "root 1: 5001 tags" in capsys.readouterr().out
    assert run(["ledger", "index", "publish", "--home", str(home)]) == 0
    out, err = capsys.readouterr()
    assert (out, "nothing new" in err) == ("", True)
    (home / "keys/signing.key").unlink()  # from here on nothing needs a key
    (home / "keys/index.key").rename(tmp_path / "index.key")
    assert run(["ledger", "index", "roots", "--home", str(home), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], [root["place"] for root in document["roots"]]) == ("custodes.index-roots/1", [0, 1])
    tag = next(decode(entry).tag for entry in leaves_without_keys(home) if entry[1] == Kind.ACCESS and entry[16:48] != MANY_TAG)
    for form in ("text", "json"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(tag.hex().encode() + b"\n")))
        assert run(["ledger", "index", "lookup", "--home", str(home), "--format", form]) == 0
    text, _, rest = capsys.readouterr().out.partition("\n")
    assert text.count(",") >= 5
    (answer,) = json.loads(rest)["answers"]
    entry = {name: answer["entry"][name] for name in answer["entry"]}
    verify_in_entry(parse_lookup(answer["lookup"]), parse_entry(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()))
    for wrong in (b"zz", b"00" * 31, b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(wrong)))
        assert run(["ledger", "index", "lookup", "--home", str(home)]) == 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(tag.hex().encode())))
    assert run(["ledger", "index", "lookup", "--home", str(home), "--epoch", "2001-01"]) == 2


def leaves_without_keys(home: Path) -> list[bytes]:
    from custodes.ledger.segments import Segments, bounds

    data = Segments(home / "ledger/log").data(0)
    return Segments(home / "ledger/log").read(0, len(bounds(data)) - 1)


def test_a_lost_index_log_is_broken_and_said(bulk_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    shutil.copytree(bulk_home, home)
    shutil.rmtree(home / "ledger/index")
    assert run(["ledger", "fsck", "--home", str(home)]) == 3
    assert "index log" in capsys.readouterr().out
    assert run(["ledger", "index", "publish", "--home", str(home)]) == 2
    assert run(["ledger", "index", "roots", "--home", str(home)]) == 2
    assert not (home / "ledger/index").exists()


# No personal data, and nothing that can be tested by guessing


# Five bytes and more: a shorter word stands in random bytes by chance.
WORDS = [
    *crowd(1_100),
    *(f"staff-{number}@company.example" for number in range(3)),
    *(f"198.51.100.{number}" for number in range(250)),
    *(f"own-{number}" for number in range(10)),
    "a reason of my own",
    "profile",
]


def forms(word: str) -> Iterator[bytes]:
    """Yield what a guesser would compare with."""
    for raw in (word.encode(), word.upper().encode(), word.encode("utf-16-le")):
        yield raw
        for plain in (sha256(raw), sha1(raw, usedforsecurity=False), md5(raw, usedforsecurity=False), blake2b(raw)):
            yield plain.digest()
            yield plain.hexdigest().encode()
        yield blake2b(raw, digest_size=32).digest()
        yield blake2b(raw, digest_size=16).digest()
        yield hmac(b"", raw, "sha256")
        yield hmac(bytes(32), raw, "sha256")
        yield sha256(sha256(raw).digest()).digest()


def public_files(home: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(home)): file.read_bytes()
        for folder in ("ledger", "public")
        for file in sorted((home / folder).rglob("*"))
        if file.is_file()
    }


def test_leaf_has_no_personal_data(tmp_path: Path) -> None:
    lines = [
        look(0, crowd(1_050), reason="a reason of my own"),
        *(look(number, [crowd(9)[number]], reason="a reason of my own") for number in range(1, 9)),
        look(9, crowd(2)),
    ]
    homes = []
    for name in ("one", "two"):
        home = new_home(tmp_path / name)
        ingest(home, write(tmp_path / "a.ndjson", lines))
        with Home.open(home) as opened:
            opened.checkpoint()
        export(home / "ledger/log", home / "public")
        homes.append(home)
    # 1. The same input in two homes: not one tag or commitment in common, and no list, root or pseudonym either.
    fields = [{part for entry in leaves_of(home) for part in (entry[16:48], entry[48:80])} for home in homes]
    assert fields[0] & fields[1] == {NO_TAG, MANY_TAG}
    tags = [
        {tag for name in Blobs(home / "ledger/log").names() for tag in Blobs(home / "ledger/log").read(bytes.fromhex(name))}
        for home in homes
    ]
    assert [len(found) for found in tags] == [1_050, 1_050]
    assert not tags[0] & tags[1]
    # 2. A dictionary of all that stood in the input, plain and hashed without a secret, matches nothing that leaves the house.
    guesses = [form for word in WORDS for form in forms(word)]
    for home in homes:
        files = public_files(home)
        assert {name.split("/")[0] for name in files} == {"ledger", "public"}
        assert any("blobs/" in name for name in files)
        assert any("index/" in name for name in files)
        everything = b"\n".join(files.values())
        assert not [guess for guess in guesses if guess in everything]
    # 3. The search finds what is there: the same guesses, in the input.
    given = (tmp_path / "a.ndjson").read_bytes()
    assert sum(guess in given for guess in guesses) > 1_050
