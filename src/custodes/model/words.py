"""Closed vocabularies, as in the public input contract `custodes.access/1`."""

from __future__ import annotations

from typing import Final

ACTIONS: Final = frozenset({"read", "query", "list", "search", "export", "write", "delete", "approve", "grant", "login", "other"})
ACTOR_KINDS: Final = frozenset({"human", "service", "agent", "shared", "unknown"})
SCOPES: Final = frozenset({"none", "named", "key_predicate", "attribute_predicate", "join", "set", "aggregate", "unknown"})
SELECTORS: Final = frozenset(
    {"user_id", "handle", "email", "phone", "ip", "ip_range", "device", "location", "time_window", "other"}
)
OUTCOMES: Final = frozenset({"success", "denied", "failure"})
CATEGORIES: Final = frozenset(
    {
        "location",
        "ip_address",
        "message",
        "contact",
        "identity",
        "credential",
        "payment",
        "health",
        "device",
        "behaviour",
        "public",
        "staff_location",
    }
)
COVERAGE: Final = frozenset(
    {
        "opaque_routine",
        "cursor",
        "dynamic_sql",
        "derived_table",
        "params_hidden",
        "predicate_opaque",
        "parse_failed",
        "sql_truncated",
        "fields_truncated",
        "aggregated",
        "sampled",
        "error_channel",
        "purpose_conflict",
        "actor_hidden",
        "superuser",
        "bad_encoding",
        "id_conflict",
        "gap_before",
        "clock_skew",
    }
)
LEVELS: Final = ("note", "low", "medium", "high")
UNKNOWN_ACTOR: Final = "unknown"
"""Reserved actor id where a log names none."""
