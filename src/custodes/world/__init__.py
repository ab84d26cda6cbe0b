"""A simulated company, for demo, tests and benchmarks: input files as any real company would export them, and what is true.

Rules that this room keeps: no code per scenario (scenarios are data, executed as they are written); the same arguments give the
same bytes; nothing in ids, order, rounding or missing columns tells a plant from the background; whatever kind of context row a
plant uses stands in the innocent background too; and nobody who judges may read this room or its `truth.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from custodes.world.builder import Built, build

DEMO: Final = Path(__file__).with_name("demo.json")
"""The scenario file of `custodes demo`; its world is `demo`."""

__all__ = ["DEMO", "Built", "build"]
