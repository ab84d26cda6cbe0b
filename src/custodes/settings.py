"""`custodes.toml`: one file of settings → one frozen dataclass. Unknown keys are errors; secrets never stand inline.

Limits carry their unit in the name. A missing key has the default shown here; `custodes init` writes only what has no default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from custodes.errors import ConfigError, InputError, UnknownKey, WouldCreate
from custodes.lines.whole import read_whole

FILE: Final = "custodes.toml"
SCHEMA: Final = "custodes.settings/1"


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """The record, and who confirms it.

    `origin`: the log's name, without a scheme, for its whole life. `witnesses`: a policy file in the home that names the witnesses,
    each with its URL, and the quorum (none: nobody is asked). `publish`: `strict` keeps the last checkpoint up that the quorum has
    seen; `degraded` publishes without it.
    """

    origin: str = ""
    witnesses: str = ""
    publish: str = "strict"


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """How logs are read.

    `batch_records`: raw records of one group commit. `batch_mib`: their bytes. `client_net`: `keyed` keeps the network of a
    client's address only as a keyed hash; `coarse` keeps the /24 or /48 readable (an address with its end cut off).
    `heartbeat_s`: seconds between two leaves that say, for each log being followed, how much came since the last one.
    """

    batch_records: int = 10_000
    batch_mib: int = 32
    client_net: str = "keyed"
    heartbeat_s: int = 600


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the embedded query engine may use."""

    memory_mb: int = 2_000
    threads: int = 2


@dataclass(frozen=True, slots=True)
class RankSettings:
    """What puts looks without a reason in order.

    `score`: `auto` trains on the company's own looks where that can be done and helps (it needs `custodes[rank]`), and says so;
    `cold` never trains.
    """

    score: str = "auto"


