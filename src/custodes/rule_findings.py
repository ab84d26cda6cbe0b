"""From the rows of rules to findings: rows are put together by key and days, then told with what the explanations found out.

Rules this page keeps: a finding speaks of accesses; the same rows give the same findings in whatever order they come; rows of one
rule over the same accesses are one finding, since its id is a hash of rule and accesses; what reads the views reads them once for
all findings, and only for the accesses that are in one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.model.finding import Evidence, Finding
from custodes.model.words import LEVELS
from custodes.rule_file import ROW, SPECIAL, Rule
from custodes.rule_words import NO_HISTORY, Phrases, counted, listed, people, sentence, value, when

Row = tuple[object, ...]

_LOOKS: Final = "finding_looks"
_ACCESSES: Final = "finding_accesses"


@dataclass(slots=True)
class Draft:
    """Rows of one rule that belong together.

    `where`: column name → position in a row; `new`: actor → until when the actor has no history.
    """

    rule: Rule
    where: Mapping[str, int]
    rows: list[Row]
    new: Mapping[object, datetime] = field(default_factory=dict)

    def level(self) -> str:
        """Return the highest level of the rows; those of an actor without history are at most `low`."""
        at = self.where.get("level")
        levels = {(self.rule.level if at is None else str(row[at]), self.unknown(row)) for row in self.rows}
        return max((min(level, "low", key=LEVELS.index) if new else level for level, new in levels), key=LEVELS.index)

    def unknown(self, row: Row) -> bool:
        """Whether the record knew too little of the row's actor when it was made."""
        until = self.new.get(row[self.where["actor"]])
        return until is not None and _time(row[self.where["time"]]) < until

    def values(self, name: str) -> list[object]:
        """Return the distinct values of a column, in the order of the rows, without nulls."""
        at = self.where.get(name)
        if at is None:
            return []
        if len(self.rows) == 1:
            only = self.rows[0][at]
            return [] if only is None else [only]
        return [value for value in dict.fromkeys([row[at] for row in self.rows]) if value is not None]


@dataclass(slots=True)
class Told:
    """What the views say about the accesses of one finding. `lacks`: (token, table, key)."""

    ids: dict[int, str] = field(default_factory=dict)
    fieldsets: set[str] = field(default_factory=set)
    flags: list[tuple[str, Evidence | None]] = field(default_factory=list)
    lacks: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    reasons: list[tuple[str, Evidence | None]] = field(default_factory=list)


def collect(engine: Engine, rule: Rule) -> list[Draft]:
    """Run one rule and return its rows in groups: one per key, none longer than the rule's days."""
    return grouped(rule, rows_of(engine, rule), newcomers(engine) if rule.on == "residue" else {})


def rows_of(engine: Engine, rule: Rule) -> list[Row]:
    """Run one rule and return its rows, sorted by `order_of`."""
    return engine.rows(select_of(rule))


def select_of(rule: Rule) -> str:
    """Return the SELECT of a rule's rows, sorted by `order_of`."""
    columns = ", ".join(_quoted(name) for name in rule.columns)
    order = ", ".join(_quoted(name) for name in order_of(rule))
    return f"SELECT {columns} FROM ({rule.sql}) AS found ORDER BY {order}"


def order_of(rule: Rule) -> list[str]:
    """Return the columns by which a rule's rows are sorted: its key, then time."""
    return list(dict.fromkeys((*rule.dedup_key, "time", "access", "subject", *rule.columns)))


def grouped(rule: Rule, rows: Iterable[Row], new: Mapping[object, datetime]) -> list[Draft]:
    """Put sorted rows in groups: one per key, none longer than the rule's days. `new`: actors without history, until when."""
    where = {name: position for position, name in enumerate(rule.columns)}
    key = [where[name] for name in rule.dedup_key]
    span, at = timedelta(days=rule.dedup_days), where["time"]
    groups: list[list[Row]] = []
    before: tuple[object, ...] | None = None
    until = datetime.min  # noqa: DTZ901  # engine times are UTC without a zone
    for row in rows:
        check_row(row, where, rule.codes)
        now, own = _time(row[at]), tuple(row[position] for position in key)
        if own != before or now > until:
            groups.append([])
            before, until = own, now + span
        groups[-1].append(row)
    return _same_accesses(rule, where, groups, new)


