"""Listens: TLS, or this machine only. Bounded in connections and time; SIGTERM lets requests at hand finish.

Client certificates are verified by TLS against the settings' authority; whose they are is handed to the door with each request, in
the connection's scope, where no header can put anything.
"""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from custodes.errors import ConfigError, Outage
from custodes.settings import ServeSettings
from custodes.web.issuer import is_loopback

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

MOST_CONNECTIONS: Final = 512
HEAD_S: Final = 5.0
"""How long a connection may take to its first whole request head."""
STOP_S: Final = 20
"""How long requests at hand may take when the service stops."""
_MOST_HEAD: Final = 16 * 1024
_INTERRUPTED: Final = 130


def address_of(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; port 0 takes a free one. Raises `ConfigError`."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise ConfigError(f"serve.listen: {text}: expected HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_place(settings: ServeSettings) -> tuple[str, int]:
    """Return where to listen. Raises `ConfigError` for another machine's reach without TLS, or half of what TLS needs."""
    host, port = address_of(settings.listen)
    if bool(settings.certificate) != bool(settings.private_key):
        raise ConfigError("TLS needs both serve.certificate and serve.private_key")
    if settings.client_ca and not settings.certificate:
        raise ConfigError("client certificates need TLS: serve.certificate and serve.private_key")
    if not settings.certificate and not is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from elsewhere, and there is no TLS", hint="set serve.certificate and serve.private_key"
        )
    return host, port


def serve(application: Starlette, settings: ServeSettings, home: Path, ready: Callable[[str], None]) -> int:
    """Answer until SIGTERM (returns 0) or Ctrl-C (130). `ready` is told the URL once it listens. Raises `ConfigError`, `Outage`."""
    host, port = check_place(settings)
    config = _config(application, settings, home)
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=MOST_CONNECTIONS
        )
    except OSError as wrong:
        raise Outage(f"cannot listen on {settings.listen}: {wrong.strerror}") from None
    import uvicorn

    server = uvicorn.Server(config)
    ended: list[int] = []

    def end(number: int, frame: object) -> None:
        del frame
        ended.append(number)
        server.should_exit = True  # a signal may come before the server has handlers of its own

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        name = f"[{host}]" if ":" in host else host
        ready(f"{'https' if settings.certificate else 'http'}://{name}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])  # hands the signal it stopped for to the handlers above
    finally:
        listener.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return _INTERRUPTED if signal.SIGINT in ended else 0


def _config(application: Starlette, settings: ServeSettings, home: Path) -> uvicorn.Config:
    import uvicorn

    config = uvicorn.Config(
        application,
        http=_protocol(),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=int(HEAD_S),
        timeout_graceful_shutdown=STOP_S,
        h11_max_incomplete_event_size=_MOST_HEAD,
        ssl_context_factory=(lambda *_: _tls(settings, home)) if settings.certificate else None,
        ssl_certfile=str(home / settings.certificate) if settings.certificate else None,
        ssl_keyfile=str(home / settings.private_key) if settings.private_key else None,
    )
    config.load()
    return config


def _tls(settings: ServeSettings, home: Path) -> ssl.SSLContext:
    """Return the context: TLS 1.2 or later. A client certificate is optional (a token does as well); a wrong one is refused."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(home / settings.certificate, home / settings.private_key)
        if settings.client_ca:
            context.load_verify_locations(home / settings.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as wrong:
        raise ConfigError(f"TLS cannot be set up: {wrong.strerror or 'the files do not fit'}") from None
    return context


def _protocol() -> type[Any]:
    """Return uvicorn's HTTP/1.1 on `h11`, with the peer's certificate in the scope and a time-out before the first request."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            certificate = transport.get_extra_info("peercert") or None
            inner = self.app
            # Head and body of an answer are two writes: the second must not wait until the client's kernel has confirmed the first.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            async def with_peer(scope: Any, receive: Any, send: Any) -> None:
                scope["extensions"] = {**scope.get("extensions", {}), "custodes.peer": certificate}
                await inner(scope, receive, send)

            self.app = with_peer
            self.loop.call_later(HEAD_S, self._give_up)

        def _give_up(self) -> None:
            if getattr(self, "scope", None) is None and not self.transport.is_closing():
                self.transport.close()

    return Connection
