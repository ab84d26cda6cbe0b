"""The composition root of decisions about people: a home's rooms, connected for requests, approvals, releases and erasures."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary, ref

from custodes.context.inquiry import open_cases
from custodes.context.standing import Standing
from custodes.context.tables import ContextStore
from custodes.disclose import erasing as disclose_erasing
from custodes.disclose.erasing import Erasing
from custodes.disclose.erasure import Limits
from custodes.engines.releasing import PostgresLeases, PostgresReader
from custodes.errors import ConfigError, MissingSecret, Outage, Refused
from custodes.guard import policing
from custodes.guard import seams as gates
from custodes.guard.approval import Refusal, Request, written
from custodes.guard.asking import Asking, Seams
from custodes.guard.book import Book
from custodes.guard.decide import NEVER, Judge, needed_sets
from custodes.guard.distance import Staff, StaffRow
from custodes.guard.gate import Gate
from custodes.guard.glass import Glass, reconcile
from custodes.guard.grants import Terms
from custodes.guard.words import Identity, Known
from custodes.guard.words import Request as AskedFor
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import Kind, decode
from custodes.ledger.proof import root_of
from custodes.minimise import release
from custodes.model.canonical import Json, canonical
from custodes.model.policy import Policy
from custodes.protected.lookups import Lookups
from custodes.protected.registry import Registry
from custodes.settings import yaml_of
from custodes.store.desk import Quotas
from custodes.store.own_leaves import OwnLeaf, own_leaves
from custodes.store.recorder import OWN
from custodes.store.released import Releases, Sitting
from custodes.store.slips import Slips
from custodes.store.spool import Spool


def asking(home: Home) -> Asking:
    """Where people hand in requests and answers; each is recorded before it counts."""
    with suppress(Outage):  # until it is mended nothing is recorded, but for more broken glass
        settle_spool(home)
    spool = _spool(home)

    def record(kind: int, what: Mapping[str, Json], now: datetime) -> int:
        if not spool.is_empty():
            raise Outage("broken glass waits to be taken over into the ledger, before anything else", hint="mend the ledger")
        return home.record(kind, what, now)

    seams = _asking_seams(home, record)

    def of_glass() -> Asking:
        glass = _glass(home, spool)
        return Asking(replace(seams, leaves=glass.leaves, record=glass.record))

    return Asking(replace(seams, glass=of_glass))


def _asking_seams(home: Home, record: Callable[[int, Mapping[str, Json], datetime], int]) -> Seams:
    return Seams(
        leaves=lambda: _own_leaves(home),
        record=record,
        staff=lambda: _staff(home),
        checkpoint=lambda: _stand(home),
        knows=lambda stand: _knows(home, stand),
        policy_hash=_policy_hash(home),
        lock=lambda: Disk().lock(home.path / "guard.lock"),
        refuses_terms=lambda terms, now: _refuses_terms(home, terms, now),
        notify=lambda request, now: _notify(home, request, now),
    )


def gate(home: Home, *, outcomes_later: bool = False) -> Gate:
    """The gate of a home: nothing is released but through it. Keep one for many releases; it may serve several threads.

    `outcomes_later`: for a service, whose answers do not wait until the record says how they ended; it must close its gate.
    Raises `ConfigError` for its settings, `MissingSecret` for the file of a database's address.
    """
    settings, standing = home.settings.guard, Standing(home.context(), home.pseudonyms)
    urls = {system: _address(home, system, file) for system, file in settings.databases.items()}
    reader, leases = PostgresReader(urls, home.datamap), PostgresLeases(urls)
    rules = _Rules(home)
    people = _People(home, rules)
    limits = gates.Limits(timedelta(minutes=settings.limits.lease_max_min), {**_MINIMISE, **settings.minimise})

    def facts(request: AskedFor, identity: Identity, now: datetime, key: str) -> gates.Facts:
        rules.refresh(now)
        known = _known(home, rules.policy, standing, reader, request, identity, now, key)
        since = standing.reason_since(request.reason_code, request.reason, request.subject, request.actor, now)
        return gates.Facts(known, since)

    def close() -> None:
        reader.close()
        leases.close()

    with suppress(Outage):  # while the ledger takes nothing each use is refused, but for more broken glass
        settle_spool(home, whole=True)
    releases, spool = _releases(home), _spool(home)
    if settings.notices:
        spool.prepare()

    def sitting(now: datetime) -> AbstractContextManager[Sitting]:
        if not spool.is_empty():
            settle_spool(home)
        return releases.sitting(now)

    def of_glass(seams: gates.Seams) -> gates.Seams:
        return replace(seams, sitting=_glass(home, spool).sitting, quotas=_InTheRecord(), glass=None)

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


def settle_spool(home: Home, *, whole: bool = False) -> None:
    """Take over into the ledger what was released under broken glass without it: before anything else.

    `whole`: also look whether notices name records that nobody has any more. Raises `LedgerRewritten` if the spool was changed,
    `Outage` if the ledger still takes nothing: then nothing is lost. Not for who holds the guard's lock.
    """
    spool = _spool(home)
    told = _told(home) if whole or not spool.is_empty() else set()
    if not told and spool.is_empty():
        return
    with Disk().lock(home.path / "guard.lock"):
        reconcile(spool, lambda: home.releases(nullcontext).sitting(datetime.now(UTC)), told)


def open_leases(home: Home) -> dict[str, list[tuple[str, int, str]]]:
    """Return each guarded system's open leases as (id, leaf, field). One whose leaf `Gate.leases` does not know was forged."""
    urls = {system: _address(home, system, file) for system, file in home.settings.guard.databases.items()}
    leases = PostgresLeases(urls)
    try:
        return {system: leases.rows(system) for system in urls}
    finally:
        leases.close()


