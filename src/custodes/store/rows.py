"""Drafts → rows: columns of `custodes.model.arrow`, built once per batch. Ids become pseudonyms, raw addresses end here.

Kept in clear: times, words of closed vocabularies, counts, and names of systems, tables and fields. A purpose is kept in clear only
if it is a word of the vocabulary; any other text is `(free text)` and only its keyed hash stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import pyarrow as pa

from custodes.minimise.address import network_of, parse_address
from custodes.minimise.pseudonym import Pseudonyms, base32
from custodes.model.arrow import ACCESSES, FIELDSETS, TOUCHES
from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, FieldUse, Resource

FREE_TEXT: Final = "(free text)"
_SKEW: Final = timedelta(minutes=10)
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_MOST_KNOWN: Final = 200_000
_FEW: Final = 16
_WORD_TYPE: Final = pa.dictionary(pa.int32(), pa.string())


class Placed(NamedTuple):
    """A draft with its public id and the place of its access leaf in the batch; `touch_leaves`: one per entry of `subjects`."""

    draft: Draft
    access_id: str
    leaf: int
    touch_leaves: Sequence[int]
    fieldset: str


class FieldSet(NamedTuple):
    """A distinct combination of what is touched: its id, and names for the leaf."""

    id: str
    resources: list[str]
    fields: list[str]


@dataclass(frozen=True, slots=True)
class About:
    """What all rows of a batch share."""

    source: str
    parser: str
    observed: datetime


class Fieldsets:
    """Distinct combinations of system, resources and fields; `fresh` are those that the store does not hold yet."""

    def __init__(self, datamap: DataMap, stored: Iterable[str]) -> None:
        self._datamap = datamap
        self._stored = set(stored)
        self._known: dict[tuple[str, tuple[Resource, ...], tuple[FieldUse, ...]], FieldSet] = {}
        self.fresh: dict[str, list[tuple[str | None, ...]]] = {}

    def of(self, draft: Draft) -> FieldSet:
        """Return the combination that `draft` touches."""
        key = (draft.system, tuple(draft.resources), tuple(draft.fields))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = self._make(draft)
        return known

    def unknown(self, given: dict[str, list[tuple[str | None, ...]]]) -> dict[str, list[tuple[str | None, ...]]]:
        """Return those of `given` that are not stored yet."""
        return {name: rows for name, rows in given.items() if name not in self._stored}

    def settle(self, names: Iterable[str]) -> None:
        """Note that these are stored now."""
        for name in names:
            self._stored.add(name)
            self.fresh.pop(name, None)

    def _make(self, draft: Draft) -> FieldSet:
        rows = list(dict.fromkeys(self._rows(draft)))
        digest = blake2b("\x00".join("\x01".join(word or "" for word in row) for row in rows).encode("utf-8", "surrogatepass"))
        name = f"f-{base32(digest.digest()[:10])}"
        if name not in self._stored:
            self.fresh[name] = [(name, *(clean(word) for word in row)) for row in rows]
        return FieldSet(name, [item.name for item in draft.resources], list(dict.fromkeys(item.name for item in draft.fields)))

    def _rows(self, draft: Draft) -> Iterable[tuple[str | None, ...]]:
        """Yield (system, resource, kind, via, field, role). A field of which the log does not say whose it is, is put to the
        resources that the data map knows to have it, else to none.
        """
        used = set()
        for field in draft.fields:
            for place in self._places(draft, field):
                used.add(place)
                resource = draft.resources[place] if place >= 0 else None
                yield (draft.system, *(resource or (None, None, None)), field.name, field.role)
        for place, resource in enumerate(draft.resources):
            if place not in used:
                yield (draft.system, *resource, None, None)
        if not draft.resources and not draft.fields:
            yield (draft.system, None, None, None, None, None)

    def _places(self, draft: Draft, field: FieldUse) -> list[int]:
        if 0 <= field.resource < len(draft.resources):
            return [field.resource]
        if len(draft.resources) == 1:
            return [0]
        knows = [
            place
            for place, resource in enumerate(draft.resources)
            if self._datamap.category(draft.system, resource.name, field.name) is not None
        ]
        return knows or [-1]


class Minimiser:
    """Turns drafts into stored rows under one home's key. `vocabulary`: purposes that may stand in clear."""

    def __init__(self, pseudonyms: Pseudonyms, vocabulary: frozenset[str], *, coarse_net: bool = False) -> None:
        self._pseudonyms, self._vocabulary, self._coarse_net = pseudonyms, vocabulary, coarse_net
        self._addresses: dict[str, tuple[str | None, str | None]] = {}

    def accesses(self, placed: Sequence[Placed], about: About) -> pa.Table:
        """Return the rows of ACCESSES, in order. `leaf` is the place within the batch."""
        drafts = [item.draft for item in placed]
        count = len(placed)
        actor, thing, ref = (self._keyed(kind) for kind in ("actor", "object", "ref"))
        addresses = [self._address(draft.client_address) for draft in drafts]
        late = about.observed + _SKEW
        columns: dict[str, Any] = {
            "leaf": [item.leaf for item in placed],
            "access_id": [item.access_id for item in placed],
            "id_ref": self._once([draft.id for draft in drafts]),
            "seq_of": thing([draft.seq_of for draft in drafts]),
            "seq": [draft.seq for draft in drafts],
            "source": _same(about.source, count),
            "parser": _same(about.parser, count),
            "schema": _same("access/1", count),
            "time": [draft.time for draft in drafts],
            "time_end": [draft.time_end for draft in drafts],
            "observed": pa.repeat(pa.scalar(about.observed, ACCESSES.field("observed").type), count),
            "actor": actor([draft.actor for draft in drafts]),
            "actor_kind": [draft.actor_kind for draft in drafts],
            "on_behalf_of": actor([draft.on_behalf_of for draft in drafts]),
            "behalf_basis": [draft.behalf_basis for draft in drafts],
            "effective": actor([draft.effective for draft in drafts]),
            "delegation": [draft.delegation for draft in drafts],
            "action": [draft.action for draft in drafts],
            "operation": _cleaned([draft.operation or None for draft in drafts]),
            "outcome": [draft.outcome for draft in drafts],
            "system": _cleaned([draft.system for draft in drafts]),
            "fieldset": [item.fieldset for item in placed],
            "field_basis": [draft.field_basis for draft in drafts],
            "subject_scope": [draft.subject_scope for draft in drafts],
            "subject_basis": [draft.subject_basis for draft in drafts],
            "subject_count": [_people(draft) if draft.subjects else 0 for draft in drafts],
            "subject_min": [draft.subject_min for draft in drafts],
            "subject_max": [draft.subject_max for draft in drafts],
            "selectors": [self._selectors(draft) if draft.selectors else [] for draft in drafts],
            "template": _cleaned([draft.template for draft in drafts]),
            "rows": [draft.rows for draft in drafts],
            "bytes": [draft.bytes for draft in drafts],
            "rows_basis": [draft.rows_basis for draft in drafts],
            "purpose": _mapped([draft.purpose for draft in drafts], self._purpose),
            "purpose_ref": self._keyed("value")([draft.purpose for draft in drafts]),
            "purpose_basis": [draft.purpose_basis for draft in drafts],
            "reason": ref([draft.reason for draft in drafts]),
            "client_country": _mapped([draft.client_country for draft in drafts], _country),
            "client_net": [net for net, _ in addresses],
            "client_ref": [ref for _, ref in addresses],
            "session": thing([draft.session for draft in drafts]),
            "device": thing([draft.device for draft in drafts]),
            "deliberate": [draft.deliberate for draft in drafts],
            "break_glass": [draft.break_glass for draft in drafts],
            "derived": thing([draft.derived for draft in drafts]),
            "derived_from": thing([draft.derived_from for draft in drafts]),
            "coverage": [draft.coverage if draft.time <= late else _skewed(draft) for draft in drafts],
        }
        return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in ACCESSES], schema=ACCESSES)

    def touches(self, placed: Sequence[Placed]) -> pa.Table:
        """Return the rows of TOUCHES: one per (access, subject, relation)."""
        found = [
            (item.leaf, leaf, item.access_id, use)
            for item in placed
            if item.draft.subjects
            for leaf, use in zip(item.touch_leaves, item.draft.subjects, strict=True)
        ]
        columns: dict[str, Any] = {
            "leaf": [row[0] for row in found],
            "touch_leaf": [row[1] for row in found],
            "access_id": [row[2] for row in found],
            "subject": self._keyed("subject")([row[3].id for row in found]),
            "id_kind": [row[3].id_kind for row in found],
            "relation": [row[3].relation for row in found],
            "certainty": [row[3].certainty for row in found],
            "basis": [row[3].basis for row in found],
        }
        return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in TOUCHES], schema=TOUCHES)

    def _keyed(self, kind: str) -> Callable[[Sequence[str | None]], list[str | None]]:
        return lambda values: _mapped(values, lambda value: self._pseudonyms.of(kind, value))

    def _once(self, values: Sequence[str | None]) -> list[str | None]:
        if values.count(None) == len(values):
            return list(values)
        return [None if value is None else self._pseudonyms.once("object", value) for value in values]

    def _purpose(self, text: str) -> str:
        return text if text in self._vocabulary else FREE_TEXT

    def _selectors(self, draft: Draft) -> list[dict[str, object]]:
        return [
            {
                "kind": item.kind,
                "ref": None if item.value is None else self._pseudonyms.once("value", item.value),
                "width": item.width,
            }
            for item in draft.selectors
        ]

    def _address(self, raw: str | None) -> tuple[str | None, str | None]:
        """Return network and keyed address. What is no address (a host name, a socket) is kept as a keyed word only."""
        if raw is None:
            return None, None
        known = self._addresses.get(raw)
        if known is None:
            address = parse_address(raw)
            net = None if address is None else network_of(address)
            if net is not None and not self._coarse_net:
                net = self._pseudonyms.once("value", net)
            known = (net, self._pseudonyms.once("value", raw if address is None else str(address)))
            if len(self._addresses) >= _MOST_KNOWN:
                self._addresses.clear()
            self._addresses[raw] = known
        return known


