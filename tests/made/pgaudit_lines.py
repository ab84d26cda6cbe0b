"""Makes records of PostgreSQL's log as the server writes them, in both formats, and reads them back."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Parsed, Raw
from custodes.sources.pgaudit import SOURCE

DATAMAP = DataMap.of(
    {
        "postgres": {
            "users": {
                "subject_key": "id",
                "fields": {"email": "contact", "handle": "identity"},
                "selectors": {"handle": "handle", "email": "email"},
            },
            "login_event": {
                "subject_key": "user_id",
                "fields": {"ip": "ip_address", "city": "location"},
                "selectors": {"ip": "ip", "city": "location"},
            },
        }
    }
)
SESSION = "6b0233a0.1"
KEY_CHECK = 'SELECT 1 FROM ONLY "public"."users" x WHERE "id" OPERATOR(pg_catalog.=) $1 FOR KEY SHARE OF x'
COLUMNS = [
    "timestamp",
    "user",
    "dbname",
    "pid",
    "remote_host",
    "session_id",
    "line_num",
    "ps",
    "session_start",
    "vxid",
    "txid",
    "error_severity",
    "state_code",
    "message",
    "detail",
    "hint",
    "internal_query",
    "internal_position",
    "context",
    "statement",
    "cursor_position",
    "func_name",
    "application_name",
    "backend_type",
    "leader_pid",
    "query_id",
]


def field(text: str) -> str:
    """Quote one field of an AUDIT message as pgaudit does."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n\r') else text


def audit(
    statement: int,
    text: str,
    *,
    sub: int = 1,
    kind: str = "READ",
    command: str = "SELECT",
    table: str = "public.users",
    object_type: str = "TABLE",
    params: str = "<none>",
    rows: int | None = 1,
) -> str:
    parts = ["AUDIT: SESSION", str(statement), str(sub), kind, command, object_type if table else "", field(table), field(text)]
    return ",".join([*parts, field(params), *([] if rows is None else [str(rows)])])


def record(number: int, message: str, **more: object) -> dict[str, object]:
    """Return one record; `more` overrides or adds fields."""
    return {
        "timestamp": "2026-11-22 10:00:00.123 UTC",
        "user": "analyst",
        "dbname": "postgres",
        "pid": 7,
        "remote_host": "10.9.8.7",
        "session_id": SESSION,
        "line_num": number,
        "ps": "SELECT",
        "session_start": "2026-11-22 09:00:00 UTC",
        "vxid": "3/1",
        "txid": 0,
        "error_severity": "LOG",
        "message": message,
        "application_name": "psql",
        "backend_type": "client backend",
        "query_id": 0,
        **more,
    }


def as_json(entry: dict[str, object]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()


def as_csv(entry: dict[str, object]) -> bytes:
    host = {"remote_host": f"{entry['remote_host']}:{5000}"} if entry.get("remote_host") else {}
    full = {"state_code": "00000", "leader_pid": "", **entry, **host}
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([full.get(name, "") for name in COLUMNS])
    return out.getvalue().encode()


def raws(entries: Iterable[dict[str, object] | bytes], file: str = "server.json") -> list[Raw]:
    datas = [entry if isinstance(entry, bytes) else as_json(entry) for entry in entries]
    return [Raw(data, file, number) for number, data in enumerate(datas, 1)]


def read(*entries: dict[str, object] | bytes) -> Parsed:
    """Read records to their end."""
    return read_all([raws(entries)])


def read_all(batches: Iterable[list[Raw]]) -> Parsed:
    parser = SOURCE.parser(DATAMAP)
    return together([*(parser.feed(batch) for batch in batches), parser.finish()])


def together(parts: Iterable[Parsed]) -> Parsed:
    whole = Parsed()
    counted: Counter[str] = Counter()
    for part in parts:
        whole.drafts += part.drafts
        whole.rejected += part.rejected
        whole.notes += part.notes
        counted.update(part.counted)
    whole.counted = dict(counted)
    return whole


def accounted(parsed: Parsed) -> int:
    """Return how many records came out, in whatever form."""
    drafts: dict[Raw, Draft] = {draft.raws[0]: draft for draft in parsed.drafts}
    return sum(len(draft.raws) for draft in drafts.values()) + sum(parsed.counted.values()) + len(parsed.rejected)
