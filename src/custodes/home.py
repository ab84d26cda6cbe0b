"""The composition root: reads settings, opens keys, builds the rooms and hands them to each other. Keys are opened only here.

    DIR/custodes.toml   settings            DIR/keys/       mode 0600, one file per key
    DIR/ledger/log/     the record          DIR/vault/      sealed: raw records, group values, names
    DIR/ledger/index/   roots of its index
    DIR/accesses/       Parquet by day      DIR/rejected/   sealed: records that could not be read
    DIR/context/        Parquet by table    DIR/desk.sqlite findings
    DIR/derived/        what runs keep: a cache

A key is opened when a room needs it and never leaves the objects it was handed to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from functools import cached_property, partial
from hashlib import blake2b, sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from custodes.errors import LedgerRewritten, MissingSecret, Refused
from custodes.ledger.leaf import Kind, decode, record_commitment, tag_key
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.canonical import Json
from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.settings import Settings, read_settings, read_yaml, yaml_of

if TYPE_CHECKING:
    from custodes.context.tables import ContextStore
    from custodes.engine import KeepingEngine
    from custodes.intake import Intake
    from custodes.ledger.checkpoint import Checkpoint
    from custodes.ledger.index_log import IndexLog
    from custodes.ledger.log import Log
    from custodes.ledger.witness_quorum import Publisher
    from custodes.protected.hsm import TokenKey
    from custodes.protected.registry import Registry
    from custodes.store.accesses import Accesses
    from custodes.store.derived import Derived
    from custodes.store.desk import Desk
    from custodes.store.erasure import Eraser, Expired
    from custodes.store.own_leaves import OwnLeaf
    from custodes.store.released import Releases
    from custodes.store.vault import Vault


class Home:
    """One home on disk. Use as a context manager; rooms are opened when first asked for and closed with it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Callers use `open`, or `home_making.make_home`."""
        self.path = path
        self.settings = settings
        self._log: Log | None = None
        self._index: IndexLog | None = None

    @classmethod
    def open(cls, path: str | Path) -> Home:
        """Open a home. Raises `WouldCreate` if there is none, `ConfigError` for its settings; keys are read when needed."""
        folder = Path(path)
        return cls(folder, read_settings(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the logs."""
        if self._index is not None:
            self._index.log.close()
        if self._log is not None:
            self._log.close()
        self._log = self._index = None

    # — what a home knows of itself —

    @cached_property
    def simulated(self) -> bool:
        """Whether the home's first leaf says *simulated*; settings cannot change it. Else raises `LedgerRewritten`."""
        import msgspec

        first = next(iter(self.vault().own_records()), None)
        if first is None or self.log().size < 1:
            raise LedgerRewritten("the home's first leaf, which says whether it is simulated, is missing")
        entry = self.log().read(0, 1)[0]
        if decode(entry).commit != record_commitment(first.what, first.seed):
            raise LedgerRewritten("the home's first leaf is not the one that was recorded when it was made")
        return msgspec.json.decode(first.what).get("simulated") is True

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """Keyed pseudonyms of this home."""
        return Pseudonyms(self._key("pseudonym"))

    @cached_property
    def display_key(self) -> bytes:
        """Key of the spoken names that reports show."""
        return self._key("display")

    @cached_property
    def datamap(self) -> DataMap:
        """The data map in force; empty if none was loaded."""
        return DataMap.of(read_yaml(self.path / "datamap.yaml"))

    @cached_property
    def policy(self) -> Policy:
        """The policy in force; the built-in one if none was loaded."""
        return Policy.of(read_yaml(self.path / "policy.yaml"))

    def adopt(self, name: str, document: bytes) -> bool:
        """Put `policy.yaml` or `datamap.yaml` (`name`) in force and record its hash. Returns False if it already is.

        Raises `ConfigError` if it breaks its contract; then nothing changes.
        """
        from custodes.ledger.disk import Disk

        readers = {"policy.yaml": Policy.of, "datamap.yaml": DataMap.of}
        parsed = readers[name](yaml_of(document, name))
        file = self.path / name
        if file.is_file() and file.read_bytes() == document:
            return False
        Disk().replace(file, document)
        self.__dict__[name.removesuffix(".yaml")] = parsed
        self.record(Kind.POLICY, {"what": name, "sha256": sha256(document).hexdigest()})
        return True

    # — rooms —

    def log(self) -> Log:
        """The ledger, recovered. Raises `LedgerRewritten` if it is not the log that was signed."""
        from custodes.ledger.log import Log
        from custodes.ledger.signer import Signer

        if self._log is None:
            self._log = Log.open(self.path / "ledger" / "log", Signer.from_bytes(self._read_key("signing.key")))
        return self._log

    def index(self) -> IndexLog:
        """The verifiable index and its log; a home made before there was one gets it now, recorded."""
        from custodes.ledger.index_log import open_index

        if self._index is None:
            folder = self.path / "ledger" / "index"
            key = self.path / "keys" / "index.key"
            self._index = open_index(self.log(), folder, key, lambda what: self.record(Kind.POLICY, what))
        return self._index

    @cached_property
    def publisher(self) -> Publisher:
        """Publishes this home's logs, to the witnesses that the settings name. Raises `ConfigError` for their file."""
        from custodes.ledger.witness_quorum import Publisher, read_witnesses

        file, strict = self.settings.ledger.witnesses, self.settings.ledger.publish == "strict"
        witnesses = read_witnesses(self.path / file, strict=strict) if file else None
        return Publisher(self.path / "ledger", witnesses, lambda what: self.record(Kind.POLICY, what))

    def vault(self) -> Vault:
        """The sealed memory."""
        from custodes.store.vault import Vault

        return Vault(self.path / "vault", self._key("vault"))

    def tag_key(self, subject: str) -> bytes | None:
        """Return k_tag of a subject (pseudonym), or None if no access of it was recorded, or it was erased."""
        from custodes.store.subject_keys import Wrapping, find_key

        found = find_key(self.vault(), Wrapping(self._table_key()), subject)
        return None if found is None else tag_key(found.key)

    def eraser(self) -> Eraser:
        """What destroys the data of one subject; who may ask for it is decided elsewhere."""
        from custodes.store.erasure import Eraser

        return Eraser(
            self.path,
            log=self.log(),
            vault=self.vault(),
            desk=self.desk(),
            pseudonyms=self.pseudonyms,
            key=self._record_key(),
            table_key=self._table_key(),
            settle=self.intake().settle,
            record=self.record,
            unprotect=self.registry().forget,
        )

    def releases(self, lock: Callable[[], AbstractContextManager[None]]) -> Releases:
        """Where the gate records, under the guard's `lock`; who may have what is decided elsewhere."""
        from custodes.intake import vocabulary
        from custodes.store.released import Releases

        return Releases(
            log=self.log(),
            vault=self.vault(),
            pseudonyms=self.pseudonyms,
            key=self._record_key(),
            table_key=self._table_key(),
            datamap=self.datamap,
            vocabulary=vocabulary(self.policy),
            lock=lock,
            settle=lambda: self.intake().recover(),
        )

    def expire_raws(self, before: date) -> Expired:
        """Let raw records of days of recording before `before` end: recorded, then their keys destroyed. Repeatable.

        Raises `HomeInUse` while logs are being read.
        """
        eraser, intake = self.eraser(), self.intake()
        with intake.quiet():
            intake.settle()
            expiring = eraser.expiring(before)
            if expiring.ranges:
                ranges: Json = [list(pair) for pair in expiring.ranges]
                what: dict[str, Json] = {"what": "expiry", "section": "raws", "before": before.isoformat(), "ranges": ranges}
                # Before this line nothing is destroyed; after it the record says that it will be.
                self.record(Kind.ERASURE, what)
            eraser.expire_raws(before)
            return expiring

    def accesses(self) -> Accesses:
        """The stored accesses."""
        from custodes.store.accesses import Accesses

        return Accesses(self.path / "accesses")

    def desk(self) -> Desk:
        """Findings kept from run to run."""
        from custodes.store.desk import Desk

        return Desk(self.path / "desk.sqlite")

    def context(self) -> ContextStore:
        """The context tables; each load is recorded."""
        from custodes.context.tables import ContextStore

        return ContextStore(self.path / "context", self.pseudonyms, record=self.record, keep=self.vault().keep)

    def registry(self) -> Registry:
        """The registry of protected people, which cannot be listed."""
        from custodes.protected.key import read_key
        from custodes.protected.registry import Registry

        settings = self.settings.registry
        if not settings.module:
            return Registry(self.path / "registry", read_key(self.path / "keys" / "registry.key"))
        return Registry(self.path / "registry", self.token_key)

    @cached_property
    def token_key(self) -> TokenKey:
        """The registry key in the token that the settings name."""
        from custodes.protected.hsm import TokenKey

        settings = self.settings.registry
        return TokenKey(settings.module, settings.token, settings.label, self.path / settings.pin_file)

    def derived(self) -> Derived:
        """What runs keep for later ones."""
        from custodes.store.derived import Derived

        return Derived(self.path / "derived", blake2b(b"derived state", key=self._key("vault"), digest_size=32).digest())

    def engine(self, threads: int | None = None) -> KeepingEngine:
        """A fresh engine that reads files of this home only. The caller closes it. `threads`: other than the settings say."""
        from custodes.engines.duckdb_engine import open_engine

        limits = self.settings.engine
        return open_engine(memory_mb=limits.memory_mb, threads=threads or limits.threads, directory=self.path)

    def intake(self) -> Intake:
        """The only writer of accesses."""
        from custodes.intake import Intake
        from custodes.intake.run import Limits

        limits = self.settings.intake
        coarse = limits.client_net == "coarse"
        return Intake(
            self.path,
            log=self.log(),
            vault=self.vault(),
            pseudonyms=self.pseudonyms,
            key=self._record_key(),
            table_key=self._table_key(),
            datamap=self.datamap,
            policy=self.policy,
            limits=Limits(limits.batch_records, limits.batch_mib * 2**20, coarse_net=coarse, heartbeat_s=limits.heartbeat_s),
            publish=self.checkpoint,
        )

    # — the record —

    def record(self, kind: int, what: Mapping[str, Json], now: datetime | None = None) -> int:
        """Append a leaf of kinds 4 to 10 about the home itself; its contents go sealed to the vault. Returns its index.

        `now`: instead of the clock.
        """
        from custodes.store.recorder import Recorder

        return Recorder(self.log(), self.vault()).record(kind, what, now)

    def own_leaves(self) -> list[OwnLeaf]:
        """The home's own leaves with their contents, in order. Raises `PartMissing` or `LedgerRewritten` if one is not whole."""
        from custodes.store.own_leaves import own_leaves
        from custodes.store.recorder import OWN

        log = self.log()
        with log.batch() as batch:  # nothing is added: this is how to learn the ends of a log that others append to
            size, count = batch.first, batch.next_of(OWN)[0]
        return own_leaves(self.vault(), log.read, size, count)

    def note_use(self, act: str, about: str | None = None) -> None:
        """Record that somebody uses custodes itself, before the answer: `act` is watch, explain or reveal. Durable on return."""
        from custodes import own_use

        who = self.pseudonyms.of("actor", own_use.login())
        own_use.note_use(self.own_leaves(), self.record, who, act, about)

    def checkpoint(self, *, force: bool = False) -> Checkpoint:
        """Sign what the log holds now, show it to the witnesses, publish it if they are enough; then the roots of the index due.

        Returns what was signed. `force`: the index then covers all that is published, the open month included.
        """
        index, now = self.index(), datetime.now(UTC)
        if (over := index.month_to_close(now)) is not None:
            self.record(Kind.HEARTBEAT, {"what": "month", "closed": over}, now)
        point = self.publisher.publish(self.log())
        # A kill here leaves the index behind the log; the next call brings it up.
        index.publish(now, force=force, witnesses=self.publisher.witnesses)
        self.publisher.note(index.log)
        return point

    def reveal_simulated(self, words: Iterable[str]) -> dict[str, str]:
        """Return company ids behind pseudonyms and access ids. Raises `Refused` unless the first leaf says *simulated*."""
        if not self.simulated:
            raise Refused("company ids are shown in simulated homes only")
        wanted = set(words)
        vault = self.vault()
        found = vault.names(wanted)
        found.update(vault.source_ids(wanted))
        return found

    @cached_property
    def access_id(self) -> Callable[[str], str]:
        """Names the access that goes with a decision: its number ("d-…") → the public id ("x-…")."""
        from custodes.store.released import access_id

        return partial(access_id, self._record_key())

    def _record_key(self) -> bytes:
        return blake2b(b"access ids", key=self._key("pseudonym"), digest_size=32).digest()

    def _table_key(self) -> bytes:
        return blake2b(b"subject keys", key=self._key("vault"), digest_size=32).digest()

    def _key(self, name: str) -> bytes:
        key = self._read_key(f"{name}.key")
        if len(key) != 32:
            raise MissingSecret(f"keys/{name}.key has not 32 bytes")
        return key

    def _read_key(self, name: str) -> bytes:
        try:
            return (self.path / "keys" / name).read_bytes()
        except OSError as wrong:
            raise MissingSecret(f"keys/{name} cannot be read: {wrong.strerror}", hint="restore it from your key backup") from None
