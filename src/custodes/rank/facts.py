"""What ranking asks the views: fields and categories of the found accesses, places of work, scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from custodes.engine import Engine
from custodes.model.finding import Finding
from custodes.model.policy import Policy
from custodes.rank.assemble import Facts, Place
from custodes.rank.sentence import CLAUSES


def gather(engine: Engine, policy: Policy, scores: Mapping[int, int], findings: Sequence[Finding]) -> Facts:
    """Return the facts of this run. Reads `looks` and `fieldsets`; one row per access, one per field set, one per human."""
    fields: dict[str, set[str]] = defaultdict(set)
    categories: dict[str, set[str]] = defaultdict(set)
    for fieldset, name, category in engine.rows("select fieldset, field, category from fieldsets"):
        if name:
            fields[str(fieldset)].add(str(name))
        if category:
            categories[str(fieldset)].add(str(category))
    places = engine.rows(
        """select human, unit, country from (
             select human, unit, country, row_number() over (partition by human order by time desc, access desc, subject) as latest
             from looks) where latest = 1"""
    )
    return Facts(
        fieldset=_fieldsets(engine, findings),
        fields={key: tuple(sorted(names)) for key, names in fields.items()},
        categories={key: tuple(sorted(names)) for key, names in categories.items()},
        places={str(human): Place(_text(unit), _text(country)) for human, unit, country in places},
        scores=scores,
        outside_units=policy.outside_approver_units,
        codes_first={code: position for position, code in enumerate(CLAUSES)},
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _fieldsets(engine: Engine, findings: Sequence[Finding]) -> dict[int, str]:
    """Return access → field set of the accesses that findings name."""
    import pyarrow as pa

    leaves = sorted({leaf for finding in findings for leaf in finding.leaves})
    engine.table("found_accesses", pa.table({"access": pa.array(leaves, pa.int64())}))
    table = engine.fetch("select a.access, a.fieldset from accesses a join found_accesses f on f.access = a.access")
    return dict(zip(table["access"].to_pylist(), table["fieldset"].to_pylist(), strict=True))
