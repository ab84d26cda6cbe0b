"""The same records give the same accesses in any split, after any restart; any damage is accounted for, line by line."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pgaudit_lines import DATAMAP, KEY_CHECK, accounted, as_csv, as_json, audit, raws, record, together

from custodes.model.draft import Draft, Parsed, Raw
from custodes.source import Position
from custodes.sources.pgaudit import SOURCE

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CUSTODES_DATA", REPOSITORY.parent / "shared" / "data")) / "logs"
SAMPLES = (
    "postgres_pgaudit/pgaudit_csvlog.csv",
    "postgres_pgaudit/pgaudit_jsonlog.ndjson",
    "hostile/pgaudit_hostile_csvlog.csv",
    "hostile/pgaudit_hostile_jsonlog.ndjson",
    "hostile/pgaudit_torn.csv",
)
TEMP = "create temp table t as select id, email from users"
MESSAGES = (
    [audit(1, "select email from users where id=5")],
    [
        audit(1, "select 1 from users u join login_event l on l.user_id=u.id", table=name)
        for name in ("public.users", "public.login_event")
    ],
    [
        audit(1, "select f()", kind="FUNCTION", command="EXECUTE", object_type="FUNCTION", table="public.f"),
        audit(1, "select email from users where id=6\n", sub=2),
        audit(1, "select f()", sub=3, table=""),
    ],
    [audit(1, TEMP), audit(1, TEMP, sub=2, kind="DDL", command="CREATE TABLE AS", table="pg_temp.t")],
    [audit(1, "select email from t where id=7", table="pg_temp_3.t")],
    [audit(1, KEY_CHECK, params="3"), audit(1, "insert into login_event values (1)", sub=2, kind="WRITE", command="INSERT")],
    [audit(1, "prepare p as select 1", command="PREPARE", table="")],
    ["could not connect"],
)
PLAN = st.lists(st.tuples(st.integers(0, 2), st.integers(0, len(MESSAGES) - 1)), max_size=14)


def written(plan: list[tuple[int, int]]) -> list[dict[str, object]]:
    """Write the statements of three sessions, line by line in turns, as their server would."""
    queues: dict[int, list[dict[str, object]]] = {}
    for statement, (session, number) in enumerate(plan, 1):
        queue = queues.setdefault(session, [])
        for message in MESSAGES[number]:
            own = message.replace("AUDIT: SESSION,1,", f"AUDIT: SESSION,{statement},", 1)
            tag = {"ps": "INSERT"} if number == 5 else {}
            queue.append(record(len(queue) + 1, own, session_id=f"6b0233a0.{session}", **tag))
    out: list[dict[str, object]] = []
    while any(queues.values()):
        out += [queue.pop(0) for queue in queues.values() if queue]
    return out


def final(drafts: list[Draft]) -> dict[Raw, Draft]:
    """Return drafts by their first record; a later, whole one takes the place of an earlier one."""
    return {draft.raws[0]: draft for draft in drafts}


def fed(batches: list[list[Raw]], *, restart: bool, finish: bool) -> Parsed:
    parser = SOURCE.parser(DATAMAP)
    parts: list[Parsed] = []
    for batch in batches:
        parts.append(parser.feed(batch))
        if finish:
            parts.append(parser.finish())
        if restart:
            parser = SOURCE.parser(DATAMAP, parser.state())
    parts.append(parser.finish())
    return together(parts)


def cut(items: list[Raw], places: list[int]) -> list[list[Raw]]:
    edges = sorted({min(place, len(items)) for place in places} | {0, len(items)})
    return [items[start:end] for start, end in pairwise(edges)]


@given(
    plan=PLAN,
    places=st.lists(st.integers(0, 30), max_size=6),
    restart=st.booleans(),
    finish=st.booleans(),
    make=st.sampled_from([as_json, as_csv]),
)
def test_any_split_and_any_restart_give_the_same_accesses(plan, places, restart, finish, make) -> None:
    items = raws([make(entry) for entry in written(plan)])
    whole = fed([items], restart=False, finish=False)
    parts = fed(cut(items, places), restart=restart, finish=finish)
    assert final(parts.drafts) == final(whole.drafts)
    assert (parts.counted, parts.rejected) == (whole.counted, whole.rejected)
    assert accounted(parts) == accounted(whole) == len(items)


@cache
def sample(name: str) -> bytes:
    path = DATA / name
    if not path.is_file():
        pytest.skip("foreign logs are not here: set CUSTODES_DATA to their folder")
    return path.read_bytes()


def read_file(path: Path, position: Position) -> tuple[list[Raw], Position, int]:
    items: list[Raw] = []
    blank = 0
    for chunk in SOURCE.read(str(path), position):
        items += chunk.raws
        blank += chunk.blank
        position = chunk.position
    return items, position, blank


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=max(15, settings().max_examples // 8))  # whole files, read several times each
@given(fraction=st.floats(0, 1))
def test_file_that_grows_at_any_byte_gives_the_same_accesses(name: str, fraction: float) -> None:
    """Read up to any byte, with what was not complete yet read again: records given out twice are the same or longer."""
    data = sample(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.log"
        path.write_bytes(data)
        whole, _, _ = read_file(path, Position())
        path.write_bytes(data[: int(len(data) * fraction)])
        first, position, _ = read_file(path, Position())
        passed = [raw for raw in first if raw.line <= position.line]
        with path.open("ab") as log:
            log.write(data[int(len(data) * fraction) :])
        second, _, _ = read_file(path, position)
    assert passed + second == whole
    parser = SOURCE.parser(DATAMAP)
    before = [parser.feed(passed), parser.finish()]
    after = SOURCE.parser(DATAMAP, parser.state())
    parts = together([*before, after.feed(second), after.finish()])
    assert final(parts.drafts) == final(fed([whole], restart=False, finish=False).drafts)
    assert accounted(parts) == len(whole)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=max(15, settings().max_examples // 8))  # whole files, read several times each
@given(
    start=st.floats(0, 1),
    length=st.integers(0, 4000),
    noise=st.binary(max_size=30) | st.sampled_from([b'"', b"\n", b"\0", b"\r\n", b'""', b"\xff", b",,,,", b"{", b'"\n"', b"'"]),
)
def test_damage_anywhere_is_accounted_for(name: str, start: float, length: int, noise: bytes) -> None:
    data = sample(name)
    at = int(len(data) * start)
    damaged = data[:at] + noise + data[at + length :]
    assume(not damaged.startswith(b"\x1f\x8b"))  # then it is a damaged gzip file, and as a whole refused
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.log"
        path.write_bytes(damaged)
        items, _, blank = read_file(path, Position())
    lines = sum(raw.data.count(b"\n") + 1 for raw in items) + blank
    assert lines == damaged.count(b"\n") + (not damaged.endswith(b"\n") and bool(damaged))
    parsed = fed([items], restart=True, finish=True)
    assert accounted(parsed) == len(items)


@given(
    entries=st.lists(
        st.dictionaries(st.sampled_from(list(record(1, "x"))), st.text(max_size=8) | st.integers() | st.none()), max_size=5
    )
)
def test_records_of_any_shape_are_accounted_for(entries: list[dict[str, object]]) -> None:
    items = raws([as_json({**record(1, audit(1, "select 1")), **entry}) for entry in entries])
    parsed = fed([items], restart=True, finish=True)
    assert accounted(parsed) == len(items)


@given(message=st.text(alphabet='AUDIT: SESION,1RELCTBpublic.us"\n<noe>;x', max_size=60))
def test_audit_messages_of_any_shape_are_accounted_for(message: str) -> None:
    parsed = fed([raws([record(1, message), record(2, "AUDIT: SESSION," + message)])], restart=True, finish=True)
    assert accounted(parsed) == 2


@given(text=st.text(max_size=40), params=st.text(max_size=10), table=st.text(max_size=10), rows=st.none() | st.integers(0, 99))
def test_audit_message_gives_back_what_was_put_in(text: str, params: str, table: str, rows: int | None) -> None:
    from custodes.sources.pgaudit.record import HIDDEN, _any_audit, audit_of

    message = audit(3, text, sub=2, params=params or "<none>", table=table, rows=rows)
    got = audit_of(message)
    assert got is not None
    assert (got.statement, got.substatement, got.text, got.object_name, got.rows) == (3, 2, text, table, rows)
    assert got.parameters == (None if (params or "<none>") in {"<none>", *HIDDEN} else params)
    assert got == _any_audit(message)