def newcomers(engine: Engine) -> dict[object, datetime]:
    """Return the actors of whom the record knows little, and until when."""
    return {actor: _time(until) for actor, until in engine.rows('SELECT actor, "until" FROM newcomers')}


def check_row(row: Row, where: Mapping[str, int], codes: Collection[str]) -> None:
    """Refuse a row that no finding could be made of, while it is still known which rule returned it."""
    _int(row[where["access"]])
    if row[where["actor"]] is None:
        raise TypeError("a rule's actor must be named")
    if "level" in where and row[where["level"]] not in LEVELS:
        raise ValueError("a rule's level must be one of the four")
    if "codes" in where and not set(str(row[where["codes"]] or "").split()).issubset(codes):
        raise ValueError("a row names a code that its rule does not declare")


def _same_accesses(
    rule: Rule, where: Mapping[str, int], groups: Iterable[list[Row]], new: Mapping[object, datetime]
) -> list[Draft]:
    """Put groups together that hold the same accesses: one statement about twenty subjects is one finding."""
    together: dict[tuple[object, ...], Draft] = {}
    at = where["access"]
    for rows in groups:
        accesses = tuple(dict.fromkeys(row[at] for row in rows)) if len(rows) > 1 else (rows[0][at],)
        held = together.get(accesses)
        if held is None:
            together[accesses] = Draft(rule, where, rows, new)
        else:
            held.rows.extend(rows)
    return list(together.values())


def findings(engine: Engine, drafts: Sequence[Draft]) -> list[Finding]:
    """Return the findings of all groups, sorted by rule, first access and id."""
    if not drafts:
        return []
    _write_looks(engine, drafts)
    told = [Told() for _ in drafts]
    _read_accesses(engine, told)
    _read_verdicts(engine, drafts, told)
    engine.run(f"DROP TABLE {_LOOKS}")
    return tell(drafts, told, fieldsets_of(engine))


def tell(drafts: Sequence[Draft], told: Sequence[Told], sets: Mapping[str, tuple[set[str], set[str]]]) -> list[Finding]:
    """Return the findings of groups from what is known of each, sorted by rule, first access and id. `sets`: see `fieldsets_of`."""
    phrases = Phrases(sets)
    made = [_finding(draft, facts, phrases) for draft, facts in zip(drafts, told, strict=True)]
    return sorted(made, key=lambda finding: (finding.rule, finding.first, finding.finding))


def _write_looks(engine: Engine, drafts: Sequence[Draft]) -> None:
    """Write which look is in which finding; a subject that the log does not name is written as empty, so that it joins."""
    numbers: list[int] = []
    accesses: list[object] = []
    subjects: list[object] = []
    for number, draft in enumerate(drafts):
        access, subject = draft.where["access"], draft.where["subject"]
        for row in draft.rows:
            numbers.append(number)
            accesses.append(row[access])
            subjects.append(row[subject] or "")
    looks = {"finding": pa.array(numbers, pa.int64()), "access": pa.array(accesses, pa.int64())}
    engine.table(_LOOKS, pa.table({**looks, "subject": pa.array(subjects, pa.string())}))


def _read_accesses(engine: Engine, told: Sequence[Told]) -> None:
    """Read public names, and the fields that were seen: those of the look, which for an opened copy are those of its export."""
    engine.run(
        f"CREATE OR REPLACE TEMP TABLE {_ACCESSES} AS "
        f"SELECT access, access_id, fieldset FROM accesses a SEMI JOIN {_LOOKS} f ON f.access = a.access"
    )
    ids = {_int(access): str(access_id) for access, access_id in engine.rows(f"SELECT access, access_id FROM {_ACCESSES}")}
    for one in told:
        one.ids = ids
    rows = engine.rows(
        f"SELECT DISTINCT f.finding, coalesce(l.fieldset, a.fieldset) AS seen FROM {_LOOKS} f "
        f"JOIN {_ACCESSES} a ON a.access = f.access "
        f"LEFT JOIN {_narrowed('looks')} l ON l.access = f.access AND coalesce(l.subject, '') = f.subject"
    )
    for number, fieldset in rows:
        if fieldset is not None:
            told[_int(number)].fieldsets.add(str(fieldset))
    engine.run(f"DROP TABLE {_ACCESSES}")


