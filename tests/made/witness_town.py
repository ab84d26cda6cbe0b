"""Witnesses for tests: real servers on loopback with real memories, and liars that speak HTTP but not the truth."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from custodes.ledger.cosigner import Cosigner
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.note import Key
from custodes.ledger.policy import Policy, parse_policy
from custodes.ledger.signer import Signer
from custodes.ledger.witness import Bounds, Server, Witness
from custodes.ledger.witness_state import State

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)


def grow(log: Log, count: int, word: str = "") -> None:
    """Append some leaves; `word` makes those of one history differ from those of another."""
    with log.batch() as batch:
        for number in range(count):
            batch.add(1, 500_000, 1, NO_TAG, f"{word}{number}".encode().ljust(32, b"\0"))


def new_log(folder: Path, count: int = 0, word: str = "") -> Log:
    log = Log.create(folder, SIGNER.name, SIGNER)
    if count:
        grow(log, count, word)
    return log


@dataclass
class Stand:
    """A witness at work."""

    name: str
    cosigner: Cosigner
    state: State
    server: Server

    @property
    def url(self) -> str:
        return self.server.url

    def lines(self, kind: int = 0) -> str:
        """Return its line for a policy. `kind`: 0 the Ed25519 key, 1 the ML-DSA-44 key."""
        word = self.name + ("-pq" if kind else "")
        return f"witness {word} {self.cosigner.keys[kind].vkey()} {self.url}\n"


@contextmanager
def stand(
    folder: Path, name: str, logs: Sequence[Key] = SIGNER.keys, *, port: int = 0, bounds: Bounds | None = None, new: bool = True
) -> Iterator[Stand]:
    """Run a witness in threads of this process. `new`: with an empty memory, else with the one that is there."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.sqlite"
    cosigner = Cosigner(f"{name}.example/w", name.encode().ljust(32, b"1"), name.encode().ljust(32, b"2"))
    with State.create(path) if new else State.open(path) as state:
        server = Server(("127.0.0.1", port), Witness(cosigner, state, logs), bounds)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Stand(name, cosigner, state, server)
        finally:
            server.stop()
            server.server_close()
            thread.join()


def policy_of(stands: Sequence[Stand], threshold: int | str = "all", *, log: bool = False) -> Policy:
    return parse_policy(policy_text(stands, threshold, log=log).encode())


def policy_text(stands: Sequence[Stand], threshold: int | str = "all", *, log: bool = False) -> str:
    names = " ".join(one.name for one in stands)
    head = "".join(f"log {key.vkey()}\n" for key in SIGNER.keys) if log else ""
    return head + "".join(one.lines() for one in stands) + f"group all-of-them {threshold} {names}\nquorum all-of-them\n"


@contextmanager
def liar(answer: Callable[[str, bytes], tuple[int, bytes, str]]) -> Iterator[str]:
    """Run an HTTP server that answers what it is told to; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self, body: bytes) -> None:
            status, data, kind = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self._say(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._say(b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def mute(first: bytes = b"", *, drip: bool = False) -> Iterator[str]:
    """Listen, take a request, answer `first` and then nothing, or a byte now and then; hang up at the end. Yield the URL."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        held = []
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                break
            held.append(one)
            one.recv(1 << 16)
            one.sendall(first)
            while drip and not ended.wait(0.05):
                try:
                    one.sendall(b"x")
                except OSError:
                    break
            if first and not drip:
                one.close()
        for one in held:
            one.close()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
