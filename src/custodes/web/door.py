"""The decision API (OpenID AuthZEN 1.0) and what people do about requests, over HTTP.

    POST /access/v1/evaluation         decide and record; 200 with `decision` either way
    POST /guard/v1/release             the gate: recorded, then the value or the lease
    POST /guard/v1/requests/draft      a request (act, content) and the statement with which who asks signs it
    POST /guard/v1/requests            hand it in, signed
    POST /guard/v1/requests/N/draft    the statement with which the caller would answer request N (approve, deny)
    POST /guard/v1/requests/N/answers  hand the answer in, signed
    POST /guard/v1/passkeys            what others would ask to enrol, from what the caller's browser registered
    GET  /guard/v1/requests            those that the caller may read: their own, and those that wait for somebody
    GET  /health  /metrics             plain text, for monitors; they need no token and name nobody

A body has at most 16 KiB and five seconds to arrive. Whoever asks is verified before the body is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from custodes.errors import CustodesError, InputError, Refused
from custodes.guard.words import Identity, Released, request_of
from custodes.model.canonical import Json
from custodes.web import answers, people
from custodes.web.identity import NotIdentified
from custodes.web.metrics import Metrics
from custodes.web.rooms import Rooms

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

MOST_BODY: Final = 16 * 1024
BODY_S: Final = 5.0
THREADS: Final = 32
"""Requests answered at once; others wait for a thread."""
_Work = Callable[[Identity, Any, datetime], tuple[int, dict[str, Json]]]


class _Unreadable(Exception):
    """A body that is too large or too slow. `args[0]`: class of the refusal."""


class Door:
    """Answers requests of one home."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms, self._metrics = rooms, Metrics()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="door")

    def application(self) -> Starlette:
        """Return the ASGI application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        def post(path: str, door: str, work: _Work) -> Route:
            return Route(path, self._door(door, work), methods=["POST"])

        desk = people.Desk(self._rooms)
        number = "/guard/v1/requests/{number:int}"
        return Starlette(
            routes=[
                post("/access/v1/evaluation", "evaluation", self._evaluate),
                post("/guard/v1/release", "release", self._release),
                post("/guard/v1/passkeys", "requests", desk.register),
                post("/guard/v1/requests/draft", "requests", desk.draft),
                post("/guard/v1/requests", "requests", desk.hand_in),
                post(f"{number}/draft", "requests", desk.draft_answer),
                post(f"{number}/answers", "requests", desk.answer),
                Route("/guard/v1/requests", self._door("requests", desk.listed), methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
                Route("/metrics", self._shown, methods=["GET"]),
            ],
        )

    def close(self) -> None:
        """Wait for what is being answered."""
        self._threads.shutdown()

    # — decisions —

    def _evaluate(self, identity: Identity, document: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Decide and record. In shadow mode nothing is refused, and the answer says so and what it would have been."""
        key = self._key(document, needed=False)
        released = self._rooms.evaluate(request_of(document, identity.actor), identity, now, key)
        body, until = _told(released), self._rooms.shadow_until
        if until is not None and now < until:
            would = {"decision": body["decision"], "context": body["context"]}
            return 200, {"decision": True, "context": {"shadow": True, "until": until.date().isoformat(), "would": would}}
        return (200, body) if released.decision.allowed else (200, _refused(released)[1])

    def _release(self, identity: Identity, document: Any, now: datetime) -> tuple[int, dict[str, Json]]:
        """Release through the gate. There is no shadow here: a release is always enforced."""
        key = self._key(document, needed=True)
        released = self._rooms.release(request_of(document, identity.actor), identity, now, key)
        if not released.decision.allowed:
            return _refused(released)
        body = _told(released)
        body["access"] = released.access
        body["again"] = released.again
        if released.values is not None:
            body["values"] = [dict(row) for row in released.values]
        if released.lease is not None:
            body["lease"] = {"id": released.lease, "until": released.until.isoformat() if released.until else None}
        return 200, body

    def _key(self, document: Any, *, needed: bool) -> str:
        """Return the company's id of the subject, and put its pseudonym into the request in its place."""
        resource = document.get("resource", {})
        key, given = resource.get("properties", {}).pop("key", None), resource.get("id")
        if key is None and not needed:
            return ""
        if not isinstance(key, str) or not key:
            raise InputError("resource.properties.key: expected the company's id of the subject")
        subject = self._rooms.subject(key)
        if given is not None and given != subject:
            raise InputError("resource.id and resource.properties.key name two subjects")
        resource["id"] = subject
        return key

    # — the frame of every request —

    def _door(self, name: str, work: _Work) -> Callable[[HttpRequest], Awaitable[Response]]:
        from starlette.responses import Response

        async def answer(request: HttpRequest) -> Response:
            began = time.monotonic()
            self._metrics.began()
            kind = "crash"
            try:
                status, body = await self._answered(request, work)
                kind = str(body.get("reason_class") or "fine")
            finally:
                self._metrics.ended(name, kind, time.monotonic() - began)
            if kind != "fine":
                await asyncio.sleep(answers.wait_s(time.monotonic() - began))
            headers = {"cache-control": "no-store"} | ({"www-authenticate": "Bearer"} if status == 401 else {})
            return Response(msgspec.json.encode(body), status, headers, media_type="application/json")

        return answer

    async def _answered(self, request: HttpRequest, work: _Work) -> tuple[int, dict[str, Json]]:
        loop = asyncio.get_running_loop()
        authorization = request.headers.getlist("authorization")
        certificate = request.scope.get("extensions", {}).get("custodes.peer")
        try:
            who = ", ".join(authorization)  # two tokens are none
            identities = self._rooms.identities
            identity = identities.at_once(who, certificate)
            if identity is None:
                identity = await loop.run_in_executor(self._threads, identities.of, who, certificate)
            document = await _read(request)
            now = self._rooms.clock()
            return await loop.run_in_executor(self._threads, work, identity, document, now)
        except NotIdentified:
            return answers.refusal("not_identified")
        except _Unreadable as wrong:
            return answers.refusal(str(wrong.args[0]))
        except InputError:
            return answers.refusal("malformed")
        except people.Said as said:
            return said.status, {"reason_class": "refused", "text": said.text}
        except Refused:
            return answers.refusal("not_permitted")
        except Exception as wrong:  # noqa: BLE001  # whatever breaks, nothing is released, and the caller learns no more than that
            people.note(wrong if isinstance(wrong, CustodesError) else type(wrong).__name__)
            return answers.refusal("unavailable")

    # — monitors —

    async def _health(self, request: HttpRequest) -> Response:
        from starlette.responses import PlainTextResponse

        del request
        wrong = await asyncio.get_running_loop().run_in_executor(self._threads, self._rooms.ready)
        until = self._rooms.shadow_until
        shadow = until is not None and self._rooms.clock() < until
        lines = [wrong or "ready", *([f"SHADOW MODE: evaluations are not enforced until {until:%Y-%m-%d}"] if shadow else [])]
        return PlainTextResponse("".join(f"{line}\n" for line in lines), 503 if wrong else 200)

    async def _shown(self, request: HttpRequest) -> Response:
        from starlette.responses import PlainTextResponse

        del request
        until = self._rooms.shadow_until
        return PlainTextResponse(self._metrics.text(shadow=until is not None and self._rooms.clock() < until))


