"""What people do about requests over HTTP: ask, read, approve, deny. Every statement is signed by the person it names.

Reasons of refusals are told here in full: they are about the caller's own signature and standing, never about a subject.
"""

from __future__ import annotations

import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from custodes.errors import ConfigError, InputError, Refused
from custodes.guard import passkey
from custodes.guard.approval import APPROVE, DENY, METHOD, Request, Statement, request_of, statement_of
from custodes.guard.book import GRANT, Asked
from custodes.guard.grants import document
from custodes.guard.words import Identity
from custodes.model.canonical import Json
from custodes.web.rooms import Rooms

_PSEUDONYM: Final = "s-"


class Said(Exception):
    """A refusal that the caller may read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def note(wrong: object) -> None:
    """Say on stderr what broke. Errors of the program hold no personal data; of others only the class is passed here."""
    sys.stderr.write(f"custodes guard serve: {wrong}\n")


class Desk:
    """Requests and answers of people who were identified."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def draft(self, identity: Identity, body: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Return a request and its statement. Nothing is recorded. Subjects may be given by the company's ids."""
        act, content = body.get("act"), body.get("content")
        if not isinstance(act, str) or not isinstance(content, dict):
            raise InputError("expected `act` and `content`")
        scope = content.get("scope")
        if act == GRANT and isinstance(scope, dict) and isinstance(scope.get("subjects"), list):
            content = {**content, "actor": identity.actor, "scope": {**scope, "subjects": self._pseudonyms(scope["subjects"])}}
        request, statement = self._rooms.asking().draft(act, identity.actor, content, now)
        return 200, {"request": request.document(), **_to_sign(statement)}

    def hand_in(self, identity: Identity, body: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Record a signed request."""
        request = request_of(body.get("request"))
        if request is None or request.by != identity.actor:
            raise Said(403, "the request is not the caller's")
        statement, signature, method = _signed(body, identity)
        asking = self._rooms.asking()
        with _as_said(), asking.lock():
            asked = asking.hand_in(request, statement, signature, now, method)
        return 201, _shown(asked, now)

    def draft_answer(self, identity: Identity, body: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Return the statement with which the caller would answer."""
        decision = body.get("decision")
        if decision not in {APPROVE, DENY}:
            raise InputError("decision: approve or deny")
        with _as_said():
            return 200, _to_sign(self._rooms.asking().statement(body["number"], identity.actor, decision, now))

    def answer(self, identity: Identity, body: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Record a signed answer."""
        statement, signature, method = _signed(body, identity)
        asking = self._rooms.asking()
        with _as_said(), asking.lock():
            asked = asking.answer(body["number"], statement, signature, now, method)
        return 201, _shown(asked, now)

    def register(self, identity: Identity, body: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Return the word for a passkey that the caller's browser made: what two others ask to enrol. Nothing is recorded."""
        del now
        origin = self._rooms.origin
        if not origin:
            raise Said(403, "passkeys are not set up here: serve.origin is empty")
        try:
            made = passkey.registered(
                _bytes(body["credential"]), _bytes(body["public_key"]), urlsplit(origin).hostname or "", origin
            )
        except (KeyError, TypeError, ValueError, ConfigError):
            raise InputError("expected `credential` and `public_key` (SPKI) in base64url") from None
        return 200, {"act": "enrol", "content": {"actor": identity.actor, "key": made.to_text()}}

    def listed(self, identity: Identity, body: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Return the caller's requests, and those that still wait for an answer of somebody else."""
        del body
        book = self._rooms.asking().book()
        mine = [
            _shown(asked, now)
            for asked in book.requests.values()
            if asked.request.by == identity.actor or (asked.in_force is None and asked.denied is None)
        ]
        return 200, {"schema": "custodes.requests/1", "requests": mine}

    def _pseudonyms(self, subjects: list[Any]) -> list[Json]:
        if not all(isinstance(subject, str) for subject in subjects):
            raise InputError("subjects: expected words")
        return [subject if subject.startswith(_PSEUDONYM) else self._rooms.subject(subject) for subject in subjects]


@contextmanager
def _as_said() -> Iterator[None]:
    try:
        yield
    except Refused as wrong:
        raise Said(403, str(wrong)) from None


def _to_sign(statement: Statement) -> dict[str, Json]:
    return {
        "statement": statement.document(),
        "canonical": statement.to_bytes().decode("utf-8"),
        "challenge": statement.challenge().hex(),
    }


def _signed(body: Mapping[str, Any], identity: Identity) -> tuple[Statement, bytes, str]:
    """Return statement, signature and how it was signed: hex of Ed25519, or a passkey's assertion in base64url."""
    statement, method = statement_of(body.get("statement")), body.get("method", METHOD)
    if statement is None or method not in {METHOD, passkey.METHOD}:
        raise InputError("expected `statement`, and `method`: ed25519 or webauthn")
    if statement.approver != identity.actor:
        raise Said(403, "the statement is not the caller's")
    try:
        if method == METHOD:
            return statement, bytes.fromhex(body["signature"]), method
        parts = body["assertion"]
        return statement, passkey.Assertion(*(_bytes(parts[name]) for name in passkey.Assertion._fields)).to_bytes(), method
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError("expected `signature` in hex, or `assertion` with its four parts in base64url") from None


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _shown(asked: Asked, now: datetime) -> dict[str, Json]:
    if asked.request.act == GRANT:
        return document(asked, now)
    request: Request = asked.request
    return {"request": asked.number, "digest": request.digest(), **request.document()}
