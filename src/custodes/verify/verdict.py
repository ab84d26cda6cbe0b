"""Verdicts, and the report of a check: a list of numbered steps and one verdict for each thing that was claimed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """INCLUDED, COMPLETE (all entries about one tag in one month) and ERASED (there, its contents destroyed with a record): proven.

    UNVERIFIED: neither proven nor broken. BROKEN: nobody should trust it.
    """

    INCLUDED = "INCLUDED"
    COMPLETE = "COMPLETE"
    ERASED = "ERASED"
    UNVERIFIED = "UNVERIFIED"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that was looked at. `reason` is empty for what is proven; `shown`: contents that the bundle opens for it."""

    verdict: Verdict
    what: str
    reason: str = ""
    shown: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the claim as one line, and one more for each group of contents."""
        head = f"{self.verdict.value}  {self.what}" + (f": {self.reason}" if self.reason else "")
        return "\n    ".join([head, *self.shown])


@dataclass(slots=True)
class VerifyReport:
    """What was done, in order, and what came of it."""

    steps: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def step(self, text: str) -> None:
        """Take down the next step; it gets its number."""
        self.steps.append(f"{len(self.steps) + 1}. {text}")

    def claim(self, verdict: Verdict, what: str, reason: str = "", shown: tuple[str, ...] = ()) -> None:
        """Take down a verdict."""
        self.claims.append(Claim(verdict, what, reason, shown))

    def prove(self, verdict: Verdict, what: str, doubt: str, shown: tuple[str, ...] = ()) -> None:
        """Take down what is proven, unless there is a doubt about the signatures that it rests on."""
        self.claim(Verdict.UNVERIFIED if doubt else verdict, what, doubt, shown)

    @property
    def exit_code(self) -> int:
        """3 if anything is broken, 2 if anything (or everything) is unverified, 0 if all is proven."""
        verdicts = {claim.verdict for claim in self.claims}
        if Verdict.BROKEN in verdicts:
            return 3
        return 2 if Verdict.UNVERIFIED in verdicts or not verdicts else 0

    def as_text(self) -> str:
        """Return steps and verdicts as text."""
        return "\n".join([*self.steps, *(claim.line() for claim in self.claims)])

    def as_json(self) -> str:
        """Return the same as one JSON document, `custodes.verify/1`."""
        claims = [
            {"verdict": claim.verdict.value, "what": claim.what, "reason": claim.reason, "shown": list(claim.shown)}
            for claim in self.claims
        ]
        document = {"schema": "custodes.verify/1", "exit": self.exit_code, "steps": self.steps, "claims": claims}
        return json.dumps(document, ensure_ascii=False, indent=1)
