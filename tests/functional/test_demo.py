"""The whole street on a simulated company: seven misuses are found and told apart, innocent twins stay quiet, the record holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from custodes.world import DEMO

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(1200)]  # half a minute each alone, minutes beside others
COMMAND = [sys.executable, "-m", "custodes"]
OWN = {
    "F01": ("D09", "V7"),
    "F02": ("D21", "V3"),
    "F03": ("D12", "V12"),
    "F04": ("D14", "V21"),
    "F05": ("D15", "V13"),
    "F06": ("D22", "V14"),
    "F07": ("D17", "V22"),
}
"""What is planted → the rule that is made for it, and the code that its campaign must lead with."""
OTHERS = 8
"""Most campaigns at `medium` or above about looks that no planted or innocent episode made, in 90 days of 200 staff."""


@dataclass(frozen=True)
class Street:
    """A home that was demoed, what it printed, and the truth of its world."""

    home: Path
    said: str
    watched: dict[str, object]
    truth: dict[str, object]
    planted: int
    """Looks that the planted misuses made: one for each subject of each access."""


def _run(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def walk(folder: Path, seed: int) -> Street:
    """Run the demo, and build the same world again for its truth (same arguments, same bytes)."""
    home, exports = folder / "home", folder / "exports"
    said = _run("demo", "--home", str(home), "--seed", str(seed))
    watched = json.loads(_run("watch", "--home", str(home), "--format", "json", "--reveal-ids", code=1))
    planted = ["--scenario", "demo", "--file", str(DEMO)]
    _run("world", "build", *planted, "--seed", str(seed), "--size", "demo", "--out", str(exports))
    truth = json.loads((exports / "truth.json").read_text())
    return Street(home, said, watched, truth, planted_looks(exports, truth))


def planted_looks(exports: Path, truth: dict[str, object]) -> int:
    abuse = {name for one in truth["campaigns"] for name, kind in one["truth"].items() if kind == "abuse"}  # type: ignore[attr-defined]
    rows = (json.loads(line) for file in sorted(exports.glob("accesses-*.ndjson")) for line in file.read_bytes().splitlines())
    return sum(len(row.get("subjects", ())) for row in rows if row["id"] in abuse)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    return walk(tmp_path_factory.mktemp("demo"), 1)


def assert_founding_case_first(street: Street) -> None:
    """All four actors, every first target, at least 80 % of the linked persons, told apart as linked."""
    first = street.watched["campaigns"][0]  # type: ignore[index]  # plain JSON
    episode = next(c for c in street.truth["campaigns"] if c["scenario"] == "F01")  # type: ignore[attr-defined]
    assert first["level"] == "high"
    assert set(first["actors"]) == set(episode["actors"])
    assert set(episode["subjects"]) <= set(first["subjects"])
    assert len(set(first["linked_subjects"]) & set(episode["linked"])) >= 0.8 * len(episode["linked"])
    pairs = len(set(first["accesses"]) & set(episode["accesses"]))
    assert pairs >= 0.9 * len(episode["accesses"])
    assert pairs >= 0.9 * len(first["accesses"])
    assert {"V2", "V5", "V6", "V7", "V8", "V10", "V17"} <= set(first["codes"])
    assert {"E2:case_scope.subject", "E3:grants.grant"} <= set(first["missing"])
    cited = {(row["table"], row["key"]) for row in episode["evidence"]}
    assert cited <= {(row["table"], row["key"]) for row in first["evidence"]}


def loud(street: Street) -> list[dict[str, object]]:
    return [one for one in street.watched["campaigns"] if one["level"] in {"medium", "high"}]  # type: ignore[attr-defined]


def assert_each_kind_found(street: Street) -> None:
    """One campaign per planted misuse, led by its own code, said by its own rule.

    The three people of F07 are three matters, or fewer where two of them read the same subjects.
    """
    rules = {one["finding"]: one["rule"] for one in street.watched["findings"]}  # type: ignore[attr-defined]
    leads: dict[str, str] = {}
    for episode in (c for c in street.truth["campaigns"] if c["kind"] == "abuse"):  # type: ignore[attr-defined]
        planted = {access for access, truth in episode["truth"].items() if truth == "abuse"}
        rule, code = OWN[episode["scenario"]]
        hit = [one for one in loud(street) if planted & set(one["accesses"])]  # type: ignore[call-overload]
        best = max(hit, key=lambda one: len(planted & set(one["accesses"])))  # type: ignore[call-overload]
        assert rule in {rules[name] for name in best["findings"]}, episode["scenario"]  # type: ignore[attr-defined]
        assert best["codes"][0] == code, episode["scenario"]  # type: ignore[index]
        assert len(planted & set(best["accesses"])) >= 0.6 * len(best["accesses"]), episode["scenario"]  # type: ignore[call-overload,arg-type]
        assert 1 <= len(hit) <= (len(episode["actors"]) if episode["scenario"] == "F07" else 1), episode["scenario"]
        seen = {access for one in hit for access in one["accesses"]}  # type: ignore[attr-defined]
        assert len(planted & seen) >= 0.9 * len(planted), episode["scenario"]
        leads[episode["scenario"]] = best["codes"][0]  # type: ignore[index]
    assert sorted(leads) == sorted(OWN)


def assert_few_others(street: Street) -> None:
    episodes = {access for c in street.truth["campaigns"] for access in c["accesses"]}  # type: ignore[attr-defined]
    others = [one["rank"] for one in loud(street) if not episodes & set(one["accesses"])]  # type: ignore[call-overload]
    assert len(others) <= OTHERS, others


def assert_twins_quiet(street: Street) -> None:
    for twin in (c for c in street.truth["campaigns"] if c["kind"] == "benign"):  # type: ignore[attr-defined]
        held = [
            c
            for c in street.watched["campaigns"]  # type: ignore[attr-defined]
            if set(c["accesses"]) & set(twin["accesses"])
        ]
        assert not [c["rank"] for c in held if c["level"] in {"medium", "high"}], twin["scenario"]


def test_the_first_campaign_is_the_founding_case(street: Street) -> None:
    assert_founding_case_first(street)


def test_seven_kinds_of_misuse_are_each_named_by_their_own_rule(street: Street) -> None:
    assert_each_kind_found(street)


def test_few_campaigns_are_about_anything_else(street: Street) -> None:
    assert_few_others(street)


def test_at_least_six_kinds_are_printed_and_the_report_explains_each(street: Street) -> None:
    campaigns = street.watched["campaigns"]
    report = next(street.home.glob("*.html")).read_text()
    printed = set(re.findall(r"campaign (c-[0-9a-f]{12})", street.said))
    kinds = {one["codes"][0] for one in campaigns if one["campaign"] in printed}  # type: ignore[attr-defined]
    assert len(kinds & {code for _, code in OWN.values()}) >= 6
    explained = printed & {str(one["campaign"]) for one in loud(street)}
    assert len(explained) >= 6
    for name in explained:
        assert name in report, "what is loud has a place of its own in the report"


def test_no_benign_look_alike_is_loud(street: Street) -> None:
    assert_twins_quiet(street)


def test_four_to_eight_per_cent_of_what_is_innocent_stay_unexplained_as_in_real_companies(street: Street) -> None:
    coverage = street.watched["coverage"]
    innocent = (coverage["residue"] - street.planted) / (coverage["looks"] - street.planted)  # type: ignore[index]
    assert 0.04 <= innocent <= 0.08


def test_the_demo_ends_with_what_to_look_at_next(street: Street) -> None:
    lines = street.said.strip().splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["look", "ask", "check"]
    assert "SIMULATED" in lines[0]


def test_every_printed_command_works(street: Street) -> None:
    printed = re.findall(r"custodes (explain \S+|ledger fsck) --home", street.said)
    assert len(printed) == 2
    explained = _run(*printed[0].split(), "--home", str(street.home))
    assert "E2" in explained
    _run("ledger", "fsck", "--home", str(street.home))


def test_the_demo_proves_a_bundle_from_a_folder_that_holds_nothing_else(street: Street) -> None:
    assert "    PROVEN" in street.said.splitlines()
    assert re.search(r"^    COMPLETE  \d{4}-\d\d: \d+ entries about you", street.said, re.MULTILINE)
    folder = street.home / "outsider"
    assert sorted(file.name for file in folder.iterdir()) == ["my.policy", "simulated.custodes-bundle", "verify.py"]
    command = [sys.executable, "-I", "-S", "verify.py", "simulated.custodes-bundle", "--policy", "my.policy"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "PROVEN")
    assert sorted(file.name for file in folder.iterdir()) == ["my.policy", "simulated.custodes-bundle", "verify.py"]


@pytest.fixture(scope="module")
def again(street: Street) -> str:
    """Return what a second run prints, in the words of everyday: pseudonyms."""
    return _run("watch", "--home", str(street.home), "--format", "json", code=1)


def test_pseudonyms_throughout_unless_revealed(street: Street, again: str) -> None:
    episode = next(c for c in street.truth["campaigns"] if c["scenario"] == "F01")  # type: ignore[attr-defined]
    names = [*episode["actors"], *episode["subjects"], *episode["linked"]]
    report = next(street.home.glob("*.html")).read_text()
    sarif = _run("watch", "--home", str(street.home), "--format", "sarif", "--exit-zero")
    for name in names:
        assert name not in street.said
        assert name not in report
        assert name not in again
        assert name not in sarif


def test_a_second_run_finds_the_same(street: Street, again: str) -> None:
    told = json.loads(again)
    assert [_facts(one) for one in told["campaigns"]] == [_facts(one) for one in street.watched["campaigns"]]  # type: ignore[attr-defined]
    for part in ("audit_of", "audit_by", "cut"):
        assert told[part] == street.watched[part], part
    for part in ("looks", "residue"):
        assert told["coverage"][part] == street.watched["coverage"][part], part  # type: ignore[index]
    assert len(told["audit"]) == len(street.watched["audit"]), "the lot is not drawn anew by asking again"  # type: ignore[arg-type]


def _facts(campaign: dict[str, object]) -> list[object]:
    """Return what a campaign says apart from ids, which are pseudonyms unless revealed."""
    counted = [len(campaign[part]) for part in ("accesses", "actors", "subjects", "linked_subjects", "findings", "evidence")]  # type: ignore[arg-type]
    return [*(campaign[part] for part in ("campaign", "rank", "level", "score", "codes", "missing", "first", "last")), counted]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_other_companies_give_the_same(tmp_path: Path, seed: int) -> None:
    street = walk(tmp_path, seed)
    assert_founding_case_first(street)
    assert_each_kind_found(street)
    assert_few_others(street)
    assert_twins_quiet(street)
