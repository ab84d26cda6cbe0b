"""The rules of the pictures room, on every picture."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import svg_reading
import synthetic_run

from custodes.pictures import axis, bands, colour, heat, matrix, waterfall
from custodes.pictures.seriate import Lead

GOLDEN = Path(__file__).resolve().parent.parent / "made" / "golden"
DAY = datetime(2026, 4, 1, tzinfo=UTC)
CELLS = [("a-1", "s-1", 9), ("a-1", "s-2", 3), ("a-2", "s-1", 5), ("a-2", "s-2", 2), ("a-3", "s-3", 1)]
LABELS = {"a-1": "mossy-wren-4825", "a-2": "amber-lynx-0031", "a-3": "tidal-owl-7712", "s-1": "pale-fern-1200"}
NOTES = {"a-1": "audit/internal · IE", "a-2": "audit/internal · CN", "a-3": "support/emea · PH"}
BANDS = [
    bands.Band(
        "mossy-wren-4825",
        "audit/internal · IE",
        tuple((DAY + timedelta(hours=7 * n), kind) for n, kind in enumerate(("case", "case", "other", "calm", "calm", "case"))),
        (("GR-1", DAY, DAY + timedelta(days=1)), ("GR-2", DAY + timedelta(hours=12), DAY + timedelta(days=2))),
    ),
    bands.Band("amber-lynx-0031", "audit/internal · CN", ((DAY + timedelta(hours=30), "case"),)),
]
EVENTS = [axis.Event("article PR-17", DAY + timedelta(hours=3)), axis.Event("leak PR-18", DAY + timedelta(hours=5))]
HEAT = [("audit/internal", "ip_address", 200, 160), ("audit/internal", "device", 8, 2), ("support", "contact", 9000, 0)]
HEAT_LABELS = {"ip_address": "IP address"}


def a_matrix(cells=CELLS, width=1200):
    return matrix.draw(cells, LABELS, NOTES, width=width)


def some_bands(rows=BANDS, width=1200):
    return bands.draw(rows, EVENTS, DAY - timedelta(days=1), DAY + timedelta(days=3), title="When", width=width)


def a_waterfall(width=900):
    return waterfall.draw(1000, [("the subject's own ticket", 700), ("an approved grant", 220)], 80, width=width)


def a_heat(cells=HEAT, width=1000):
    return heat.paint(heat.arrange(cells), HEAT_LABELS, width=width)


PICTURES = {
    "matrix": a_matrix,
    "bands": some_bands,
    "waterfall": a_waterfall,
    "heat": a_heat,
    "matrix-narrow": lambda: a_matrix(width=348),
    "bands-narrow": lambda: some_bands(width=348),
    "waterfall-narrow": lambda: a_waterfall(348),
    "heat-narrow": lambda: a_heat(width=348),
}
every_picture = pytest.mark.parametrize("name", PICTURES)


@every_picture
def test_picture_is_the_golden_one(name):
    made = PICTURES[name]()
    kept = GOLDEN / f"{name}.svg"
    assert made == kept.read_text(encoding="utf-8"), f"look at the picture; if it is right, write it to {kept.name}"


@every_picture
def test_picture_speaks_to_those_who_do_not_see_it(name):
    root = svg_reading.parsed(PICTURES[name]())
    assert root.attrib["role"] == "img"
    title, desc = root.attrib["aria-labelledby"].split()
    texts = {node.attrib["id"]: node.text or "" for node in root if "id" in node.attrib}
    assert len(texts[title]) > 3
    assert texts[desc].endswith(".")


@every_picture
def test_every_mark_has_a_title(name):
    picture = PICTURES[name]()
    assert svg_reading.untitled_marks(picture) == []
    assert "<title>" in picture


@every_picture
def test_picture_has_presentation_attributes_only(name):
    picture = PICTURES[name]()
    assert "style" not in picture
    assert "<script" not in picture
    assert re.findall(r"https?://[^\"]+", picture) == ["http://www.w3.org/2000/svg"]
    for node in svg_reading.parsed(picture).iter():
        classes = node.attrib.get("class")
        if classes:
            assert "fill" in node.attrib or "stroke" in node.attrib, "a class without its attribute is black in a PDF"


@every_picture
def test_texts_lie_inside_and_apart(name):
    picture = PICTURES[name]()
    assert svg_reading.clipped(picture) == []
    assert svg_reading.covered(picture) == []


@every_picture
def test_every_class_has_a_dark_colour(name):
    used = set(re.findall(r'class="cu-(\w+)"', PICTURES[name]()))
    assert used
    assert used <= set(re.findall(r"\.cu-(\w+)\{", colour.dark_css()))


def test_order_of_input_does_not_matter():
    turned = [bands.Band(b.name, b.note, tuple(reversed(b.marks)), tuple(reversed(b.spans))) for b in BANDS]
    assert a_matrix(CELLS[::-1]) == a_matrix()
    assert some_bands(turned) == some_bands()
    assert a_heat(HEAT[::-1]) == a_heat()


def test_counts_in_picture_equal_the_data():
    assert svg_reading.counts(a_matrix()) == sum(count for *_, count in CELLS)
    assert svg_reading.counts(a_waterfall()) == 1000 + 700 + 220 + 80
    assert svg_reading.counts(a_heat()) == 162


def test_nothing_to_show_is_said_in_words():
    assert "No look without a recorded reason." in matrix.draw([], {})
    assert "No look at a known category" in heat.paint(heat.arrange([]), {})
    assert "0 unexplained and 0 explained" in bands.draw([], [], DAY, DAY, title="none")


def test_marks_outside_the_window_are_left_out_of_picture_and_table():
    late = bands.Band("a", "", ((DAY - timedelta(days=9), "case"), (DAY, "case")))
    assert bands.counts(late, DAY, DAY + timedelta(days=1)) == {"case": 1, "other": 0, "calm": 0}
    assert ": 1 unexplained" in bands.draw([late], [], DAY, DAY + timedelta(days=1), title="late")


def test_fifty_thousand_marks_become_columns():
    marks = tuple((DAY + timedelta(minutes=n), "case" if n % 9 else "calm") for n in range(50_000))
    picture = bands.draw([bands.Band("busy-owl-0001", "", marks)], [], DAY, DAY + timedelta(days=36), title="busy")
    assert picture.count("<rect") < 3000
    assert len(picture) < 60_000


def test_a_single_mark_says_its_minute():
    one = bands.Band("a", "", ((datetime(2026, 4, 1, 9, 30, tzinfo=UTC), "case"),))
    assert "1 unexplained, this campaign, 1 Apr 09:30<" in bands.draw([one], [], DAY, DAY + timedelta(days=2), title="one")


def test_events_too_close_to_tell_apart_share_a_flag():
    close = [axis.Event(f"article {n}", DAY + timedelta(seconds=n)) for n in range(3)]
    picture = bands.draw(BANDS, close, DAY - timedelta(days=9), DAY + timedelta(days=9), title="close")
    assert ">P1–3<" in picture
    assert svg_reading.covered(picture) == []


def test_waterfall_begins_at_zero_where_looks_have_several_reasons():
    stacked = waterfall.draw(100, [("a ticket", 60), ("a grant", 30)], 10)
    overlapping = waterfall.draw(100, [("a ticket", 90), ("a grant", 80)], 10)
    starts = [re.findall(r'<rect class="cu-(?:calm|r3)"[^>]*? x="([\d.]+)"', picture) for picture in (stacked, overlapping)]
    assert len(set(starts[0])) == 3
    assert len(set(starts[1])) == 1


def test_matrix_says_how_many_it_leaves_out():
    cells = [(f"a{n}", f"s{n}", 1 + n % 3) for n in range(90)]
    arranged = matrix.arrange(cells)
    assert (len(arranged.rows), len(arranged.columns)) == (40, 40)
    assert "of 90\u00a0×\u00a090" in matrix.caption(arranged)


@pytest.mark.parametrize("seed", range(1, 11))
def test_ring_is_in_the_corner(seed):
    run = synthetic_run.run(seed)
    ring = {synthetic_run.pseudonym("a", n) for n in range(4)}
    planted = {synthetic_run.pseudonym("s", n) for n in range(24)}
    arranged = matrix.arrange((cell.actor, cell.subject, cell.count) for cell in run.cells)
    assert set(arranged.rows[:4]) == ring
    pairs = {(cell.actor, cell.subject) for cell in run.cells if cell.actor in ring and cell.subject in planted}
    corner = {(row, column) for row in arranged.rows[:4] for column in arranged.columns[:26]}
    assert len(pairs & corner) >= 0.9 * len(pairs)


def test_ramps_read_without_colour_and_with_little_sight():
    pairs = colour.pairs()
    for theme in (0, 1):
        ground, wash = colour.GROUND[theme], pairs["wash"][theme]
        for text in ("ink", "soft", "event"):
            assert contrast(pairs[text][theme], ground) >= 4.5, text
        for name in ("ink", "soft"):
            assert contrast(pairs[name][theme], wash) >= 4.5, name
        for mark in ("r1", "r2", "r3", "r4", "r5", "calm", "lent", "open", "pole", "axis"):
            assert contrast(pairs[mark][theme], ground) >= 3, mark
        for mark in ("r3", "open", "calm", "pole"):
            assert contrast(pairs[mark][theme], wash) >= 3, mark
        for step in range(2, 6):
            assert contrast(pairs[f"n{step}"][theme], pairs[f"r{step}"][theme]) >= 4.5, step
        for step in range(1, 5):
            assert contrast(pairs[f"t{step}"][theme], pairs[f"h{step}"][theme]) >= 4.5, step
        for ramp in ("r1 r2 r3 r4 r5", "h1 h2 h3 h4"):
            light = [luminance(pairs[name][theme]) for name in ramp.split()]
            assert light == sorted(light, reverse=theme == 0), "a ramp that turns around cannot be read without colour"


def luminance(colour_code: str) -> float:
    channels = [int(colour_code[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_bands_that_do_not_fit_are_counted():
    many = [bands.Band(f"owl-{n:04}", "", ((DAY, "case"),)) for n in range(60)]
    picture = bands.draw(many, [], DAY, DAY + timedelta(days=2), title="many")
    assert ">40 of 60 actors<" in picture
    assert ">owl-0039<" in picture
    assert ">owl-0040<" not in picture


def test_every_press_event_has_its_line():
    crowd = [axis.Event(f"article {n}", DAY + timedelta(hours=n)) for n in range(30)]
    picture = bands.draw(BANDS, crowd, DAY - timedelta(days=9), DAY + timedelta(days=9), title="crowd")
    assert picture.count('class="cu-pole"') == 30
    assert ">and 22 more<" in picture
    assert svg_reading.covered(picture) == []


def busy_company(seed):
    """A quiet ring of four on 20 subjects, two looks in three, one look each, among 120 busy actors with often repeated looks."""
    dice = random.Random(seed)
    ring = [(f"ring-{n}", f"target-{m:02}", 1) for n in range(4) for m in range(20) if dice.random() < 0.66]
    crowd = [
        (f"busy-{n:03}", f"subject-{dice.randrange(6000):04}", 1 + int(dice.expovariate(0.4)))
        for n in range(120)
        for _ in range(90)
    ]
    return ring, crowd


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_quiet_ring_stands_in_the_corner_among_busy_actors(seed):
    ring, crowd = busy_company(seed)
    arranged = matrix.arrange([*crowd, *ring])
    assert {row[:5] for row in arranged.rows[:4]} == {"ring-"}
    corner = {(row, column) for row in arranged.rows[:4] for column in arranged.columns[:24]}
    assert len({pair[:2] for pair in ring} & corner) >= 0.9 * len(ring)


def test_what_the_text_names_first_stands_in_the_corner():
    ring, crowd = busy_company(1)
    named = Lead(frozenset({"busy-007", "busy-008"}), frozenset())
    arranged = matrix.arrange([*crowd, *ring], lead=named)
    assert set(arranged.rows[:2]) == named.rows
    assert {row[:5] for row in arranged.rows[2:6]} == {"ring-"}
    assert {column for (row, column) in arranged.counts if row == "busy-007"} & set(arranged.columns[:20])


def test_every_row_and_column_that_is_shown_has_a_cell():
    ring, crowd = busy_company(2)
    arranged = matrix.arrange([*crowd, *ring])
    assert {row for row, _ in arranged.counts} == set(arranged.rows)
    assert {column for _, column in arranged.counts} == set(arranged.columns)
    assert len(arranged.columns) == 70


def test_long_units_keep_their_end():
    picture = matrix.draw(CELLS, LABELS, {"a-1": "trust_safety/investigations/special/dublin-north · IE"})
    assert re.search(r">…/[\w/-]*dublin-north · IE<", picture)
