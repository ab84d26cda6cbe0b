"""The views that explanation templates and rules may read, and nothing else: names, columns, types, meaning.

`access` is the ledger index of the access (BIGINT), the join key everywhere; `access_id` its public name. All ids are pseudonyms.
Times are TIMESTAMP in UTC; flags are INTEGER 0/1 unless BOOLEAN is said. The runner builds each as a table or view in the engine;
a test compares this page with what the engine holds.
"""

from __future__ import annotations

from typing import Final

VIEWS: Final[dict[str, dict[str, str]]] = {
    # one row per recorded access
    "accesses": {
        "access": "BIGINT",
        "access_id": "VARCHAR",
        "time": "TIMESTAMP",
        "observed": "TIMESTAMP",  # when we recorded it
        "actor": "VARCHAR",  # identity in the log
        "human": "VARCHAR",  # on_behalf_of where known, else actor
        "actor_kind": "VARCHAR",
        "action": "VARCHAR",
        "system": "VARCHAR",
        "fieldset": "VARCHAR",  # join key of `fieldsets`
        "subject_scope": "VARCHAR",
        "subject_count": "BIGINT",  # resolved subjects
        "subject_max": "BIGINT",  # honest upper bound, null = unbounded
        "rows": "BIGINT",
        "purpose": "VARCHAR",  # a word of the vocabulary, or `(free text)`, or null
        "reason": "VARCHAR",  # pseudonym of the claimed reason's id, or null
        "client_country": "VARCHAR",
        "session": "VARCHAR",
        "device": "VARCHAR",
        "deliberate": "BOOLEAN",
        "break_glass": "BOOLEAN",
        "derived": "VARCHAR",
        "derived_from": "VARCHAR",
        "outcome": "VARCHAR",
        "template": "VARCHAR",
    },
    # distinct sets of (system, resource, field) that accesses touched; small. category null = not in the data map
    "fieldsets": {
        "fieldset": "VARCHAR",
        "system": "VARCHAR",
        "resource": "VARCHAR",
        "field": "VARCHAR",
        "category": "VARCHAR",
        "role": "VARCHAR",
    },
    # one row per (access, selector kind)
    "selectors": {"access": "BIGINT", "kind": "VARCHAR", "ref": "VARCHAR", "width": "BIGINT"},
    # what asks for a reason: one row per (access, subject); subject null where nobody was resolved. Without denied accesses,
    # logins and accesses to nothing personal. Subjects inside an opened copy come from the export that wrote it (via = derived).
    "looks": {
        "look": "BIGINT",  # key of the row within one run, for joins; never stored or shown
        "access": "BIGINT",
        "subject": "VARCHAR",
        "via": "VARCHAR",  # direct · derived
        "certainty": "VARCHAR",
        "time": "TIMESTAMP",
        "actor": "VARCHAR",
        "human": "VARCHAR",
        "actor_kind": "VARCHAR",
        "action": "VARCHAR",
        "system": "VARCHAR",
        "fieldset": "VARCHAR",
        "subject_scope": "VARCHAR",
        "purpose": "VARCHAR",
        "reason": "VARCHAR",
        "deliberate": "BOOLEAN",
        "break_glass": "BOOLEAN",
        "derived": "VARCHAR",
        "derived_from": "VARCHAR",
        "public_only": "INTEGER",  # 1 if every field is of category public
        "unit": "VARCHAR",  # of `human`, as of the access
        "country": "VARCHAR",
        "entity": "VARCHAR",
        "manager": "VARCHAR",
    },
    # verdict `explains`: template code, strength 2..4, the row that carries it
    "explanations": {
        "look": "BIGINT",
        "access": "BIGINT",
        "subject": "VARCHAR",
        "template": "VARCHAR",
        "strength": "INTEGER",
        "evidence_table": "VARCHAR",
        "evidence_key": "VARCHAR",
    },
    # verdict `flags`: a claimed reason is broken, or a relation raises a question
    "flags": {
        "look": "BIGINT",
        "access": "BIGINT",
        "subject": "VARCHAR",
        "template": "VARCHAR",
        "code": "VARCHAR",
        "evidence_table": "VARCHAR",
        "evidence_key": "VARCHAR",
    },
    # looks that nothing explains (same columns as `looks`), and what each tried template lacked
    "residue": {},
    "lacks": {
        "look": "BIGINT",
        "access": "BIGINT",
        "subject": "VARCHAR",
        "token": "VARCHAR",
        "evidence_table": "VARCHAR",
        "evidence_key": "VARCHAR",
    },
    # duties of subjects that were in fact accessed, never the registry: met 0/1
    "obligations": {"access": "BIGINT", "subject": "VARCHAR", "duty": "VARCHAR", "met": "INTEGER"},
    # policy in force, flattened
    "policy_regions": {
        "region": "VARCHAR",
        "kind": "VARCHAR",
        "value": "VARCHAR",
    },  # kind: country · entity · support_only · set_scope_only
    "policy_purposes": {"purpose": "VARCHAR", "category": "VARCHAR"},  # `*` = every category
    "policy_never": {"purpose": "VARCHAR"},
    "policy_settings": {"ticket_grace_hours": "BIGINT", "late_record_minutes": "BIGINT"},  # one row
    # each unit that occurs in staff or assignments, with each of its path prefixes and what policy says of the prefix
    "units": {"unit": "VARCHAR", "prefix": "VARCHAR", "no_subject_duty": "INTEGER", "outside_approver": "INTEGER"},
    # what templates join besides; rules may, too. `staff_spans`: staff rows as spans that do not overlap, bounds never null
    "staff_spans": {
        "actor": "VARCHAR",
        "person": "VARCHAR",
        "unit": "VARCHAR",
        "manager": "VARCHAR",
        "country": "VARCHAR",
        "entity": "VARCHAR",
        "valid_from": "TIMESTAMP",
        "valid_to": "TIMESTAMP",
    },
    # who stands above whom, through any number of managers; bounds never null
    "chain": {"actor": "VARCHAR", "above": "VARCHAR", "valid_from": "TIMESTAMP", "valid_to": "TIMESTAMP"},
    # subjects that a case covers: those it names, and in a staff case only accounts of staff (via = subject · actor)
    "case_subjects": {"case": "VARCHAR", "subject": "VARCHAR", "added": "TIMESTAMP", "added_by": "VARCHAR", "via": "VARCHAR"},
    "grant_fields": {"grant": "VARCHAR", "field": "VARCHAR"},  # a grant without a list covers every field
    "legal_fields": {"process": "VARCHAR", "field": "VARCHAR"},  # likewise
    "purpose_beyond": {"fieldset": "VARCHAR", "purpose": "VARCHAR", "category": "VARCHAR"},  # categories the purpose may not touch
    "policy_legal": {"kind": "VARCHAR", "class": "VARCHAR"},  # classes that suffice; kind `*` = all others
    "reasons": {"reason": "VARCHAR", "kind": "VARCHAR", "row_key": "VARCHAR"},  # every id that a reason may name, with its table
    "checked": {"template": "VARCHAR", "checked": "INTEGER"},  # 0 = a table it needs is missing: it gave no verdict
    # actors of whom the record knows nothing older than two weeks, and until when: under rules on the residue they are at most low
    "newcomers": {"actor": "VARCHAR", "until": "TIMESTAMP"},
    # rings: actors tied by subjects that little explains (see `rank.rings`); one row per look that ties them, none for other looks.
    # weight: of the whole ring, in thousandths; witness: 1 for the smallest set of looks that holds the ring together
    "ring_looks": {
        "ring": "VARCHAR",
        "access": "BIGINT",
        "subject": "VARCHAR",
        "weight": "BIGINT",
        "witness": "INTEGER",
    },
    # holes in the numbers of a source (kind = sequence) and its one long pause (kind = silence); access: the last one before
    "gaps": {
        "kind": "VARCHAR",
        "system": "VARCHAR",
        "access": "BIGINT",
        "first_missing": "BIGINT",
        "last_missing": "BIGINT",
        "missing": "BIGINT",
        "begins": "TIMESTAMP",
        "ends": "TIMESTAMP",
    },
    # the home's own leaves: loads, decisions of the guard, requests, answers, erasures, uses of custodes itself (what = use)
    "own_record": {
        "leaf": "BIGINT",
        "time": "TIMESTAMP",  # the hour of recording
        "kind": "VARCHAR",
        "what": "VARCHAR",
        "actor": "VARCHAR",  # who did it; of an erasure: who asked for it
        "act": "VARCHAR",  # of a decision released · denied · evaluated, of its outcome read · over-reach, of a request what for
        "about": "VARCHAR",  # public id of the access that it is about
        "at": "TIMESTAMP",  # when it was done, as the leaf says; null where it does not
        "why": "VARCHAR",  # of a refusal: its code, the most telling one
        "grant": "VARCHAR",  # key of `grants`
        "rows": "BIGINT",  # of an outcome
    },
    # what was asked for and denied, by the guard or at a source: nothing was shown, so it is no look; per access and subject
    "attempts": {
        "access": "BIGINT",
        "subject": "VARCHAR",
        "time": "TIMESTAMP",
        "actor": "VARCHAR",
        "human": "VARCHAR",
        "actor_kind": "VARCHAR",
        "action": "VARCHAR",
        "system": "VARCHAR",
        "fieldset": "VARCHAR",
        "purpose": "VARCHAR",
        "reason": "VARCHAR",
        "unit": "VARCHAR",  # of `human`, as of the attempt
    },
    # accounts by which the guard itself reads at the systems it stands before: each such read has a decision in `own_record`
    "guard_readers": {"system": "VARCHAR", "reader": "VARCHAR"},
}
VIEWS["residue"] = dict(VIEWS["looks"])
"""Besides these every context table of `custodes.model.tables` is a view of its own name with its columns, `row_key` and
`recorded`; a table that was never loaded is an empty view."""
