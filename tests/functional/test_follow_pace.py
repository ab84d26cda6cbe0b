"""Following logs: published at a steady pace also under load, and heartbeats that tell silence from a reader that has stopped."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from intake_reading import check, new_home, records

from custodes.cli import run
from custodes.home import Home
from custodes.ledger.checkpoint import read_unverified
from custodes.ledger.leaf import Kind, decode
from custodes.ledger.pulse import Pulse


def beats(home: Path) -> list[dict[str, object]]:
    """Return the heartbeats that the home has recorded, in order; each is a leaf of its kind."""
    with Home.open(home) as opened:
        log = opened.log()
        kinds = [decode(entry).kind for entry in log.read(0, log.size)]
        found = [json.loads(own.what) for own in opened.vault().own_records()]
    made = [what for what in found if what.get("what") == "heartbeat"]
    assert kinds.count(Kind.HEARTBEAT) == len(made)
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = new_home(tmp_path / "home", batch=100_000)  # never full: what is published was committed for its age
    text = (folder / "custodes.toml").read_text()
    (folder / "custodes.toml").write_text(re.sub(r"\[intake\]\n", "[intake]\nheartbeat_s = 1\n", text))
    return folder


def test_follow_publishes_at_a_steady_pace_and_counts_in_heartbeats(home: Path, tmp_path: Path) -> None:
    lines, path = records(900), tmp_path / "live.ndjson"
    path.write_bytes(b"")
    shown: list[int] = []

    def feed() -> None:
        """Write a line every few milliseconds: the reader is never idle for long."""
        with path.open("ab", buffering=0) as file:
            for number, line in enumerate(lines):
                file.write(line + b"\n")
                if number % 100 == 99:
                    shown.append(read_unverified((home / "ledger/log/checkpoint").read_bytes()).size)
                time.sleep(0.003)

    feeding = threading.Thread(target=feed)
    feeding.start()
    assert (
        run(["ingest", "--home", str(home), "--source", "access", "--follow", "--poll", "0.05", "--idle-stop", "2.5", str(path)])
        == 0
    )
    feeding.join()
    check(home, lines)
    assert len(set(shown)) >= 3  # while it was written, the record was published again and again
    made = beats(home)
    assert len(made) >= 4
    assert {beat["source"] for beat in made} == {"access"}
    assert sum(beat["records"] for beat in made) == len(lines)  # type: ignore[misc]  # counts are numbers
    assert made[-1]["records"] == 0  # it was silent, and said so
    assert [beat["since"] for beat in made] == sorted(beat["since"] for beat in made)  # type: ignore[type-var]  # texts
    assert run(["ledger", "fsck", "--home", str(home), "--deep"]) == 0
    with Home.open(home) as opened:
        accesses = opened.accesses().manifest().sources["access"].tally
    assert sum(beat["accesses"] for beat in made) == accesses.accesses  # type: ignore[misc]  # counts
    assert sum(beat["rejected"] for beat in made) == sum(accesses.rejected.values())  # type: ignore[misc]  # counts


def test_a_log_that_cannot_be_signed_any_more_ends_the_reader(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "live.ndjson").write_bytes(b"\n".join(records(20)) + b"\n")
    (home / "ledger/log/fork.json").write_text("{}")
    began = time.monotonic()
    arguments = ["--source", "access", "--follow", "--poll", "0.05", "--idle-stop", "200", str(tmp_path / "live.ndjson")]
    assert run(["ingest", "--home", str(home), *arguments]) == 3
    assert time.monotonic() - began < 150  # it ended by itself, not for want of news
    assert "fork.json" in capsys.readouterr().err


class Broken(Exception):
    pass


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_pulse_beats_until_its_body_ends_and_raises_what_a_beat_raised() -> None:
    times: list[float] = []
    with Pulse(lambda: times.append(time.monotonic()), 0.05):
        until(lambda: len(times) >= 4)
    count = len(times)
    time.sleep(0.15)
    assert len(times) == count

    def fail() -> None:
        times.append(0)
        raise Broken

    pulse = Pulse(fail, 0.01)
    with pytest.raises(Broken), pulse:
        until(lambda: not pulse._thread.is_alive())
    assert len(times) == count + 1  # after a failure it beats no more
    with pytest.raises(Broken):
        pulse.check()

    def body() -> None:
        with Pulse(fail, 0.01):
            time.sleep(0.1)
            raise ValueError("the body's own")

    with pytest.raises(ValueError, match="body"):
        body()
