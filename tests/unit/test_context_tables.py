"""Context tables: three formats in, pseudonyms out, and a bad row costs itself only."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from custodes.context.tables import ContextStore
from custodes.engines.duckdb_engine import DuckDBEngine, open_engine
from custodes.errors import InputError, UnknownFormat, UnknownTable, UnreadableFile
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.arrow import context_schema
from custodes.model.tables import TABLES

KEY = b"k" * 32
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TICKETS = """ticket,subject,kind,origin,opened,closed,opened_by,inbound
tkt-1,acc-9,login,subject,2026-03-01T09:00:00Z,,,msg-1
tkt-2,acc-8,login,staff,2026-03-01T10:00:00+01:00,2026-03-02T10:00:00Z,emp-1,
"""


class Kept:
    """What a store recorded and sealed."""

    def __init__(self) -> None:
        self.leaves: list[tuple[int, dict]] = []
        self.sealed: list[tuple[str, bytes]] = []

    def record(self, kind: int, what: dict) -> int:
        self.leaves.append((kind, what))
        return len(self.leaves)

    def keep(self, kind: str, content: bytes, day: date) -> None:
        assert day <= datetime.now(UTC).date()
        self.sealed.append((kind, content))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def store(tmp_path: Path, kept: Kept) -> ContextStore:
    return ContextStore(tmp_path / "context", Pseudonyms(KEY), record=kept.record, keep=kept.keep)


def write(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(tmp_path: Path, store: ContextStore, sql: str) -> list[tuple[object, ...]]:
    with open_engine(memory_mb=200, threads=1, directory=tmp_path) as engine:
        store.register(engine)
        return engine.rows(sql)


def as_ndjson(text: str) -> bytes:
    names, *lines = [line.split(",") for line in text.strip().split("\n")]
    return b"\n".join(json.dumps({k: v for k, v in zip(names, line, strict=True) if v}).encode() for line in lines)


def as_parquet(text: str, path: Path) -> None:
    names, *lines = [line.split(",") for line in text.strip().split("\n")]
    columns = {name: [line[place] or None for line in lines] for place, name in enumerate(names)}
    for name in ("opened", "closed"):
        times = [datetime.fromisoformat(value) if value else None for value in columns[name]]
        columns[name] = pa.array(times, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "ndjson", "ndjson.gz", "parquet"])
def test_each_format_gives_the_same_rows(tmp_path: Path, store: ContextStore, form: str) -> None:
    path = tmp_path / f"tickets.{form}"
    if form == "parquet":
        as_parquet(TICKETS, path)
    else:
        content = TICKETS.encode() if form.startswith("csv") else as_ndjson(TICKETS)
        path.write_bytes(gzip.compress(content) if form.endswith("gz") else content)
    report = store.load("tickets", path, now=NOON)
    assert (report.rows, report.rejected, report.dropped) == (2, (), ())
    names = Pseudonyms(KEY)
    found = rows(
        tmp_path,
        store,
        "SELECT ticket, subject, opened, closed, opened_by, inbound, row_key, recorded FROM tickets ORDER BY row_key",
    )
    one = (names.of("ref", "tkt-1"), names.of("subject", "acc-9"), datetime(2026, 3, 1, 9), None, None)  # noqa: DTZ001  # as engines give them
    assert found[0] == (*one, names.of("value", "msg-1"), "tkt-1", datetime(2026, 3, 2, 12))  # noqa: DTZ001  # likewise
    assert found[1][2] == datetime(2026, 3, 1, 9)  # noqa: DTZ001  # ten o'clock at +01:00
    assert found[1][4:6] == (names.of("actor", "emp-1"), None)


def test_a_key_that_is_a_person_is_named_by_pseudonym(tmp_path: Path, store: ContextStore) -> None:
    store.load("staff", write(tmp_path, "staff.csv", "actor,unit\nemp-1,a/b\n"))
    store.load("roster", write(tmp_path, "roster.csv", "incident,unit,actor\n,sre/x,emp-1\ninc-1,,emp-1\n"))
    store.load("consents", write(tmp_path, "consents.csv", "subject,actor\nacc-1,*\n"))
    names = Pseudonyms(KEY)
    assert rows(tmp_path, store, "SELECT actor, row_key FROM staff") == [(names.of("actor", "emp-1"),) * 2]
    assert rows(tmp_path, store, "SELECT row_key FROM roster ORDER BY row_key") == [("inc-1",), ("sre/x",)]
    assert rows(tmp_path, store, "SELECT actor, row_key FROM consents") == [("*", names.of("subject", "acc-1"))]


def test_a_bad_row_is_named_by_file_and_line_and_the_rest_goes_on(tmp_path: Path, store: ContextStore, kept: Kept) -> None:
    text = (
        "ticket,subject,opened,inbound\n"
        't1,"acc\n1",2026-03-01T09:00:00Z,x\n'  # a value with a line break is fine
        "t2,acc-2,2026-03-01 09:00:00,x\n"  # no zone
        "t3,acc-3,yesterday,x\n"
        "t4,acc-4\n"  # too few values
        ",acc-5,2026-03-01T09:00:00Z,x\n"  # no key
        't6,"acc-6,2026-03-01T09:00:00Z,x\n'  # a quote that never closes
        "t7,acc-7,2026-03-01T09:00:00Z,x\n"
    )
    report = store.load("tickets", write(tmp_path, "tickets.csv", text))
    assert report.rows == 2
    assert [(row.line, row.reason.split(":")[0]) for row in report.rejected] == [
        (4, "opened"),
        (5, "opened"),
        (6, "2 values where the header names 4"),
        (7, "ticket is empty"),
        (8, "not CSV"),
    ]
    assert "yesterday" not in repr(report)
    assert "acc-3" not in repr(report)
    sealed = dict(kept.sealed)
    assert b"yesterday" in sealed["rejected"]
    assert b"t4,acc-4" in sealed["rejected"]


def test_bytes_that_are_no_utf8_cost_one_row(tmp_path: Path, store: ContextStore) -> None:
    path = write(tmp_path, "staff.csv", b"actor,unit\ne1,a\ne2,\xff\xfe\ne3,c\n")
    report = store.load("staff", path)
    assert (report.rows, [(row.line, row.reason) for row in report.rejected]) == (2, [(3, "not UTF-8")])


def test_broken_json_lines_cost_themselves(tmp_path: Path, store: ContextStore) -> None:
    text = '{"actor":"e1"}\n{"actor":"e2"\n[1]\n\n{"actor":"e3","covered":"perhaps"}\n{"actor":"e4","covered":true}\n'
    report = store.load("staff", write(tmp_path, "staff.ndjson", text))
    assert report.rows == 2
    assert [row.line for row in report.rejected] == [2, 3, 5]


def test_unknown_columns_are_named_and_not_kept(tmp_path: Path, store: ContextStore) -> None:
    report = store.load("staff", write(tmp_path, "staff.csv", "actor,home_address\ne1,Lane 5\n"))
    assert report.dropped == ("home_address",)
    assert b"Lane" not in b"".join(path.read_bytes() for path in (tmp_path / "context").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("table", "name", "text", "error"),
    [
        ("tickets", "tickets.csv", "subject,kind\na,b\n", InputError),
        ("assignments", "assignments.csv", "actor\na\n", InputError),
        ("tickets", "tickets.xlsx", "x", UnknownFormat),
        ("tickets", "tickets.parquet", "no parquet", UnreadableFile),
        ("tickets", "tickets.csv.gz", b"\x1f\x8bcut", UnreadableFile),
        ("protected", "protected.csv", "subject,class\na,b\n", UnknownTable),
    ],
)
def test_a_file_that_is_no_such_table_is_an_error(
    tmp_path: Path, store: ContextStore, *, table: str, name: str, text: str | bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.load(table, write(tmp_path, name, text))
    assert store.tables() == set()


def test_an_absent_file_and_a_folder_are_unreadable(tmp_path: Path, store: ContextStore) -> None:
    (tmp_path / "staff.csv").mkdir()
    for name in ("staff.csv", "nothing.csv"):
        with pytest.raises(UnreadableFile):
            store.load("staff", tmp_path / name)


@pytest.mark.parametrize("text", ["", "ticket,subject\n"])
def test_an_empty_file_loads_as_an_empty_table(tmp_path: Path, store: ContextStore, text: str) -> None:
    assert store.load("tickets", write(tmp_path, "tickets.csv", text)).rows == 0
    assert store.tables() == {"tickets"}
    assert rows(tmp_path, store, "SELECT * FROM tickets") == []


def test_the_same_file_again_adds_nothing(tmp_path: Path, store: ContextStore, kept: Kept) -> None:
    path = write(tmp_path, "tickets.csv", TICKETS)
    assert store.load("tickets", path).added
    again = store.load("tickets", write(tmp_path, "renamed.csv.gz", gzip.compress(TICKETS.encode())))
    assert (again.added, again.rows) == (False, 2)
    assert rows(tmp_path, store, "SELECT count(*) FROM tickets") == [(2,)]
    assert len(kept.leaves) == 1


def test_each_load_is_a_policy_leaf_before_it_counts(tmp_path: Path, kept: Kept) -> None:
    seen: list[set[str]] = []
    store = ContextStore(
        tmp_path / "context", Pseudonyms(KEY), record=lambda kind, what: seen.append(store.tables()) or kept.record(kind, what)
    )
    store.load("tickets", write(tmp_path, "tickets.csv", TICKETS))
    ((kind, what),) = kept.leaves
    assert (kind, what["what"], what["table"], what["rows"], what["rejected"]) == (7, "context", "tickets", 2, 0)
    assert seen == [set()]


def test_a_load_that_dies_before_its_leaf_leaves_nothing_that_counts(tmp_path: Path) -> None:
    def fail(kind: int, what: object) -> int:
        raise OSError("full")

    dying = ContextStore(tmp_path / "context", Pseudonyms(KEY), record=fail)
    path = write(tmp_path, "tickets.csv", TICKETS)
    with pytest.raises(OSError, match="full"):
        dying.load("tickets", path)
    assert dying.tables() == set()
    assert ContextStore(tmp_path / "context", Pseudonyms(KEY)).load("tickets", path).rows == 2


def test_a_later_load_of_a_row_counts_and_the_earlier_stays_on_disk(tmp_path: Path, store: ContextStore) -> None:
    store.load("tickets", write(tmp_path, "1.csv", TICKETS), now=NOON)
    closed = TICKETS.replace("09:00:00Z,,,", "09:00:00Z,2026-03-05T00:00:00Z,,")
    store.load("tickets", write(tmp_path, "2.csv", closed), now=NOON + timedelta(days=1))
    found = rows(tmp_path, store, "SELECT row_key, closed IS NULL FROM tickets ORDER BY row_key")
    assert found == [("tkt-1", False), ("tkt-2", False)]
    assert store.sizes() == {"tickets": 4}


def test_rows_of_a_table_without_unique_key_meet_by_what_does_not_end(tmp_path: Path, store: ContextStore) -> None:
    head = "ticket,actor,valid_from,valid_to,assigned_by\n"
    store.load("assignments", write(tmp_path, "1.csv", head + "t1,e1,2026-03-01T00:00:00Z,,queue\n"), now=NOON)
    later = head + "t1,e1,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,queue\nt1,e2,2026-03-02T00:00:00Z,,e1\n"
    store.load("assignments", write(tmp_path, "2.csv", later), now=NOON + timedelta(days=1))
    assert rows(tmp_path, store, "SELECT count(*), count(valid_to) FROM assignments") == [(2, 1)]


def test_double_ids_within_a_load_are_kept_and_said(tmp_path: Path, store: ContextStore) -> None:
    report = store.load("tickets", write(tmp_path, "t.csv", "ticket,subject\nt1,a\nt1,b\nt2,c\n"))
    assert (report.rows, report.duplicates) == (3, 1)
    assert rows(tmp_path, store, "SELECT count(*) FROM tickets") == [(3,)]


def test_actors_that_staff_does_not_name_are_counted_never_dropped(tmp_path: Path, store: ContextStore) -> None:
    text = "ticket,actor,assigned_by\nt1,e1,queue-7\nt2,e8,e1\nt3,e9,e1\nt4,e9,e1\n"
    before = store.load("assignments", write(tmp_path, "a.csv", text))
    assert before.unknown_actors is None  # without staff nobody can say
    store.load("staff", write(tmp_path, "staff.csv", "actor\ne1\n"))
    report = store.load("assignments", write(tmp_path, "b.csv", text + "t5,e1,e1\n"))
    assert (report.unknown_actors, report.rows) == (2, 5)
    consents = store.load("consents", write(tmp_path, "c.csv", "subject,actor\ns1,*\n"))
    assert consents.unknown_actors == 0


def test_free_text_is_sealed_and_only_its_hash_stays(tmp_path: Path, store: ContextStore, kept: Kept) -> None:
    store.load("claims", write(tmp_path, "c.csv", "claim,by,text\nc1,Jane Roe,we never looked\n"))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "context").rglob("*.parquet"))
    assert b"Jane" not in stored
    assert b"looked" not in stored
    assert b"Jane Roe" in dict(kept.sealed)["texts"]


def test_ids_with_quotes_and_newlines_are_ids(tmp_path: Path, store: ContextStore) -> None:
    odd = 'o\'neil\n"x"'
    store.load("staff", write(tmp_path, "s.ndjson", json.dumps({"actor": odd, "manager": odd})))
    assert rows(tmp_path, store, "SELECT actor = manager FROM staff") == [(True,)]
    assert rows(tmp_path, store, "SELECT actor FROM staff") == [(Pseudonyms(KEY).of("actor", odd),)]


def test_every_table_is_a_view_with_the_columns_of_the_contract(tmp_path: Path, store: ContextStore) -> None:
    with open_engine(memory_mb=200, threads=1, directory=tmp_path) as engine:
        assert isinstance(engine, DuckDBEngine)
        store.register(engine)
        for name in TABLES:
            assert engine.fetch(f"SELECT * FROM {name}").column_names == context_schema(name).names
