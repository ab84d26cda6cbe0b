"""Missing lines, torn records, damaged bytes: each is seen, said and accounted for."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pgaudit_lines import DATAMAP, SESSION, accounted, as_csv, as_json, audit, raws, read, read_all, record, together

from custodes.source import Position
from custodes.sources import detect
from custodes.sources.pgaudit import SOURCE

USERS = "select email from users where id=5"
END = "disconnection: session time: 0:00:01.000 user=analyst database=postgres host=10.9.8.7"


def lines(count: int, *, ended: bool) -> list[dict[str, object]]:
    entries = [record(number, audit(number, f"select email from users where id={number}")) for number in range(1, count + 1)]
    return [*entries, record(count + 1, END, ps="idle")] if ended else entries


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("without", range(6))
def test_deleted_line_is_one_gap_and_a_cut_tail_is_unproven(without: int, ended: bool) -> None:
    entries = lines(6 - ended, ended=ended)
    del entries[without]
    parsed = read(*entries)
    gaps = [(note.facts["after"], note.facts["before"]) for note in parsed.notes if note.kind == "gap"]
    tails = [note.facts["last"] for note in parsed.notes if note.kind == "tail_unproven"]
    assert gaps == ([] if without == 5 else [(without, without + 2)])
    assert tails == ([] if ended and without != 5 else [6 if without != 5 else 5])
    if without < 4:
        flagged = [draft.seq for draft in parsed.drafts if "gap_before" in draft.coverage]
        assert flagged == [without + 2]


def test_gap_is_known_over_two_runs() -> None:
    parser = SOURCE.parser(DATAMAP)
    parser.feed(raws(lines(3, ended=False)))
    again = SOURCE.parser(DATAMAP, parser.state())
    parsed = again.feed(raws([record(5, audit(5, USERS))]))
    assert [(note.facts["after"], note.facts["missing"]) for note in parsed.notes if note.kind == "gap"] == [(3, 1)]


def test_lines_read_again_are_no_gap_and_no_mixture() -> None:
    entries = lines(4, ended=False)
    parser = SOURCE.parser(DATAMAP)
    first, second = raws(entries), raws([as_csv(entry) for entry in entries], "server.csv")
    parsed = together([parser.feed(first), parser.finish(), parser.feed(second), parser.finish()])
    assert not [note for note in parsed.notes if note.kind == "gap"]
    assert [[raw.file for raw in draft.raws] for draft in parsed.drafts] == [["server.json"]] * 4 + [["server.csv"]] * 4


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"session_id": 5}',
        b'{"session_id":"a.b","line_num":"1"}',
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b'{"session_id":"a.b","line_num":1e400}',
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xfe{\x00}\x00",
        b"a,b,c",
        b"," * 25,
        as_csv(record(1, "x"))[:60],
        as_csv(record(1, audit(1, USERS)))[:-40],
        as_csv(record(1, "x")) + b",more,columns",
        as_json(record(1, "AUDIT: SESSION,1,1,READ")),
        as_json(record(1, 'AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.users,"select "x"",<none>,1')),
        as_json(record(0, "x")),
    ],
)
def test_unreadable_record_costs_itself_only(data: bytes) -> None:
    parsed = read(data, record(1, audit(1, USERS)))
    assert [item.raw.data for item in parsed.rejected] == [data]
    assert len(parsed.drafts) == 1


def test_reasons_hold_nothing_of_the_record() -> None:
    for data in (b"secret", b'{"secret":1}', as_json(record(1, "AUDIT: secret")), b'secret,"secret'):
        (item,) = read(data).rejected
        assert "secret" not in item.reason


def test_damaged_encoding_is_read_and_said() -> None:
    for make in (as_json, as_csv):
        data = make(record(1, audit(1, "select email from users where id=5 and handle='QQ'"))).replace(b"QQ", b"\xff\xfe")
        (draft,) = read(data).drafts
        assert (draft.coverage, [s.id for s in draft.subjects]) == (["bad_encoding"], ["5"])
        assert [s.value for s in draft.selectors if s.kind == "handle"] == ["\\xff\\xfe"]


def test_record_over_the_limit_is_rejected_whole(tmp_path: Path) -> None:
    path = tmp_path / "server.json"
    long = as_json(record(1, "x" * (33 << 20)))
    path.write_bytes(long + b"\n" + as_json(record(2, audit(1, USERS))) + b"\n")
    parsed = read_all(chunk.raws for chunk in SOURCE.read(str(path), Position()))
    assert (len(parsed.rejected), len(parsed.drafts)) == (1, 1)


FORGER = 'x","y\n2026-01-01 00:00:00.000 UTC,"boss","postgres",1,"[local]",6b0233a0.9,1,"SELECT",z'


def test_csvlog_keeps_newlines_and_fake_records_inside_a_value(tmp_path: Path) -> None:
    path = tmp_path / "server.csv"
    text = f"select email from users where id=5 and handle='{FORGER}\r\n{FORGER}'"
    entries = [record(1, audit(1, text), application_name=FORGER), record(2, audit(2, USERS))]
    path.write_bytes(b"".join(as_csv(entry) + b"\n" for entry in entries))
    parsed = read_all(chunk.raws for chunk in SOURCE.read(str(path), Position()))
    assert [draft.actor for draft in parsed.drafts] == ["analyst", "analyst"]
    assert parsed.drafts[0].query == text
    assert not parsed.rejected
    assert not [note for note in parsed.notes if note.kind == "gap"]


@pytest.mark.parametrize("cut", [40, 75, 160, 190])
@pytest.mark.parametrize("following", [{}, {"user": "", "dbname": "", "remote_host": "", "ps": "", "backend_type": "postmaster"}])
def test_torn_csv_record_costs_one_record(tmp_path: Path, cut: int, following: dict[str, object]) -> None:
    path = tmp_path / "server.csv"
    entries = [record(number, audit(number, USERS)) for number in range(1, 5)]
    entries[2] = record(3, 'LOG, of "words"', **following)
    datas = [as_csv(entry) for entry in entries]
    datas[1] = datas[1][:cut]
    path.write_bytes(b"\n".join(datas) + b"\n")
    parsed = read_all(chunk.raws for chunk in SOURCE.read(str(path), Position()))
    assert [draft.seq for draft in parsed.drafts] == [1, 4]
    assert len(parsed.rejected) == 1
    assert accounted(parsed) == 4


@pytest.mark.parametrize("make", [as_json, as_csv])
@pytest.mark.parametrize("packed", [False, True])
def test_source_is_recognised_by_content(tmp_path: Path, make: object, packed: bool) -> None:
    data = b"\n".join(make(entry) for entry in lines(3, ended=True)) + b"\n"  # type: ignore[operator]  # one of two functions
    path = tmp_path / "anything"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert detect(str(path)) is SOURCE
    parsed = read_all(chunk.raws for chunk in SOURCE.read(str(path), Position()))
    assert (len(parsed.drafts), parsed.counted) == (3, {"disconnection": 1})


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n", b'{"time":"2026-01-01T00:00:00Z","actor":"a"}\n', b"a,b,c\n", b'{"Records":[]}']
)
def test_other_files_are_not_taken(data: bytes) -> None:
    assert not SOURCE.sniff(data, "x")


def test_older_layouts_of_csvlog_are_read() -> None:
    row = as_csv(record(1, audit(1, USERS)))
    for without in (2, 3):
        shorter = row.rsplit(b",", without)[0]
        assert len(read(shorter).drafts) == 1
    assert len(read(row.rsplit(b",", 1)[0]).rejected) == 1


def test_sessions_are_forgotten_in_bounds_and_nothing_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custodes.sources.pgaudit.parser._SESSIONS", 50)
    entries = [record(1, audit(1, USERS), session_id=f"{number:x}.1") for number in range(70)]
    made = SOURCE.parser(DATAMAP)
    parsed = together([made.feed(raws(entries)), made.finish()])
    assert len(parsed.drafts) == 70
    assert len(made.tails()) <= 50


def test_very_long_statement_becomes_several_accesses() -> None:
    entries = [record(number, audit(1, USERS, sub=number)) for number in range(1, 5001)]
    parsed = read(*entries)
    assert [len(draft.raws) for draft in parsed.drafts] == [4096, 904]
    assert accounted(parsed) == 5000


def test_tails_are_known_by_session() -> None:
    made = SOURCE.parser(DATAMAP)
    made.feed(raws([*lines(2, ended=True), record(1, audit(1, USERS), session_id="6b0233a0.2")]))
    made.finish()
    assert made.tails() == {SESSION: "proven", "6b0233a0.2": "unproven"}


def test_manifest_says_what_and_how() -> None:
    manifest = SOURCE.manifest
    assert (manifest.gap_proof, manifest.tail_proof, manifest.rows, manifest.subject) == ("per_session", False, True, "key")
    assert len(manifest.cannot_see) >= 9
    assert all(item.what and item.why and item.remedy for item in manifest.cannot_see)
    assert manifest.version == SOURCE.version
    assert set(manifest.settings_expected) >= {"pgaudit.log", "pgaudit.log_relation", "log_disconnections"}
