"""Whatever the values and the names: texts lie inside and apart, counts are right, the picture is well-formed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import svg_reading
from hypothesis import given
from hypothesis import strategies as st

from custodes.pictures import axis, bands, heat, matrix, metrics, waterfall

DAY = datetime(2026, 4, 1, tzinfo=UTC)
HOSTILE = st.sampled_from(
    ["<script>steal(1)</script>", "a & b", '"quoted"', "x" * 200, "W" * 200, "שלום עולם", "مرحبا", "\u202eevil", "e\u0301" * 40,
     "z̷̡̛͇", "a\x00b\nc", "漢字" * 30, "\ud800", "😀" * 20, "]]>", "", " "]
)  # fmt: skip
NAMES = st.one_of(HOSTILE, st.text(max_size=40))
WIDTHS = st.sampled_from([336, 348, 620, 1200])
KINDS = st.sampled_from(["case", "other", "calm"])
TIMES = st.integers(0, 60 * 24 * 90).map(lambda minutes: DAY + timedelta(minutes=minutes))
CELLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 90), st.integers(1, 300)), max_size=80)


def holds(picture: str) -> None:
    assert svg_reading.clipped(picture) == []
    assert svg_reading.covered(picture) == []
    assert svg_reading.untitled_marks(picture) == []


@given(CELLS, NAMES, NAMES, WIDTHS, st.randoms(use_true_random=False))
def test_matrix_holds(cells, name, note, width, dice):
    named = [(f"a-{row:03}", f"s-{column:03}", count) for row, column, count in cells]
    labels = {key: name if int(key[2:]) % 7 == 0 else key for pair in named for key in pair[:2]}
    notes = {row: note for row, _, _ in named}
    arranged = matrix.arrange(named, rows=20, columns=30)
    picture = matrix.draw(named, labels, notes, rows=20, columns=30, width=width)
    holds(picture)
    assert svg_reading.counts(picture) == sum(arranged.counts.values())
    assert arranged.total == sum(count for *_, count in named)
    dice.shuffle(named)
    assert matrix.draw(named, labels, notes, rows=20, columns=30, width=width) == picture


MARKS = st.lists(st.tuples(TIMES, KINDS), max_size=30)
SPANS = st.lists(st.tuples(TIMES, TIMES), max_size=4)


@given(
    st.lists(st.tuples(NAMES, NAMES, MARKS, SPANS), max_size=6),
    st.lists(st.tuples(NAMES, TIMES), max_size=14),
    TIMES,
    st.integers(0, 60 * 24 * 400),
    WIDTHS,
)
def test_bands_hold(rows, events, start, minutes, width):
    end = start + timedelta(minutes=minutes)
    found = [
        bands.Band(name, note, tuple(marks), tuple((name, min(span), max(span)) for span in spans))
        for name, note, marks, spans in rows
    ]
    public = [axis.Event(name, time) for name, time in events]
    picture = bands.draw(found, public, start, end, title="When they looked", width=width)
    holds(picture)
    shown = sum(sum(bands.counts(band, start, max(end, start + timedelta(hours=6))).values()) for band in found)
    assert _marks(picture) == shown


def _marks(picture: str) -> int:
    kinds = [node for node in svg_reading.parsed(picture).iter() if "data-kind" in node.attrib]
    return sum(int(mark.attrib.get("data-count", "1")) for kind in kinds for mark in kind)


@given(st.lists(st.tuples(NAMES, st.integers(0, 10**9)), max_size=13), st.integers(0, 10**9), WIDTHS)
def test_waterfall_holds(parts, residue, width):
    looks = sum(count for _, count in parts) + residue
    picture = waterfall.draw(looks, parts, residue, width=width)
    holds(picture)
    assert svg_reading.counts(picture) == 2 * looks


@given(st.lists(st.tuples(NAMES, st.integers(0, 25), st.integers(0, 5000), st.integers(0, 100)), max_size=60), NAMES, WIDTHS)
def test_heat_holds(rows, label, width):
    cells = [(unit, f"category-{number}", looks, looks * part // 100) for unit, number, looks, part in rows]
    chart = heat.arrange(cells, categories=12 if width > 600 else 5)
    picture = heat.paint(chart, {"category-1": label, "category-2": "behaviour"}, width=width)
    holds(picture)
    assert svg_reading.counts(picture) == sum(residue for looks, residue in chart.cells.values() if looks)


@given(NAMES, st.floats(0, 400), st.sampled_from([8.0, 10.0, 13.5]))
def test_fitted_text_fits_and_is_clean(name, room, size):
    shown = metrics.fit(name, size, room)
    assert metrics.width(shown, size) <= room or shown == ""
    assert shown == metrics.clean(shown)
    assert all(character.isprintable() or character == metrics.FIRM for character in shown)
