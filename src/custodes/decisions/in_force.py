"""The policy, the data map and the company's Cedar files: as they lie there, and what of it is in force."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from custodes.errors import ConfigError, Outage
from custodes.guard import policing
from custodes.guard.book import Book
from custodes.guard.decide import Judge
from custodes.home import Home
from custodes.model.policy import Policy
from custodes.settings import yaml_of


class Rules:
    """The policy and the company's Cedar files in force, taken over anew when a file changes.

    A bad one, or one that nobody decided on, keeps the last good set, and stderr says so; at the start, without one, everything is
    refused.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen: object = None
        self.policy, self.judge, self.wrong = home.policy, Judge(None), ""
        self.refresh(datetime.now(UTC))

    def refresh(self, now: datetime) -> None:
        """Look whether a file changed."""
        waits = self.wrong and now.replace(minute=0, second=0, microsecond=0)
        try:
            marks = [(place, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for place, at in _policy_places(self._home)]
            if (marks, waits) == self._seen:
                return None  # what was not decided on is looked at again each hour: a decision takes effect a day after it
            present = policy_files(self._home)
        except OSError as wrong:
            return self._say(f"the rules cannot be read: {wrong.strerror}")
        content = present.get(policing.DOCUMENT, b"")
        try:
            leaves = self._home.own_leaves()
        except Outage as wrong:
            return self._say(f"what was decided cannot be read: {wrong}")
        self._seen = (marks, waits)
        undecided = policing.undecided(present, policing.in_force(leaves, Book.of(leaves).requests, now))
        if undecided:
            return self._say(f"not in force, for nobody decided on it: {', '.join(undecided)}")
        try:
            policy = Policy.of(yaml_of(content, policing.DOCUMENT) if policing.DOCUMENT in present else None)
            company = [text.decode("utf-8") for name, text in sorted(present.items()) if name not in policing.DOCUMENTS]
        except (ConfigError, UnicodeDecodeError) as wrong:
            return self._say(str(wrong))
        unfit = self.judge.reload(policy, content, company)
        if not unfit:
            self.policy = policy
        return self._say(unfit)

    def _say(self, wrong: str) -> None:
        if wrong and wrong != self.wrong:
            sys.stderr.write(f"custodes: the rules stay as they were: {wrong}\n")
        self.wrong = wrong


def policy_files(home: Home) -> dict[str, bytes]:
    """Return the home's policy, data map and Cedar files as they lie there, by name. Raises `OSError`."""
    return {str(place.relative_to(home.path)): place.read_bytes() for place, _ in _policy_places(home)}


def _policy_places(home: Home) -> list[tuple[Path, os.stat_result]]:
    """Return the files that are there, in order."""
    places = [home.path / name for name in policing.DOCUMENTS]
    places += sorted((home.path / policing.FOLDER).glob("*.cedar"))
    found = []
    for place in places:
        with suppress(FileNotFoundError):
            found.append((place, place.stat()))
    return found


def policy_hash(home: Home) -> str:
    """Return the hash of `policy.yaml` as it lies there, which requests name. Raises `ConfigError` if it cannot be read."""
    try:
        content = (home.path / "policy.yaml").read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as wrong:
        raise ConfigError(f"policy.yaml cannot be read: {wrong.strerror}") from None
    return f"sha256:{sha256(content).hexdigest()}"
