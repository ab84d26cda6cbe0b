"""The reference page of the shelf, made from the rule files: one section per rule, in fixed headings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from custodes.model.wording import AGAINST, reason
from custodes.rule_file import Requires, Rule

HEAD: Final = """<!-- made by `custodes rules docs`; edit the files in src/custodes/rules instead -->
# Rules

A rule is one file: a SELECT over declared views, words for people, and its own tests. `custodes rules show CODE` prints one,
`custodes rules test` runs their tests. A finding is about accesses, never about guilt: each rule names innocent reasons, and what
an insider would have to forge to pass it.
"""


class Explaining(Protocol):
    """An explanation template, as far as this page tells of it."""

    @property
    def code(self) -> str:
        """`E2`."""

    @property
    def title(self) -> str:
        """What the template looks for."""


def page(rules: Sequence[Rule], templates: Sequence[Explaining] = (), examples: Mapping[str, str] | None = None) -> str:
    """Return the whole page as Markdown, ending in a newline. `examples`: rule code → a sentence that the rule has said."""
    parts = [HEAD, _overview(rules), *(section(rule, (examples or {}).get(rule.code, "")) for rule in rules)]
    if templates:
        parts.append(_templates(templates))
    return "\n".join(parts).rstrip() + "\n"


def section(rule: Rule, example: str = "") -> str:
    """Return one rule as Markdown, with a sentence that it has said, or else the form of its sentences."""
    judged = "looks that nothing explains" if rule.on == "residue" else "all looks, also explained ones"
    lines = [
        f"## {rule.code} {rule.title}",
        "",
        f"*{rule.state} since {rule.since}, version {rule.version} · judges {judged} · {rule.level}, confidence {rule.confidence}*",
        "",
        f"**Says, for example:** {example}" if example else f"**Says:** {rule.sentence}",
        "",
        "### What it finds",
        "",
        _flat(rule.finds),
        "",
        *(f"- `{code}` {AGAINST.get(code, '')}".rstrip() for code in rule.codes),
        "",
        "### Why it matters",
        "",
        _flat(rule.why),
        "",
        *_listed("Innocent reasons", rule.innocent),
        *_listed("Questions to ask", rule.questions),
        "### What an insider must forge",
        "",
        _flat(rule.forger_needs),
        "",
        *_listed("Known gaps", rule.known_gaps),
        "### Needs",
        "",
        _needs(rule.requires),
        "",
        *_reach(rule),
        *_params(rule),
        "### Tests",
        "",
        *(f"- {_kind(bool(trial.rows), boundary=trial.boundary)}: {trial.name}" for trial in rule.tests),
        "",
    ]
    return "\n".join(lines)


def _overview(rules: Sequence[Rule]) -> str:
    rows = [f"| [{rule.code}](#{_anchor(rule)}) | {rule.title} | {rule.level} | {rule.on} | {rule.state} |" for rule in rules]
    return "\n".join(["| code | finds | level | judges | state |", "|---|---|---|---|---|", *rows, ""])


def _anchor(rule: Rule) -> str:
    return re.sub(r"[^\w\- ]", "", f"{rule.code} {rule.title}".lower()).replace(" ", "-")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return [f"### {title}", "", *(f"- {_flat(item)}" for item in items), ""]


def _needs(requires: Requires) -> str:
    needs = [f"the context table `{table}`" for table in requires.tables]
    if requires.any:
        needs.append("one of the context tables " + ", ".join(f"`{table}`" for table in requires.any))
    needs += [f"`{column}` filled" for column in requires.columns]
    needs += [f"`{table}` loaded within {days} days of the last access" for table, days in requires.freshness.items()]
    return ("; ".join(needs) or "accesses, the data map and the policy alone") + ". Without them it says that it could not check."


def _reach(rule: Rule) -> list[str]:
    if rule.reach != "look":
        return []
    return ["Stands on single looks (`reach: look`): `custodes watch --follow` judges by it at once.", ""]


def _params(rule: Rule) -> list[str]:
    if not rule.params:
        return []
    rows = [
        f"| `{item.name}` | {item.default} | {item.minimum} – {item.maximum} | {item.unit} | {item.why} |" for item in rule.params
    ]
    return ["### Parameters", "", "| name | default | limits | unit | why |", "|---|---|---|---|---|", *rows, ""]


def _kind(fires: bool, *, boundary: bool) -> str:
    return "boundary" if boundary else "fires" if fires else "quiet"


def _templates(templates: Sequence[Explaining]) -> str:
    rows = [f"| {item.code} | {item.title} | {reason(item.code)} |" for item in templates]
    return "\n".join(
        ["## Explanation templates", "", "| code | template | the innocent reason |", "|---|---|---|", *rows, ""],
    )
