"""The hammer finds nothing in the writer, and finds what is planted in a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from custodes.cli import street
from custodes.errors import ConfigError
from custodes.ledger.hammer import _ORIGIN, _Reader, commitment_at, hammer
from custodes.ledger.leaf import NO_TAG, Kind
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer


def test_twenty_seconds_of_kills_break_no_promise(tmp_path: Path) -> None:
    done = CliRunner().invoke(street, ["ledger", "hammer", "--dir", str(tmp_path), "--seconds", "20", "--format", "json"])
    facts = json.loads(done.stdout)
    assert (facts["exit"], facts["problems"]) == (0, []), done.output
    assert facts["kills"] >= 5
    assert facts["entries"] >= facts["acknowledged"] > 1_000
    assert facts["checkpoints"] >= facts["signed"] > facts["logs"]
    assert facts["inclusions"] > facts["checkpoints"]
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        hammer(tmp_path / "none", 1)


def _log(folder: Path, sizes: list[int], signer: Signer) -> Path:
    (folder / "stop").touch()
    with Log.create(folder / "log", _ORIGIN, signer) as log:
        for size in sizes:
            with log.batch() as batch:
                leaves = [(Kind.ACCESS, NO_TAG, commitment_at(number)) for number in range(batch.first, size)]
                batch.add_all(1, 1, leaves)
            log.publish()
    return folder / "log"


def _read(folder: Path) -> dict:
    _Reader(folder, 0).run()
    return json.loads((folder / "reader-0").read_text())


def test_a_reader_passes_a_sound_log(tmp_path: Path) -> None:
    _log(tmp_path, [1, 2, 300, 70_000, 140_000], Signer(_ORIGIN, bytes(32), bytes(32)))
    found = _read(tmp_path)
    assert found == {"checkpoints": 6, "inclusions": found["inclusions"], "problems": []}
    assert found["inclusions"] >= 5


def test_a_reader_finds_an_entry_in_anothers_place(tmp_path: Path) -> None:
    log = _log(tmp_path, [10], Signer(_ORIGIN, bytes(32), bytes(32)))
    data = (log / "seg/000000.log").read_bytes()
    (log / "seg/000000.log").write_bytes(data[98:] + data[:98])
    assert len(_read(tmp_path)["problems"]) == 1


def test_a_reader_finds_a_changed_byte_below_a_later_checkpoint(tmp_path: Path) -> None:
    log = _log(tmp_path, [400, 500], Signer(_ORIGIN, bytes(32), bytes(32)))
    data = bytearray((log / "seg/000000.log").read_bytes())
    data[98 * 300 + 90] ^= 1  # the `prev` of an entry that no reader may happen to open
    (log / "seg/000000.log").write_bytes(data)
    assert len(_read(tmp_path)["problems"]) == 1


def test_a_reader_finds_a_second_history(tmp_path: Path) -> None:
    signer = Signer(_ORIGIN, bytes(32), bytes(32))
    log = _log(tmp_path, [10], signer)
    (tmp_path / "other").mkdir()
    with Log.create(tmp_path / "other" / "log", _ORIGIN, signer) as other:
        other.append_batch(b"x" * 12, list(range(13)))
        other.publish()
    with (log / "signed").open("ab") as file:
        file.write(other.checkpoint.note + b"\n")
    assert len(_read(tmp_path)["problems"]) == 1


def test_a_reader_finds_a_checkpoint_that_was_never_signed(tmp_path: Path) -> None:
    signer = Signer(_ORIGIN, bytes(32), bytes(32))
    log = _log(tmp_path, [10, 20], signer)
    notes = (log / "signed").read_bytes()
    (log / "signed").write_bytes(notes[: notes.index((log / "checkpoint").read_bytes())])
    assert len(_read(tmp_path)["problems"]) == 1
