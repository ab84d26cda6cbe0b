"""Intake, the only writer of accesses: raw record → sealed → ledger → minimised → stored, in that order.

    read a chunk, fold what is known, parse          nothing is kept yet
    under the ledger's lock: leaves, then one sealed frame of the vault, durable       the write-ahead record
    the leaves themselves, durable                   acknowledged: from here on the batch will be in the store
    rows to Parquet, positions, then MANIFEST.json   the store's commit line; many batches may share one

A run that was killed is completed at the next start from the sealed frames, so running again always ends in the same rows. Reading
a file twice, in any split or order, adds nothing.
"""

from __future__ import annotations

import fcntl
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from custodes.errors import HomeInUse, NotDurable
from custodes.intake.report import IngestReport
from custodes.intake.run import Limits, Progress, Run, Setup
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.source import Follow
from custodes.store.manifest import read_manifest
from custodes.store.memory import Memory
from custodes.store.rows import Minimiser
from custodes.store.settle import Settler
from custodes.store.vault import Vault

if TYPE_CHECKING:
    from custodes.ledger.log import Log

PURPOSES: Final = frozenset(
    {
        "analytics",
        "code_of_conduct",
        "fraud",
        "legal_hold",
        "legal_process",
        "life_safety",
        "marketing",
        "oversight",
        "privacy_request",
        "quality",
        "repair",
        "security_analytics",
        "security_response",
        "support",
        "training",
        "trust_safety",
    }
)
"""Purposes that stand in clear where no policy names its own vocabulary."""


def vocabulary(policy: Policy) -> frozenset[str]:
    """Return the purposes that stand in clear under a policy."""
    return (frozenset(policy.purposes) or PURPOSES) | frozenset(policy.never_purposes)


class Intake:
    """Reads logs into one home. One run at a time: `read` raises `HomeInUse` while another process reads."""

    def __init__(
        self,
        home: Path,
        *,
        log: Log,
        vault: Vault,
        pseudonyms: Pseudonyms,
        key: bytes,
        table_key: bytes,
        datamap: DataMap,
        policy: Policy,
        limits: Limits,
        publish: Callable[[], object],
    ) -> None:
        """`key`: makes ids of records; `table_key`: wraps subjects' keys (32 random bytes each).

        `publish`: signs and publishes the log; called at the end of a run, and every second while logs are followed.
        """
        self._home, self._log, self._vault, self._pseudonyms = home, log, vault, pseudonyms
        self._key, self._table_key, self._datamap, self._limits, self._publish = key, table_key, datamap, limits, publish
        self._vocabulary = vocabulary(policy)
        self.stopping = False
        """Set from a signal handler to end `read` cleanly after the chunk at hand."""

    def read(
        self, source: str, paths: Sequence[str], *, follow: Follow | None = None, progress: Progress | None = None
    ) -> IngestReport:
        """Read `paths` with the source of that name (`auto`: each file's own), record and store them. Idempotent, crash-safe.

        An input that cannot be opened or recognised is named in the report's `unread`; the others are read all the same. With
        `follow` it goes on until `stopping` is set or every input has been idle for `idle_stop_s`. `progress` gets the number of
        records read so far. Raises `HomeInUse`, `NotDurable`.
        """
        with self._lock(), no_cycle_search(), self._run(progress) as run:
            run.recover()
            opened = []
            for path, kind in run.sources(source, paths):
                if follow is None:
                    run.one(kind, path)
                else:
                    opened.append((kind, path))
                if self.stopping:
                    break
            if follow is not None and opened:
                run.follow(opened, follow)
            run.end()
            return run.report

    def recover(self) -> None:
        """Complete what a killed run left, without reading anything. Raises `HomeInUse`."""
        with self._lock():
            self.settle()

    def take_in(self) -> None:
        """Store what the gate recorded since the last run; nothing while logs are being read: that run does it."""
        if self._vault.intake.count() > read_manifest(self._home / "accesses").batches:
            with suppress(HomeInUse):
                self.recover()

    def settle(self) -> None:
        """Do what `recover` does, for a caller who holds `quiet`."""
        with self._run(None) as run:
            run.recover()
            run.end()

    def quiet(self) -> AbstractContextManager[None]:
        """Keep this home from taking anything in while the body runs. Raises `HomeInUse` if logs are being read."""
        return self._lock()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            handle = os.open(self._home / "intake.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as wrong:
            raise NotDurable(f"the home cannot be written: {wrong.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeInUse("another process is reading logs into this home") from None
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _run(self, progress: Progress | None) -> Iterator[Run]:
        memory = Memory(self._vault, table_key=self._table_key, origin=self._log.origin)
        try:
            settler = Settler(
                self._home / "accesses",
                log=self._log,
                vault=self._vault,
                memory=memory,
                pseudonyms=self._pseudonyms,
                minimiser=Minimiser(self._pseudonyms, self._vocabulary, coarse_net=self._limits.coarse_net),
                datamap=self._datamap,
                key=self._key,
            )
            setup = Setup(
                self._log, self._vault, self._key, self._datamap, self._limits, self._publish, stopping=lambda: self.stopping
            )
            yield Run(setup, settler, memory, progress)
        finally:
            memory.close()


@contextmanager
def no_cycle_search() -> Iterator[None]:
    """Keep Python from searching for reference cycles among the millions of objects of a run (a fifth of its time, here).

    Batches hold none, and are freed when they are recorded; what parsers leave is looked for now and then (`run`). What a run
    of `watch` makes lives to its end.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
