"""A log with an index, made for tests of bundles: three months, three people, looks at two and at very many, an erasure.

Everything is fixed (keys, seeds, hours), and everything goes through the product's own writer; only the vault is a list here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from custodes.disclose.bundle import Read, Sources
from custodes.ledger.blobs import Blobs
from custodes.ledger.evidence import policy_of
from custodes.ledger.index_log import IndexLog
from custodes.ledger.leaf import (
    MANY_TAG,
    NO_TAG,
    Kind,
    commitment,
    epoch_of,
    hour_of,
    leaf_hash,
    record_commitment,
    tag_key,
    tag_under,
)
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
from custodes.model.canonical import canonical
from custodes.store.contents import Groups, Opening, Own, Remains, opening
from custodes.store.openings import bulk

ORIGIN = "bundles.example/2026h2"
MONTHS = ("2026-09", "2026-10", "2026-11")
PEOPLE = ("anna", "berta", "carla")
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NO_GROUPS: Groups = (None, None, None, None, None)


def key_of(person: str) -> bytes:
    """Return k_tag of a person."""
    return tag_key(sha256(person.encode()).digest())


@dataclass
class Made:
    """The log, what opens its leaves, and where what stands."""

    folder: Path
    openings: dict[int, Opening] = field(default_factory=dict)
    records: list[Own] = field(default_factory=list)
    about: dict[str, list[int]] = field(default_factory=lambda: {person: [] for person in PEOPLE})
    erased: list[int] = field(default_factory=list)

    @property
    def policy(self) -> bytes:
        """The policy of a reader who believes both logs."""
        return policy_of(self.folder / "log", self.folder / "index")

    def sources(self) -> Sources:
        """Return what bundles are made from."""
        index = IndexLog(self._log("log"), self._log("index"))

        def openings(indexes: Iterable[int], read: Read, size: int) -> list[Opening]:
            return [self.openings[index] for index in sorted(indexes) if index in self.openings]

        return Sources(self.folder / "log", self.folder / "index", openings, lambda: self.records, index.lookup)

    def _log(self, name: str) -> Log:
        return Log.open(self.folder / name, signer(name))

    def publish(self) -> None:
        """Publish both logs."""
        with self._log("log") as log, self._log("index") as index:
            log.publish()
            IndexLog(log, index).publish(NOW, force=True)


def signer(name: str) -> Signer:
    """Return the fixed keys of a log."""
    origin = ORIGIN if name == "log" else f"{ORIGIN}/index"
    return Signer(origin, sha256(name.encode()).digest(), sha256(b"strong" + name.encode()).digest())


def make(folder: Path, *, looks: int = 60, months: Sequence[str] = MONTHS) -> Made:
    """Make the log: `looks` looks in each month, at the three people in turn, at nobody resolved, and at two at once."""
    made = Made(folder)
    for name in ("log", "index"):
        Log.create(folder / name, signer(name).name, signer(name)).close()
    number = 0
    for month in months:
        hour = hour_of(datetime(int(month[:4]), int(month[5:]), 3, 8, tzinfo=UTC))
        with made._log("log") as log:
            if month != months[0]:
                _bulk(made, log, hour, 10_000 + number)
            for look in range(looks):
                number += 1
                if look % 5 == 3:
                    _access(made, log, hour, number, None)
                elif look % 5 == 4:
                    _several(made, log, hour, number, (PEOPLE[0], PEOPLE[1]))
                elif month != months[0] or look % 3 != 2:  # nobody looks at the third person in the first month
                    _access(made, log, hour, number, PEOPLE[look % 3])
    made.publish()
    return made


def _seed(number: int, part: int) -> bytes:
    return sha256(b"seed %d %d" % (number, part)).digest()


def _groups(number: int, person: str | None) -> Groups:
    what: dict[str, object] = {
        "action": "read",
        "resource": ["profile"],
        "system": "crm",
        "time": f"2026-09-03T08:00:{number % 60:02d}Z",
    }
    if person is not None:
        what["subjects"] = [f"subject-{person}"]
    who = {"actor": f"staff-marek-{number % 3}", "actor_kind": "staff"}
    why = {"purpose": "support", "reason": f"T-{number}"}
    raw = {"id": f"raw-own-id-{number}", "query": "SELECT *"}
    parts = [canonical(part) for part in (who, what, why, {"client_country": "AT"}, raw)]
    return (parts[0], parts[1], parts[2], parts[3], parts[4])


def _append(log: Log, kind: int, hour: int, tag: bytes, commit: bytes) -> tuple[int, bytes]:
    with log.batch() as batch:
        at, _ = batch.add(kind, hour, 1 if kind < 3 else 0, tag, commit)
    return at, log.read(at, at + 1)[0]


def _access(made: Made, log: Log, hour: int, number: int, person: str | None) -> None:
    groups, seeds = _groups(number, person), [_seed(number, 0), _seed(number, 1)]
    tag = NO_TAG if person is None else tag_under(key_of(person), ORIGIN, epoch_of(hour))
    at, leaf = _append(log, Kind.ACCESS, hour, tag, commitment(groups, seeds))
    made.openings[at] = opening(at, leaf, groups, b"".join(seeds))
    if person is not None:
        made.about[person].append(at)


def _several(made: Made, log: Log, hour: int, number: int, people: Sequence[str]) -> None:
    groups, seeds = _groups(number, None), [_seed(number, part) for part in range(3)]
    at, leaf = _append(log, Kind.ACCESS, hour, MANY_TAG, commitment(groups, seeds))
    made.openings[at] = opening(at, leaf, groups, b"".join(seeds))
    for part, person in enumerate(people, 3):
        inner = json.loads(groups[1] or b"{}") | {"subjects": [f"subject-{person}"]}
        touch = canonical({"access": leaf_hash(leaf).hex(), "certainty": "certain", "relation": "returned", "what": inner})
        seed = _seed(number, part)
        tag = tag_under(key_of(person), ORIGIN, epoch_of(hour))
        place, entry = _append(log, Kind.TOUCH, hour, tag, record_commitment(touch, seed))
        made.openings[place] = opening(place, entry, (None, touch, None, None, None), seed)
        made.about[person].append(place)


def _bulk(made: Made, log: Log, hour: int, number: int) -> None:
    """Add a look at very many people, the three among them."""
    groups, seeds = _groups(number, None), [_seed(number, part) for part in range(3)]
    at, leaf = _append(log, Kind.ACCESS, hour, MANY_TAG, commitment(groups, seeds))
    made.openings[at] = opening(at, leaf, groups, b"".join(seeds))
    people = [*PEOPLE, *(f"person-{other}" for other in range(1_098))]
    digest, root = Blobs(log.path).put([tag_under(key_of(person), ORIGIN, epoch_of(hour)) for person in people])
    what, seed = bulk(leaf_hash(leaf), len(people), root), _seed(number, 5)
    place, entry = _append(log, Kind.BULK, hour, digest, record_commitment(what, seed))
    made.openings[place] = opening(place, entry, (None, what, None, None, None), seed)
    for person in PEOPLE:
        made.about[person].append(place)


def erase(made: Made, person: str) -> int:
    """Erase a person as the vault does: digests stay, contents and salts of the person's groups go. Return the record's index."""
    hour = hour_of(NOW)
    made.erased = [at for at in made.about[person] if made.openings[at].leaf[1] != Kind.BULK]
    for at in made.erased:
        found = made.openings[at]
        keep = {0, 3} if found.leaf[1] == Kind.ACCESS else set()
        groups = tuple(content if number in keep else None for number, content in enumerate(found.groups))
        salts = tuple(salt if number in keep else None for number, salt in enumerate(found.salts))
        digests = tuple(None if number in keep else digest for number, digest in enumerate(found.digests))
        made.openings[at] = opening(at, found.leaf, groups, b"", Remains(0, salts, digests))  # type: ignore[arg-type]  # five each
    what = canonical({"what": "erasure", "step": "done", "ranges": [[at, at] for at in made.erased], "basis": "GDPR17.1b"})
    seed = _seed(0, 99)
    with made._log("log") as log:
        at, leaf = _append(log, Kind.ERASURE, hour, NO_TAG, record_commitment(what, seed))
    made.openings[at] = opening(at, leaf, (None, what, None, None, None), seed)
    made.records.append(Own(at, leaf, seed, what))
    made.publish()
    return at