@dataclass(frozen=True, slots=True)
class ErasureSettings:
    """How long a subject's accesses are kept before they may be erased.

    `floor_days`: no younger access is erased. `cooling_days`: how long a request waits. Both may be lengthened beyond the default,
    not shortened below it; a change is recorded, and a request is judged by the longest that was in force since it was made.
    """

    floor_days: int = 183
    cooling_days: int = 14


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Where the key of the registry of protected people is kept: in `keys/registry.key`, unless `module` names a PKCS#11 library.

    `token` and `label`: names of token and key; `pin_file`: holds the token's PIN, in the home unless absolute. Another key knows
    nobody, but for `custodes guard registry rotate`, which enrols anew from a list sealed to `trustee`: the public key (64 hex
    digits) of somebody outside. Without it no list is kept, and the key is for life.
    """

    module: str = ""
    token: str = ""
    label: str = "custodes registry"
    pin_file: str = ""
    trustee: str = ""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The guard's service (`custodes guard serve`).

    `listen`: `HOST:PORT`; anything but this machine needs `certificate` and `private_key` (PEM files). `client_ca`: whose client
    certificates name people, and `certificate_name`: by which part (cn, email, uid). `issuer`, `audience`, `keys` (a file of JWKS
    or PEM, or an https address), `algorithms`, `leeway_s`: which tokens count; `actor_claim` holds the company's id of the actor,
    `country_claim` the country of the session. `origin`: of the page on which passkeys sign. `shadow_until`: a date up to which
    evaluations are recorded and not enforced (releases always are).
    """

    listen: str = "127.0.0.1:8200"
    certificate: str = ""
    private_key: str = ""
    client_ca: str = ""
    certificate_name: str = "cn"
    issuer: str = ""
    audience: str = ""
    keys: str = ""
    algorithms: str = "EdDSA ES256 PS256 RS256"
    leeway_s: int = 60
    actor_claim: str = "sub"
    country_claim: str = ""
    origin: str = ""
    shadow_until: str = ""


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """`grant_max_min`: minutes that a grant lasts at most (8 hours is the most); `lease_max_min`: likewise a lease (15)."""

    grant_default_min: int = 60
    grant_max_min: int = 480
    lease_max_min: int = 15


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What the gate stands on.

    `session_country`: where people sit who work at this machine's command line (ISO 3166; empty: unknown, and nothing is released).
    `limits`: see there. `minimise`: category → how its released values are shown (none · network · pseudonym · null).
    `logins`: login of the operating system → company id of the person; who is not named here is refused. `database_logins`: company
    id → login at guarded databases, if it is another word. `databases`: system → file with the database's address, without a login.
    `notices`: who must be told before glass is broken → folder that notices are put into; at least three. `spool`: file that takes
    broken glass while the ledger takes no records; best on another disk than the ledger's.
    """

    session_country: str = ""
    limits: GuardLimits = field(default_factory=GuardLimits)
    minimise: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)
    database_logins: Mapping[str, str] = field(default_factory=dict)
    databases: Mapping[str, str] = field(default_factory=dict)
    notices: Mapping[str, str] = field(default_factory=dict)
    spool: str = "glass.spool"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in `custodes.toml`."""

    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    intake: IntakeSettings = field(default_factory=IntakeSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    erasure: ErasureSettings = field(default_factory=ErasureSettings)
    rank: RankSettings = field(default_factory=RankSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)


_PARTS: Final = {
    "ledger": LedgerSettings,
    "intake": IntakeSettings,
    "engine": EngineSettings,
    "erasure": ErasureSettings,
    "rank": RankSettings,
    "serve": ServeSettings,
    "registry": RegistrySettings,
}
_LEAST: Final = {"erasure.floor_days": ErasureSettings().floor_days, "erasure.cooling_days": ErasureSettings().cooling_days}
_CHOICES: Final = {
    "intake.client_net": ("keyed", "coarse"),
    "ledger.publish": ("strict", "degraded"),
    "rank.score": ("auto", "cold"),
}


def read_settings(home: Path) -> Settings:
    """Read `home/custodes.toml`. Raises `WouldCreate` if there is no home, `UnknownKey` or `ConfigError` naming the key."""
    try:
        text = read_whole(home / FILE).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise WouldCreate(f"{home} is no home: it has no {FILE}") from None
    except OSError as wrong:
        raise ConfigError(f"{FILE} cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{FILE} is not UTF-8") from None
    try:
        return settings_of(tomllib.loads(text))
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigError(f"{FILE}: {wrong}") from None


def refuse_to_overwrite(folder: Path) -> None:
    """Raise `ConfigError` unless a home may be made in this folder: a new or empty one."""
    try:
        if not folder.exists() and not folder.is_symlink():
            return
        if folder.is_symlink() and not folder.exists():
            raise ConfigError(f"{folder} is a link that leads nowhere", hint="name a new or empty folder")
        if not folder.is_dir():
            raise ConfigError(f"{folder} is a file", hint="name a new or empty folder")
        names = {entry.name for entry in folder.iterdir()}
    except OSError as wrong:
        raise InputError(f"{folder} cannot be read: {wrong.strerror}") from None
    if FILE in names:
        raise ConfigError(f"{folder} is a home already; a home is never overwritten", hint="name a new folder")
    if names:
        raise ConfigError(
            f"{folder} is not empty", hint="name a new or empty folder; if an earlier `init` was interrupted, remove what it left"
        )


def settings_of(document: Mapping[str, object]) -> Settings:
    """Turn a decoded settings file into values, checking every key and type."""
    body = dict(document)
    if body.pop("schema", SCHEMA) != SCHEMA:
        raise UnknownKey(f"{FILE}: expected schema {SCHEMA}")
    if unknown := set(body) - {*_PARTS, "guard"}:
        raise UnknownKey(f"{FILE}: unknown key {min(unknown)!r}; expected {', '.join(sorted((*_PARTS, 'guard')))}")
    settings = Settings(
        ledger=LedgerSettings(**_part("ledger", body)),  # type: ignore[arg-type]  # `_part` checked names and types
        intake=IntakeSettings(**_part("intake", body)),  # type: ignore[arg-type]  # likewise
        engine=EngineSettings(**_part("engine", body)),  # type: ignore[arg-type]  # likewise
        erasure=ErasureSettings(**_part("erasure", body)),  # type: ignore[arg-type]  # likewise
        rank=RankSettings(**_part("rank", body)),  # type: ignore[arg-type]  # likewise
        guard=_guard(body.get("guard", {})),
        serve=ServeSettings(**_part("serve", body)),  # type: ignore[arg-type]  # likewise
        registry=RegistrySettings(**_part("registry", body)),  # type: ignore[arg-type]  # likewise
    )
    if not settings.ledger.origin:
        raise ConfigError(f"{FILE}: ledger.origin is missing")
    return settings


def _guard(given: object) -> GuardSettings:
    body = _words("guard", given, texts=False)
    if unknown := set(body) - {item.name for item in fields(GuardSettings)}:
        raise UnknownKey(f"{FILE}: unknown key {'guard.' + min(unknown)!r}")
    limits = GuardLimits(**_part("limits", body, GuardLimits))  # type: ignore[arg-type]  # `_part` checked names and types
    most = GuardLimits()
    if limits.grant_max_min > most.grant_max_min or limits.lease_max_min > most.lease_max_min:
        raise ConfigError(f"{FILE}: guard.limits may be shortened, not lengthened beyond 8 hours and 15 minutes")
    databases = {}
    for system, entry in _words("guard.databases", body.get("databases", {}), texts=False).items():
        databases[system] = str(_words(f"guard.databases.{system}", entry).get("url_file", ""))
        if set(_words(f"guard.databases.{system}", entry)) != {"url_file"}:
            raise UnknownKey(f"{FILE}: guard.databases.{system} has one key, url_file")
    parts = {name: _words(f"guard.{name}", body.get(name, {})) for name in ("minimise", "logins", "database_logins", "notices")}
    if wrong := set(parts["minimise"].values()) - {"none", "network", "pseudonym", "null"}:
        raise ConfigError(f"{FILE}: guard.minimise: {min(wrong)!r} is none of none, network, pseudonym, null")
    texts = {name: body.get(name, getattr(GuardSettings(), name)) for name in ("session_country", "spool")}
    if bad := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise ConfigError(f"{FILE}: guard.{bad[0]} must be text")
    country, spool = str(texts["session_country"]).upper(), str(texts["spool"])
    return GuardSettings(session_country=country, limits=limits, databases=databases, spool=spool, **parts)


def _words(place: str, given: object, *, texts: bool = True) -> dict[str, str]:
    if not isinstance(given, dict):
        raise UnknownKey(f"{FILE}: {place} must be a section")
    if texts and not all(isinstance(value, str) for value in given.values()):
        raise ConfigError(f"{FILE}: {place}: every value must be text")
    return given


def _part(name: str, body: Mapping[str, object], kind: type | None = None) -> dict[str, object]:
    given = body.get(name, {})
    if not isinstance(given, dict):
        raise UnknownKey(f"{FILE}: {name} must be a section")
    defaults = (kind or _PARTS[name])()
    known = {item.name: type(getattr(defaults, item.name)) for item in fields(defaults)}
    for key, value in given.items():
        place = f"{name}.{key}"
        if key not in known:
            raise UnknownKey(f"{FILE}: unknown key {place!r}; expected {', '.join(sorted(known))}")
        if type(value) is not known[key]:
            raise ConfigError(f"{FILE}: {place} must be {'a whole number' if known[key] is int else 'text'}")
        if known[key] is int and value < _LEAST.get(place, 1):
            raise ConfigError(f"{FILE}: {place} must be {_LEAST.get(place, 1)} or more")
        if place in _CHOICES and value not in _CHOICES[place]:
            raise ConfigError(f"{FILE}: {place} must be one of {', '.join(_CHOICES[place])}")
    return given


def read_yaml(file: Path) -> object:
    """Return a decoded YAML file of the home, None if it is not there. Raises `ConfigError`."""
    try:
        return yaml_of(read_whole(file), file.name)
    except OSError as wrong:
        if isinstance(wrong, FileNotFoundError) and not file.is_symlink():
            return None  # a link that leads nowhere is no missing file: something was to be in force
        raise ConfigError(f"{file.name} cannot be read: {wrong.strerror}") from None


def yaml_of(document: bytes, name: str) -> object:
    """Decode the bytes of the YAML file `name`. Raises `ConfigError`."""
    from custodes.lines.document import read_document

    try:
        found = read_document(document.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not UTF-8", hint="write it again as UTF-8") from None
    except ValueError as wrong:
        raise ConfigError(f"{name} is no YAML: {wrong}", hint="see docs/reference/formats.md") from None
    if found is None:  # an emptied file must not read as the wish to have none
        raise ConfigError(f"{name} holds nothing", hint="take the file away if none is to be in force")
    return found
