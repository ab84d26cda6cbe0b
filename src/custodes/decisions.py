"""The composition root of decisions about people: a home's rooms, connected for requests, approvals and erasures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from custodes.context.inquiry import open_cases
from custodes.disclose import erasing as disclose_erasing
from custodes.disclose.erasing import Erasing
from custodes.disclose.erasure import Limits
from custodes.errors import ConfigError
from custodes.guard.asking import Asking, Seams
from custodes.guard.distance import Staff, StaffRow
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import decode
from custodes.ledger.proof import root_of
from custodes.store.own_leaves import OwnLeaf, own_leaves
from custodes.store.recorder import OWN
from custodes.store.slips import Slips


def asking(home: Home) -> Asking:
    """Where people hand in requests and answers; each is recorded before it counts."""
    return Asking(
        Seams(
            leaves=lambda: _own_leaves(home),
            record=home.record,
            staff=lambda: _staff(home),
            checkpoint=lambda: _stand(home),
            knows=lambda stand: _knows(home, stand),
            policy_hash=_policy_hash(home),
            lock=lambda: Disk().lock(home.path / "guard.lock"),
        )
    )


def erasing(home: Home) -> Erasing:
    """Erasures and legal holds."""
    vault, limits = home.vault(), home.settings.erasure
    return Erasing(
        disclose_erasing.Seams(
            asking=asking(home),
            eraser=home.eraser(),
            slips=Slips(vault.path / "slips", vault.keys),
            record=home.record,
            quiet=home.intake().quiet,
            recorded=lambda index: _recorded(home, index),
            open_cases=lambda subject, actors, now: _open_cases(home, subject, actors, now),
            settings=Limits(timedelta(days=limits.floor_days), timedelta(days=limits.cooling_days)),
        )
    )


def _own_leaves(home: Home) -> Iterable[OwnLeaf]:
    log = home.log()
    with log.batch() as batch:  # nothing is added: this is how to learn the ends of a log that others append to
        size, count = batch.first, batch.next_of(OWN)[0]
    return own_leaves(home.vault(), log.read, size, count)


def _staff(home: Home) -> Staff:
    columns = ("actor", "person", "unit", "manager", "valid_from", "joined", "valid_to", "left", "recorded")
    rows = (
        StaffRow(actor, person, unit, manager, begins or joined, ends, left, recorded)
        for actor, person, unit, manager, begins, joined, ends, left, recorded in home.context().loaded("staff", columns)
    )
    return Staff(rows, home.policy)


def _open_cases(home: Home, subject: str, actors: Sequence[str], now: datetime) -> int:
    with closing(home.engine()) as engine:
        home.context().register(engine)
        return open_cases(engine, subject, actors, now)


def _stand(home: Home) -> str:
    point = home.log().checkpoint
    return f"{point.size}:{point.root.hex()}"


def _knows(home: Home, stand: str) -> bool:
    size, _, root = stand.partition(":")
    log = home.log()
    return size.isdecimal() and 0 < int(size) <= log.size and root_of(log, int(size)).hex() == root


def _recorded(home: Home, index: int) -> datetime:
    return datetime.fromtimestamp(decode(home.log().read(index, index + 1)[0]).hour * 3600, UTC)


def _policy_hash(home: Home) -> str:
    try:
        content = (home.path / "policy.yaml").read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as wrong:
        raise ConfigError(f"policy.yaml cannot be read: {wrong.strerror}") from None
    return f"sha256:{sha256(content).hexdigest()}"