async def _read(request: HttpRequest) -> Any:
    """Return the decoded body, {} for none. Raises `_Unreadable` or `InputError`."""
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BODY:
                    raise _Unreadable("too_large")
    except TimeoutError:
        raise _Unreadable("too_slow") from None
    except ClientDisconnect:
        raise InputError("the connection was closed") from None
    try:
        document = msgspec.json.decode(bytes(body)) if body else {}
    except (ValueError, RecursionError):  # `DecodeError` is a ValueError
        raise InputError("the body is no JSON") from None
    if not isinstance(document, dict):
        raise InputError("the body is no JSON object")
    resource = document.get("resource", {})
    if not isinstance(resource, dict) or not isinstance(resource.get("properties", {}), dict):
        raise InputError("resource: expected an object")
    return {**request.path_params, **document} if request.method == "GET" else {**document, **request.path_params}


def _told(released: Released) -> dict[str, Json]:
    body = released.decision.told(released.number)
    context = body["context"]
    if isinstance(context, dict):
        context["ledger"] = {"index": released.index}
    return body


def _refused(released: Released) -> tuple[int, dict[str, Json]]:
    """Return the one answer of the class. What stands in the record alone (id, rules, index) could tell cases apart: not given."""
    kind = released.decision.reason_class or "not_permitted"
    return answers.refusal(kind, {"requestable": list(released.decision.requestable) or None})
