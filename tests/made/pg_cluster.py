"""A private PostgreSQL cluster for tests: a fresh directory, a free loopback port, an unprivileged account; gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "wal_level": "logical",
    "max_connections": "100",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_NEEDED = ("initdb", "pg_ctl", "postgres")


@dataclass
class Cluster:
    """A running cluster. `port` on 127.0.0.1; `owner` is its superuser; everybody is trusted."""

    programs: Path
    folder: Path
    port: int
    owner: str = "postgres"
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str = "postgres", login: str | None = None) -> str:
        """Return a connection string."""
        return f"host=127.0.0.1 port={self.port} dbname={database} user={login or self.owner}"

    def fresh(self, template: str = "template1") -> str:
        """Make a database and return its name."""
        import psycopg

        name = f"t{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(f"create database {name} template {template}".encode())
        return name


def versions() -> list[Path]:
    """Return the folders of server programs on this machine, newest first."""
    found = {Path(path).resolve().parent for path in (shutil.which("initdb"), shutil.which("pg_ctl")) if path}
    found |= set(Path("/usr/lib/postgresql").glob("*/bin"))
    return sorted((folder for folder in found if all((folder / name).exists() for name in _NEEDED)), reverse=True)


SERVERS: list[Path | None] = [*versions()] or [None]
"""What tests are run on that are run on every version: `running` takes each. None: no programs are here, and it says so."""


def server_id(programs: Path | None) -> str:
    """Return how a test names the version that it ran on: the folder above the programs, "15"."""
    return "none" if programs is None else f"pg{programs.parent.name}"


@contextmanager
def running(programs: Path | None = None) -> Iterator[Cluster]:
    """Start a cluster and stop it at the end. Without programs: skip with the reason, or fail under CUSTODES_REQUIRE_POSTGRES."""
    programs = programs or next(iter(versions()), None)
    if programs is None:
        _without("PostgreSQL's server programs are not installed here")
    account: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam("postgres")
        except KeyError:
            _without("a PostgreSQL server does not run as root, and there is no account `postgres` to run it as")
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "c"
        home.mkdir(0o700)
        if account:
            os.chown(home, int(str(account["user"])), int(str(account["group"])))
        yield from _cluster(programs, home, account)


def _cluster(programs: Path, home: Path, account: dict[str, int | list[int]]) -> Iterator[Cluster]:
    def call(*command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=120, **account)  # type: ignore[call-overload]  # account

    data = home / "data"
    call(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [f"{name} = '{value}'" for name, value in {**SETTINGS, "port": str(port), "unix_socket_directories": str(home)}.items()]
    (data / "postgresql.auto.conf").write_text("\n".join(lines) + "\n")
    call(programs / "pg_ctl", "-D", data, "-w", "-l", home / "log", "start")
    try:
        yield Cluster(programs, home, port)
    finally:
        call(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _without(reason: str) -> None:
    if os.environ.get("CUSTODES_REQUIRE_POSTGRES"):
        pytest.fail(reason)
    pytest.skip(reason)