def _narrowed(view: str) -> str:
    """Return the rows of a view that are about accesses of findings: subjects of all others are then never compared."""
    return f"(SELECT * FROM {view} v SEMI JOIN {_LOOKS} f ON f.access = v.access)"


def _read_verdicts(engine: Engine, drafts: Sequence[Draft], told: Sequence[Told]) -> None:
    """Read flags, explanations and what was lacking, each for the looks of findings only."""
    known: dict[tuple[object, object], Evidence] = {}

    def evidence(table: object, key: object) -> Evidence | None:
        if table is None or key is None:
            return None
        if (table, key) not in known:
            known[(table, key)] = Evidence(str(table), str(key))
        return known[(table, key)]

    for number, code, table, key in _joined(engine, "flags", "code", "v.evidence_key"):
        told[_int(number)].flags.append((str(code), evidence(table, key)))
    for number, template, table, key in _joined(engine, "explanations", "template", "min(v.evidence_key)"):
        told[_int(number)].reasons.append((str(template), evidence(table, key)))
    asked = [set(draft.rule.asks) for draft in drafts]
    for number, token, table, key in _joined(engine, "lacks", "token", "v.evidence_key"):
        at = _int(number)
        if str(token).partition(":")[0] in asked[at]:
            told[at].lacks.append((str(token), _text(table), _text(key)))


def _joined(engine: Engine, view: str, column: str, key: str) -> list[Row]:
    """Return distinct (finding, `column`, table, `key`) of a view of verdicts; with `min(…)` one key for each of the others."""
    group = [f"f.finding, v.{column}, v.evidence_table", *([] if key.startswith("min(") else [key])]
    return engine.rows(
        f"SELECT f.finding, v.{column}, v.evidence_table, {key} AS found_key FROM {_narrowed(view)} v JOIN {_LOOKS} f "
        f"ON f.access = v.access AND f.subject = coalesce(v.subject, '') "
        f"GROUP BY {', '.join(group)} ORDER BY f.finding, v.{column}, v.evidence_table, found_key"
    )


def fieldsets_of(engine: Engine) -> dict[str, tuple[set[str], set[str]]]:
    """Return fieldset → (categories, systems)."""
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for fieldset, system, category in engine.rows("SELECT DISTINCT fieldset, system, category FROM fieldsets"):
        categories, systems = found[str(fieldset)]
        if category is not None:
            categories.add(str(category))
        if system is not None:
            systems.add(str(system))
    return found


def _finding(draft: Draft, told: Told, phrases: Phrases) -> Finding:
    rule = draft.rule
    leaves = tuple(sorted(_int(value) for value in draft.values("access")))
    accesses = tuple(told.ids.get(leaf, f"leaf {leaf}") for leaf in leaves)
    actors, subjects, targets = (_words(draft, name) for name in ("actor", "subject", "target"))
    lacks = _most_telling(told, rule.asks)
    reasons = tuple(sorted({template for template, _ in told.reasons}, key=_code_order))
    times = [_time(value) for value in draft.values("time")]
    first, last = min(times).replace(tzinfo=UTC), max(times).replace(tzinfo=UTC)
    linked = tuple(sorted(set(subjects) - set(targets))) if "target" in draft.where else ()
    whom = targets if "target" in draft.where else subjects
    words = {
        "actors": listed(actors, "actor"),
        "subjects": people(whom),
        "linked": people(linked) if linked else "",
        "looks": counted(len(leaves), "look"),
        "when": when(first, last),
        "data": phrases.data(told.fieldsets),
        "reason": phrases.reason(lacks, reasons),
    }
    facts = {name: value(draft.values(name), "") for name in draft.where if name not in ROW and name not in SPECIAL}
    own, flagged = _codes(draft, told)
    nobody_known = bool(draft.new) and all(draft.unknown(row) for row in draft.rows)
    return Finding(
        finding=_name(rule, accesses),
        rule=rule.code,
        rule_version=rule.version,
        title=rule.title,
        level=draft.level(),
        confidence=rule.confidence,
        actors=actors,
        subjects=whom,
        accesses=accesses,
        leaves=leaves,
        first=first,
        last=last,
        sentence=sentence(phrases.parts(rule.sentence), words, draft.values) + (NO_HISTORY if nobody_known else ""),
        codes=own + flagged,
        flagged=flagged,
        explained_by=reasons,
        missing=tuple(dict.fromkeys(token for token, _, _ in lacks)),
        evidence=_evidence(draft, told, lacks),
        questions=rule.questions,
        innocent=rule.innocent,
        derived=_words(draft, "derived"),
        linked_subjects=linked,
        facts=facts,
        key=_key(draft),
    )


