"""The report: one file that loads nothing, says everything in words, and is the same again."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
import svg_reading
import synthetic_run

from custodes.disclose.report import digest, render
from custodes.disclose.said import pseudonyms_of
from custodes.minimise.display import PSEUDONYM, Display
from custodes.model import wording
from custodes.model.run import NotChecked, SourceCoverage

MADE = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEY = b"k" * 32
VOID = {"meta", "br", "rect", "circle", "line"}


def report(run, *, made_at=MADE, version="0.1.0"):
    return render(run, made_at=made_at, version=version, display=Display(KEY, pseudonyms_of(run)))


@pytest.fixture(scope="module")
def run():
    return synthetic_run.run()


@pytest.fixture(scope="module")
def page(run):
    return report(run)


def text_of(page: str) -> str:
    """Return what is read: no tags, no style, single spaces."""
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    plain = re.sub(r"<[^>]+>", "", body).replace("\u00a0", " ").replace("&#39;", "'").replace("&lt;", "<").replace("&amp;", "&")
    return " ".join(plain.split())


class Reader(HTMLParser):
    """Collects tags and attributes, and sees that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_report_is_one_file_that_loads_nothing(page):
    tags = read(page).seen
    names = {tag for tag, _ in tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "audio", "video", "base", "use", "image"}
    for _, attributes in tags:
        assert not {"src", "srcset", "style", "data", "action", "background"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    assert "@import" not in page
    assert set(re.findall(r"url\((.*?)\)", page)) <= {"#matrix-wide-dots", "#matrix-narrow-dots"}
    assert set(re.findall(r"https?://[^\"'\s<]+", page)) == {"http://www.w3.org/2000/svg"}


def test_policy_allows_the_stylesheet_and_nothing_else(page):
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    hashed = base64.b64encode(sha256(style.encode()).digest()).decode()
    said = next(a["content"] for tag, a in read(page).seen if a.get("http-equiv") == "Content-Security-Policy")
    assert said == f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    assert page.count("<style") == 1
    assert page.index("Content-Security-Policy") < page.index("<style")


def test_same_run_gives_the_same_bytes_but_for_the_last_line(run, page):
    assert report(synthetic_run.run()) == page
    later = report(run, made_at=datetime(2027, 1, 1, tzinfo=UTC), version="9.9")
    differing = [pair for pair in zip(page.splitlines(), later.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == 1
    assert digest(later) == digest(page)
    assert digest(page) in differing[0][0]
    assert digest(page.replace("9,822", "9,821")) != digest(page)


def test_order_of_values_does_not_matter(run, page):
    turned = dataclasses.replace(
        run,
        cells=run.cells[::-1],
        marks=run.marks[::-1],
        spans=run.spans[::-1],
        press=run.press[::-1],
        heat=run.heat[::-1],
        campaigns=run.campaigns[::-1],
        findings=dict(reversed(run.findings.items())),
        actors=dict(reversed(run.actors.items())),
        rules=run.rules[::-1],
    )
    assert report(turned) == page


def test_headline_says_how_many_and_who(page):
    said = text_of(page)
    assert "9,822 of 203,114 looks at personal data (4.8 %) have no recorded reason; 4 actors of audit/internal account for" in said
    assert "of them, on 24 subjects." in said
    assert "4 campaigns need a person now, 4 more are worth a look." in said


def test_headline_counts_what_the_cells_hold(run, page):
    ring = run.campaigns[0]
    theirs = {*ring.subjects, *ring.linked_subjects}
    total = sum(cell.count for cell in run.cells if cell.actor in ring.actors and cell.subject in theirs)
    assert f"account for {total} of them" in text_of(page)


def test_order_is_the_order_of_the_design(page):
    places = [page.index(f'id="{name}"') for name in ("matrix", "campaigns", "explained", "units", "unchecked", "ledger", "method")]
    assert places == sorted(places)
    ranks = re.findall(r'aria-label="rank (\d+)"', page)
    assert ranks == ["1", "2", "3", "4"]


def test_simulated_stands_in_title_and_heading(page):
    assert re.search(r"<title>Simulated: ", page)
    assert re.search(r"<h1>Simulated company: ", page)
    real = report(synthetic_run.run(simulated=False))
    assert "imulated" not in re.sub(r"<style>.*?</style>|custodes.example/simulated", "", real, flags=re.DOTALL)


def test_no_pseudonym_is_left_and_all_are_named(run, page):
    assert PSEUDONYM.search(page) is None
    names = Display(KEY, pseudonyms_of(run))
    for actor in run.campaigns[0].actors:
        assert names.name(actor) in page


def test_report_and_text_form_name_alike(run, page):
    names = Display(KEY, pseudonyms_of(run))
    for finding in run.findings.values():
        if finding.rule in {"D09", "D02", "D04"}:
            assert names.text(finding.sentence) in text_of(page)


def test_card_says_what_was_ruled_out_and_what_to_check_first(page):
    said = text_of(page)
    assert "An assigned case that names the subject: the cited case does not name this subject" in said
    assert "An approved grant: no approved grant exists" in said
    assert "ask the case's owner" in said
    assert "Was the case meant to cover customers at all?" in said
    assert "a duty to protect this person was not met V5" in said
    assert "cases CC-4471" in said
    assert "press PR-17, PR-18" in said


def test_each_rule_speaks_once_before_any_speaks_twice(page):
    first = page[page.index('id="campaign-1"') : page.index('id="campaign-2"')]
    rules = re.findall(r"<tr><td>(D\d\d)<br>", first)
    assert sorted(rules[:4]) == ["D02", "D03", "D04", "D09"]
    assert rules[4:] == ["D09", "D09", "D09"]


def test_the_headline_group_stands_in_the_corner_of_the_matrix(run, page):
    names = Display(KEY, pseudonyms_of(run))
    ring = {names.name(actor) for actor in run.campaigns[0].actors}
    table = re.search(r"<th>Actor</th><th>Place of work</th>.*?</tbody>", page, re.DOTALL)[0]
    assert set(re.findall(r'<tr><td><span class="actor">([^<]+)', table)[:4]) == ring
    assert "The first campaign stands in the corner." in text_of(page)


def test_waterfall_adds_up_where_each_look_is_counted_once(run, page):
    assert sum(run.explained.values()) + run.residue == run.looks
    assert "All looks, less those with a recorded reason, reason by reason" in text_of(page)
    twice = {**run.explained, "E3": 50_000}
    assert "a look may have several" in text_of(report(dataclasses.replace(run, explained=twice)))
    assert report(dataclasses.replace(run, explained=twice, waterfall=run.explained)) == page


def test_bands_show_cited_press_events_only(page):
    assert "article PR-17, 3 Apr 2026 09:00 UTC" in page
    assert "PR-02" not in page


def test_failed_rules_lead_the_report(run, page):
    broken = report(dataclasses.replace(run, failed_rules=(NotChecked("D07 trigger", "the rule raised an error"),)))
    said = text_of(broken)
    assert said.index("This report is incomplete: 1 rule failed") < said.index("Simulated company: who looked")
    assert "D07 trigger: the rule raised an error" in said
    assert "incomplete" not in text_of(page)


def test_what_could_not_be_checked_is_said(page):
    said = text_of(page)
    assert "table `incidents` was never loaded" in said
    assert "14,012 (84.6 %)" in said
    assert "parameters of prepared statements" in said
    assert "time without a zone12" in said
    assert "Beyond 20 campaigns a week, not shown: 31 led by D01, 2 led by D10." in said


def test_record_says_root_size_and_how_to_check(run, page):
    said = text_of(page)
    assert run.checkpoint.root in said
    assert "214,990" in said
    assert "custodes ledger fsck" in said
    assert "custodes verify" in said
    without = text_of(report(dataclasses.replace(run, checkpoint=None)))
    assert "this report proves nothing about the record" in without


def test_tables_say_what_the_pictures_say(run, page):
    wide = re.search(r'<svg (?:(?!</svg>).)*?id="matrix-wide-title".*?</svg>', page, re.DOTALL)[0]
    table = re.search(r"<th>Actor</th><th>Place of work</th>.*?</tbody>", page, re.DOTALL)[0]
    totals = [int(number.replace(",", "")) for number in re.findall(r'<td class="n">([\d,]+)</td>', table)]
    assert svg_reading.counts(wide) == sum(totals)
    counts = {(cell.actor, cell.subject): cell.count for cell in run.cells}
    listed = [int(n) for n in re.findall(r"×&#8239;(\d+)", table)]
    assert all(n in set(counts.values()) for n in listed)
    names = table.count('class="subject"')
    assert sum(totals) == sum(listed) + names - len(listed)


def test_every_picture_of_the_report_holds(page):
    found = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(found) >= 14
    for picture in found:
        assert svg_reading.clipped(picture) == []
        assert svg_reading.covered(picture) == []
        assert svg_reading.untitled_marks(picture) == []


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in read(page).seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for tag, attributes in read(page).seen if tag == "a"}
    assert targets <= set(ids)


def test_report_of_the_demo_is_small(page):
    assert len(page.encode()) < 400_000


def test_empty_run_says_so(run):
    empty = dataclasses.replace(
        run, accesses=0, looks=0, residue=0, explained={}, campaigns=(), findings={}, cells=(), marks=(), spans=(), press=(),
        heat=(), audit=(), cut={}, coverage=(), rejected={}, not_checked=(), rules=(), actors={}, since=None, until=None,
        protected_actors=0,
    )  # fmt: skip
    said = text_of(report(empty))
    assert "there was nothing to check" in said
    assert "No access has been recorded yet" in said


def test_all_explained_says_so(run):
    quiet = dataclasses.replace(run, residue=0, campaigns=(), findings={}, cells=(), marks=(), protected_actors=0)
    said = text_of(report(quiet))
    assert "Each of 203,114 looks at personal data has a recorded reason." in said
    assert "No campaign was found." in said


def test_hostile_words_are_harmless(run):
    nasty = '<script>steal("x")</script>&\u202eevil\x00\ud800' + "W" * 200
    campaign = run.campaigns[0]
    actors = {actor: dataclasses.replace(facts, unit=nasty, country=nasty) for actor, facts in run.actors.items()}
    press = tuple(dataclasses.replace(event, kind=nasty) for event in run.press)
    bad = dataclasses.replace(
        run,
        actors=actors,
        press=press,
        campaigns=(dataclasses.replace(campaign, sentence=nasty + campaign.sentence, route=nasty, fields=(nasty,)),),
        heat=tuple(dataclasses.replace(cell, unit=nasty, category=nasty) for cell in run.heat),
        coverage=(SourceCoverage(nasty, 1, 1, (nasty,)),),
        rejected={nasty: 3},
        failed_rules=(NotChecked(nasty, nasty),),
        engine=nasty,
    )
    page = report(bad)
    page.encode()  # no lone surrogate is left
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    names = {tag for tag, _ in read(page).seen}
    assert "script" not in names
    for picture in re.findall(r"<svg .*?</svg>", page, re.DOTALL):
        assert svg_reading.clipped(picture) == []


def test_a_large_home_stays_readable(run):
    first = run.campaigns[-1]
    many = tuple(dataclasses.replace(first, rank=rank, campaign=f"c-{rank}") for rank in range(9, 900))
    page = report(dataclasses.replace(run, campaigns=(*run.campaigns, *many)))
    assert len(page.encode()) < 3_000_000
    assert "60 of 895 further campaigns; all of them: custodes watch --format ndjson." in text_of(page)


def test_every_code_and_token_of_the_design_has_words():
    listed = Path(__file__).resolve().parents[2] / "src/custodes/world/scenarios.json"
    if not listed.is_file():
        pytest.skip("the scenario file is not part of this checkout")
    book = json.loads(listed.read_text(encoding="utf-8"))
    assert set(book.get("v_codes", wording.AGAINST)) <= set(wording.AGAINST)
    assert set(book.get("e_codes", wording.FOR)) <= set(wording.FOR)
    tokens = {
        token
        for place in ("abuse", "benign", "composites")
        for s in book.get(place, [])
        for token in s["expect"].get("missing", [])
    }
    assert tokens
    assert tokens <= set(wording.LACKED)


def test_unknown_tokens_are_still_words():
    assert wording.lacked("E9:assignments.valid_to") == "a hand-over or quality sample: no fitting valid to in assignments"
    assert wording.lacked("nonsense") == "not met: nonsense"
    assert wording.against("V99") == "a code this version does not know"
    assert wording.reason("E99") == "a reason this version does not know"
