"""Witnesses as people run them: processes of the command line, a real home, readers with a policy; and the page about it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from intake_reading import ingest, new_home, records, write

from custodes.cli import run
from custodes.home import Home
from custodes.ledger.checkpoint import read_unverified
from custodes.ledger.note import parse
from custodes.ledger.note import verify as verify_note
from custodes.ledger.policy import parse_policy
from custodes.ledger.witness_quorum import recorded_gaps

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/run-a-witness.md"


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `custodes ledger witness serve`; yield the process and its URL. It must end well when it is told to."""
    command = [sys.executable, "-m", "custodes", "ledger", "witness", "serve", *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child, child.stdout.readline().strip()
    finally:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGTERM)
            _, said = child.communicate(timeout=30)
            assert child.returncode == 0, said


@dataclass
class Town:
    """Three witnesses and a home that asks for two of them."""

    folder: Path
    home: Path
    lines: dict[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> Path:
        """The reader's own policy."""
        return self.folder / "reader.policy"

    def shown(self) -> int:
        return read_unverified((self.home / "ledger/log/checkpoint").read_bytes()).size


NAMES = ("regulator", "auditor", "ngo")


@pytest.fixture
def town(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Town:
    made = Town(tmp_path, new_home(tmp_path / "home"))
    log, index = ((made.home / "ledger" / name / "vkey").read_text() for name in ("log", "index"))
    (tmp_path / "vkeys").write_text(log + index)
    for name in NAMES:
        capsys.readouterr()
        assert run(["ledger", "witness", "keygen", f"{name}.example/w", *keys(made, name)]) == 0
        made.lines[name] = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"witness {name} "))
    quorum = f"group outsiders 2 {' '.join(NAMES)}\nquorum outsiders\n"
    made.policy.write_text(
        "".join(f"log {line}\n" for line in (log + index).splitlines()) + "\n".join(made.lines.values()) + "\n" + quorum
    )
    return made


def keys(town: Town, name: str) -> tuple[str, str, str, str]:
    return "--key", str(town.folder / f"{name}.key"), "--state", str(town.folder / f"{name}.sqlite")


@contextmanager
def witnesses(town: Town, names: tuple[str, ...], ports: dict[str, int]) -> Iterator[dict[str, int]]:
    """Run some of the witnesses; yield their ports, for the next time."""
    if not names:
        yield ports
        return
    first, rest = names[0], names[1:]
    listen = f"127.0.0.1:{ports.get(first, 0)}"
    with (
        serving("--listen", listen, *keys(town, first), "--log", town.folder / "vkeys") as (_, url),
        witnesses(town, rest, ports | {first: int(url.rpartition(":")[2])}) as known,
    ):
        yield known


def configure(town: Town, ports: dict[str, int], publish: str) -> None:
    lines = [f"{town.lines[name]} http://127.0.0.1:{ports[name]}" for name in NAMES]
    (town.home / "w.policy").write_text("\n".join(lines) + f"\ngroup outsiders 2 {' '.join(NAMES)}\nquorum outsiders\n")
    set_ledger(town, f'witnesses = "w.policy"\npublish = "{publish}"')


def set_ledger(town: Town, lines: str) -> None:
    """Put lines into the section `[ledger]`, in place of those that stand there but its origin."""
    text = (town.home / "custodes.toml").read_text()
    (town.home / "custodes.toml").write_text(
        re.sub(r'(\norigin = "[^"]*"\n)(?:(?:witnesses|publish) = .*\n)*', rf"\1{lines}\n", text)
    )


def publish(town: Town, number: int) -> None:
    """Take something in, which publishes."""
    write(town.folder / f"{number}.ndjson", records(5 * number)[-5:])
    ingest(town.home, town.folder / f"{number}.ndjson")


def verify(town: Town) -> int:
    return run(["verify", str(town.home), "--policy", str(town.policy)])


