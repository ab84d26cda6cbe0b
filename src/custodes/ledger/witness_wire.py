"""One request to a witness or a time-stamp authority: HTTP or HTTPS, no redirect followed, bounded in bytes and in whole time."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from custodes.errors import ConfigError, Outage

_MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whole. `kind`: its content type."""

    status: int
    body: bytes
    kind: str


class Place:
    """Where somebody listens: a URL taken apart once. Raises `ConfigError` for one that is none."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigError(f"{url} is no URL") from None
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username is not None:
            raise ConfigError(f"{url} is no plain http or https URL")
        self.url = url
        self._secure, self._host, self._port, self._path = parts.scheme == "https", host, port, parts.path.rstrip("/")

    def ask(self, path: str, body: bytes | None = None, *, kind: str = "text/plain", within_s: float) -> Response:
        """Send `body` (or, with none, just ask) and return what is answered within `within_s` seconds. Raises `Outage`."""
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=within_s)
        end: threading.Timer | None = None
        began = time.monotonic()
        try:
            connection.connect()
            end = threading.Timer(within_s, _hang_up, (connection.sock,))  # a socket's own time-out starts anew with every byte
            end.daemon = True
            end.start()
            connection.request(
                "GET" if body is None else "POST", (self._path + path) or "/", body, {"Content-Type": kind} if body else {}
            )
            answer = connection.getresponse()
            data = answer.read(_MOST_BYTES + 1)
            # A connection cut off looks like a body that ends early, or like the end of one whose length was not announced.
            if len(data) > _MOST_BYTES or answer.length or time.monotonic() - began >= within_s:
                raise Outage(f"{self.url} answered too much, too little or too late")
            return Response(answer.status, data, answer.headers.get_content_type())
        except (OSError, http.client.HTTPException, UnicodeError) as wrong:
            raise Outage(f"{self.url} did not answer ({type(wrong).__name__})") from None
        finally:
            if end is not None:
                end.cancel()
            connection.close()


def _hang_up(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
