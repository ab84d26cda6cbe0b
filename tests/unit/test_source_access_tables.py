"""`custodes.access/1` as CSV and Parquet."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from custodes.errors import InputError, UnreadableFile
from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Parsed, Raw
from custodes.source import Position
from custodes.sources.access import SOURCE

HEADER = b"time,actor,action,system,subjects,rows,deliberate,note\n"
TIME = b"2026-03-02T10:00:00Z"


def read(path: Path, position: Position = Position()) -> list[Raw]:  # noqa: B008 - an immutable value
    return [raw for chunk in SOURCE.read(str(path), position) for raw in chunk.raws]


def parse(path: Path) -> Parsed:
    return SOURCE.parser(DataMap()).feed(read(path))


def csv_file(folder: Path, content: bytes) -> Path:
    path = folder / "accesses.csv"
    path.write_bytes(content)
    return path


def test_csv_columns_arrive(tmp_path: Path) -> None:
    parsed = parse(csv_file(tmp_path, HEADER + TIME + b',a,read,crm,s1;s2,3,TRUE,"x, ""y"""\n'))
    (got,) = parsed.drafts
    assert [subject.id for subject in got.subjects] == ["s1", "s2"]
    assert (got.rows, got.deliberate, got.extra) == (3, True, {"note": 'x, "y"'})
    assert parsed.counted == {"header": 1}


def test_csv_record_may_hold_newlines(tmp_path: Path) -> None:
    path = csv_file(tmp_path, HEADER.replace(b"\n", b"\r\n") + TIME + b',"a\r\n1",read,crm,,,,\r\n' + TIME + b",b,read,crm,,,,\r\n")
    assert [(draft.actor, draft.raws[0].line) for draft in parse(path).drafts] == [("a\r\n1", 2), ("b", 4)]


