"""Wires `custodes.follow` to a home: the store as of one moment, what came since, and whether anything else changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from custodes import watching
from custodes.engines.duckdb_engine import open_engine
from custodes.explain.warm import Sources
from custodes.follow import Ground
from custodes.guard.book import GRANT, REVIEW, Book
from custodes.model.tables import TABLES
from custodes.own_use import FOLDER
from custodes.store.accesses import Accesses
from custodes.store.recorder import OWN

if TYPE_CHECKING:
    from custodes.engine import SteadyEngine
    from custodes.home import Home


def ground(home: Home, *, keep: bool = False) -> Ground:
    """Return what following stands on, the store as of now. `keep`: with the verdicts of earlier runs."""
    home.intake().take_in()
    manifest = home.accesses().manifest()
    rooms = watching.rooms(home, keep=keep, accesses=Accesses(home.path / "accesses", manifest))
    judged = Sources(home.accesses(), home.registry(), home.datamap, rooms.policy, rooms.templates, rooms.loaded)
    return Ground(rooms, judged, manifest, partial(_steady, home))


def _steady(home: Home) -> SteadyEngine:
    # One thread: what a few looks ask for is too little to be shared out.
    return open_engine(memory_mb=home.settings.engine.memory_mb, threads=1, directory=home.path, steady=True)


class Basis:
    """What verdicts stand on besides accesses. After a change open the home anew: it holds the policy that it read first."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._own = -1
        self._asked: tuple[object, ...] = ()
        self._was = self._now()

    def changed(self) -> str:
        """Return what changed since this was made, or nothing."""
        now = self._now()
        return next((word for word, value in now.items() if self._was[word] != value), "")

    def _now(self) -> dict[str, object]:
        home = self._home
        context = home.context()
        files = {"policy": [home.path / "policy.yaml"], "the data map": [home.path / "datamap.yaml"]}
        files["an own rule"] = sorted((home.path / FOLDER).glob("*.yml"))
        stamps = {word: [(file.name, file.stat().st_mtime_ns) for file in own if file.is_file()] for word, own in files.items()}
        loads = {f"context ({name})": context.version(name) for name in TABLES}
        return {**loads, **stamps, "a grant": self._granted()}

    def _granted(self) -> tuple[object, ...]:
        """Return what was asked of the guard and answered, read anew only when the home's own leaves are more than they were."""
        with self._home.log().batch() as batch:
            count = batch.next_of(OWN)[0]
        if count != self._own:
            requests = Book.of(self._home.own_leaves()).requests.values()
            asked = [one for one in requests if one.request.act in {GRANT, REVIEW}]
            self._asked = tuple((one.number, len(one.answers), one.lifted) for one in asked)
            self._own = count
        return self._asked
