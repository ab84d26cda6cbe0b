"""The parser: turns records into drafts, one by one, whatever their order. It needs no state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from custodes.errors import InputError
from custodes.lines.tables import columns_of
from custodes.model.draft import Parsed, Raw, Rejected
from custodes.sources.access.columns import REQUIRED, BadRecord, Row
from custodes.sources.access.drafting import make_draft
from custodes.sources.access.record import csv_row, json_row

_AHEAD: Final = timedelta(days=1)


class AccessParser:
    """Turns records into drafts, one by one, whatever their order."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._header: bytes = b""
        self._columns: list[str] = []

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        """Parse each record by itself; a bad one is rejected with its reason, a CSV header counted."""
        parsed = Parsed()
        latest = self._clock() + _AHEAD
        headers = 0
        for raw in raws:
            try:
                if b"\n" not in raw.data:
                    row, extra = json_row(raw.data)
                elif raw.cut or not raw.data.endswith(b"\n"):
                    row, extra = self._csv_row(raw)
                else:
                    headers += 1
                    continue
                parsed.drafts.append(make_draft(raw, row, extra, latest))
            except (BadRecord, InputError) as bad:
                parsed.rejected.append(Rejected(raw, str(bad)))
        if headers:
            parsed.counted["header"] = headers
        return parsed

    def finish(self) -> Parsed:
        """Nothing is held back."""
        return Parsed()

    def state(self) -> bytes:
        """Nothing is kept."""
        return b""

    def _csv_row(self, raw: Raw) -> tuple[Row, dict[str, str]]:
        if raw.cut:
            raise BadRecord("record longer than the limit: kept by its first bytes, its length and its SHA-256")
        header, _, record = raw.data.partition(b"\n")
        if header != self._header:
            self._header, self._columns = header, columns_of(header, REQUIRED)
        return csv_row(self._columns, record)
