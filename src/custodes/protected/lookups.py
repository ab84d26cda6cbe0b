"""What protection obliges to for one subject, as whoever asks may learn it: duties, never membership.

    enrolled · decoy          the duties of a class; one or two in a hundred ordinary subjects have a class by the key's choice
    registry or key down      None: everybody is protected
    too many look-ups         None: so is everybody for an actor who goes through subjects
    canary                    the duties of a class, and a note: nobody has a reason to look at one

There is no way to ask about several subjects, and no answer from which an enrolled subject can be told from a decoy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from custodes.errors import CustodesError
from custodes.model.policy import Policy
from custodes.protected.registry import Registry

DECOYS: Final = 0.015
"""Share of ordinary subjects with the duties of a class."""
CANARY: Final = "canary"
"""Class of subjects that do not exist. It is enrolled like any other."""
MOST: Final = 200
"""Distinct subjects that one actor may have looked up in an hour."""
_HOUR: Final = timedelta(hours=1)
_OUTSIDE: Final = ("outside_approver",)


class Lookups:
    """Look-ups of one home. Safe for threads. `noted`: told of (actor, what) where a person should know; what it raises goes on."""

    def __init__(self, registry: Callable[[], Registry], noted: Callable[[str, str, datetime], None]) -> None:
        """`registry`: opens it as it is on disk now; called again when its file has changed."""
        self._opened, self._noted = registry, noted
        self._kept: Registry | None = None
        self._turn = threading.Lock()
        self._seen: dict[str, dict[str, datetime]] = {}
        self._limited: dict[str, datetime] = {}

    def duties(
        self, actor: str, subject: str, categories: Sequence[str | None], policy: Policy, now: datetime
    ) -> tuple[str, ...] | None:
        """Return what is obliged to for these categories of one subject, sorted; None is everything."""
        if not self._may_ask(actor, subject, now):
            return None
        try:
            registry = self._registry()
            drawn = registry.drawn(subject)
            enrolled = registry.classes_of([subject], now).get(subject, ())
        except CustodesError:
            return None
        classes = [*enrolled, *([_of(sorted(policy.protected), drawn)] if drawn < DECOYS else [])]
        if CANARY in classes:
            self._noted(actor, "canary", now)
        return tuple(sorted({duty for name in classes for duty in _duties(policy, name, categories)}))

    def _registry(self) -> Registry:
        kept = self._kept
        if kept is None or not kept.is_current():
            kept = self._kept = self._opened()
        return kept

    def _may_ask(self, actor: str, subject: str, now: datetime) -> bool:
        with self._turn:
            mine = {who: at for who, at in self._seen.get(actor, {}).items() if at > now - _HOUR}
            allowed = subject in mine or len(mine) < MOST
            if allowed:
                mine[subject] = now
            self._seen[actor] = mine
            tell = not allowed and self._limited.get(actor, now - _HOUR) <= now - _HOUR
            if tell:
                self._limited[actor] = now
        if tell:
            self._noted(actor, "too many look-ups", now)
        return allowed


def _duties(policy: Policy, name: str, categories: Sequence[str | None]) -> tuple[str, ...]:
    rule = policy.protected.get(name)
    if rule is None:
        return _OUTSIDE  # a class that policy does not name is no less protected
    applies = not rule.categories or None in categories or not {*rule.categories}.isdisjoint({*categories})
    return rule.obliges if applies else ()


def _of(names: Sequence[str], drawn: float) -> str:
    """Return the class of a decoy; without classes in policy one whose duties are the plainest."""
    return names[min(int(drawn / DECOYS * len(names)), len(names) - 1)] if names else ""
