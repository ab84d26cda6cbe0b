"""A first data map from a database's names and types, and from the shapes of its values. People edit it; nothing is decided here.

Values never leave the database: it is asked how many of a sample have a shape, not what they are. A guess is marked with what it
rests on. What looks like nothing known is left out and listed, because what the map does not name is shown to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custodes.catalogue import Catalogue, Database, Name, Relation
from custodes.guard.plan import full, quote

SAMPLE: Final = 1000
"""Rows of a table whose shapes are counted."""
_ENOUGH: Final = 0.8
_TEXTS: Final = ("text", "character varying", "character", "citext")
_BY_TYPE: Final = {"inet": "ip_address", "cidr": "ip_address", "macaddr": "device", "point": "location", "geography": "location"}
_BY_NAME: Final = (
    ("ip_address", r"(^|_)(ip|ipv4|ipv6|addr_ip|remote_addr|client_addr)(_|$)|ip_?address"),
    ("location", r"(^|_)(lat|latitude|lon|lng|longitude|geo|location|city|street|zip|postcode|postal|address)(_|$)"),
    ("contact", r"(^|_)(e?mail|phone|mobile|msisdn|fax)(_|$)|email"),
    ("message", r"(^|_)(message|body|content|text|comment|chat|dm|subject_line|caption)(_|$)"),
    ("credential", r"(^|_)(password|passwd|pwd|secret|token|hash|salt|otp|api_key)(_|$)"),
    ("payment", r"(^|_)(iban|card|pan|account_no|bank|bic|price|amount)(_|$)"),
    ("health", r"(^|_)(diagnosis|blood|allergy|medication|icd)(_|$)"),
    ("device", r"(^|_)(device|imei|imsi|user_agent|mac|fingerprint|push_token)(_|$)"),
    ("identity", r"(^|_)(name|first|last|surname|handle|username|login|birth|dob|passport|ssn|national_id)(_|$)|name$"),
    ("behaviour", r"(^|_)(last_seen|last_login|viewed|clicks|watched|likes|follows|history)(_|$)"),
    ("public", r"(^|_)(country|region|language|locale|created|updated|created_at|updated_at|status|kind|type)(_|$)"),
)
_SHAPES: Final = {
    "ip_address": r"^([0-9]{1,3}\.){3}[0-9]{1,3}$|^[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}$",
    "contact": r"^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$|^\+[0-9 ()-]{7,}$",
}
_SUBJECT: Final = re.compile(r"^(user|subject|person|member|customer|account|owner|author|profile)_?id$", re.IGNORECASE)
_PEOPLE: Final = re.compile(r"^(users?|people|persons?|members?|customers?|accounts?|profiles?)$", re.IGNORECASE)
_REGION: Final = re.compile(r"^(country|region|region_code|country_code|data_region)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guess:
    """A column, what it might be, and why; `category` None is *not known*."""

    column: str
    category: str | None
    because: str


@dataclass(frozen=True, slots=True)
class TableGuess:
    """A table as it might stand in the data map."""

    name: Name
    subject_key: str | None
    region_key: str | None
    guesses: tuple[Guess, ...]


def propose(catalogue: Catalogue, database: Database, schemas: Sequence[str] = ()) -> Iterator[TableGuess]:
    """Yield a guess for each table, part of none. `schemas`: only these; else all that are the database's own.

    Reads a sample of each table inside the database (counts come back, values do not). Raises `EngineUnavailable`.
    """
    for relation in catalogue.relations:
        ours = relation.kind in ("r", "p") and not relation.parents and not relation.name.schema.startswith(("safe_", "custodes_"))
        if ours and (not schemas or relation.name.schema in schemas):
            yield _table(relation, _shapes(database, relation))


def written(system: str, tables: Sequence[TableGuess]) -> str:
    """Return the proposal as YAML with a comment behind each guess."""
    lines = [
        "# Proposed by `custodes guard map` from names, types and counted shapes. Read every line: what is not named here is",
        "# shown to nobody, what is called `public` is shown to all staff.",
        f"{_word(system)}:",
    ]
    for table in tables:
        lines.append(f"  {_word(str(table.name))}:")
        if table.subject_key:
            lines.append(f"    subject_key: {_word(table.subject_key)}")
        else:
            lines.append("    # subject_key: which column says whose row it is? Without one, fields cannot be leased.")
        if table.region_key:
            lines.append(f"    region_key: {_word(table.region_key)}")
        known = [guess for guess in table.guesses if guess.category]
        lines.append("    fields:" if known else "    fields: {}")
        lines += [f"      {_word(guess.column)}: {guess.category}  # {guess.because}" for guess in known]
        lines += [f"      # {_word(guess.column)}: ?  # {guess.because}" for guess in table.guesses if not guess.category]
    return "\n".join([*lines, ""])


def _table(relation: Relation, shapes: Mapping[str, str]) -> TableGuess:
    names = [column.name for column in relation.columns]
    key = next((name for name in names if _SUBJECT.match(name)), None)
    if key is None and _PEOPLE.match(relation.name.name):
        key = next((name for name in names if name.lower() in ("id", "uid", "uuid")), None)
    region = next((name for name in names if _REGION.match(name)), None)
    guesses = tuple(_guess(column.name, column.type, shapes.get(column.name), key) for column in relation.columns)
    return TableGuess(relation.name, key, region, guesses)


def _guess(name: str, kind: str, shape: str | None, key: str | None) -> Guess:
    word = kind.partition("(")[0]
    if word in _BY_TYPE:
        return Guess(name, _BY_TYPE[word], f"its type is {word}")
    if shape:
        return Guess(name, shape, "most values of a sample have this shape")
    if name == key or name.lower() == "id":
        return Guess(name, "public", "a key: a number by itself")
    for category, pattern in _BY_NAME:
        if re.search(pattern, name, re.IGNORECASE):
            return Guess(name, category, "its name")
    return Guess(name, None, f"neither name nor type ({word}) says what it is")


def _shapes(database: Database, relation: Relation) -> dict[str, str]:
    """Return the shape of text columns, counted inside the database."""
    texts = [column.name for column in relation.columns if column.type.partition("(")[0] in _TEXTS]
    if not texts:
        return {}
    counts = [f"count({quote(name)})" for name in texts]
    counts += [f"count(*) filter (where {quote(name)} ~ %s)" for _ in _SHAPES for name in texts]
    values = [pattern for pattern in _SHAPES.values() for _ in texts]
    row = database.rows(f"select {', '.join(counts)} from (select * from {full(relation.name)} limit {SAMPLE}) as s", values)[0]
    numbers = [int(str(number)) for number in row]
    found: dict[str, str] = {}
    for at, category in enumerate(_SHAPES, 1):
        for place, name in enumerate(texts):
            if numbers[place] and numbers[at * len(texts) + place] >= _ENOUGH * numbers[place]:
                found.setdefault(name, category)
    return found


def _word(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z_][\w.-]*", text) else "'" + text.replace("'", "''") + "'"
