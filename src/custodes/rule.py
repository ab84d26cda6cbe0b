"""The contract of rules, and the run of the shelf.

A rule is one YAML page with one SELECT over declared views (`custodes.rule_file` reads it, `custodes.dialect` checks it). It sees
accesses, context as of the access, verdicts and duties, but never the list of protected persons, a finding or another rule. A rule
whose context is missing says so and counts as not checked; a rule that raises fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from time import perf_counter
from typing import Final

from custodes.engine import Engine
from custodes.errors import BadRule, CustodesError
from custodes.lines.whole import read_whole
from custodes.model.finding import Finding
from custodes.model.run import NotChecked, RuleUse
from custodes.rule_file import TABLES_READ, Rule, read_rule, split_sentence
from custodes.rule_findings import findings
from custodes.rule_groups import Groups
from custodes.rule_words import counted

__all__ = ["SHELF", "TABLES_READ", "Rule", "ShelfRun", "load_shelf", "run_shelf"]

SHELF: Final = "custodes.rules"


@dataclass(slots=True)
class ShelfRun:
    """What the shelf saw, what it could not check, and which rules failed (nothing may be concluded from those)."""

    findings: list[Finding] = field(default_factory=list)
    not_checked: list[NotChecked] = field(default_factory=list)
    failed: list[NotChecked] = field(default_factory=list)
    uses: list[RuleUse] = field(default_factory=list)


def load_shelf(extra: Path | None = None) -> list[Rule]:
    """Return the rules of the package, and those of folder `extra` if the settings name one, sorted by code.

    Raises `BadRule` or `UnknownKey` naming file and place; two rules of one code are an error, also across the folders.
    """
    pages = [(entry.name, entry.read_text("utf-8")) for entry in resources.files(SHELF).iterdir() if entry.name.endswith(".yml")]
    if extra is not None:
        pages += [(entry.name, own_text(entry)) for entry in extra.glob("*.yml")]
    shelf: dict[str, Rule] = {}
    for name, text in sorted(pages):
        rule = read_rule(text, name)
        if not name.startswith(f"{rule.code}_"):
            raise BadRule(f"{name}: a rule of code {rule.code} stands in a file named {rule.code}_….yml")
        if rule.code in shelf:
            raise BadRule(f"{name}: code {rule.code} is taken by {shelf[rule.code].place}")
        shelf[rule.code] = rule
    return [shelf[code] for code in sorted(shelf)]


def own_text(file: Path) -> str:
    """Return the text of a company's own rule. Raises `BadRule`."""
    try:
        return read_whole(file).decode("utf-8-sig")
    except OSError as wrong:
        raise BadRule(f"{file.name} cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise BadRule(f"{file.name} is not UTF-8", hint="write it again as UTF-8") from None


def run_shelf(
    engine: Engine, rules: Sequence[Rule], loaded: set[str], sift: Callable[[Engine], Collection[int] | None] = lambda _: None
) -> ShelfRun:
    """Run every rule that is not retired over the views in `engine`.

    `loaded`: context tables that were ever loaded. `sift`: reads `rule_groups.ROWS` and returns the numbers of the groups that are
    told as findings, None for all.
    """
    run = ShelfRun()
    spent: dict[str, float] = {}
    active = [rule for rule in rules if rule.state != "retired"]
    with Groups(engine) as groups:
        for rule in active:
            start = perf_counter()
            try:
                why = cannot_check(engine, rule, loaded)
                if why:
                    run.not_checked.append(NotChecked(_named(rule), why))
                    continue
                blind = _blind_spots(engine, rule)
                groups.add(rule)
            except CustodesError as wrong:
                run.failed.append(NotChecked(_named(rule), str(wrong)))
            except Exception as wrong:  # noqa: BLE001  # a rule that raises fails alone; the others go on
                run.failed.append(NotChecked(_named(rule), f"raised {type(wrong).__name__}"))
            else:
                run.not_checked.extend(blind)
                spent[rule.code] = perf_counter() - start
        counts = groups.join()
        drafts = groups.drafts(sift(engine))
    run.findings = findings(engine, drafts)
    run.uses = [
        RuleUse(rule.code, rule.title, rule.version, rule.digest, counts[rule.code], spent[rule.code])
        for rule in active
        if rule.code in spent
    ]
    return run


def _named(rule: Rule) -> str:
    return f"{rule.title} ({rule.code})"


def cannot_check(engine: Engine, rule: Rule, loaded: set[str]) -> str:
    """Return why the rule cannot check anything, or nothing."""
    needs = rule.requires
    if missing := [table for table in needs.tables if table not in loaded]:
        return f"needs the context table {' and '.join(missing)}, which is not loaded"
    if needs.any and not loaded.intersection(needs.any):
        return f"needs at least one of the context tables {', '.join(needs.any)}; none is loaded"
    for column in needs.columns:
        table, _, name = column.partition(".")
        if engine.rows(f'SELECT count("{name}") FROM "{table}"') == [(0,)]:
            return f"needs {name} in the context table {table}, where it is empty"
    for table, days in needs.freshness.items():
        late = engine.rows(
            f'SELECT 1 FROM (SELECT max(recorded) AS loaded FROM "{table}") AS t '
            f"CROSS JOIN (SELECT max(time) AS latest FROM looks) AS l "
            f"WHERE t.loaded IS NULL OR t.loaded < l.latest - INTERVAL '{days}' DAY"
        )
        if late:
            return f"the context table {table} was loaded more than {days} days before the last access"
    return ""


def _count(value: object, noun: str) -> str:
    number = value if isinstance(value, int) else int(str(value or 0))
    return counted(number, noun) if noun else f"{number:,}"


def _blind_spots(engine: Engine, rule: Rule) -> list[NotChecked]:
    """Return what the rule had to leave out, in its own words with counts."""
    if rule.blind is None:
        return []
    parts = split_sentence(rule.blind.words)
    counts = engine.fetch(rule.blind.sql).to_pylist()
    first = next(name for _, name, _ in parts if name)
    return [
        NotChecked(_named(rule), "".join(before + (_count(row[name], noun) if name else "") for before, name, noun in parts))
        for row in counts
        if row[first]
    ]