def fieldset_table(fresh: dict[str, list[tuple[str | None, ...]]]) -> pa.Table:
    """Return rows of FIELDSETS."""
    rows = [row for name in sorted(fresh) for row in fresh[name]]
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(FIELDSETS))]
    return pa.Table.from_arrays(columns, schema=FIELDSETS)


def clean(text: str | None) -> str | None:
    """Return text that Arrow takes: lone surrogates of damaged logs become the replacement character."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def _mapped(values: Sequence[str | None], how: Callable[[str], str | None]) -> list[str | None]:
    """Apply `how` once to each distinct value."""
    if values.count(None) == len(values):
        return list(values)
    made: dict[str | None, str | None] = {value: how(value) for value in set(values) if value is not None}
    made[None] = None
    return [made[value] for value in values]


def _cleaned(values: Sequence[str | None]) -> Sequence[str | None]:
    return _mapped(values, clean)


def _same(word: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), pa.array([word], pa.string()))


def _array(values: object, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, list) and values and values[0] is None and values.count(None) == len(values):
        return _nulls(len(values), kind) if len(values) < _FEW else pa.nulls(len(values), kind)
    return pa.array(values, kind)


@lru_cache(maxsize=512)
def _nulls(count: int, kind: pa.DataType) -> pa.Array:
    """Return as many nulls, made once for the small batches of the gate."""
    return pa.nulls(count, kind)


def _people(draft: Draft) -> int:
    """Count the resolved persons; one who was only searched for was not seen."""
    return len({use.id for use in draft.subjects if use.relation != "searched_for"})


def _country(text: str) -> str | None:
    return text.upper() if _COUNTRY.fullmatch(text) else None


def _skewed(draft: Draft) -> list[str]:
    return sorted({*draft.coverage, "clock_skew"})