def sets_for(home: Home, terms: Terms) -> tuple[str, ...]:
    """Return the sets of approvals that a grant of these terms needs, as policy and registry have it now."""
    if terms.break_glass:
        return ()
    now, categories = datetime.now(UTC), _categories(home, terms.system, terms.fields)
    duties = [lookups(home).duties(terms.actor, subject, categories, home.policy, now) for subject in terms.subjects]
    all_of = None if None in duties else tuple(sorted({word for found in duties for word in found or ()}))
    return needed_sets(Known(no_duty=_staff(home).has_no_duty(terms.actor), duties=all_of))


def identity(home: Home) -> Identity:
    """Who sits at this command line: the login of the operating system, as `[guard.logins]` maps it. Raises `Refused`."""
    settings = home.settings.guard
    company = settings.logins.get(_os_login())
    if company is None:
        raise Refused("this login is nobody's: it is not named in [guard.logins]", hint="an administrator adds it to custodes.toml")
    return Identity(
        actor=home.pseudonyms.of("actor", company),
        login=settings.database_logins.get(company, company),
        session_country=settings.session_country or None,
        country_source="host" if settings.session_country else "none",
    )


def _os_login() -> str:
    """Return the name of this process's account. Not from the environment: anybody sets LOGNAME."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def lookups(home: Home) -> Lookups:
    """What protection obliges to, as who asks may learn it: one for a home that is open, since it counts who asks how often."""
    if home not in _LOOKUPS:
        mine = ref(home)  # what is kept under a home must not keep it

        def opened() -> Registry:
            return _alive(mine).registry()

        def noted(actor: str, act: str, now: datetime) -> None:
            _alive(mine).record(Kind.DECISION, {"what": "registry", "act": act, "who": actor, "at": written(now)}, now)

        _LOOKUPS[home] = Lookups(opened, noted)
    return _LOOKUPS[home]


_LOOKUPS: Final = WeakKeyDictionary[Home, Lookups]()


def _alive(mine: ref[Home]) -> Home:
    home = mine()
    if home is None:
        raise Outage("the home was closed")
    return home


class _Rules:
    """The policy and the company's Cedar files in force, taken over anew when a file changes.

    A bad one, or one that nobody decided on, keeps the last good set, and stderr says so; at the start, without one, everything is
    refused.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen: object = None
        self.policy, self.judge, self.wrong = home.policy, Judge(None), ""
        self.refresh(datetime.now(UTC))

    def refresh(self, now: datetime) -> None:
        """Look whether a file changed."""
        waits = self.wrong and now.replace(minute=0, second=0, microsecond=0)
        try:
            marks = [(place, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for place, at in _policy_places(self._home)]
            if (marks, waits) == self._seen:
                return None  # what was not decided on is looked at again each hour: a decision takes effect a day after it
            present = policy_files(self._home)
        except OSError as wrong:
            return self._say(f"the rules cannot be read: {wrong.strerror}")
        content = present.get(policing.DOCUMENT, b"")
        try:
            leaves = self._home.own_leaves()
        except Outage as wrong:
            return self._say(f"what was decided cannot be read: {wrong}")
        self._seen = (marks, waits)
        undecided = policing.undecided(present, policing.in_force(leaves, Book.of(leaves).requests, now))
        if undecided:
            return self._say(f"not in force, for nobody decided on it: {', '.join(undecided)}")
        try:
            policy = Policy.of(yaml_of(content, policing.DOCUMENT) if policing.DOCUMENT in present else None)
            company = [text.decode("utf-8") for name, text in sorted(present.items()) if name not in policing.DOCUMENTS]
        except (ConfigError, UnicodeDecodeError) as wrong:
            return self._say(str(wrong))
        unfit = self.judge.reload(policy, content, company)
        if not unfit:
            self.policy = policy
        return self._say(unfit)

    def _say(self, wrong: str) -> None:
        if wrong and wrong != self.wrong:
            sys.stderr.write(f"custodes: the rules stay as they were: {wrong}\n")
        self.wrong = wrong


def policy_files(home: Home) -> dict[str, bytes]:
    """Return the home's policy, data map and Cedar files as they lie there, by name. Raises `OSError`."""
    return {str(place.relative_to(home.path)): place.read_bytes() for place, _ in _policy_places(home)}


def _policy_places(home: Home) -> list[tuple[Path, os.stat_result]]:
    """Return the files that are there, in order."""
    places = [home.path / name for name in policing.DOCUMENTS]
    places += sorted((home.path / policing.FOLDER).glob("*.cedar"))
    found = []
    for place in places:
        with suppress(FileNotFoundError):
            found.append((place, place.stat()))
    return found


class _People:
    """Staff as the gate knows it, read again when something was loaded, or another policy is in force."""

    def __init__(self, home: Home, rules: _Rules) -> None:
        self._context, self._rules = home.context(), rules
        self._kept: tuple[tuple[str, ...], Policy, Staff] | None = None

    def now(self) -> Staff:
        version, policy = self._context.version("staff"), self._rules.policy
        if self._kept is None or self._kept[0] != version or self._kept[1] is not policy:
            self._kept = (version, policy, _staff_in(self._context, policy))
        return self._kept[2]


_MINIMISE: Final = {"ip_address": "network"}
"""What a released value is cut to unless the settings say otherwise; other categories are what the grant is for."""


def _releases(home: Home) -> Releases:
    return home.releases(lambda: Disk().lock(home.path / "guard.lock"))


def _known(  # noqa: PLR0917  # where each fact is kept
    home: Home,
    policy: Policy,
    standing: Standing,
    reader: PostgresReader,
    request: AskedFor,
    who: Identity,
    now: datetime,
    key: str,
) -> Known:
    place, categories = standing.place(request.actor, now), _categories(home, request.system, request.fields)
    region = standing.region(request.subject)
    if key and None not in categories and reader.has_region(request.system, request.fields):
        stored = reader.region(request.system, request.fields, key)
        region = stored if region in {None, stored} else None  # two sources that contradict each other know nothing
    unit = None if place is None else place.unit
    return Known(
        unit=unit,
        place_of_work=None if place is None else place.country,
        entity=None if place is None else place.entity,
        session_country=who.session_country,
        employed=place is not None,
        human=who.human,
        no_duty=unit is None or any(unit == word or unit.startswith(f"{word}/") for word in policy.units_without_subject_duty),
        region=region,
        categories=categories,
        duties=lookups(home).duties(request.actor, request.subject, categories, policy, now),
    )


def _categories(home: Home, system: str, names: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(home.datamap.category(system, *name.rpartition(".")[::2]) for name in names)


def _refuses_terms(home: Home, terms: Terms, now: datetime) -> Refusal | None:
    del now
    policy, categories = home.policy, _categories(home, terms.system, terms.fields)
    if terms.purpose in {*NEVER, *policy.never_purposes} or terms.purpose not in policy.purposes:
        return Refusal("not-permitted", "this purpose can be granted by nobody")
    allowed = policy.purposes[terms.purpose]
    if None in categories or not ("*" in allowed or {*categories} <= {*allowed}):
        return Refusal("not-permitted", "the purpose does not cover these fields, or the data map does not know them")
    if terms.mode == "aggregate":
        return Refusal("not-permitted", "nothing is counted over people here")
    if terms.lasts_s > home.settings.guard.limits.grant_max_min * 60:
        return Refusal("form", f"a grant lasts at most {home.settings.guard.limits.grant_max_min} minutes here")
    needed = sets_for(home, terms)
    if set(needed) - set(terms.sets):
        return Refusal("form", f"these approvals are needed: {' and '.join(needed)}")
    return None


def _notify(home: Home, request: Request, now: datetime) -> list[str]:
    """Put a notice into each folder that the settings name. Durable; raises `NotDurable`, and then no glass is broken."""
    notice: dict[str, Json] = {"schema": "custodes.notice/1", "request": request.document(), "at": written(now)}
    return _put_notices(home, request.digest().removeprefix("sha256:"), notice)


def _put_notices(home: Home, name: str, notice: Mapping[str, Json]) -> list[str]:
    told = []
    for whom, folder in sorted(home.settings.guard.notices.items()):
        place = home.path / folder
        Disk().make_folder(place)
        Disk().replace(place / f"{name}.json", canonical(dict(notice)))
        told.append(whom)
    return told


def _spool(home: Home) -> Spool:
    return home.vault().spool(home.path / home.settings.guard.spool)


def _glass(home: Home, spool: Spool) -> Glass:
    def leaves() -> list[OwnLeaf]:
        with Home.open(home.path) as again:  # a ledger object that met a failed write reads no more
            return again.own_leaves()

    def tell(digest: str, records: int, now: datetime) -> list[str]:
        notice: dict[str, Json] = {"schema": "custodes.notice/1", "spool": digest, "records": records, "at": written(now)}
        return _put_notices(home, f"{_SPOOL_NOTICE}{digest}", notice)

    return Glass(spool, leaves, tell, lambda: Disk().lock(home.path / "guard.lock"))


def _told(home: Home) -> set[str]:
    """Return the digests that notices name, as far as they still lie here."""
    folders = [home.path / folder for folder in home.settings.guard.notices.values()]
    return {file.stem.removeprefix(_SPOOL_NOTICE) for folder in folders for file in folder.glob(f"{_SPOOL_NOTICE}*.json")}


class _InTheRecord:
    """Quotas of broken glass: the gate counts in the record, alone under the lock; the quick counter may lie on a full disk."""

    def take(self, grant: int, limit: int, taken: int) -> bool:
        del grant
        return taken < limit


_SPOOL_NOTICE: Final = "spool-"


def _address(home: Home, system: str, file: str) -> str:
    try:
        return (home.path / file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise MissingSecret(f"the address of {system} cannot be read", hint=f"see guard.databases.{system}.url_file") from None


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
    return _staff_in(home.context(), home.policy)


def _staff_in(context: ContextStore, policy: Policy) -> Staff:
    columns = ("actor", "person", "unit", "manager", "valid_from", "joined", "valid_to", "left", "recorded")
    rows = (
        StaffRow(actor, person, unit, manager, begins or joined, ends, left, recorded)
        for actor, person, unit, manager, begins, joined, ends, left, recorded in context.loaded("staff", columns)
    )
    return Staff(rows, policy)


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
