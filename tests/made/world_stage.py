"""Small stages for tests of the simulated company: one scenario played without building a whole world."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from custodes.world.company import Company
from custodes.world.dice import Dice
from custodes.world.episode import Episode
from custodes.world.ids import Ids
from custodes.world.language import Library, library

BODY = {
    "id": "X01",
    "kind": "abuse",
    "size": "tiny",
    "cast": {
        "who": {"is": "actor", "n": 3, "unit": "support/tier1/dublin"},
        "whom": {"is": "subject", "n": 4, "region": "EU"},
    },
    "rows": [],
    "acts": [],
    "knobs": {},
    "expect": {},
    "twins": [],
}
LOOK = {"action": "read", "system": "crm", "resource": "account_page", "fields": ["name"]}


def act(**changes: object) -> dict[str, object]:
    return {"id": "a1", "by": "who", "on": "whom", "n": 1, "per": "subject", "from": "T0", "to": "T0+5d", "set": LOOK, **changes}


def mine(folder: Path, **changes: object) -> Library:
    path = folder / "mine.json"
    path.write_text(json.dumps({"schema": "custodes.scenarios/1", "abuse": [{**BODY, **changes}]}), "utf-8")
    return library(path)


def staged(shelf: Library, name: str, *, seed: int = 1, level: str = "medium") -> Episode:
    """Return an episode with its cast hired, in a company that is otherwise empty."""
    company = Company(shelf.charter, shelf.charter.sizes["demo"], Ids(Dice(seed, "ids")), Dice(seed, "company"))
    episode = Episode(f"{name}-1", 1, shelf.scenario(name), level, company, seed)
    episode.hire()
    return episode


def with_middle_size(folder: Path) -> Path:
    """Write a file whose company has one more size, `middle`: the people and days of a demo, a quarter of its looks."""
    ours = json.loads(resources.files("custodes.world").joinpath("scenarios.json").read_text("utf-8"))
    ours["world"]["sizes"]["middle"] = {"staff": 200, "subjects": 6000, "days": 90, "accesses": 50_000}
    path = folder / "middle.json"
    path.write_text(json.dumps({"schema": "custodes.scenarios/1", "world": ours["world"]}), "utf-8")
    return path
