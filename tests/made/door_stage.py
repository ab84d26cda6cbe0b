"""A door with an issuer, for tests: tokens, a judge with real rules, and what it stands on. Requests go in without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from custodes.guard.asking import Asking
from custodes.guard.decide import Judge, compile_rules
from custodes.guard.words import Identity, Known, Released, Request
from custodes.model.policy import Policy
from custodes.settings import ServeSettings
from custodes.web.door import Door
from custodes.web.identity import Identities, Names
from custodes.web.issuer import IssuerKeys
from custodes.web.rooms import Rooms

ISSUER, AUDIENCE = "https://idp.example", "custodes"
KEY = Ed25519PrivateKey.from_private_bytes(b"i" * 32)
SETTINGS = ServeSettings(issuer=ISSUER, audience=AUDIENCE, keys="issuer.json", country_claim="ctry")
POLICY = {
    "regions": {"US": {"countries": ["IE"]}},
    "purposes": {"abuse_investigation": ["ip_address"]},
}


def write_keys(folder: Path) -> None:
    """Write the issuer's JWKS."""
    (folder / "issuer.json").write_text(json.dumps({"keys": [_public()]}))


def _public() -> dict[str, Any]:
    return {**json.loads(OKPAlgorithm.to_jwk(KEY.public_key())), "kid": "k1", "alg": "EdDSA", "use": "sig"}


def token(actor: str = "ada", *, key: Any = KEY, algorithm: str = "EdDSA", kid: str = "k1", **changes: Any) -> str:
    """Return a token; `changes`: claims, None takes one out."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": actor, "iat": now, "exp": now + 600, "ctry": "IE", "amr": ["mfa"]}
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


def asked(subject: str = "s-aaaaaaaaaaaaaaaa", **changes: Any) -> dict[str, Any]:
    """Return an AuthZEN request."""
    context = {"purpose": "abuse_investigation", "reason_code": "SUBJECT_REPORT", "reason": "T-991", **changes}
    return {
        "subject": {"type": "actor", "id": "somebody-else"},
        "action": {"name": "reveal", "properties": {"mode": "value", "fields": ["app.users.last_ip"]}},
        "resource": {"type": "subject", "id": subject, "properties": {"system": "app-db"}},
        "context": context,
    }


GRANTED = Known(
    unit="support/tier2",
    place_of_work="IE",
    session_country="IE",
    employed=True,
    human=True,
    region="US",
    categories=("ip_address",),
    duties=(),
    approvals=1,
    reason_stands=True,
    granted=True,
)
"""Everything that a release needs."""


@dataclass
class Stage:
    """A door over a real judge. `known`: of each request; `looks_up`: called with each subject, may take time or raise.

    `recorded`: what was recorded, in order.
    """

    folder: Path
    known: Known = GRANTED
    settings: ServeSettings = SETTINGS
    shadow_until: datetime | None = None
    recorded: list[tuple[Request, Identity, Released]] = field(default_factory=list)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    asking: Callable[[], Asking] | None = None
    broken: Callable[[], str] = lambda: ""
    looks_up: Callable[[str], object] = str

    def __post_init__(self) -> None:
        write_keys(self.folder)
        self.judge = Judge(compile_rules(Policy.of(POLICY), b"policy", 1))
        names = Names(lambda own: f"a-{own}", lambda own: own)
        identities = Identities(self.settings, IssuerKeys(self.settings.keys, self.folder), names)
        rooms = Rooms(
            identities=identities,
            evaluate=self.evaluate,
            release=self.release,
            subject=lambda key: f"s-{key}",
            asking=self.asking or _nobody,
            ready=self.broken,
            clock=self.clock,
            shadow_until=self.shadow_until,
        )
        self.door = Door(rooms)
        self.application = self.door.application()

    def evaluate(self, request: Request, identity: Identity, now: datetime, key: str) -> Released:
        """Decide with real rules and keep what would be recorded."""
        del now, key
        self.looks_up(request.subject)
        decision = self.judge.decide(request, self.known)
        released = Released(decision, f"d-{len(self.recorded)}", len(self.recorded))
        self.recorded.append((request, identity, released))
        return released

    def release(self, request: Request, identity: Identity, now: datetime, key: str) -> Released:
        """Likewise, with a value."""
        found = self.evaluate(request, identity, now, key)
        return replace(found, values=({"app.users.last_ip": f"of {key}"},)) if found.decision.allowed else found

    def post(self, path: str, body: Any, *, bearer: str | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send one request to the application."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = {"authorization": f"Bearer {token() if bearer is None else bearer}"} if bearer != "" else {}
        return self.send("POST", path, content, {**shown, **(headers or {})})

    def get(self, path: str, *, bearer: str = "") -> httpx.Response:
        """Read."""
        return self.send("GET", path, b"", {"authorization": f"Bearer {bearer}"} if bearer else {})

    def send(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Send anything."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.request(method, path, content=content, headers=dict(headers))

        return asyncio.run(once())


def _nobody() -> Asking:
    raise AssertionError("this stage has no home")
