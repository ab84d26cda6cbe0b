"""What labels say about looks that nobody would have looked at. A label changes no rule, no score and no finding.

Audit slots are drawn at random from everything that is not shown, so each label of a slot stands for as many accesses as it was
drawn from: the weight 1 / probability. Labels of shown campaigns say how often the shelf was right, and nothing about the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LABELS: Final = ("misuse", "innocent", "unclear")
_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class Missed:
    """`share` of misuse among labelled slots, weighted, with its 95 % interval; None where no slot has a clear label.

    `drawn`, `labelled`, `unclear`, `misuse`: slots.
    """

    drawn: int
    labelled: int
    unclear: int
    misuse: int
    share: float | None
    low: float | None
    high: float | None


def missed(slots: Sequence[tuple[str, int, int]], labels: Iterable[Mapping[str, str]]) -> Missed:
    """Estimate what is not shown. `slots`: (access, drawn together, from how many); of several labels the last counts."""
    said = {label["what"]: label["label"] for label in labels}
    clear = [(of / drawn, said[access] == "misuse") for access, drawn, of in slots if said.get(access) in {"misuse", "innocent"}]
    unclear = sum(said.get(access) == "unclear" for access, _, _ in slots)
    misuse = sum(bad for _, bad in clear)
    if not clear:
        return Missed(len(slots), 0, unclear, 0, None, None, None)
    whole = sum(weight for weight, _ in clear)
    share = sum(weight for weight, bad in clear if bad) / whole
    # Unequal weights tell less than as many equal ones: the interval is that of the effective number.
    size = whole**2 / sum(weight**2 for weight, _ in clear)
    middle, half = share + _Z**2 / (2 * size), _Z * math.sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2))
    scale = 1 + _Z**2 / size
    low, high = max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
    return Missed(len(slots), len(clear), unclear, misuse, round(share, 4), round(low, 4), round(high, 4))
