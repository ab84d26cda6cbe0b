"""Runs attack cases of `custodes.bypass/1` against a real server and says what came out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from pg_cluster import Cluster


@dataclass
class Stage:
    """A database made for one case, with two staff logins. `names`: the placeholders of statements."""

    cluster: Cluster
    database: str
    names: dict[str, str] = field(default_factory=dict)

    def fill(self, statement: str) -> str:
        """Put names in for placeholders; everything else that looks like one stays."""
        return re.sub(r"\{(\w+)\}", lambda found: self.names.get(found[1], found[0]), statement)

    def run(self, statements: Sequence[str], login: str | None = None) -> str:
        """Run statements one by one, each by itself; return all rows, COPY data, notices and errors as text."""
        told: list[str] = []
        with psycopg.connect(self.cluster.url(self.database, login), autocommit=True) as session:
            session.add_notice_handler(lambda note: told.append(str(note.message_primary) + str(note.message_detail or "")))
            for statement in statements:
                try:
                    told += self._one(session, self.fill(statement))
                except psycopg.Error as wrong:
                    told += [str(wrong), str(wrong.diag.message_detail or ""), str(wrong.diag.context or "")]
        return "\n".join(told)

    def _one(self, session: psycopg.Connection[Any], statement: str) -> list[str]:
        with session.cursor() as cursor:
            if statement.lstrip().lower().startswith("copy") and "to stdout" in statement.lower():
                with cursor.copy(statement.encode()) as data:
                    return [bytes(part).decode().rstrip("\n") for part in data]
            cursor.execute(statement.encode())
            if cursor.description is None:
                return []
            return ["|".join("" if value is None else str(value) for value in row) for row in cursor.fetchall()]


def stage(cluster: Cluster, base: Sequence[str], case: dict[str, Any], template: str = "template1") -> Stage:
    """Make a database with the base set-up and that of the case. Logins are the cluster's, so each stage has names of its own."""
    database = cluster.fresh(template)
    names = {
        "attacker": f"a_{database}",
        "other": f"o_{database}",
        "safe": "safe_app",
        "host": "127.0.0.1",
        "port": str(cluster.port),
        "dbname": database,
        "owner": cluster.owner,
    }
    made = Stage(cluster, database, names)
    with psycopg.connect(cluster.url(database), autocommit=True) as admin:
        for login in ("attacker", "other"):
            admin.execute(f"create role {names[login]} login".encode())
        for statement in (*base, *case["setup_sql"]):
            admin.execute(made.fill(statement).encode())
    return made


def leaks(case: dict[str, Any], output: str, canary: str) -> bool:
    """Say whether the output holds what the case must not let out."""
    return re.search(case.get("leak_if") or re.escape(canary), output, re.MULTILINE) is not None
