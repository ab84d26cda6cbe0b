"""A registry under a new key, enrolled from the trustee's list. No protection is lost on the way: the old registry must agree."""

from __future__ import annotations

from collections.abc import Iterable

from custodes.errors import Refused
from custodes.protected.registry import Registry
from custodes.protected.trustee import Row


def rotate(old: Registry, fresh: Registry, rows: Iterable[Row]) -> list[Row]:
    """Enrol under the fresh key all that the old registry holds; return it. Decoys are drawn anew: they follow from the key.

    Rows that the old registry does not hold (somebody was erased, or the list says more) are not taken over. Raises `Refused` if
    the old one holds any that the list lacks: then nothing was written. Durable on return; again: the same.
    """
    held = [
        (subject, enrolment)
        for subject, enrolment in dict.fromkeys(rows)
        if enrolment in old.enrolments([subject]).get(subject, ())
    ]
    if not old.is_exactly(held):
        raise Refused(
            "the list lacks people whom the registry protects: they would lose it",
            hint="load their `protected` files again, so that the list names them, and rotate then",
        )
    fresh.enrol_all(held)
    return held
