"""A simulated company, for demo, tests and benchmarks: input files as any real company would export them, and what is true.

Rules that this room keeps: no code per scenario (scenarios are data, executed as they are written); the same arguments give the
same bytes; nothing in ids, order, rounding or missing columns tells a plant from the background; whatever kind of context row a
plant uses stands in the innocent background too; and nobody who judges may read this room or its `truth.json`.
"""

from __future__ import annotations

from custodes.world.builder import Built, build

__all__ = ["Built", "build"]
