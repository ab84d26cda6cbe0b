"""`custodes.policy/1`: who may read whose data, which purposes touch what, what protection obliges to. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from custodes.errors import UnknownKey
from custodes.model.words import CATEGORIES

SCHEMA = "custodes.policy/1"
NEVER = ("identify_source", "leak_hunt", "colocate")
"""Purposes that nobody can grant; a policy can only add to them."""


@dataclass(frozen=True, slots=True)
class Region:
    """Who may read subjects of a region, by place of work (ISO 3166 countries), and by legal entity where given."""

    countries: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    support_only: tuple[str, ...] = ()
    set_scope_only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Protection:
    """What a protected class obliges to; `categories` empty means all but `public`."""

    obliges: tuple[str, ...]
    categories: tuple[str, ...] = ()
    legal_approver_class: str | None = None
    explained_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy in force. Units are path prefixes; `*` = every category."""

    regions: Mapping[str, Region] = field(default_factory=dict)
    purposes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    never_purposes: tuple[str, ...] = NEVER
    units_without_subject_duty: tuple[str, ...] = ()
    outside_approver_units: tuple[str, ...] = ()
    protected: Mapping[str, Protection] = field(default_factory=dict)
    legal_approver_class: Mapping[str, str] = field(default_factory=dict)
    ticket_grace_hours: int = 72
    late_record_minutes: int = 15

    @classmethod
    def of(cls, document: object, where: str = "policy.yaml") -> Policy:
        """Read a decoded YAML document. Raises `UnknownKey` naming the place for anything outside the contract."""
        body = dict(_mapping(document, where))
        if body.pop("schema", SCHEMA) != SCHEMA:
            raise UnknownKey(f"{where}: expected schema {SCHEMA}")
        known = set(cls.__dataclass_fields__)
        if unknown := set(body) - known:
            raise UnknownKey(f"{where}: unknown key {min(unknown)!r}; expected {', '.join(sorted(known))}")
        purposes = {name: _words(value, f"{where}.purposes.{name}") for name, value in _part(body, "purposes", where)}
        for name, categories in purposes.items():
            _check_categories(categories, f"{where}.purposes.{name}")
        return cls(
            regions={name: _record(Region, value, f"{where}.regions.{name}") for name, value in _part(body, "regions", where)},
            purposes=purposes,
            never_purposes=tuple(dict.fromkeys((*NEVER, *_words(body.get("never_purposes"), where)))),
            units_without_subject_duty=_words(body.get("units_without_subject_duty"), where),
            outside_approver_units=_words(body.get("outside_approver_units"), where),
            protected={
                name: _record(Protection, value, f"{where}.protected.{name}") for name, value in _part(body, "protected", where)
            },
            legal_approver_class={name: str(value) for name, value in _part(body, "legal_approver_class", where)},
            ticket_grace_hours=_number(body.get("ticket_grace_hours", 72), f"{where}.ticket_grace_hours"),
            late_record_minutes=_number(body.get("late_record_minutes", 15), f"{where}.late_record_minutes"),
        )


def _mapping(value: object, place: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnknownKey(f"{place}: expected a mapping")
    return {str(key): item for key, item in value.items()}


def _part(body: Mapping[str, object], name: str, where: str) -> list[tuple[str, object]]:
    return list(_mapping(body.get(name), f"{where}.{name}").items())


def _words(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UnknownKey(f"{place}: expected a list of words")
    return tuple(str(item) for item in value)


def _number(value: object, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnknownKey(f"{place}: expected a whole number, 0 or more")
    return value


def _check_categories(words: tuple[str, ...], place: str) -> None:
    for word in words:
        if word != "*" and word not in CATEGORIES:
            raise UnknownKey(f"{place}: unknown category {word!r}")


_R = TypeVar("_R", Region, Protection)


def _record(kind: type[_R], value: object, place: str) -> _R:
    body = _mapping(value, place)
    known = set(kind.__dataclass_fields__)
    if unknown := set(body) - known:
        raise UnknownKey(f"{place}: unknown key {min(unknown)!r}; expected {', '.join(sorted(known))}")
    given: dict[str, object] = {
        name: item if isinstance(item, str) else _words(item, f"{place}.{name}") for name, item in body.items()
    }
    return kind(**given)  # type: ignore[arg-type]  # the keys were checked above, the values are words or lists of words
