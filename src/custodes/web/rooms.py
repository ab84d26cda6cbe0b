"""What the door stands on, handed in by whoever opens it. Everything may be called from several threads at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from custodes.guard.asking import Asking
from custodes.guard.words import Identity, Released, Request
from custodes.web.identity import Identities


@dataclass(frozen=True, slots=True)
class Rooms:
    """`identities`: who asks. The gate's, of (request, identity, time, company's id of the subject): `evaluate` decides and records
    and releases nothing, its last part may be empty; `release`.

    `subject`: pseudonym of the company's id of a subject. `asking`: where people hand in requests and answers. `ready`: "" or why
    nothing can be recorded now. `clock`: aware, the server's. `shadow_until`: before it evaluations are not enforced.
    `origin`: of the page on which passkeys sign, "" without one.
    """

    identities: Identities
    evaluate: Callable[[Request, Identity, datetime, str], Released]
    release: Callable[[Request, Identity, datetime, str], Released]
    subject: Callable[[str], str]
    asking: Callable[[], Asking]
    ready: Callable[[], str]
    clock: Callable[[], datetime]
    shadow_until: datetime | None = None
    origin: str = ""
