"""A real PostgreSQL server with pgaudit, started here, written to with psql, its growing log read as it grows."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pgaudit_lines import DATAMAP

from custodes.model.draft import Draft, Note, Parsed
from custodes.source import Follow, Position
from custodes.sources.pgaudit import SOURCE

SCHEMA = """
create extension pgaudit;
create table users(id bigint primary key, handle text, email text);
create table login_event(id bigserial primary key, user_id bigint references users, ip inet, city text);
insert into users select i, 'u' || i, 'u' || i || '@ex.org' from generate_series(1, 100) i;
create role analyst login;
grant select, insert, update, delete on users, login_event to analyst;
grant usage on sequence login_event_id_seq to analyst;
create function who_near(c text) returns setof bigint language plpgsql security definer as
  $$ begin return query select user_id from login_event where city = c; end $$;
"""
SETTINGS = {
    "listen_addresses": "",
    "shared_preload_libraries": "pgaudit",
    "pgaudit.log": "read,write,function,role,ddl,misc_set",
    "pgaudit.log_relation": "on",
    "pgaudit.log_parameter": "on",
    "pgaudit.log_rows": "on",
    "pgaudit.log_catalog": "off",
    "logging_collector": "on",
    "log_destination": "jsonlog,csvlog",
    "log_directory": "log",
    "log_filename": "server.log",
    "log_disconnections": "on",
    "log_timezone": "UTC",
    "fsync": "off",
}


def _folder_of_binaries() -> Path | None:
    candidates = [Path(found).resolve().parent for name in ("initdb", "pg_ctl") if (found := shutil.which(name))]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (
            folder
            for folder in candidates
            if all((folder / name).exists() for name in ("initdb", "postgres", "pg_config", "pg_isready", "psql"))
        ),
        None,
    )


@dataclass
class Server:
    """A running server: its folder of programs, its socket and its logs."""

    programs: Path
    socket: Path
    data: Path
    account: dict[str, int]

    def run(self, *statements: str, role: str = "postgres", name: str = "psql") -> None:
        """Run statements in one session; those that fail do not stop the others."""
        command = [self.programs / "psql", "-X", "-q", "-h", self.socket, "-U", role, "-d", "postgres"]
        text = "\n".join(statement if statement.startswith("\\") else statement + ";" for statement in statements)
        environment = {**os.environ, "PGAPPNAME": name}
        subprocess.run(command, input=text, text=True, check=True, capture_output=True, timeout=60, env=environment)

    def log(self, kind: str) -> Path:
        return self.data / "log" / f"server.{kind}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    programs = _folder_of_binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not installed here")
    library = subprocess.run([programs / "pg_config", "--pkglibdir"], capture_output=True, text=True, check=False).stdout.strip()
    if not (Path(library) / "pgaudit.so").exists():
        pytest.skip("the pgaudit extension is not installed here")
    account: dict[str, int] = {}
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("a PostgreSQL server does not run as root, and there is no account `postgres` to run it as")
        account = {"user": entry.pw_uid, "group": entry.pw_gid}
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "server"
        home.mkdir()
        if account:
            os.chown(home, account["user"], account["group"])
        yield from _started(Server(programs, home, home / "data", account))


def _started(server: Server) -> Iterator[Server]:
    extra = {**server.account, **({"extra_groups": []} if server.account else {})}
    init = [server.programs / "initdb", "-D", server.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run(init, check=True, capture_output=True, cwd="/", timeout=120, **extra)
    lines = [f"{name} = '{value}'" for name, value in {**SETTINGS, "unix_socket_directories": str(server.socket)}.items()]
    (server.data / "postgresql.auto.conf").write_text("\n".join(lines) + "\n")
    command = [server.programs / "postgres", "-D", server.data]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **extra)
    try:
        _wait(server, running)
        server.run(*SCHEMA.strip().removesuffix(";").split(";\n"))
        yield server
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _wait(server: Server, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert running.poll() is None, "the server did not start"
        ready = [server.programs / "pg_isready", "-q", "-h", server.socket, "-U", "postgres"]
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.1)
    pytest.fail("the server did not come up within a minute")


def _accesses(server: Server, name: str) -> list[Draft]:
    """Read the log so far, from its beginning; return the accesses of sessions of that name."""
    until = time.monotonic() + 20
    while True:
        drafts, _ = _read(server, "json")
        mine = [draft for draft in drafts if draft.extra.get("application_name") == name]
        if any(draft.operation == "SELECT" and draft.subject_scope == "none" for draft in mine) or time.monotonic() > until:
            return [draft for draft in mine if draft.subject_scope != "none"]
        time.sleep(0.1)


def _read(server: Server, kind: str) -> tuple[list[Draft], list[Note]]:
    parser = SOURCE.parser(DATAMAP)
    parsed: list[Parsed] = [parser.feed(chunk.raws) for chunk in SOURCE.read(str(server.log(kind)), Position())]
    parsed.append(parser.finish())
    assert not [item for part in parsed for item in part.rejected]
    return [draft for part in parsed for draft in part.drafts], [note for part in parsed for note in part.notes]


END = "select 1"
"""Ends each session: an access to nothing, by which a reader sees that all of it is in the log."""


def test_what_was_read_comes_out_as_it_was(server: Server) -> None:
    server.run(
        "select email from users where id = 7",
        "select email from users where id = 8 or 1 = 1",
        "select email from users where handle in ('u3', 'u4')",
        "select user_id from login_event where ip <<= '10.99.0.0/16'",
        "copy (select email from users where id = 9) to stdout",
        "copy users to stdout",
        END,
        role="analyst",
        name="reads",
    )
    got = [(d.action, d.subject_scope, [(s.id, s.relation) for s in d.subjects], d.rows) for d in _accesses(server, "reads")]
    assert got == [
        ("query", "key_predicate", [("7", "accessed")], 1),
        ("query", "set", [("8", "searched_for")], 100),
        ("query", "key_predicate", [], 2),
        ("query", "attribute_predicate", [], 0),
        ("export", "key_predicate", [("9", "accessed")], 1),
        ("export", "set", [], None),
    ]


def test_bind_values_of_a_prepared_statement_name_the_subject(server: Server) -> None:
    server.run("prepare p(bigint) as select email from users where id = $1", "execute p(21)", END, role="analyst", name="binds")
    (draft,) = _accesses(server, "binds")
    assert [(s.id, s.basis) for s in draft.subjects] == [("21", "parameter")]


def test_key_checks_of_an_insert_are_no_accesses(server: Server) -> None:
    server.run(
        "insert into login_event(user_id, ip, city) select i, '10.0.0.1', 'c' from generate_series(1, 20) i",
        "delete from login_event where user_id = 3",
        "update users set handle = 'x' where id = 44 returning email",
        END,
        role="analyst",
        name="writes",
    )
    drafts = _accesses(server, "writes")
    assert [(d.action, d.rows, [s.id for s in d.subjects]) for d in drafts] == [
        ("write", 20, []),
        ("delete", 1, ["3"]),
        ("write", 1, ["44"]),
    ]


def test_definer_routine_cursor_and_block_say_what_they_hide(server: Server) -> None:
    server.run(
        "select * from who_near('c')",
        "begin",
        "declare k cursor for select * from users where id = 5",
        "fetch all from k",
        "commit",
        "do $$ declare r record; begin for r in execute 'select email from users where id=' || '12' loop null; end loop; end $$",
        END,
        role="analyst",
        name="hides",
    )
    routine, cursor, block = _accesses(server, "hides")
    assert [resource.name for resource in routine.resources] == ["public.who_near"]
    assert (routine.subject_scope, routine.subject_max, routine.coverage) == ("unknown", None, ["opaque_routine"])
    assert ([s.id for s in cursor.subjects], cursor.rows, cursor.coverage) == (["5"], None, ["cursor"])
    assert ([s.id for s in block.subjects], block.coverage) == (["12"], ["dynamic_sql"])


def test_statement_that_dies_while_running_is_an_access(server: Server) -> None:
    server.run(
        "select email::int from users where id = 22",
        "select lo_import('/etc/hostname')",
        END,
        role="analyst",
        name="dies",
    )
    drafts = _accesses(server, "dies")
    assert (drafts[0].outcome, [s.id for s in drafts[0].subjects], drafts[0].coverage) == ("failure", ["22"], ["error_channel"])
    assert [(d.outcome, d.subject_scope) for d in drafts] == [("failure", "key_predicate"), ("denied", "unknown")]


def test_copies_keep_their_subjects(server: Server) -> None:
    server.run(
        "create temp table t as select id as person, email from users where id < 10",
        "select email from t where person = 6",
        END,
        name="copies",
    )
    made, opened = _accesses(server, "copies")
    assert made.derived is not None
    assert (opened.derived_from, [s.id for s in opened.subjects]) == (made.derived, ["6"])
    assert "derived_table" in opened.coverage


def test_forged_record_and_changed_settings_are_reported(server: Server) -> None:
    server.run(
        """do $$ begin raise log 'AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.users,"select 1",<none>,1'; end $$""",
        "set pgaudit.log = 'none'",
        END,
        role="analyst",
        name="forges",
    )
    server.run("alter system set pgaudit.log_level = 'notice'", "select pg_reload_conf()", "select pg_sleep(0.5)", name="settings")
    server.run("alter system reset pgaudit.log_level", "alter role analyst set pgaudit.log_level = 'log'", END, name="settings")
    _accesses(server, "settings")
    _, notes = _read(server, "json")
    assert len([note for note in notes if note.kind == "forged"]) == 1
    found = [(n.facts.get("operation"), n.facts["setting"], n.facts.get("outcome")) for n in notes if n.kind == "configuration"]
    assert found == [
        ("SET", "pgaudit.log", "refused"),
        ("ALTER SYSTEM", "pgaudit.log_level", "success"),
        (None, "pgaudit.log_level", None),
        ("ALTER SYSTEM", "pgaudit.log_level", "success"),
        ("ALTER ROLE", "pgaudit.log_level", "success"),
    ]
    routines = [(n.facts["routine"], n.facts["security"]) for n in notes if n.kind == "routine"]
    assert routines == [("public.who_near(pg_catalog.text)", "definer")]


def test_no_line_is_missing_and_both_formats_agree(server: Server) -> None:
    server.run("select email from users where id = 31", END, role="analyst", name="last")
    _accesses(server, "last")
    until = time.monotonic() + 60
    while True:  # the collector writes the two files one after the other, and when it likes
        of_json, notes = _read(server, "json")
        of_csv, _ = _read(server, "csv")
        if len(of_json) == len(of_csv) or time.monotonic() > until:
            break
        time.sleep(0.1)
    assert not [note for note in notes if note.kind in {"gap", "tail_unproven"}]
    assert [(d.seq_of, d.seq, d.query, d.rows) for d in of_json] == [(d.seq_of, d.seq, d.query, d.rows) for d in of_csv]


@pytest.mark.parametrize(("kind", "number"), [("json", 77), ("csv", 78)])
def test_access_is_seen_while_the_log_grows(server: Server, kind: str, number: int) -> None:
    parser = SOURCE.parser(DATAMAP)
    seen: list[Draft] = []
    asked = False
    for chunk in SOURCE.read(str(server.log(kind)), Position(), follow=Follow(poll_s=0.05, idle_stop_s=10)):
        seen += parser.feed(chunk.raws).drafts if chunk.raws else parser.finish().drafts
        if not chunk.raws and not asked:
            asked = True
            server.run(
                "select email from users\nwhere handle = E'o''b\\n\",\"'",
                f"select email from users where id = {number}",
                role="analyst",
            )
        if any(subject.id == str(number) for draft in seen for subject in draft.subjects):
            break
    assert any(subject.id == str(number) for draft in seen for subject in draft.subjects)
    assert ['o\'b\n","'] in [[selector.value for selector in draft.selectors] for draft in seen]
