"""The report in a real browser, from `file://`: nothing is blocked, nothing is fetched, nothing runs over the edge.

The browser looks at the report inside a wrapper page, which measures it by script and writes what it found into its own title; the
report itself stays without script.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import struct
import subprocess
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import synthetic_run

from custodes.disclose.report import render
from custodes.disclose.said import pseudonyms_of
from custodes.minimise.display import Display

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--v=0",
    "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND", "--force-device-scale-factor=1",
)  # fmt: skip

MEASURE = """<!doctype html><meta charset="utf-8"><title>waiting</title>
<body style="margin:0"><iframe id="page" style="border:0;width:WIDEpx;height:900px"></iframe><script>
const page = document.getElementById("page");
page.addEventListener("load", () => {
  const inside = page.contentDocument, root = inside.documentElement;
  const boxes = svg => [...svg.querySelectorAll("text")].map(text => [text, text.getBoundingClientRect()]);
  const visible = [...inside.querySelectorAll("svg")].filter(svg => svg.getBoundingClientRect().width > 0);
  const clipped = [], covered = [];
  for (const svg of visible) {
    const edge = svg.getBoundingClientRect(), found = boxes(svg);
    for (const [text, box] of found)
      if (box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top - 1 || box.bottom > edge.bottom + 1)
        clipped.push(text.textContent);
    const flat = found.filter(([text]) => !text.getAttribute("transform"));
    for (let i = 0; i < flat.length; i++) for (let j = i + 1; j < flat.length; j++) {
      const a = flat[i][1], b = flat[j][1];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5
          && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.35 * Math.min(a.height, b.height))
        covered.push(flat[i][0].textContent + " | " + flat[j][0].textContent);
    }
  }
  const style = inside.defaultView.getComputedStyle(inside.body);
  const square = inside.querySelector(".cu-r5");
  document.title = JSON.stringify({
    wide: root.scrollWidth, room: root.clientWidth, pictures: visible.length, clipped, covered,
    paper: style.backgroundColor, ink: style.color, square: inside.defaultView.getComputedStyle(square).fill,
    fetched: inside.defaultView.performance.getEntriesByType("resource").map(entry => entry.name),
  });
});
page.src = "report.html";
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    run = synthetic_run.run()
    made = tmp_path_factory.mktemp("report")
    text = render(run, made_at=datetime(2026, 11, 22, tzinfo=UTC), version="0.1.0", display=Display(b"k" * 32, pseudonyms_of(run)))
    (made / "report.html").write_text(text, encoding="utf-8")
    return made


def browse(page: Path, *flags: str) -> tuple[str, str]:
    """Open a page; return what the browser printed and what it logged."""
    profile = page.parent / "profile"
    done = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()], capture_output=True, timeout=90, check=False
    )
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if "CONSOLE" in line or "Content Security Policy" in line]


def measured(folder: Path, wide: int, *flags: str) -> dict:
    wrapper = folder / f"measure-{wide}.html"
    wrapper.write_text(MEASURE.replace("WIDE", str(wide)), encoding="utf-8")
    dom, log = browse(wrapper, f"--window-size={max(wide, 500)},900", "--virtual-time-budget=8000", "--dump-dom", *flags)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title, log[-2000:]
    assert title[1] != "waiting", log[-2000:]
    assert complaints(log) == []
    return json.loads(html.unescape(title[1]))


def test_report_opens_without_a_complaint(folder):
    dom, log = browse(folder / "report.html", "--dump-dom")
    assert "Who looked at whom without a reason?" in dom
    assert complaints(log) == []


def test_the_browser_would_complain(folder):
    """Without this the test above proves nothing: a script planted into the report is stopped, and the log says so."""
    planted = folder / "planted.html"
    text = (folder / "report.html").read_text(encoding="utf-8")
    planted.write_text(text.replace("<main>", "<main><script>document.title='ran'</script><p style='color:red'>x</p>"), "utf-8")
    dom, log = browse(planted, "--dump-dom")
    assert "<title>ran</title>" not in dom
    assert len(complaints(log)) >= 2


@pytest.mark.parametrize("wide", [1360, 900, 400, 320])
def test_nothing_runs_over_the_edge(folder, wide):
    seen = measured(folder, wide)
    assert seen["room"] == wide
    assert seen["wide"] <= wide
    assert seen["pictures"] >= 7
    assert seen["clipped"] == []
    assert seen["covered"] == []
    assert seen["fetched"] == []
    assert (seen["paper"], seen["square"]) == ("rgb(248, 245, 239)", "rgb(58, 15, 44)")


def test_dark_theme_turns_page_and_pictures(folder):
    dark = measured(folder, 1360, "--blink-settings=preferredColorScheme=0")
    assert dark["paper"] == "rgb(22, 20, 18)"
    assert dark["square"] == "rgb(253, 236, 198)"


def test_screenshot_is_not_empty(folder):
    target = folder / "shot.png"
    browse(folder / "report.html", "--window-size=1360,1600", f"--screenshot={target}")
    width, colours = inspect_png(target)
    assert width == 1360
    assert colours > 200


def test_print_opens_the_tables_and_begins_campaigns_on_a_page(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    as_it_is = printed_pages(folder / "report.html")
    assert as_it_is >= 1 + text.count('<article class="campaign"'), "each campaign begins on a page of its own"
    long = folder / "long.html"
    long.write_text(text.replace("</summary>", "</summary>" + "<p>one more line</p>" * 400, 1), encoding="utf-8")
    assert printed_pages(long) >= as_it_is + 5, "what stands in details is printed"


def printed_pages(page: Path) -> int:
    target = page.with_suffix(".pdf")
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={target}")
    return len(re.findall(rb"/Type\s*/Page\b", target.read_bytes()))


def inspect_png(path: Path) -> tuple[int, int]:
    """Return width and the number of different bytes rows hold: an empty page has few."""
    data = path.read_bytes()
    width = struct.unpack(">I", data[16:20])[0]
    packed = b""
    place = 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] == b"IDAT":
            packed += data[place + 8 : place + 8 + size]
        place += 12 + size
    return width, len(set(zlib.decompress(packed)))
