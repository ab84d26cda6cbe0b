"""What the gate does at a guarded database: read a field as `custodes_reveal`, write a lease as `custodes_lease`. Nothing else.

Values are always bound, never part of a statement. The database's messages are not passed on: they may quote a subject's id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from custodes.errors import EngineUnavailable, InputError, Outage
from custodes.model.canonical import Json
from custodes.model.datamap import DataMap, ResourceMap

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

_REVEAL, _LEASE = "custodes_reveal", "custodes_lease"
_TIMEOUT_S: Final = 5
_INSERT: Final = """
insert into custodes_guard.lease (lease, "grant", actor, subject, field, valid_to, leaf)
values (%s, %s, %s, %s, %s, least(%s::timestamptz, clock_timestamp() + interval '14 minutes 59 seconds'), %s)
on conflict (lease) do nothing"""
_REVOKE: Final = """
update custodes_guard.lease set revoked = true
where "grant" = %s and not revoked and valid_to > clock_timestamp() returning actor"""
_END: Final = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = any(%s::name[]) and pid <> pg_backend_pid()"
)
_LEFT: Final = "select count(*) from pg_stat_activity where usename = any(%s::name[]) and pid <> pg_backend_pid()"
_OPEN: Final = (
    "select lease, leaf, field from custodes_guard.lease where not revoked and valid_to > clock_timestamp() order by leaf"
)


class Connections:
    """Connections to guarded databases as one login, kept for the next use. `urls`: system → address, without a login."""

    def __init__(self, urls: Mapping[str, str], login: str) -> None:
        self._urls, self._login = urls, login
        self._free: dict[str, list[psycopg.Connection[tuple[Any, ...]]]] = {}
        self._lock = threading.Lock()

    def systems(self) -> Sequence[str]:
        """Return the systems that an address is known of."""
        return list(self._urls)

    @contextmanager
    def one(self, system: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Lend a connection. Raises `EngineUnavailable`, without what the server said."""
        try:
            import psycopg
        except ImportError:
            raise EngineUnavailable("the PostgreSQL driver is not installed", hint="pip install 'custodes[guard]'") from None
        with self._lock:
            free = self._free.setdefault(system, [])
            connection = free.pop() if free else None
        try:
            if connection is None or connection.closed:
                connection = self._connect(system)
            yield connection
        except psycopg.Error as wrong:
            if connection is not None:
                connection.close()
            state = f" ({wrong.sqlstate})" if wrong.sqlstate else ""
            raise EngineUnavailable(f"the guarded database {system} refused{state}") from None
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        with self._lock:
            free.append(connection)

    def close(self) -> None:
        """End all that are free."""
        with self._lock:
            for free in self._free.values():
                while free:
                    free.pop().close()

    def _connect(self, system: str) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        url = self._urls.get(system)
        if url is None:
            raise EngineUnavailable(f"no address of {system} is known", hint=f"set guard.databases.{system}.url_file")
        return psycopg.connect(
            url,
            user=self._login,
            autocommit=True,
            application_name="custodes gate",
            connect_timeout=_TIMEOUT_S,
            options=f"-c statement_timeout={_TIMEOUT_S}s -c search_path=pg_catalog,pg_temp",
        )


class PostgresReader:
    """Fulfils the gate's `Reader`."""

    def __init__(self, urls: Mapping[str, str], datamap: DataMap) -> None:
        self._connections, self._datamap = Connections(urls, _REVEAL), datamap

    def region(self, system: str, fields: Sequence[str], key: str) -> str | None:
        """Return the region of the subject's data; None where the data map names no column for it, or rows differ."""
        found: set[str | None] = set()
        for table in dict.fromkeys(name.rpartition(".")[0] for name in fields):
            entry = self._entry(system, table)
            if entry.region_key is None:
                continue
            for (value,) in self._select(system, table, entry, [entry.region_key], key, 1_000):
                found.add(value)
        return found.pop() if len(found) == 1 else None

    def has_region(self, system: str, fields: Sequence[str]) -> bool:
        """Say whether the data map names a column with the region of these fields."""
        return any(self._entry(system, name.rpartition(".")[0]).region_key is not None for name in fields)

    def read(self, system: str, fields: Sequence[str], key: str, rows: int) -> list[Mapping[str, Json]]:
        """Return at most `rows` rows; fields of several tables stand side by side in the order of each table."""
        made: list[dict[str, Json]] = []
        for table in dict.fromkeys(name.rpartition(".")[0] for name in fields):
            columns = [name.rpartition(".")[2] for name in fields if name.rpartition(".")[0] == table]
            for at, values in enumerate(self._select(system, table, self._entry(system, table), columns, key, rows)):
                if at == len(made):
                    made.append({})
                made[at].update({f"{table}.{column}": value for column, value in zip(columns, values, strict=True)})
        return list(made)

    def close(self) -> None:
        """End the connections."""
        self._connections.close()

    def _entry(self, system: str, table: str) -> ResourceMap:
        entry = self._datamap.resource(system, table)
        if entry is None or not entry.subject_key:
            raise InputError("the data map names no subject key for what is asked")
        return entry

    def _select(  # noqa: PLR0917  # the parts of one statement
        self, system: str, table: str, entry: ResourceMap, columns: Sequence[str], key: str, rows: int
    ) -> list[tuple[Any, ...]]:
        schema, _, name = table.partition(".")
        listed = ", ".join(f"{_quote(column)}::pg_catalog.text" for column in columns)
        # Names come from the reviewed data map and are quoted; values are bound.
        statement = f"select {listed} from {_quote(schema)}.{_quote(name)} where {_quote(entry.subject_key[0])} = %s limit %s"
        with self._connections.one(system) as connection:
            return connection.execute(statement.encode(), (key, rows)).fetchall()


class PostgresLeases:
    """Fulfils the gate's `Leases`."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._connections = Connections(urls, _LEASE)

    def open(self, system: str, lease: tuple[str, str, str, str, str, datetime, int]) -> None:
        """Insert one lease, committed on return; again with the same id: nothing."""
        with self._connections.one(system) as connection:
            connection.execute(_INSERT.encode(), lease)

    def end(self, grant: str) -> int:
        """Revoke a grant's open leases everywhere, then end all sessions of their logins, and confirm that they are gone."""
        count = 0
        for system in self._connections.systems():
            with self._connections.one(system) as connection:
                logins = [login for (login,) in connection.execute(_REVOKE.encode(), (grant,))]
                count += len(logins)
                # A snapshot taken before the revocation still sees the lease: nothing but its end takes that away.
                if logins:
                    connection.execute(_END.encode(), (logins,))
                    _confirm(connection, logins)
        return count

    def rows(self, system: str) -> list[tuple[str, int, str]]:
        """Return id, leaf and field of each open lease, to be held against the record."""
        with self._connections.one(system) as connection:
            return [(str(lease), int(leaf), str(name)) for lease, leaf, name in connection.execute(_OPEN.encode())]

    def close(self) -> None:
        """End the connections."""
        self._connections.close()


def _confirm(connection: psycopg.Connection[tuple[Any, ...]], logins: Sequence[str]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        (left,) = connection.execute(_LEFT.encode(), (logins,)).fetchone() or (0,)
        if not left:
            return
        time.sleep(0.02)
    raise Outage("the leases are revoked, and a session that may still see them has not ended")


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
