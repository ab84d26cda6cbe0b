"""Making a home: folders, keys, the log and its first leaves. It happens once; afterwards `Home.open` reads what was made."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from custodes.guard.enrolment import first_record, public_key
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import Kind
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
from custodes.settings import FILE, SCHEMA, LedgerSettings, Settings, refuse_to_overwrite

_FOLDERS: Final = ("ledger", "accesses", "context", "rejected", "vault", "keys")
_KEYS: Final = ("pseudonym", "registry", "vault", "display")


def make_home(path: str | Path, simulated: bool = False, approvers: Mapping[str, str] | None = None) -> Home:
    """Make a home in a new or empty folder. Its first leaf says for good whether it is simulated.

    `approvers`: company id → public key (hex) of those who may ask for and approve erasures; they stand in the second leaf, and
    there is no other way to a first key. Raises `ConfigError` if the folder holds anything: a home is never overwritten.
    """
    folder = Path(path)
    keys = {actor: public_key(text) for actor, text in (approvers or {}).items()}
    if keys:
        first_record(keys)  # raises before anything is made
    refuse_to_overwrite(folder)
    disk = Disk()
    disk.make_folder(folder)
    for name in _FOLDERS:
        disk.make_folder(folder / name)
    origin = f"custodes.local/{secrets.token_hex(8)}"
    signer = Signer.generate(origin)
    disk.replace(folder / "keys" / "signing.key", signer.to_bytes())
    disk.replace(folder / "keys" / "log.pub", "".join(f"{key.vkey()}\n" for key in signer.keys).encode())
    for name in _KEYS:
        disk.replace(folder / "keys" / f"{name}.key", secrets.token_bytes(32))
    text = f'schema = "{SCHEMA}"\n\n[ledger]\norigin = "{origin}"\n'
    disk.replace(folder / "custodes.new.toml", text.encode())
    Log.create(folder / "ledger" / "log", origin, signer).close()
    home = Home(folder, Settings(ledger=LedgerSettings(origin=origin)))
    home.record(Kind.POLICY, {"what": "home", "simulated": simulated, "origin": origin})
    if keys:
        home.record(Kind.POLICY, first_record({home.pseudonyms.of("actor", actor): key for actor, key in keys.items()}))
    home.index()
    home.log().publish()
    disk.rename(folder / "custodes.new.toml", folder / FILE)  # from here on it is a home
    return home
