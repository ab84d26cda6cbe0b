"""What people do about requests over HTTP: ask, read, approve, deny. Every statement is signed by the person it names.

Reasons of refusals are told here in full: they are about the caller's own signature and standing, never about a subject.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from custodes.errors import InputError, Refused
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
        statement, signature = _signed(body, identity)
        asking = self._rooms.asking()
        with _as_said(), asking.lock():
            asked = asking.hand_in(request, statement, signature, now)
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
        statement, signature = _signed(body, identity)
        asking = self._rooms.asking()
        with _as_said(), asking.lock():
            asked = asking.answer(body["number"], statement, signature, now)
        return 201, _shown(asked, now)

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


def _signed(body: Mapping[str, Any], identity: Identity) -> tuple[Statement, bytes]:
    statement, signature = statement_of(body.get("statement")), body.get("signature")
    if statement is None or not isinstance(signature, str) or body.get("method", METHOD) != METHOD:
        raise InputError("expected `statement`, `signature` (hex) and `method`")
    if statement.approver != identity.actor:
        raise Said(403, "the statement is not the caller's")
    try:
        return statement, bytes.fromhex(signature)
    except ValueError:
        raise InputError("signature: expected hex") from None


def _shown(asked: Asked, now: datetime) -> dict[str, Json]:
    if asked.request.act == GRANT:
        return document(asked, now)
    request: Request = asked.request
    return {"request": asked.number, "digest": request.digest(), **request.document()}
