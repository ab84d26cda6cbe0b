"""The composition root of decisions about people: a home's rooms, connected for requests, approvals, releases and erasures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from custodes.context.inquiry import open_cases
from custodes.context.standing import Standing
from custodes.decisions.databases import addresses
from custodes.decisions.glass import InTheRecord, glass_of, notify, settle_spool, spool_of
from custodes.decisions.in_force import Rules, policy_hash
from custodes.decisions.people import People, staff_of
from custodes.decisions.terms import known_of, refuses_terms
from custodes.disclose import erasing as disclose_erasing
from custodes.disclose.erasing import Erasing
from custodes.disclose.erasure import Limits
from custodes.engines.releasing import PostgresLeases, PostgresReader
from custodes.errors import Outage
from custodes.guard import seams as gates
from custodes.guard.asking import Asking, Seams
from custodes.guard.gate import Gate
from custodes.guard.words import Identity
from custodes.guard.words import Request as AskedFor
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import decode
from custodes.ledger.proof import root_of
from custodes.minimise import release
from custodes.model.canonical import Json
from custodes.store.desk import Quotas
from custodes.store.released import Sitting
from custodes.store.slips import Slips

_MINIMISE: Final = {"ip_address": "network"}
"""What a released value is cut to unless the settings say otherwise; other categories are what the grant is for."""


def asking(home: Home) -> Asking:
    """Where people hand in requests and answers; each is recorded before it counts."""
    with suppress(Outage):  # until it is mended nothing is recorded, but for more broken glass
        settle_spool(home)
    spool = spool_of(home)

    def record(kind: int, what: Mapping[str, Json], now: datetime) -> int:
        if not spool.is_empty():
            raise Outage("broken glass waits to be taken over into the ledger, before anything else", hint="mend the ledger")
        return home.record(kind, what, now)

    seams = _asking_seams(home, record)

    def of_glass() -> Asking:
        glass = glass_of(home, spool)
        return Asking(replace(seams, leaves=glass.leaves, record=glass.record))

    return Asking(replace(seams, glass=of_glass))


def _asking_seams(home: Home, record: Callable[[int, Mapping[str, Json], datetime], int]) -> Seams:
    return Seams(
        leaves=home.own_leaves,
        record=record,
        staff=lambda: staff_of(home),
        checkpoint=lambda: _stand(home),
        knows=lambda stand: _knows(home, stand),
        policy_hash=policy_hash(home),
        lock=lambda: Disk().lock(home.path / "guard.lock"),
        refuses_terms=lambda terms, _: refuses_terms(home, terms),
        notify=lambda request, now: notify(home, request, now),
    )


def _stand(home: Home) -> str:
    point = home.log().checkpoint
    return f"{point.size}:{point.root.hex()}"


def _knows(home: Home, stand: str) -> bool:
    size, _, root = stand.partition(":")
    log = home.log()
    return size.isdecimal() and 0 < int(size) <= log.size and root_of(log, int(size)).hex() == root


def gate(home: Home, *, outcomes_later: bool = False) -> Gate:
    """The gate of a home: nothing is released but through it. Keep one for many releases; it may serve several threads.

    `outcomes_later`: for a service, whose answers do not wait until the record says how they ended; it must close its gate.
    Raises `ConfigError` for its settings, `MissingSecret` for the file of a database's address.
    """
    settings, standing = home.settings.guard, Standing(home.context(), home.pseudonyms)
    urls = addresses(home)
    reader, leases = PostgresReader(urls, home.datamap), PostgresLeases(urls)
    rules = Rules(home)
    people = People(home, rules)
    limits = gates.Limits(timedelta(minutes=settings.limits.lease_max_min), {**_MINIMISE, **settings.minimise})

    def facts(request: AskedFor, identity: Identity, now: datetime, key: str) -> gates.Facts:
        rules.refresh(now)
        known = known_of(home, rules.policy, standing, reader, request, identity, now, key)
        since = standing.reason_since(request.reason_code, request.reason, request.subject, request.actor, now)
        return gates.Facts(known, since)

    def close() -> None:
        reader.close()
        leases.close()

    with suppress(Outage):  # while the ledger takes nothing each use is refused, but for more broken glass
        settle_spool(home, whole=True)
    releases, spool = home.releases(lambda: Disk().lock(home.path / "guard.lock")), spool_of(home)
    if settings.notices:
        spool.prepare()

    def sitting(now: datetime) -> AbstractContextManager[Sitting]:
        if not spool.is_empty():
            settle_spool(home)
        return releases.sitting(now)

    def of_glass(seams: gates.Seams) -> gates.Seams:
        return replace(seams, sitting=glass_of(home, spool).sitting, quotas=InTheRecord(), glass=None)

    return Gate(
        gates.Seams(
            sitting=sitting,
            judge=rules.judge,
            facts=facts,
            staff=people.now,
            quotas=Quotas(home.path / "desk.sqlite"),
            reader=reader,
            leases=leases,
            subject=lambda key: home.pseudonyms.of("subject", key),
            keyed=lambda value: home.pseudonyms.once("value", value),
            category=lambda system, name: home.datamap.category(system, *name.rpartition(".")[::2]),
            shown=lambda value, how: release.shown(value, how, lambda text: home.pseudonyms.once("value", text)),
            answer=release.answer,
            limits=limits,
            close=close,
            glass=of_glass,
            country=lambda actor, now: getattr(standing.place(actor, now), "country", None),
        ),
        outcomes_later=outcomes_later,
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


def _open_cases(home: Home, subject: str, actors: Sequence[str], now: datetime) -> int:
    with closing(home.engine()) as engine:
        home.context().register(engine)
        return open_cases(engine, subject, actors, now)


def _recorded(home: Home, index: int) -> datetime:
    return datetime.fromtimestamp(decode(home.log().read(index, index + 1)[0]).hour * 3600, UTC)
