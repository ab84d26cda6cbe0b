"""Who asks: a bearer token of the company's issuer (OIDC), or a client certificate. Headers other than Authorization say nothing.

A token counts if one of the issuer's own keys signed it with an algorithm that the settings allow, it is for this service
(audience) by this issuer, and the server's clock is within its time. The settings say which claim holds the company's id of the
actor; that id becomes the actor's pseudonym here, and goes no further.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from custodes.errors import ConfigError, CustodesError, Refused
from custodes.guard.words import Identity
from custodes.settings import ServeSettings
from custodes.web.issuer import ALGORITHMS, IssuerKeys

if TYPE_CHECKING:
    import jwt

MOST_TOKEN: Final = 8 * 1024
MOST_LEEWAY_S: Final = 300
MOST_AGE_S: Final = 24 * 3600
_MOST_SEEN: Final = 1_024
"""Tokens whose signatures need not be verified again."""
_PRESENT: Final = frozenset({"face", "fpt", "iris", "mfa", "pin", "retina", "user", "vbm"})
"""Words of `amr` (RFC 8176) that say that a person was there."""
_CERTIFICATE: Final = {"cn": "commonName", "email": "email", "uid": "userId"}


@dataclass(frozen=True, slots=True)
class Names:
    """How company ids become what the guard knows. `pseudonym`: of an actor; `login`: their own at guarded databases, or None."""

    pseudonym: Callable[[str], str]
    login: Callable[[str], str | None]


class NotIdentified(Refused):
    """Nobody was identified: why is not told to who asks."""


class _Seen(NamedTuple):
    """A token whose signature was verified: with which key, of which id, and what it says."""

    key: jwt.PyJWK
    name: str | None
    claims: Mapping[str, Any]


class Identities:
    """Turns what a connection and a request show into an `Identity`. Safe for threads."""

    def __init__(self, settings: ServeSettings, keys: IssuerKeys | None, names: Names) -> None:
        """Raises `ConfigError` if tokens are accepted without issuer and audience, or an algorithm is not allowed at all."""
        self._settings, self._keys, self._names = settings, keys, names
        self._seen: dict[bytes, _Seen] = {}
        self._algorithms = tuple(settings.algorithms.split())
        if unknown := set(self._algorithms) - set(ALGORITHMS):
            raise ConfigError(f"serve.algorithms: {min(unknown)} is not allowed; choose of {' '.join(ALGORITHMS)}")
        if keys is not None and not (settings.issuer and settings.audience and self._algorithms):
            raise ConfigError("tokens need serve.issuer, serve.audience and serve.algorithms")
        if settings.leeway_s > MOST_LEEWAY_S:
            raise ConfigError(f"serve.leeway_s: at most {MOST_LEEWAY_S}")
        if settings.certificate_name not in _CERTIFICATE:
            raise ConfigError(f"serve.certificate_name: one of {', '.join(_CERTIFICATE)}")

    def at_once(self, authorization: str, certificate: Mapping[str, Any] | None) -> Identity | None:
        """Return who asks, as `of`, if that needs neither the issuer nor long sums; else None. Raises `NotIdentified`."""
        seen = self._seen.get(_digest(authorization.partition(" ")[2])) if authorization else None
        known = seen is not None and self._keys is not None and self._keys.has(seen.name)
        return self.of(authorization, certificate) if known or not authorization else None

    def of(self, authorization: str, certificate: Mapping[str, Any] | None) -> Identity:
        """Return who asks. `authorization`: the header; `certificate`: the verified peer's, as `ssl` gives it.

        With both, both must name the same actor. Raises `NotIdentified`, and `Outage` if the issuer's keys cannot be had.
        """
        by_token = self._by_token(authorization) if authorization else None
        by_certificate = self._by_certificate(certificate) if certificate else None
        if by_token is not None and by_certificate is not None and by_token.actor != by_certificate.actor:
            raise NotIdentified("token and certificate name different people")
        found = by_token or by_certificate
        if found is None:
            raise NotIdentified("neither a token nor a certificate was shown")
        return found

    def _by_token(self, authorization: str) -> Identity:
        claims = self._claims(authorization)
        own = claims.get(self._settings.actor_claim)
        if not isinstance(own, str) or not own:
            raise NotIdentified("the token does not have the claim that names the actor")
        country = claims.get(self._settings.country_claim) if self._settings.country_claim else None
        known = isinstance(country, str) and len(country) == 2 and country.isascii() and country.isalpha()
        methods = claims.get("amr")
        present = isinstance(methods, list) and not _PRESENT.isdisjoint(word for word in methods if isinstance(word, str))
        # A service's own token names the client as its subject (RFC 9068, client credentials).
        human = claims.get("sub") not in {claims.get("client_id"), claims.get("azp")}
        return Identity(
            actor=self._names.pseudonym(own),
            login=self._names.login(own),
            session_country=str(country).upper() if known else None,
            country_source="idp" if known else "none",
            human=human,
            method="oidc",
            user_verified=present,
        )

    def _claims(self, authorization: str) -> Mapping[str, Any]:
        import jwt

        kind, _, token = authorization.partition(" ")
        if self._keys is None or kind.lower() != "bearer" or not token or len(token) > MOST_TOKEN:
            raise NotIdentified("this is no bearer token that is taken here")
        digest = _digest(token)
        if (seen := self._seen.get(digest)) is not None and self._still_counts(seen):
            return seen.claims
        try:
            head = jwt.get_unverified_header(token)
            key = self._key(head)
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[str(head["alg"])],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except CustodesError:
            raise
        except Exception as wrong:  # noqa: BLE001  # whatever a stranger's token does to the parser, nobody was identified
            raise NotIdentified(f"the token does not count: {type(wrong).__name__}") from None
        if float(claims["exp"]) - float(claims["iat"]) > MOST_AGE_S:
            raise NotIdentified("the token lives too long")
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[digest] = _Seen(key, head.get("kid"), claims)
        return claims

    def _still_counts(self, seen: _Seen) -> bool:
        """Say whether a token that counted counts now: its key is still the issuer's, and the clock is within its time."""
        now, leeway = time.time(), self._settings.leeway_s
        begins = max(int(seen.claims.get(name, 0)) for name in ("iat", "nbf"))
        within = begins - leeway <= now < int(seen.claims["exp"]) + leeway
        return within and self._keys is not None and self._keys.find(seen.name) is seen.key

    def _key(self, head: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the issuer's key that a token's head names. The algorithm is not the token's choice."""
        algorithm, name = head.get("alg"), head.get("kid")
        if algorithm not in self._algorithms or self._keys is None:
            raise NotIdentified("the token is signed with an algorithm that is not taken")
        key = self._keys.find(name if isinstance(name, str) else None)
        if key is None or key.algorithm_name != algorithm:
            raise NotIdentified("the token's key is not one of the issuer's")
        return key

    def _by_certificate(self, certificate: Mapping[str, Any]) -> Identity:
        """Return the actor of a client certificate. It says who, not from where: the session's country stays unknown."""
        wanted = self._settings.certificate_name
        if wanted == "email":
            own = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "email"]
        else:
            own = [value for part in certificate.get("subject", ()) for kind, value in part if kind == _CERTIFICATE[wanted]]
        if len(own) != 1 or not own[0]:
            raise NotIdentified("the certificate names nobody, or several")
        return Identity(actor=self._names.pseudonym(own[0]), login=self._names.login(own[0]), country_source="none", method="mtls")


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
