"""The whole guard, running: a private PostgreSQL, a guarded system in it, a home, and `custodes guard serve` as a process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from door_stage import AUDIENCE, ISSUER, token, write_keys
from gate_stage import DATAMAP, FIELD, SUBJECT, SYSTEM, GateStage
from pg_cluster import Cluster

from custodes.engines.postgres import connect
from custodes.guard.grants import name_of
from custodes.guard.installation import Target, install
from custodes.guard.plan import ROLES
from custodes.home import Home
from custodes.model.datamap import DataMap

STAFF = "dora"
BASE = """
create schema app;
create table app.users (id text primary key, name text, last_ip text, note text);
insert into app.users select i::text, 'n' || i, '10.0.0.1', 'x' from generate_series(1, 5000) i;
update app.users set last_ip = '203.0.113.77' where id = '4711';
"""
SETTINGS = f"""
[serve]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
keys = "issuer.json"
country_claim = "ctry"

[guard.databases.{SYSTEM}]
"""


@contextmanager
def guarded(cluster: Cluster) -> Iterator[str]:
    """Make a database, guard it, lend its name."""
    import yaml

    name = cluster.fresh()
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute(f"create role {STAFF} login".encode())
    with psycopg.connect(cluster.url(name), autocommit=True) as admin:
        admin.execute(BASE.encode())
    database = connect(cluster.url(name))
    try:
        target = Target(SYSTEM, DataMap.of(yaml.safe_load(DATAMAP)), (STAFF,), {})
        install(database, target, target.plan(database).text())
        yield name
    finally:
        database.close()
        with psycopg.connect(cluster.url(), autocommit=True) as admin:
            admin.execute(f"drop database {name} with (force)".encode())
            for role in (*ROLES, STAFF):
                admin.execute(f"drop role if exists {role}".encode())


class ServeStage(GateStage):
    """A home whose gate stands on the real database."""

    @classmethod
    def over(cls, folder: Path, cluster: Cluster, database: str, settings: str = "") -> ServeStage:
        """Make the home."""
        address = folder / "app-db.url"
        address.write_text(f"host=127.0.0.1 port={cluster.port} dbname={database}")
        made = cls.built(folder, f'{SETTINGS}url_file = "{address}"\n{settings}')
        assert isinstance(made, ServeStage)
        write_keys(folder / "home")
        made.now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
        return made

    def again(self) -> ServeStage:
        """Open the home anew, as it is on disk now."""
        self.home.close()
        self.home = Home.open(self.folder / "home")
        return self


def body(grant: int, *, key: str = SUBJECT, **more: Any) -> dict[str, Any]:
    """Return what a client sends to have a value released."""
    context = {
        "purpose": "support",
        "reason_code": "SUPPORT_CASE",
        "reason": "T-1",
        "grant": name_of(grant),
        **more,
    }
    return {
        "action": {"name": "reveal", "properties": {"mode": "value", "fields": [FIELD]}},
        "resource": {"type": "subject", "properties": {"system": SYSTEM, "key": key}},
        "context": context,
    }


class Client:
    """Talks to the service. `keep`: over one connection, which the caller closes."""

    def __init__(self, url: str, actor: str = "dora", *, keep: bool = False) -> None:
        self._keep = keep
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        self._headers = {"authorization": f"Bearer {token(actor)}"}

    def post(self, path: str, what: Any) -> tuple[int, Any]:
        """Return status and body."""
        status, text = self._ask("POST", path, json.dumps(what).encode())
        return status, json.loads(text)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text."""
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, content: bytes | None) -> tuple[int, str]:
        try:
            self._connection.request(method, path, content, self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            if not self._keep:
                self._connection.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; SIGTERM at the end."""
    command = [sys.executable, "-m", "custodes", "guard", "serve", "--home", str(home), "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().strip()
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait(timeout=30)


SPAWNER = """
import os, sys
import custodes.decisions, custodes.home, custodes.web.door, custodes.web.server, cedarpy, psycopg, jwt, starlette.applications
import uvicorn, uvicorn.protocols.http.h11_impl, yaml, pyarrow, duckdb
from custodes.cli.guard.serve import command
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.close(0)
        command.main(["--home", sys.argv[1], "--listen", "127.0.0.1:0"], standalone_mode=False)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


class Spawner:
    """Starts the service again and again without paying for its imports: each is a fork of a process that has them."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SPAWNER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self) -> tuple[int, str]:
        """Return process id and URL, once it listens."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        number, url = sorted((self._line(), self._line()), key=len)
        return int(number), url

    def kill(self, process: int) -> None:
        """Kill one that was started, and wait until it is gone."""
        os.kill(process, signal.SIGKILL)
        assert self._line() == "gone"

    def close(self) -> None:
        """End."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
