"""The figures of a benchmark as a table for people: the same facts as the JSON, beside the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from custodes.evaluate.bpic13 import KINDS
from custodes.evaluate.ranking import BUSY


def lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table for a `custodes.evaluation/1` document."""
    yield f"{figures['benchmark']}  (data {figures['data_sha256'][:12]})"
    parts = {"bpic13-snoop": _snoop, "bpic13-collude": _collude, "permit": _permit}
    yield from parts[figures["benchmark"]](figures)


def _snoop(figures: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{'share explained':<36}{'real':>8}{'R':>8}{'C':>8}{'P':>8}"
    for step, shares in figures["mean"].items():
        if step != "planted":
            yield f"{step:<36}" + "".join(f"{shares[name]:>8.3f}" for name in ("real", *KINDS))
    goals = figures["goals"]
    yield f"{'goal, strict':<36}{goals['real']:>7.3f}+" + "".join(f"{goals[kind]:>7.3f}-" for kind in KINDS)
    ranking = figures["ranking"]
    for measure in ("auc", "recall@20", "recall@50", "calibration"):
        yield ""
        yield f"{measure:<36}" + "".join(f"{kind:>14}" for kind in (*KINDS, BUSY))
        for name, found in ranking["mean"].items():
            if measure in found:
                cells = (found[measure][kind] for kind in (*KINDS, BUSY))
                yield f"{name:<36}" + "".join(f"{cell['mean']:>8.3f} ±{cell['sd']:.3f}" for cell in cells)
        for name, asked in ranking["goals"].items():
            if measure in asked:
                yield f"{'goal, ' + name.partition(':')[0]:<36}" + "".join(f"{asked[measure][kind]:>8.3f}      " for kind in KINDS)
    for name, why in ranking["not_run"].items():
        yield f"not run: {name} ({why})"


def _collude(figures: Mapping[str, Any]) -> Iterator[str]:
    goals = figures["goals"]
    yield ""
    yield f"{'top pair is true (share of the ring)':<40}" + "".join(f"{shape:>15}" for shape in goals["top_pair"])
    for measure, shapes in figures["mean"].items():
        yield f"{measure:<40}" + "".join(f"{found['top_pair']:>8.2f} ({found['share']:.2f})" for found in shapes.values())
    yield f"{'goal':<40}" + "".join(
        f"{goals['top_pair'][shape]:>8.2f} ({goals['share'][shape]:.2f})" for shape in goals["top_pair"]
    )
    yield f"{figures['rings']} rings of each shape; false rings in 30 days: {figures['false_rings_per_30_days']}"


def _permit(figures: Mapping[str, Any]) -> Iterator[str]:
    counts = figures["counts"]
    yield f"{counts['accesses']:,} accesses, {counts['explained']:,} explained: {'exact' if figures['exact'] else 'not exact'}"
