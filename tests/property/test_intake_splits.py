"""However records are dealt out to files, in whatever order and however often: the same rows, each record once."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_reading import check, copy_home, ingest, new_home, records, rows, sealed_records, write
from paired_source import put_on_shelf

LINES = records(24)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    new_home(folder / "fresh", batch=7)
    whole = copy_home(folder / "fresh", folder / "whole")
    ingest(whole, write(folder / "all.ndjson", LINES))
    return folder


@settings(max_examples=8)
@given(
    st.lists(st.lists(st.integers(0, len(LINES) - 1), min_size=1, max_size=12), max_size=4),
    st.permutations(range(len(LINES))),
    st.integers(1, len(LINES)),
)
def test_same_rows_from_any_deal(made: Path, again: list[list[int]], order: list[int], cut: int) -> None:
    home = copy_home(made / "fresh", made / "home")
    try:
        deals = [*again, order[:cut], order[cut:], *again]
        files = [write(made / f"{number}.ndjson", [LINES[at] for at in deal]) for number, deal in enumerate(deals)]
        ingest(home, *files[: len(files) // 2])
        ingest(home, *files[len(files) // 2 :])
        assert rows(home) == rows(made / "whole")
        check(home, LINES)
    finally:
        shutil.rmtree(home)
        for file in made.glob("*.ndjson"):
            file.unlink()


RECORDS = st.sampled_from([b"S%d %d ann p%d" % (s, o, p) for s in (1, 2) for o in (1, 2, 3) for p in (1, 2)] + [b"!n", b"#r"])


@settings(max_examples=8)
@given(st.lists(RECORDS, min_size=1, max_size=14, unique=True), st.lists(st.integers(0, 14), min_size=1, max_size=3))
def test_a_growing_log_gives_the_rows_of_the_whole_one(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cuts: list[int]
) -> None:
    lines = sorted(lines, key=lambda line: line.split()[:2])  # operations of a session follow each other
    folder = tmp_path_factory.mktemp("growing")
    with pytest.MonkeyPatch.context() as patch:
        put_on_shelf(patch)
        fresh = new_home(folder / "fresh")
        whole = copy_home(fresh, folder / "whole")
        ingest(whole, write(folder / "all", lines), source="paired")
        for cut in [*sorted(cuts), len(lines)]:
            ingest(fresh, write(folder / "log", lines[:cut]), source="paired")
    assert rows(fresh) == rows(whole)
    assert sealed_records(fresh) == Counter(lines)
    shutil.rmtree(folder)