def test_two_of_three_witnesses_are_enough_and_one_is_not(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    with witnesses(town, NAMES, {}) as ports:
        configure(town, ports, "strict")
        publish(town, 1)
        first = town.shown()
        assert verify(town) == 0
        assert "INCLUDED" in capsys.readouterr().out
    with witnesses(town, NAMES[:2], ports):
        publish(town, 2)
        second = town.shown()
        assert second > first
        assert verify(town) == 0
    with witnesses(town, NAMES[1:2], ports):
        publish(town, 3)
        assert town.shown() == second  # strict: the last that two have seen stays up
        assert verify(town) == 0
        configure(town, ports, "degraded")
        publish(town, 4)
        assert town.shown() > second
        capsys.readouterr()
        assert verify(town) == 2
        assert "UNVERIFIED" in capsys.readouterr().out
        assert run(["ledger", "fsck", "--home", str(town.home)]) == 0
        capsys.readouterr()
        assert run(["ledger", "checkpoint", "--home", str(town.home), "--publish"]) == 0
        said = capsys.readouterr()
        assert "# cosigned by auditor.example/w\n" in said.out
        assert "witness ngo: " in said.err
    with witnesses(town, NAMES, ports):
        publish(town, 5)
        assert verify(town) == 0
        policy = parse_policy(town.policy.read_bytes())  # the index log is witnessed likewise
        index = parse((town.home / "ledger/index/checkpoint").read_bytes())
        assert policy.is_met(verify_note(index, list(policy.witnesses.values())).verified)
    for name in NAMES:
        capsys.readouterr()
        assert run(["ledger", "witness", "status", *keys(town, name)[2:], "--format", "json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert [len(document["logs"]), document["forks"]] == [2, []]


def test_a_restored_home_refuses_to_sign_what_a_witness_has_seen_go_further(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    with witnesses(town, NAMES, {}) as ports:
        configure(town, ports, "strict")
        publish(town, 1)
        backup = {file.relative_to(town.home): file.read_bytes() for file in town.home.rglob("*") if file.is_file()}
        publish(town, 2)
        for file in [file for file in town.home.rglob("*") if file.is_file()]:
            file.unlink()
        for file, data in backup.items():
            (town.home / file).write_bytes(data)
        write(town.folder / "other.ndjson", records(40)[-5:])
        capsys.readouterr()
        assert run(["ingest", "--home", str(town.home), "--source", "access", str(town.folder / "other.ndjson")]) == 3
        assert "has cosigned size" in capsys.readouterr().err
        assert run(["ledger", "checkpoint", "--home", str(town.home), "--publish"]) == 3
        assert run(["ledger", "fsck", "--home", str(town.home)]) == 0  # nothing was signed


def test_an_hour_without_quorum_is_a_leaf_and_stands_in_what_watch_could_not_check(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    from datetime import UTC, datetime, timedelta

    with witnesses(town, NAMES[:2], {"ngo": 9}) as ports:
        pass
    configure(town, ports | {"ngo": 9}, "strict")
    began = datetime(2026, 3, 1, 12, tzinfo=UTC)
    minutes = iter((0, 30, 61, 90))
    with Home.open(town.home) as home:
        publisher = home.publisher
        publisher._clock = lambda: began + timedelta(minutes=next(minutes))
        for wanted in (0, 0, 1):
            home.record(7, {"what": "something"})
            before = home.log().size
            publisher.publish(home.log())
            assert home.log().size - before == wanted
    (gap,) = recorded_gaps(town.home / "ledger")
    assert gap.text() == f"too few witnesses have confirmed the record since 2026-03-01T12:00:00Z (leaf {gap.leaf})"
    with witnesses(town, NAMES[:2], ports), Home.open(town.home) as home:
        home.publisher._clock = lambda: began + timedelta(minutes=next(minutes))
        size = home.log().size
        home.publisher.publish(home.log())
        assert home.log().size == size + 1
    capsys.readouterr()
    assert run(["watch", "--home", str(town.home), "--format", "json"]) == 0
    found = [item["why"] for item in json.loads(capsys.readouterr().out)["not_checked"] if item["what"] == "the record's witnesses"]
    wanted = "too few witnesses confirmed the record from 2026-03-01T12:00:00Z to 2026-03-01T13:30:00Z"
    assert found == [f"{wanted} (leaf {gap.leaf})"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('witnesses = "nowhere.policy"', "cannot be read"),
        ('witnesses = "bad.policy"', "policy, line 1"),
        ('publish = "sometimes"', "strict, degraded"),
    ],
)
def test_bad_settings_are_said_by_2(town: Town, settings: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (town.home / "bad.policy").write_text("witness one two three four\nquorum none\n")
    set_ledger(town, settings)
    assert run(["ledger", "checkpoint", "--home", str(town.home), "--publish"]) == 2
    assert said in capsys.readouterr().err


def test_keygen_and_serve_refuse_what_would_make_a_witness_forget(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "witness", "keygen", "again.example/w", *keys(town, "ngo")]) == 2
    fresh = ["--key", str(town.folder / "new.key"), "--state", str(town.folder / "ngo.sqlite")]
    assert run(["ledger", "witness", "keygen", "again.example/w", *fresh]) == 2
    assert not (town.folder / "new.key").exists()
    (town.folder / "ngo.sqlite").unlink()
    log = ["--log", str(town.folder / "vkeys")]
    capsys.readouterr()
    assert run(["ledger", "witness", "serve", "--listen", "127.0.0.1:0", *keys(town, "ngo"), *log]) == 2
    assert "make a new key" in capsys.readouterr().err
    assert run(["ledger", "witness", "status", *keys(town, "ngo")[2:]]) == 2
    for listen in ("nowhere", "127.0.0.1:port", "127.0.0.1:99999", "192.0.2.1:1"):
        assert run(["ledger", "witness", "serve", "--listen", listen, *keys(town, "auditor"), *log]) == 2
    (town.folder / "empty").write_text("# nothing\nquorum none\n")
    assert run(["ledger", "witness", "serve", *keys(town, "auditor"), "--log", str(town.folder / "empty")]) == 2
    (town.folder / "low").write_text("log log.example/a+00000000+" + "A" * 44 + "\n")
    assert run(["ledger", "witness", "serve", *keys(town, "auditor"), "--log", str(town.folder / "low")]) == 2


def test_the_page_about_witnesses_does_what_it_says(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    new_home(tmp_path / "home")
    blocks = [block.replace("8100", port) for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    keygen, serve, status, company, reader = blocks
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def shell(text: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", text], cwd=tmp_path, env=os.environ | {"PATH": tools}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shell(keygen)
    first, rest = company.split("\n", 1)
    shell(first)
    command = serve.strip().split()
    assert command[:4] == ["custodes", "ledger", "witness", "serve"]
    arguments = [word if not (tmp_path / word).exists() else str(tmp_path / word) for word in command[4:]]
    with serving(*arguments) as (_, url):
        assert url == f"http://127.0.0.1:{port}"
        assert "# cosigned by works-council.example/w1" in shell(rest)
        said = shell(reader)
        assert "INCLUDED" in said
        assert "quorum works-council met" in said
        assert "  size " in shell(status)