def test_csv_torn_quote_costs_one_line(tmp_path: Path) -> None:
    good = TIME + b",b,read,crm,,,,\n"
    path = csv_file(tmp_path, HEADER + TIME + b',"a,read,crm,,,,\n' + good + TIME + b',"c\n1",read,crm,,,,\n' + good)
    parsed = parse(path)
    assert [draft.actor for draft in parsed.drafts] == ["b", "c\n1", "b"]
    assert [(item.raw.line, item.reason.partition(":")[0]) for item in parsed.rejected] == [(2, "torn record")]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b",a,read,crm,,,,", "missing time"),
        (TIME + b",a,read", "wrong number of columns"),
        (TIME + b",a,read,crm,,ten,,", "rows is not a number"),
        (TIME + b",a,read,crm,,-1,,", "negative count in rows"),
        (TIME + b",a,read,crm,,,maybe,", "deliberate is neither true nor false"),
        (TIME + b",\xe9,read,crm,,,,", "not UTF-8"),
        (b"2026-03-02 10:00:00,a,read,crm,,,,", "time without zone"),
    ],
)
def test_csv_bad_record_is_rejected(tmp_path: Path, record: bytes, words: str) -> None:
    parsed = parse(csv_file(tmp_path, HEADER + record + b"\n"))
    assert not parsed.drafts
    assert parsed.rejected[0].reason.startswith(words)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"time,actor,action\n", "missing column system"),
        (b"time;actor;action;system\n", "missing columns time, actor, action, system"),
        (b"time,actor,action,system,time\n", "stands twice"),
        (b"time,actor,action,system,\xff\n", "not readable UTF-8"),
    ],
)
def test_csv_header_that_breaks_the_contract_is_an_error_of_the_file(tmp_path: Path, header: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(csv_file(tmp_path, header + TIME + b",a,read,crm\n"))
    assert "time, actor, action, system" in caught.value.hint


def test_csv_reading_resumes_with_its_header(tmp_path: Path) -> None:
    path = csv_file(tmp_path, HEADER + TIME + b",a,read,crm,,,,\n")
    position = list(SOURCE.read(str(path), Position()))[-1].position
    with path.open("ab") as file:
        file.write(TIME + b",b,read,crm,,,,\n")
    (raw,) = read(path, position)
    assert SOURCE.parser(DataMap()).feed([raw]).drafts[0].actor == "b"
    assert raw == read(path)[-1]


def test_csv_record_under_another_header_is_another_record(tmp_path: Path) -> None:
    record = TIME + b",a,read,crm\n"
    first = read(csv_file(tmp_path, b"time,actor,action,system\n" + record))[1]
    second = read(csv_file(tmp_path, b"time,system,action,actor\n" + record))[1]
    assert first.data != second.data


def test_csv_replaced_file_is_read_with_its_new_header(tmp_path: Path) -> None:
    path = csv_file(tmp_path, HEADER + TIME + b",a,read,crm,,,,\n")
    position = list(SOURCE.read(str(path), Position()))[-1].position
    csv_file(tmp_path, b"system,time,actor,action\ncrm," + TIME + b",b,read\n")
    parsed = SOURCE.parser(DataMap()).feed(read(path, position))
    assert [draft.actor for draft in parsed.drafts] == ["b"]


def test_csv_may_be_zipped_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = csv_file(tmp_path, gzip.compress(b"\xef\xbb\xbf" + HEADER + TIME + b",a,read,crm,,,,\n"))
    assert parse(path).drafts[0].actor == "a"


def test_records_add_up_to_lines(tmp_path: Path) -> None:
    content = HEADER + b"\n" + TIME + b",a,read,crm,,,,\n\n" + b"bad\n" + HEADER + TIME + b",b,read,crm,,,,"
    path = csv_file(tmp_path, content)
    chunks = list(SOURCE.read(str(path), Position()))
    parsed = SOURCE.parser(DataMap()).feed([raw for chunk in chunks for raw in chunk.raws])
    blank = sum(chunk.blank for chunk in chunks)
    assert (len(parsed.drafts), len(parsed.rejected), parsed.counted, blank) == (2, 1, {"header": 2}, 2)


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "accesses.parquet"
    pq.write_table(pa.table(columns), path)
    return path


WHEN = datetime(2026, 3, 2, 10, tzinfo=UTC)


def columns(rows: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "time": pa.array([WHEN] * rows, pa.timestamp("us", "UTC")),
        "actor": [f"a{row}" for row in range(rows)],
        "action": ["read"] * rows,
        "system": ["crm"] * rows,
        **more,
    }


def drafts(path: Path) -> list[Draft]:
    parsed = parse(path)
    assert not parsed.rejected, parsed.rejected[0].reason
    return parsed.drafts


def test_parquet_rows_arrive(tmp_path: Path) -> None:
    (got,) = drafts(
        parquet(
            tmp_path,
            columns(
                subjects=[["s1"]], rows_=[None], deliberate=[True], price=[Decimal("1.50")], when=[WHEN], rate=[0.5], raw=[b"x"]
            ),
        )
    )
    assert (got.time, got.actor, got.deliberate) == (WHEN, "a0", True)
    assert [subject.id for subject in got.subjects] == ["s1"]
    assert got.extra == {"price": "1.50", "when": "2026-03-02T10:00:00Z", "rate": "0.5", "raw": "eA=="}


def test_parquet_whole_numbers_stored_as_floats_are_numbers(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(2) | {"rows": pa.array([2.0, None])})
    assert [draft.rows for draft in drafts(path)] == [2, None]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_parquet_times_of_any_unit_and_zone_are_read(tmp_path: Path, unit: str) -> None:
    path = parquet(tmp_path, columns() | {"time": pa.array([WHEN], pa.timestamp(unit, "Europe/Berlin"))})
    assert drafts(path)[0].time == WHEN


def test_parquet_time_without_zone_is_an_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="time without zone"):
        read(parquet(tmp_path, columns() | {"time": pa.array([WHEN.replace(tzinfo=None)])}))


def test_parquet_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing column actor"):
        read(parquet(tmp_path, {name: values for name, values in columns().items() if name != "actor"}))


def test_parquet_reading_resumes_at_a_row(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(5000))
    chunks = list(SOURCE.read(str(path), Position()))
    assert len(chunks) > 1
    for at, chunk in enumerate(chunks):
        assert read(path, chunk.position) == [raw for later in chunks[at + 1 :] for raw in later.raws]


def test_parquet_replaced_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    position = list(SOURCE.read(str(parquet(tmp_path, columns(3))), Position()))[-1].position
    assert len(read(parquet(tmp_path, columns(4)), position)) == 4


def test_same_row_is_the_same_record_whatever_the_order_of_columns(tmp_path: Path) -> None:
    first = read(parquet(tmp_path, columns()))[0].data
    assert read(parquet(tmp_path, dict(reversed(columns().items()))))[0].data == first


def test_torn_parquet_is_unreadable(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableFile, match="Parquet"):
        read(path)
