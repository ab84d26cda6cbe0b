"""A witness (C2SP tlog-witness v1.0.0): remembers the largest checkpoint of each log and cosigns only what extends it.

    POST /add-checkpoint                      200 cosignatures · 400 malformed · 403 not signed by the log · 404 unknown log ·
                                              409 and the size last cosigned · 422 no proof that the tree extends it
    GET  /<SHA-256 of origin, hex>/checkpoint the last one cosigned, with the log's signatures and ours

`Witness` judges and knows no network; `Server` speaks HTTP for it, on the standard library, bounded in bytes, time and connections.
Anybody may ask: a request is worth what the log's signature on it is worth. Put TLS, if wanted, in front of it.
"""

from __future__ import annotations

import base64
import binascii
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from custodes.errors import BadInclusion, BadSignature, ConfigError, CustodesError, Outage
from custodes.ledger.checkpoint import Checkpoint, parse_body
from custodes.ledger.cosigner import Cosigner
from custodes.ledger.merkle import EMPTY_ROOT, verify_consistency
from custodes.ledger.note import Key, Malformed, Note, Signature, Unsigned, parse, verify
from custodes.ledger.witness_state import Seen, State, find, keep_fork, store

MOST_BYTES: Final = 128 * 1024
"""Of a request's body: a checkpoint has at most 100 signature lines, of which one or two are long."""
_MOST_HASHES: Final = 63
_TEXT: Final = "text/plain; charset=utf-8"
_SIZE: Final = "text/x.tlog.size"
_PLACE: Final = re.compile(r"/([0-9a-f]{64})/checkpoint")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered."""

    status: int
    body: bytes
    kind: str = _TEXT


@dataclass(frozen=True, slots=True)
class Request:
    """An `add-checkpoint` as read; nothing in it is verified. `old`: size that the sender believes was cosigned last.

    `origin`: the first line of `note`, which may turn out to be none.
    """

    old: int
    proof: tuple[bytes, ...]
    origin: str
    note: bytes


def parse_request(body: bytes) -> Request:
    """Read the body of an `add-checkpoint`. Raises `Malformed`."""
    head, divider, note = body.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    size = re.fullmatch(r"old (0|[1-9][0-9]{0,18})", lines[0])
    if not divider or size is None or int(size[1]) >= 2**63:
        raise Malformed("the body starts with `old`, a size without leading zeros, the proof and an empty line")
    if len(lines) - 1 > _MOST_HASHES:
        raise Malformed(f"a consistency proof has at most {_MOST_HASHES} hashes")
    origin, newline, _ = note.partition(b"\n")
    if not newline:
        raise Malformed("after the empty line stands a checkpoint")
    return Request(int(size[1]), tuple(_hash(line) for line in lines[1:]), origin.decode("utf-8", "replace"), note)


def _hash(line: str) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 32 or base64.b64encode(value).decode("ascii") != line:
        raise Malformed("a line of the consistency proof is base64 of 32 bytes")
    return value


class Witness:
    """Judges checkpoints. Safe for threads; several processes may share one memory and key."""

    def __init__(self, cosigner: Cosigner, state: State, logs: Sequence[Key], *, clock: Callable[[], float] = time.time) -> None:
        """`logs`: the verifier keys of the logs to be watched; a log's origin is its keys' name. Raises `ConfigError`."""
        self._cosigner, self._state, self._clock = cosigner, state, clock
        self._logs: Mapping[str, tuple[Key, ...]] = {
            key.name: tuple(other for other in dict.fromkeys(logs) if other.name == key.name) for key in logs
        }
        if too_long := [origin for origin in self._logs if len(origin.encode()) > 255]:
            raise ConfigError(f"the name of log {too_long[0][:40]}… is longer than a cosignature can hold")
        self._places = {sha256(origin.encode()).hexdigest(): origin for origin in self._logs}

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer an `add-checkpoint`. A cosignature that is given out is in the memory, durably. Raises `Outage`.

        Durable: before the answer is returned. Order: size and root of a log never go back. Again: the same size and root are
        cosigned again.
        """
        # 1. Its form.
        try:
            request = parse_request(body)
        except Malformed as wrong:
            return _refused(400, str(wrong))
        # 2. A log that this witness watches, and its signature. One of its keys is enough; a wrong or damaged line is not.
        keys = self._logs.get(request.origin)
        if keys is None:
            return _refused(404, "this witness does not watch this log")
        try:
            note = parse(request.note)
            opened = verify(note, keys)
        except (BadSignature, Unsigned) as wrong:
            return _refused(403, str(wrong))
        # 3. A checkpoint, not smaller than what it is said to extend.
        try:
            wanted = parse_body(opened.text)
        except Malformed as wrong:
            return _refused(400, str(wrong))
        if request.old > wanted.size:
            return _refused(400, "the old size is larger than the checkpoint's")
        own = [line for line in note.signatures if any((key.name, key.key_id) == (line.name, line.key_id) for key in keys)]
        # 4. Compare and store: one transaction.
        return self._compare(request, wanted, list(dict.fromkeys(own)))

    def _compare(self, request: Request, wanted: Checkpoint, own: list[Signature]) -> Answer:
        now = int(self._clock())
        with self._state.comparing() as cursor:
            seen = find(cursor, wanted.origin)
            known = seen.size if seen else 0
            if request.old != known:
                return Answer(409, f"{known}\n".encode(), _SIZE)
            if seen is not None and seen.size == wanted.size and seen.root != wanted.root:
                note = Note(wanted.body(), tuple(own)).to_bytes()
                keep_fork(cursor, Seen(wanted.origin, wanted.size, wanted.root, note, now), seen)
                return _refused(422, "this size was cosigned with another root")
            try:
                _extends(seen, wanted, request.proof)
            except BadInclusion as wrong:
                return _refused(422, str(wrong))
            lines = self._cosigner.cosign(wanted.body(), now)
            store(cursor, Seen(wanted.origin, wanted.size, wanted.root, Note(wanted.body(), (*own, *lines)).to_bytes(), now))
        return Answer(200, "".join(line.line() for line in lines).encode())

    def latest(self, path: str) -> Answer:
        """Answer a request for what was last cosigned. Raises `Outage`."""
        place = _PLACE.fullmatch(path)
        origin = self._places.get(place[1]) if place else None
        seen = self._state.latest(origin) if origin is not None else None
        return Answer(200, seen.note) if seen else _refused(404, "there is no checkpoint here")


