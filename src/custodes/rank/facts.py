"""What ranking asks the views: fields and categories of the found accesses, places of work, scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from custodes.engine import Engine
from custodes.model.finding import Finding
from custodes.model.policy import Policy
from custodes.rank.assemble import Facts, Place
from custodes.rank.sentence import CLAUSES

_BROKEN = "'V2', 'V3', 'V4', 'V14', 'V16'"
_TABLES = "'cases', 'tickets', 'grants', 'legal', 'jobs'"
_FOUND = """create or replace temp table found_accesses as
  select a.access, a.fieldset, a.reason, a.derived, a.derived_from from accesses a join found_leaves f on f.access = a.access"""


def gather(
    engine: Engine, policy: Policy, scores: Mapping[int, int], findings: Sequence[Finding], printed: Callable[[str], str] = str
) -> Facts:
    """Return the facts of this run. Reads `looks` and `fieldsets`; one row per access, one per field set, one per human.

    `printed`: a unit's path as it may be shown.
    """
    _found(engine, findings)
    fields: dict[str, set[str]] = defaultdict(set)
    categories: dict[str, set[str]] = defaultdict(set)
    for fieldset, name, category in engine.rows("select fieldset, field, category from fieldsets"):
        if name:
            fields[str(fieldset)].add(str(name))
        if category:
            categories[str(fieldset)].add(str(category))
    places = engine.rows(  # at one time somebody has one place, so which look it is taken from plays no part
        "select human, arg_max(coalesce(unit, ''), time), arg_max(coalesce(country, ''), time) from looks group by human"
    )
    return Facts(
        fieldset=_fieldsets(engine),
        fields={key: tuple(sorted(names)) for key, names in fields.items()},
        categories={key: tuple(sorted(names)) for key, names in categories.items()},
        places={str(human): Place(_text(unit), _text(country), printed(_text(unit))) for human, unit, country in places},
        scores=scores,
        outside_units=policy.outside_approver_units,
        reasons=_reasons(engine),
        copies=_copies(engine),
        codes_first={code: position for position, code in enumerate(CLAUSES)},
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _found(engine: Engine, findings: Sequence[Finding]) -> None:
    """Make `found_accesses`: what is asked of the accesses that findings name."""
    import pyarrow as pa

    leaves = sorted({leaf for finding in findings for leaf in finding.leaves})
    engine.table("found_leaves", pa.table({"access": pa.array(leaves, pa.int64())}))
    engine.run(_FOUND)


def _fieldsets(engine: Engine) -> dict[int, str]:
    """Return access → field set."""
    table = engine.fetch("select access, fieldset from found_accesses")
    return dict(zip(table["access"].to_pylist(), table["fieldset"].to_pylist(), strict=True))


def _reasons(engine: Engine) -> dict[int, tuple[tuple[str, str], ...]]:
    """Return access → the broken reasons that the log itself cites: what flags carry a row of a reason table for."""
    rows = engine.rows(
        f"""select distinct g.access, g.evidence_table, g.evidence_key from flags g join found_accesses a on a.access = g.access
            where a.reason is not null and g.code in ({_BROKEN}) and g.evidence_table in ({_TABLES}) and g.evidence_key is not null
            order by 1, 2, 3"""
    )
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for access, table, key in rows:
        found[int(str(access))].append((str(table), str(key)))
    return {access: tuple(keys) for access, keys in found.items()}


def _copies(engine: Engine) -> dict[int, tuple[str, ...]]:
    """Return access → the copies that it made or opened."""
    rows = engine.rows(
        """select access, derived as copy from found_accesses where derived is not null
           union select access, derived_from from found_accesses where derived_from is not null order by 1, 2"""
    )
    found: dict[int, list[str]] = defaultdict(list)
    for access, copy in rows:
        found[int(str(access))].append(str(copy))
    return {access: tuple(copies) for access, copies in found.items()}
