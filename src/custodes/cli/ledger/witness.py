"""`custodes ledger witness`: be a witness of other people's logs."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from custodes.errors import ConfigError

if TYPE_CHECKING:
    from custodes.ledger.note import Key
    from custodes.ledger.witness import Server

_INTERRUPTED: Final = 130
_FILE = click.Path(dir_okay=False, path_type=Path)
_STATE = click.option("--state", type=_FILE, required=True, help="The witness's memory (SQLite).")
_KEY = click.option("--key", type=_FILE, required=True, help="The witness's private keys.")


@click.group()
def command() -> None:
    """Remember the largest checkpoint of each log, and cosign only what extends it (C2SP tlog-witness).

    A witness is worth something if the company whose log it watches cannot reach it: the works council, the data-protection
    officer, an auditor, a regulator, an NGO. It sees origin, size and root of a log, never an entry.

    \b
    custodes ledger witness keygen works-council.example/w1 --key w.key --state w.sqlite
    custodes ledger witness serve --listen 127.0.0.1:8100 --key w.key --state w.sqlite --log vkey
    custodes ledger witness status --state w.sqlite
    """  # noqa: D301  # click reads \b as "do not rewrap"


@command.command()
@click.argument("name")
@_KEY
@_STATE
def keygen(*, name: str, key: Path, state: Path) -> int:
    """Make keys and an empty memory, once and together, and print the lines for the policies of logs and readers.

    NAME goes into every cosignature; by custom it is a domain and a path. Neither file may exist: a witness that lost its memory
    must not go on under the same key, since it could then be led into a second history.

    \b
    custodes ledger witness keygen works-council.example/w1 --key w.key --state w.sqlite
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.cosigner import Cosigner
    from custodes.ledger.disk import Disk
    from custodes.ledger.witness_state import State

    if key.exists():
        raise ConfigError(f"{key} exists already; keys are never overwritten")
    cosigner = Cosigner.generate(name)
    State.create(state).close()
    Disk().replace(key, cosigner.to_bytes())
    word = name.partition("/")[0].partition(".")[0]
    click.echo("# for policies: one of the two, or both in a group `all`; add the URL as the last word for logs that should ask")
    for word_of, verifier in zip((word, f"{word}-mldsa44"), cosigner.keys, strict=True):
        click.echo(f"witness {word_of} {verifier.vkey()}")
    return 0


@command.command()
@click.option("--listen", default="127.0.0.1:8100", show_default=True, metavar="HOST:PORT", help="Where; port 0 takes a free one.")
@_KEY
@_STATE
@click.option("--log", "logs", type=_FILE, required=True, multiple=True, help="Verifier keys of a log to watch; may be repeated.")
def serve(*, listen: str, key: Path, state: Path, logs: tuple[Path, ...]) -> int:
    """Answer `add-checkpoint` until it is stopped (SIGTERM or Ctrl-C: requests at hand are answered). Prints its URL.

    A file of `--log` holds vkeys, one a line, or the output of `custodes ledger checkpoint --policy`. It speaks plain HTTP: put a
    proxy with TLS in front of it where the way to it is not your own. Needs about 2 ms of a core for a checkpoint.

    \b
    custodes ledger witness serve --listen 127.0.0.1:8100 --key w.key --state w.sqlite --log company-a.vkey --log company-b.vkey
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.cli.ledger.signing import read
    from custodes.ledger.cosigner import Cosigner
    from custodes.ledger.witness import Server, Witness
    from custodes.ledger.witness_state import State

    keys = _log_keys(logs)
    with (
        State.open(state) as memory,
        Server(_address(listen), Witness(Cosigner.from_bytes(read(key)), memory, keys)) as server,
    ):
        names = ", ".join(dict.fromkeys(one.name for one in keys))
        click.echo(f"watching {names}; stop with Ctrl-C", err=True)
        return _serve(server)


@command.command()
@_STATE
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def status(*, state: Path, form: str) -> int:
    """Print what was last cosigned for each log, and the proofs of forks that were refused. Ends with 3 if there is any.

    \b
    custodes ledger witness status --state w.sqlite
    """  # noqa: D301  # click reads \b as "do not rewrap"
    import json
    from datetime import UTC, datetime

    from custodes.ledger.witness_state import State

    with State.open(state) as memory:
        seen, forks = memory.all(), memory.forks()
    if form == "json":
        document = {
            "schema": "custodes.witness/1",
            "logs": [{"origin": one.origin, "size": one.size, "root": one.root.hex(), "time": one.time} for one in seen],
            "forks": [
                {
                    "origin": one.origin,
                    "size": one.size,
                    "time": one.time,
                    "refused": one.refused.decode(),
                    "seen": one.seen.decode(),
                }
                for one in forks
            ],
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return 3 if forks else 0
    for one in seen:
        when = datetime.fromtimestamp(one.time, UTC).isoformat(timespec="seconds")
        click.echo(f"{one.origin}  size {one.size}  {one.root.hex()}  cosigned {when}")
    for fork in forks:
        click.echo(f"FORK  {fork.origin} signed two trees of size {fork.size}:\n{fork.seen.decode()}\n{fork.refused.decode()}")
    if not seen:
        click.echo("nothing was cosigned yet", err=True)
    return 3 if forks else 0


def _serve(server: Server) -> int:
    """Say where, and serve until a signal comes."""
    ended: list[int] = []

    def end(number: int, frame: object) -> None:
        del frame
        ended.append(number)
        threading.Thread(target=server.stop, daemon=True).start()  # waits for the loop that this handler interrupts

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        click.echo(server.url)
        server.serve_forever(poll_interval=0.1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return _INTERRUPTED if signal.SIGINT in ended else 0


def _log_keys(files: tuple[Path, ...]) -> list[Key]:
    """Read the keys of logs as a policy would: no unknown type, none of low order, none twice."""
    from custodes.cli.ledger.signing import read
    from custodes.ledger.policy import parse_policy

    words = [line.split() for file in files for line in read(file).decode("utf-8", "replace").splitlines()]
    lines = [line if line[0] == "log" else ["log", *line] for line in words if line and line[0] != "quorum" and line[0][0] != "#"]
    policy = parse_policy("".join(f"{' '.join(line)}\n" for line in [*lines, ["quorum", "none"]]).encode())
    if not policy.logs:
        raise ConfigError("the files of --log hold no verifier key")
    return list(policy.logs)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise ConfigError(f"--listen {text}: expected HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