def _extends(seen: Seen | None, wanted: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that `wanted` extends what was seen. From nothing there is nothing to prove, and so no proof. Raises `BadInclusion`."""
    if wanted.size == 0 and wanted.root != EMPTY_ROOT:
        raise BadInclusion("the root of size 0 is not that of the empty tree")
    if seen is not None and seen.size:
        verify_consistency(seen.size, wanted.size, seen.root, wanted.root, proof)
    elif proof:
        raise BadInclusion("from size 0 the proof is empty")


def _refused(status: int, why: str) -> Answer:
    return Answer(status, f"{why}\n".encode())


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take. `request_s`: seconds for the wait and the whole of one request; `stop_s`: grace at the end."""

    request_s: float = 15.0
    connections: int = 128
    stop_s: float = 5.0


@dataclass(slots=True)
class _Connection:
    ends: float
    busy: bool = False


class Server(ThreadingHTTPServer):
    """Serves one witness until `stop`. A thread a connection; who is too slow, too long or too many is closed."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], witness: Witness, bounds: Bounds | None = None) -> None:
        """Bind `address` (port 0: any free one; see `url`). Raises `ConfigError` if it cannot be had."""
        self.witness = witness
        self.bounds = bounds or Bounds()
        self.stopping = False
        self._open: dict[socket.socket, _Connection] = {}
        self._mutex = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, _Handler)
        except OSError as wrong:
            raise ConfigError(f"the witness cannot listen on {address[0]} port {address[1]}: {wrong.strerror}") from None

    @property
    def url(self) -> str:
        """Where it listens: the submission prefix, for the third word of a policy's witness line."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def stop(self) -> None:
        """End `serve_forever`: nobody new is let in, requests at hand are answered. Call from another thread. Repeatable."""
        self.stopping = True
        self.shutdown()

    def server_close(self) -> None:
        """Give up the port; requests at hand have `stop_s` seconds to end, then they are cut off (and were not answered)."""
        self.stopping = True
        end = time.monotonic() + self.bounds.stop_s
        while self._cut(idle=True) and time.monotonic() < end:
            time.sleep(0.02)
        self._cut(idle=False)
        super().server_close()

    def service_actions(self) -> None:
        """Cut off connections whose time is over; called between requests."""
        now = time.monotonic()
        with self._mutex:
            late = [one for one, connection in self._open.items() if connection.ends < now]
        for one in late:
            _hang_up(one)

    def _cut(self, *, idle: bool) -> int:
        """Hang up on all connections, or only those that wait for a request; return how many are left at work."""
        with self._mutex:
            waiting = [one for one, connection in self._open.items() if not (idle and connection.busy)]
            busy = len(self._open) - len(waiting)
        for one in waiting:
            _hang_up(one)
        return busy

    def verify_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> bool:
        """Let a connection in, unless there are too many."""
        del client_address
        with self._mutex:
            if len(self._open) >= self.bounds.connections or isinstance(request, tuple):
                return False
            self._open[request] = _Connection(time.monotonic() + self.bounds.request_s)
        return True

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Forget a connection and close it."""
        if not isinstance(request, tuple):
            with self._mutex:
                self._open.pop(request, None)
        super().shutdown_request(request)

    def mark(self, request: socket.socket, *, busy: bool) -> None:
        """Take down that a request begins or has been answered; then the next one's time begins."""
        with self._mutex:
            if request in self._open:
                connection = self._open[request]
                connection.busy = busy
                if not busy:
                    connection.ends = time.monotonic() + self.bounds.request_s

    def handle_error(self, request: object, client_address: object) -> None:
        """Say a defect by its type alone; a sender that hangs up in the middle is none, and addresses are not written down."""
        del request, client_address
        wrong = sys.exception()
        if not isinstance(wrong, OSError):
            sys.stderr.write(f"error: unexpected {type(wrong).__name__}; the request was not answered\n")


def _hang_up(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is gone already


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "custodes-witness"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.bounds.request_s)

    def do_POST(self) -> None:
        if self.path != "/add-checkpoint":
            self._say(_refused(404, "there is nothing of this name"), last=True)
            return
        self._answer(self.server.witness.add_checkpoint)

    def do_GET(self) -> None:
        self._answer(lambda _: self.server.witness.latest(self.path))

    def _answer(self, judge: Callable[[bytes], Answer]) -> None:
        self.server.mark(self.connection, busy=True)
        try:
            body = self._body()
            if isinstance(body, Answer):
                self._say(body, last=True)
                return
            try:
                answer = judge(body)
            except Outage as wrong:
                answer = _refused(503, str(wrong))
            except CustodesError as wrong:
                answer = _refused(500, str(wrong))
            self._say(answer, last=self.server.stopping)
        finally:
            self.server.mark(self.connection, busy=False)

    def _body(self) -> bytes | Answer:
        """Read the body, or say why not: its length is announced once, in digits, and bounded."""
        lengths = self.headers.get_all("Content-Length") or []
        if self.headers.get("Transfer-Encoding") is not None:
            return _refused(411, "a request announces its length")
        if not lengths:
            return b"" if self.command == "GET" else _refused(411, "a request announces its length")
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,9}", lengths[0]):
            return _refused(400, "the length of the body is one number")
        if int(lengths[0]) > MOST_BYTES:
            return _refused(413, f"a request has at most {MOST_BYTES} bytes")
        body = self.rfile.read(int(lengths[0]))
        return body if len(body) == int(lengths[0]) else _refused(400, "the body ends early")

    def _say(self, answer: Answer, *, last: bool) -> None:
        self.close_connection = self.close_connection or last
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Write nothing down: who asked is of no matter, and what was decided stands in the memory."""
