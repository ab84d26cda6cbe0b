"""What is true in a simulated world, `custodes.truth/1`: episodes with the company's own ids. Closed to all who judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from custodes.model.tables import TABLES
from custodes.world.clock import Calendar
from custodes.world.episode import Episode, Played

SCHEMA: Final = "custodes.truth/1"


def campaign(episode: Episode, played: Played, after: Sequence[tuple[str, str]], calendar: Calendar) -> dict[str, object]:
    """Return the entry of one episode. Background looks are not part of it, nor lines that were lost before intake."""
    scenario, expect = episode.scenario, episode.scenario.expect
    own = sorted((made for made in played.accesses if made.truth != "background" and made.access.id), key=lambda made: made.time)
    touched = {subject.id for made in own for subject in made.subjects}
    linked = episode.linked() & touched
    derived = {value for made in own for value in (made.access.derived, made.access.derived_from) if value}
    return {
        "id": episode.label,
        "kind": scenario.kind,
        "scenario": scenario.id,
        "level": episode.level,
        "window": {"from": calendar.millis(own[0].time), "to": calendar.millis(own[-1].time)} if own else None,
        "actors": sorted({made.staff.id for made in own}),
        "subjects": sorted(touched - linked),
        "linked": sorted(linked),
        "derived": sorted(derived),
        "accesses": [made.access.id for made in own],
        "truth": {str(made.access.id): made.truth for made in own},
        "codes": expect.get("codes", []),
        "rules": expect.get("rules", []),
        "missing": expect.get("missing", []),
        "facts": expect.get("facts", []),
        "explained_by": expect.get("explained_by", []),
        "outcome": expect.get("outcome"),
        "tempts": expect.get("tempts", []),
        "sentence": expect.get("sentence"),
        "evidence": [{"table": table, "key": key} for table, key in _evidence(episode, played, after)],
    }


def _evidence(episode: Episode, played: Played, after: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield table and key of the rows that the scenario calls evidence, each once."""
    seen = set()
    names = episode.scenario.expect.get("evidence", [])
    for name in names if isinstance(names, list) else ():
        row = episode.scenario.rows.get(name)
        if row is None:
            continue
        for made in played.rows[name]:
            key = next((str(made[part]) for part in TABLES[row.table].key if made.get(part)), None)
            if key is not None and (row.table, key) not in seen:
                seen.add((row.table, key))
                yield row.table, key
    yield from after
