"""Nothing that says who is found in any byte under the home, nor on stdout or stderr. Sealed files must be ciphertext."""

from __future__ import annotations

import base64
import csv
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

CANARIES = {
    "actor": "staff-kanarie-one",
    "on_behalf_of": "staff-kanarie-two",
    "subjects": "subject-kanarie",
    "purpose": "kanarie asked me to look",
    "reason": "TICKET-kanarie",
    "query": "select * from people where name = 'kanarie'",
    "session": "session-kanarie",
    "device": "device-kanarie",
    "derived": "export-kanarie",
    "derived_from": "copy-kanarie",
    "id": "own-kanarie",
    "seq_of": "shard-kanarie",
    "favourite_colour": "kanarie yellow",
    "client_address": "203.0.113.77",
}
"""One marked value in every column that may hold an id, an address or free text; the last two are no columns of the contract."""
WORDS = ["kanarie", "203.0.113.77", "203.0.113", "198.51.100.23", "198.51.100", "anna.kanarie@example.org"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a home that has read marked files of three kinds, one of them damaged, and everything that the commands said."""
    folder = tmp_path_factory.mktemp("marked")
    home, said = folder / "home", []
    base = {"time": "2026-09-01T10:00:00Z", "action": "read", "system": "crm", "resource": "profile", "fields": ["email"], "seq": 1}
    many = [{**base, **CANARIES, "id": f"own-kanarie-{n}", "seq": n, "subjects": [f"subject-kanarie-{n}"]} for n in range(200)]
    several = {**base, **CANARIES, "subjects": ["subject-kanarie-a", "anna.kanarie@example.org"]}
    wrong = {
        "time": "kanarie o'clock",
        "action": "kanarie",
        "client_country": "kanarie-land",
        "selector": "kanarie",
        "rows": "kanarie",
    }
    broken = [{**base, **CANARIES, "id": f"own-kanarie-{name}", name: value} for name, value in wrong.items()]
    records = [several, *many, *broken]
    (folder / "a.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records) + '{"kanarie": \n')
    with (folder / "b.csv").open("w", newline="") as handle:
        rows = csv.DictWriter(handle, list(several))
        rows.writeheader()
        rows.writerow({**several, "fields": "email", "subjects": "subject-kanarie-b;subject-kanarie-c", "id": "own-kanarie-csv"})
    (folder / "pg.json").write_text("".join(_server_lines()))
    _write_context(folder / "exports" / "context")
    said.append(_call("init", str(home)))
    said.append(_call("load", "--home", str(home), str(folder / "exports")))
    logs = (("access", "a.ndjson"), ("access", "b.csv"), ("pgaudit", "pg.json"), ("access", "a.ndjson"))
    said += [_call("ingest", "--home", str(home), "--source", source, str(folder / name)) for source, name in logs]
    said.append(_call("ledger", "fsck", "--home", str(home)))
    watch = ["watch", "--home", str(home), "--exit-zero", "--report", str(folder / "report.html"), "--format"]
    said += [_call(*watch, form) for form in ("text", "json", "ndjson", "sarif")]
    access = next(word for word in said[-3].split('"') if word.startswith("x-"))
    said.append(_call("explain", access, "--home", str(home)))
    said.append((folder / "report.html").read_text())
    return home, "\n".join(said).replace(str(folder), "")


def _write_context(folder: Path) -> None:
    """Write context tables with marked ids of people, marked free text, and rows that cannot be read."""
    folder.mkdir(parents=True)
    tables = {
        "staff": "actor,person,unit,manager,country\nstaff-kanarie,person-kanarie,audit/internal,boss-kanarie,IE\n",
        "tickets": "ticket,subject,origin,opened,inbound,opened_by\n"
        "T-1,subject-kanarie-1,subject,2026-09-01T09:00:00Z,mail of kanarie,\n"
        "T-2,subject-kanarie-2,subject,kanarie o'clock,mail,\n",
        "assignments": "ticket,actor,valid_from,assigned_by\nT-1,staff-kanarie,2026-09-01T09:00:00Z,queue of kanarie\n",
        "subjects": "subject,region,kind,person,favourite\nsubject-kanarie-1,EU,person,person-kanarie,kanarie yellow\n",
        "links": "subject,other,kind\nsubject-kanarie-1,subject-kanarie-2,contact\n",
        "press": "event,time,kind,subject,about\nP-1,2026-08-30T00:00:00Z,article,subject-kanarie-1,what kanarie wrote\n",
        "protected": "subject,class\nsubject-kanarie-1,journalist\n",
    }
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)


def _server_lines() -> list[str]:
    """Return jsonlog lines of a session that looks somebody up by id, by e-mail and by address."""
    statements = [
        "select email from users where id = 'subject-kanarie'",
        "select id from users where email = 'anna.kanarie@example.org' /* purpose:kanarie asked */",
        "select user_id from login_event where ip <<= '198.51.100.0/24' or ip = '198.51.100.23'",
    ]
    lines = []
    for number, statement in enumerate(statements, 1):
        record: dict[str, Any] = {
            "timestamp": f"2026-09-01 10:00:0{number}.000 UTC",
            "user": "kanarie",
            "dbname": "app",
            "pid": 7,
            "remote_host": "203.0.113.77",
            "remote_port": 5000,
            "session_id": "6b02339a.7",
            "line_num": number,
            "ps": "SELECT",
            "session_start": "2026-09-01 10:00:00 UTC",
            "vxid": "3/2",
            "txid": 0,
            "error_severity": "LOG",
            "message": f'AUDIT: SESSION,{number},1,READ,SELECT,TABLE,public.users,"{statement}",<none>,1',
            "application_name": "psql of kanarie",
            "backend_type": "client backend",
            "query_id": 0,
        }
        lines.append(json.dumps(record) + "\n")
    return lines


def _call(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "custodes", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _forms(word: str) -> list[bytes]:
    """Return the byte forms that a value could hide in."""
    plain = word.encode()
    whole = [
        base64.b64encode(b"\0" * shift + plain + b"\0" * 3)[4 * (shift > 0) : 4 * ((shift + len(plain)) // 3)] for shift in range(3)
    ]
    inner = [form for form in whole if len(form) >= 8]  # four characters of base64 also stand in the schema of a column "manager"
    return [plain, plain.upper(), word.encode("utf-16-le"), word.encode("utf-16-be"), plain.hex().encode(), *inner]


def test_no_byte_under_the_home_says_who(filled: tuple[Path, str]) -> None:
    home, _ = filled
    looked = 0
    for file in home.rglob("*"):
        assert "kanarie" not in file.name
        if file.is_file():
            data = file.read_bytes()
            looked += len(data)
            for word in WORDS:
                assert not [form for form in _forms(word) if form in data], f"{word} in {file.relative_to(home)}"
    assert looked > 100_000


def test_no_stored_value_says_who(filled: tuple[Path, str]) -> None:
    home, _ = filled
    values = 0
    for file in home.rglob("*.parquet"):
        for row in pq.read_table(file, partitioning=None).to_pylist():
            text = json.dumps(row, default=str).lower()
            values += len(row)
            assert not [word for word in WORDS if word in text], file.relative_to(home)
    assert values > 5000


def test_nothing_that_was_said_says_who(filled: tuple[Path, str]) -> None:
    _, said = filled
    assert "new records" in said
    assert not [word for word in WORDS if word in said]


def test_sealed_files_are_ciphertext(filled: tuple[Path, str]) -> None:
    home, _ = filled
    sealed = list(home.rglob("*.sealed"))
    assert {file.parent.name for file in sealed} >= {"rejected"}
    for file in sealed:
        data = file.read_bytes()
        readable = re.search(rb"[ -~]{24}", data[64:])  # by chance once in a million files of this size
        assert not readable, file.relative_to(home)
        if len(data) > 8000:  # below that, the frames' headers weigh too much
            assert len(zlib.compress(data, 9)) > 0.95 * len(data), file.relative_to(home)


def test_the_marked_values_can_still_be_opened_with_the_keys(filled: tuple[Path, str]) -> None:
    """The test above would also pass if nothing had been kept."""
    from custodes.home import Home

    home, _ = filled
    with Home.open(home) as opened:
        pseudonym = opened.pseudonyms.of("subject", "subject-kanarie-7")
        assert opened.vault().names({pseudonym}) == {pseudonym: "subject-kanarie-7"}
        engine = opened.engine()
        opened.accesses().register(engine)
        (public,) = engine.rows(
            f"SELECT access_id FROM stored_accesses WHERE id_ref = '{opened.pseudonyms.once('object', 'own-kanarie-7')}'"
        )
        engine.close()
        assert opened.vault().source_ids({str(public[0])}) == {public[0]: "own-kanarie-7"}
