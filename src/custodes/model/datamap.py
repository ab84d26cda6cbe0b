"""The data map: system → resource → fields with their categories, subject key, region key and selectors. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from custodes.errors import UnknownKey
from custodes.model.words import CATEGORIES, SELECTORS

_KEYS = {"subject_key", "region_key", "selectors", "fields"}


@dataclass(frozen=True, slots=True)
class ResourceMap:
    """What one table, page or bucket holds. `subject_key`: the columns whose value names a person, in order."""

    fields: Mapping[str, str]
    subject_key: tuple[str, ...] = ()
    region_key: str | None = None
    selectors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataMap:
    """`systems[system][resource]`. Unknown systems and resources are simply not classified: nothing is guessed."""

    systems: Mapping[str, Mapping[str, ResourceMap]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: object, where: str = "datamap.yaml") -> DataMap:
        """Read a decoded YAML document. Raises `UnknownKey` naming the place for anything outside the contract."""
        systems: dict[str, dict[str, ResourceMap]] = {}
        for system, resources in _mapping(document, where).items():
            place = f"{where}: {system}"
            systems[system] = {name: _resource(entry, f"{place}.{name}") for name, entry in _mapping(resources, place).items()}
        return cls(systems)

    def resource(self, system: str, name: str) -> ResourceMap | None:
        """Return the entry of `name`, tried as written and without its schema (`public.users` → `users`)."""
        resources = self.systems.get(system, {})
        return resources.get(name) or resources.get(name.rpartition(".")[2])

    def category(self, system: str, resource: str, name: str) -> str | None:
        """Return the category of a field, or None where the map does not know it."""
        entry = self.resource(system, resource)
        return entry.fields.get(name) if entry else None


def _mapping(value: object, place: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UnknownKey(f"{place}: expected a mapping of names", hint="see docs/reference/formats.md, data map")
    return value


def _resource(entry: object, place: str) -> ResourceMap:
    body = _mapping(entry, place)
    if unknown := set(body) - _KEYS:
        raise UnknownKey(f"{place}: unknown key {min(unknown)!r}; expected {', '.join(sorted(_KEYS))}")
    fields = {name: str(category) for name, category in _mapping(body.get("fields"), place).items()}
    for name, category in fields.items():
        if category not in CATEGORIES:
            raise UnknownKey(f"{place}.fields.{name}: unknown category {category!r}")
    selectors = {name: str(kind) for name, kind in _mapping(body.get("selectors"), place).items()}
    for name, kind in selectors.items():
        if kind not in SELECTORS:
            raise UnknownKey(f"{place}.selectors.{name}: unknown selector kind {kind!r}")
    key = body.get("subject_key")
    keys = () if key is None else (key,) if isinstance(key, str) else tuple(str(item) for item in _sequence(key, place))
    region = body.get("region_key")
    return ResourceMap(fields, keys, None if region is None else str(region), selectors)


def _sequence(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise UnknownKey(f"{place}.subject_key: expected a name, a list of names, or null")
    return value
