"""RFC 3161 time stamps over a published checkpoint: proof that it existed at a time, not that it was the only one.

`checkpoint.tsr` beside the log is the authority's answer, `checkpoint.stamped` the note that it covers: `checkpoint` moves on.
Needs the extra `custodes[timestamp]`; whoever has it not is told so, and everything else works.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256, sha512
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from custodes.errors import BadSignature, ConfigError, PartMissing
from custodes.ledger.segments import read_bytes

if TYPE_CHECKING:
    from rfc3161_client import TimeStampRequest, TimeStampResponse

STAMP: Final = "checkpoint.tsr"
STAMPED: Final = "checkpoint.stamped"
_HASHES: Final = {"2.16.840.1.101.3.4.2.1": sha256, "2.16.840.1.101.3.4.2.3": sha512}
_GRANTED: Final = 0


def stamped_note(folder: Path, stamp: bytes) -> bytes:
    """Return the note beside a stamp that it covers: the published one, or the one that was kept with it.

    Raises `BadSignature` if it covers neither, `PartMissing` without the extra.
    """
    answer = read_answer(stamp)
    for name in ("checkpoint", STAMPED):
        if (folder / name).exists() and covers(answer, note := read_bytes(folder / name)):
            return note
    raise BadSignature("the time stamp covers none of the checkpoints beside it")


def time_of(stamp: bytes, note: bytes, certificates: bytes) -> datetime:
    """Return when the authority has seen `note`. `certificates`: the reader's trusted roots, with what lies between, as PEM.

    Raises `BadSignature` if the stamp does not cover the note or nobody trusted made it, `ConfigError` for the certificates,
    `PartMissing` without the extra.
    """
    from cryptography.x509 import load_pem_x509_certificates

    client = _client()
    try:
        trusted = load_pem_x509_certificates(certificates)
    except ValueError:
        raise ConfigError("the time-stamp authority's certificates are not PEM") from None
    answer = read_answer(stamp)
    if not covers(answer, note):
        raise BadSignature("the time stamp does not cover this checkpoint")
    try:
        client.VerifierBuilder(roots=list(trusted)).build().verify_message(answer, note)
    except client.VerificationError as wrong:
        raise BadSignature(f"the time stamp does not verify: {wrong}") from None
    return answer.tst_info.gen_time


def make_request(note: bytes) -> TimeStampRequest:
    """Return a request for a stamp over `note`, with a fresh nonce. Raises `PartMissing` without the extra."""
    client = _client()
    request: TimeStampRequest = client.TimestampRequestBuilder(data=note, hash_algorithm=client.HashAlgorithm.SHA256).build()
    return request


def read_answer(stamp: bytes) -> TimeStampResponse:
    """Read an authority's answer that grants a stamp. Raises `BadSignature`; proves nothing."""
    client = _client()
    try:
        answer: TimeStampResponse = client.decode_timestamp_response(stamp)
        if answer.status == _GRANTED and answer.tst_info is not None:
            return answer
    except ValueError:
        raise BadSignature("this is no answer of a time-stamp authority") from None
    raise BadSignature("the time-stamp authority has granted no stamp")


def covers(answer: TimeStampResponse, note: bytes) -> bool:
    """Say whether a stamp is over exactly these bytes."""
    imprint = answer.tst_info.message_imprint
    algorithm = _HASHES.get(imprint.hash_algorithm.dotted_string)
    return algorithm is not None and imprint.message == algorithm(note).digest()


def _client() -> Any:
    try:
        import rfc3161_client
    except ImportError:
        raise PartMissing(
            "time stamps need the package rfc3161-client, which is not installed", hint="pip install 'custodes[timestamp]'"
        ) from None
    return rfc3161_client
