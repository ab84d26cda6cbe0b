"""Everything that can go wrong, sorted by who must act.

Each class carries the exit code of the command line's contract and a `hint`: what to do next. A line that cannot be read is no
error but a value (`custodes.model.draft.Rejected`): it is kept, sealed and counted, and the rest goes on.
"""

from __future__ import annotations


class CustodesError(Exception):
    """Root of the tree. `hint` says what the reader should do next; it never holds personal data."""

    exit_code: int = 5
    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class ConfigError(CustodesError):
    """The operator must act: settings, keys, rules."""

    exit_code = 2


class UnknownKey(ConfigError):
    """A settings, policy or rule file holds a key that is not known."""


class MissingSecret(ConfigError):
    """A key file is absent or unreadable."""


class WouldCreate(ConfigError):
    """The home does not exist, and nothing is created that was not asked for."""

    hint = "make one with `custodes init DIR`"


class BadRule(ConfigError):
    """A rule or template file breaks its contract or the SQL dialect."""


class InputError(CustodesError):
    """What came in cannot be used at all. A single bad line is never this."""

    exit_code = 2


class UnreadableFile(InputError):
    """A file is missing, a directory, or may not be read."""


class UnknownFormat(InputError):
    """No source, or more than one, recognises the file."""


class UnknownTable(InputError):
    """The context table's name is not one of the documented ones."""


class CouldNotCheck(CustodesError):
    """Evidence is missing: neither proven nor broken."""

    exit_code = 2


class PartMissing(CouldNotCheck):
    """A file of the record is absent or could not be read."""


class UnknownVersion(CouldNotCheck):
    """A format version that this reader does not know."""


class VerificationError(CustodesError):
    """Nobody should trust this record."""

    exit_code = 3


class BadSignature(VerificationError):
    """A signature of a known key does not verify."""


class BadInclusion(VerificationError):
    """A proof does not lead to the signed root."""


class LedgerRewritten(VerificationError):
    """Contents, tiles and signed roots disagree, or the log is shorter than what was signed."""


class Refused(CustodesError):
    """The guard, or a rule about people, said no."""

    exit_code = 4


class Outage(CustodesError):
    """Not available now; nothing was acknowledged that is not on disk."""

    exit_code = 5


class EngineUnavailable(Outage):
    """The query engine failed or is not installed."""


class NotDurable(Outage):
    """A write or sync failed (full disk, read-only disk): stop, mend, start again."""

    hint = "free space or mend the disk, then run the same command again: it goes on where it stopped"


class HomeInUse(Outage):
    """Another process holds the intake lock of this home."""

    hint = "wait until the other custodes process has finished, or stop it"


class RuleFailed(Outage):
    """A rule raised while it ran; the others went on, the failure leads the report."""
