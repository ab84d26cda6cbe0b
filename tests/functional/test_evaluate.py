"""Benchmarks on foreign logs run through the ordinary explanation and give the agreed figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from custodes.cli import run
from custodes.evaluate import bpic13, ranking, snoop
from custodes.evaluate.permit import EXACT

NOISE = 0.05
"""Of recall at twenty, for one seed; the goals hold for means."""


def _figures(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["evaluate", *arguments]) == 0
    figures: dict[str, object] = json.loads(capsys.readouterr().out)
    return figures


def test_permit_counts_are_exact(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = _figures(capsys, "permit", "--data", str(shared_data / "bpic13" / "env_permit.xes.gz"))
    assert figures["counts"] == EXACT
    assert figures["exact"] is True


def test_real_service_desk_is_explained_and_planted_looks_are_not(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = shared_data / "bpic13" / "bpi_challenge_2013_incidents.xes.gz"
    figures = _figures(capsys, "bpic13-snoop", "--data", str(log), "--seeds", "3")
    assert figures["log"] == {
        "rows": 59371,
        "actors": 1687,
        "cases": 7554,
        "teams": 649,
        "products": 704,
        "accesses_train": 6863,
        "accesses_test": 7422,
    }
    mean = figures["mean"]
    assert mean["strict"]["real"] >= snoop.GOALS["real"]  # type: ignore[index]  # figures are plain JSON
    assert mean["strict first"]["real"] >= snoop.GOALS["first"]  # type: ignore[index]
    for kind in bpic13.KINDS:
        assert 0 < mean["strict"][kind] <= snoop.GOALS[kind]  # type: ignore[index]
    ranked = figures["ranking"]["mean"]  # type: ignore[index]
    assert figures["ranking"]["not_run"] == {}  # type: ignore[index]
    for ranker, goals in ranking.GOALS.items():
        for kind in bpic13.KINDS:
            assert ranked[ranker]["auc"][kind]["mean"] >= goals["auc"][kind]
            assert ranked[ranker]["recall@20"][kind]["mean"] >= goals["recall@20"][kind] - NOISE
    best = max(ranked, key=lambda name: ranked[name]["auc"]["R"]["mean"])
    assert best == ranking.TRAINED


def test_the_strongest_pair_of_actors_is_a_planted_ring(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = shared_data / "bpic13" / "bpi_challenge_2013_incidents.xes.gz"
    figures = _figures(capsys, "bpic13-collude", "--data", str(log), "--seeds", "3")
    mean = figures["mean"]
    assert mean["ring weight"]["4x6"]["top_pair"] > 0.7  # type: ignore[index]  # twenty rings: noise of a tenth
    assert mean["shared subjects, all accesses"]["4x6"]["top_pair"] <= 0.02  # type: ignore[index]
    assert figures["false_rings_per_30_days"] <= 1  # type: ignore[operator]


def test_the_table_says_what_the_json_says(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "permit", "--data", str(shared_data / "bpic13" / "env_permit.xes.gz"), "--format", "table"]) == 0
    assert "2,822 accesses, 1,223 explained: exact" in capsys.readouterr().out


def test_missing_log_is_could_not_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "permit", "--data", str(tmp_path / "nothing.xes.gz")]) == 2
    assert "--data FILE" in capsys.readouterr().err


def test_a_log_that_is_no_xes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.xes.gz"
    broken.write_bytes(gzip.compress(b"<log><trace>"))
    assert run(["evaluate", "permit", "--data", str(broken)]) == 2
    assert "broken.xes.gz" in capsys.readouterr().err


ROW = """<event><string key="org:resource" value="{who}"/><string key="resource country" value="X"/>
<string key="org:group" value="{team}"/><string key="product" value="p"/><string key="concept:name" value="{status}"/>
<date key="time:timestamp" value="2012-05-0{day}T10:00:0{second}+02:00"/></event>"""


def _log(folder: Path, *rows: tuple[str, str, str, int]) -> Path:
    events = "".join(
        ROW.format(who=who, team=team, status=status, day=day, second=place) for place, (who, team, status, day) in enumerate(rows)
    )
    file = folder / "log.xes"
    file.write_text(f'<log><trace><string key="concept:name" value="c1"/>{events}</trace></log>')
    return file


def test_own_rows_are_no_context_and_the_second_look_is_not_excused_by_the_first(tmp_path: Path) -> None:
    """B reads a case of another team twice; B's own row puts B's team on the case and must not excuse the second look."""
    rows = bpic13.read(
        _log(tmp_path, ("A", "t1", "Accepted", 3), ("B", "t2", "Accepted", 4), ("B", "t2", "Accepted", 5), ("Siebel", "t1", "x", 5))
    )
    looks = bpic13.accesses(rows)
    assert [look.time.day for look in looks] == [4, 5]
    shares = snoop._shares(rows, looks, {}, snoop.context_of(rows))
    assert shares["strict"] == {"real": 0.0}


def test_a_hand_over_to_the_actors_team_explains(tmp_path: Path) -> None:
    rows = bpic13.read(
        _log(
            tmp_path,
            ("B", "t2", "Accepted", 1),
            ("A", "t1", "Accepted", 2),
            ("A", "t2", "Queued", 3),
            ("B", "t2", "Accepted", 4),
        )
    )
    looks = [look for look in bpic13.accesses(rows) if look.time.day == 4]
    shares = snoop._shares(rows, looks, {}, snoop.context_of(rows))
    assert shares["T1"] == {"real": 1.0}
