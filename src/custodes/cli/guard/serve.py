"""`custodes guard serve`: the decision API, requests and releases over HTTP."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from custodes.cli.guard.database import HOME
from custodes.errors import ConfigError, CustodesError

if TYPE_CHECKING:
    from custodes.guard.gate import Gate
    from custodes.home import Home
    from custodes.web.identity import Identities
    from custodes.web.rooms import Rooms

_MOST_SHADOW: Final = timedelta(days=92)
_NEEDED: Final = ("starlette", "uvicorn", "jwt")


@click.command()
@HOME
@click.option("--listen", metavar="HOST:PORT", help="Instead of serve.listen; port 0 takes a free one.")
def command(*, home: Path, listen: str | None) -> int:
    """Answer decisions, requests and releases until stopped (SIGTERM or Ctrl-C: requests at hand are finished). Prints its URL.

    It listens on this machine only, unless custodes.toml names a TLS certificate. People are identified by tokens of the company's
    issuer (OIDC) or by client certificates: see `serve.*` in docs/reference/settings.md. Every decision is in the ledger before its
    answer; when the ledger cannot be written, the answer is no. GET /health and /metrics are for monitors.

    \b
    custodes guard serve --home home
    custodes guard serve --home home --listen 127.0.0.1:0
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from dataclasses import replace
    from importlib.util import find_spec

    from custodes.home import Home

    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ConfigError(f"not installed: {', '.join(missing)}", hint="pip install 'custodes[guard]'")
    from custodes import decisions
    from custodes.web.door import Door
    from custodes.web.server import check_place, serve

    with Home.open(home) as opened:
        settings = replace(opened.settings.serve, listen=listen or opened.settings.serve.listen)
        check_place(settings)
        gate = decisions.gate(opened, outcomes_later=True)
        rooms = _rooms(opened, gate)
        _say_shadow(opened, rooms.shadow_until)
        door = Door(rooms)
        try:
            return serve(door.application(), settings, home, click.echo)
        finally:
            door.close()
            # What was answered and whose outcome is not in the record yet goes in now; a crash leaves it as "release unknown".
            gate.close()
            opened.checkpoint()


def _rooms(home: Home, gate: Gate) -> Rooms:
    from custodes import decisions
    from custodes.web.rooms import Rooms

    settings = home.settings.serve
    return Rooms(
        identities=_identities(home),
        evaluate=lambda request, identity, now, key: gate.evaluate(request, identity, now, key=key),
        release=lambda request, identity, now, key: gate.release(request, identity, now, key=key),
        subject=lambda key: home.pseudonyms.once("subject", key),
        asking=lambda: decisions.asking(home),
        ready=lambda: _ready(home),
        clock=lambda: datetime.now(UTC),
        shadow_until=shadow_end(settings.shadow_until, datetime.now(UTC)),
        origin=settings.origin,
    )


def _identities(home: Home) -> Identities:
    from custodes.web.identity import Identities, Names
    from custodes.web.issuer import IssuerKeys

    settings, logins = home.settings.serve, home.settings.guard.database_logins
    if not settings.keys and not settings.client_ca:
        raise ConfigError("nobody could be identified", hint="set serve.issuer, serve.audience and serve.keys, or serve.client_ca")
    keys = IssuerKeys(settings.keys, home.path) if settings.keys else None
    names = Names(lambda own: home.pseudonyms.once("actor", own), lambda own: logins.get(own, own))
    return Identities(settings, keys, names)


def _ready(home: Home) -> str:
    """Return "" or why nothing can be recorded: the ledger is asked for its lock and its end, nothing is written."""
    try:
        with home.log().batch():
            return ""
    except CustodesError as wrong:
        return f"not ready: {wrong}"


def shadow_end(text: str, now: datetime) -> datetime | None:
    """Return when shadow mode ends; None without it or when it has ended.

    Raises `ConfigError` for what is no date, or one too far away: shadow is a phase, not a way to run.
    """
    if not text:
        return None
    try:
        until = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise ConfigError(f"serve.shadow_until: {text}: expected a date, YYYY-MM-DD") from None
    if until > now + _MOST_SHADOW:
        raise ConfigError(f"serve.shadow_until: at most {_MOST_SHADOW.days} days from now")
    return until if now < until else None


def _say_shadow(home: Home, until: datetime | None) -> None:
    """Shadow is loud: it is in the record before the first answer, on stderr, in /health and in each answer."""
    from custodes.ledger.leaf import Kind

    if until is None:
        return
    home.record(Kind.POLICY, {"what": "shadow", "until": until.date().isoformat()})
    click.echo(f"SHADOW MODE until {until:%Y-%m-%d}: evaluations are recorded and NOT enforced; releases are", err=True)