def _name(rule: Rule, accesses: Sequence[str]) -> str:
    """Return the finding's id: a hash of rule, version and accesses, so that a second run makes no new finding."""
    text = "\n".join((rule.code, str(rule.version), *sorted(accesses)))
    return "f-" + blake2b(text.encode(), digest_size=10, person=b"custodes finding").hexdigest()


def _key(draft: Draft) -> str:
    """Return a word for the rule and the values of its dedup key: the same in every run that tells of the same things."""
    places = [draft.where[name] for name in draft.rule.dedup_key]
    values = sorted({"\x1f".join(str(row[place]) for place in places) for row in draft.rows})
    text = "\n".join((draft.rule.code, *values))
    return "k-" + blake2b(text.encode(), digest_size=10, person=b"custodes key").hexdigest()


def _codes(draft: Draft, told: Told) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rule's own codes (a row may name its own), and those that only templates flagged."""
    if "codes" in draft.where:
        own = [code for codes in draft.values("codes") for code in str(codes).split()]
    else:
        own = list(draft.rule.codes)
    flagged = sorted({code for code, _ in told.flags} - set(own), key=_code_order)
    return tuple(dict.fromkeys(own)), tuple(flagged)


def _code_order(code: str) -> tuple[int, str]:
    return (int(code[1:]) if code[1:].isdigit() else 99, code)


def _most_telling(told: Told, asks: Sequence[str]) -> list[tuple[str, str | None, str | None]]:
    """Sort what was lacking: first what broke a reason that was cited, then rows that did not fit, then as the rule asks."""
    if len(told.lacks) < 2:
        return told.lacks
    place = {code: position for position, code in enumerate(asks)}
    broken = {(row.table, row.key) for _, row in told.flags if row is not None}

    def rank(lack: tuple[str, str | None, str | None]) -> tuple[bool, bool, int, str, str, str]:
        token, table, key = lack
        return ((table, key) not in broken, key is None, place[token.partition(":")[0]], token, table or "", key or "")

    return sorted(told.lacks, key=rank)


def _evidence(draft: Draft, told: Told, lacks: Sequence[tuple[str, str | None, str | None]]) -> tuple[Evidence, ...]:
    """Return broken reasons first, then what the rule stands on, what lacked something, and what explains."""
    found = dict.fromkeys(row for _, row in told.flags if row is not None)
    if "evidence_key" in draft.where:
        table, key = draft.where["evidence_table"], draft.where["evidence_key"]
        for row in draft.rows:
            if row[table] is not None and row[key] is not None:
                found[Evidence(str(row[table]), str(row[key]))] = None
    for _, lack_table, lack_key in lacks:
        if lack_table is not None and lack_key is not None:
            found[Evidence(lack_table, lack_key)] = None
    found.update(dict.fromkeys(row for _, row in told.reasons if row is not None))
    return tuple(found)


def _words(draft: Draft, name: str) -> tuple[str, ...]:
    return tuple(sorted(map(str, draft.values(name))))


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("the engine returned something else than a whole number")
    return value


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError("a rule's time must be a time, never null")
    return value
