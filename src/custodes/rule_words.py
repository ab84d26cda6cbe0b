"""The words of a finding: how values, times, people, what was read and what was missing are said. Values in, words out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from custodes.model.wording import category as category_words
from custodes.model.wording import lacked
from custodes.model.wording import reason as reason_words
from custodes.rule_file import BUILT_IN, split_sentence

NO_HISTORY: Final = " No history: the record has known the reader for less than two weeks, so this stays low."
_NAMED: Final = 3
"""How many pseudonyms or values a sentence lists before it counts them."""


class Phrases:
    """Words that many findings share, each made once: what was read, what was missing, and how a rule's sentence is cut."""

    def __init__(self, sets: Mapping[str, tuple[set[str], set[str]]]) -> None:
        """`sets`: field set → (categories, systems)."""
        self._sets = sets
        self._data: dict[frozenset[str], str] = {}
        self._reasons: dict[tuple[object, ...], str] = {}
        self._parts: dict[str, list[tuple[str, str, str]]] = {}

    def data(self, fieldsets: set[str]) -> str:
        """Say what was read."""
        key = frozenset(fieldsets)
        if key not in self._data:
            self._data[key] = _data(key, self._sets)
        return self._data[key]

    def reason(self, lacks: Sequence[tuple[str, str | None, str | None]], reasons: Sequence[str]) -> str:
        """Say what explains the looks, or what was missing."""
        key = (tuple(lacks), tuple(reasons))
        if key not in self._reasons:
            self._reasons[key] = _reason(lacks, reasons)
        return self._reasons[key]

    def parts(self, sentence: str) -> list[tuple[str, str, str]]:
        """Return a rule's sentence, cut at its names."""
        if sentence not in self._parts:
            self._parts[sentence] = split_sentence(sentence)
        return self._parts[sentence]


def sentence(parts: Sequence[tuple[str, str, str]], words: Mapping[str, str], values: Callable[[str], Sequence[object]]) -> str:
    """Return a rule's sentence. `parts`: as `split_sentence` cuts it; `words`: of built-in names; `values`: of a column."""
    said = []
    for before, name, noun in parts:
        said.append(before)
        if name in BUILT_IN:
            said.append(words[name])
        elif name:
            said.append(value(values(name), noun))
    return "".join(said)


def value(values: Sequence[object], noun: str) -> str:
    """Say a column: numbers by their largest (with their noun), times by their first, words as a list."""
    numbers = [one for one in values if isinstance(one, int)]
    if numbers:
        most = max(numbers)
        if noun == "minute" and most >= 120:
            return counted(-(-most // 60), "hour")
        return counted(most, noun) if noun else f"{most:,}"
    times = [one for one in values if isinstance(one, datetime)]
    if times:
        return f"{_minute(min(times))} UTC"
    return listed(sorted(map(str, values)), noun or "value") if values else "unknown"


def counted(number: int, noun: str) -> str:
    """Return "1 subject" or "1,003 subjects"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") and noun[-2:] not in {"ay", "ey"} else f"{number:,} {noun}s"


def listed(words: Sequence[str], noun: str) -> str:
    """Name up to three, count more."""
    if len(words) > _NAMED:
        return counted(len(words), noun)
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def people(subjects: Sequence[str]) -> str:
    """Name or count subjects; say so where the log names none."""
    return listed(subjects, "subject") if subjects else "a person the log does not name"


def when(first: datetime, last: datetime) -> str:
    """Say a span of time, to the minute."""
    start, end = _minute(first), _minute(last)
    return f"on {start} UTC" if start == end else f"between {start} and {end} UTC"


def _minute(time: datetime) -> str:
    return time.isoformat(" ")[:16]  # ten times as fast as a format, and said of every finding


def _data(fieldsets: Iterable[str], sets: Mapping[str, tuple[set[str], set[str]]]) -> str:
    """Say what was read: classes of fields, then systems."""
    categories: set[str] = set()
    systems: set[str] = set()
    for fieldset in fieldsets:
        if fieldset in sets:
            categories |= sets[fieldset][0]
            systems |= sets[fieldset][1]
    shown = sorted(categories - {"public"}) or sorted(categories)
    named = [category_words(word) for word in shown]
    what = f"{_and(named)} data" if named else "data"
    return f"{what} in {_and(sorted(systems))}" if systems else what


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _reason(lacks: Sequence[tuple[str, str | None, str | None]], reasons: Sequence[str]) -> str:
    """Say what explains the looks, or the most telling things that no reason could offer, each with the rows that it is about."""
    if reasons:
        return "on record: " + _and([f"{reason_words(code)} ({code})" for code in reasons])
    told: dict[str, list[str]] = {}
    for token, table, key in lacks:
        words = lacked(token)
        if words not in told and len(told) == _NAMED - 1:
            break
        keys = told.setdefault(words, [])
        if key:
            keys.append(f"{(table or '').removesuffix('s')} {key}")
    clauses = [words + (f" ({listed(keys, 'row')})" if keys else "") for words, keys in told.items()]
    return "; ".join(clauses) or "no reason is on record"
