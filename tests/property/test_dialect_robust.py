"""Whatever is written as SQL, the dialect answers yes or `BadRule`; what it allows, it still allows after writing it anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from custodes.dialect import bind_sql, check_sql
from custodes.errors import BadRule
from custodes.model.views import VIEWS

WORDS = (
    *("SELECT", "FROM", "WHERE", "looks", "residue", "l", "access", "actor", "time", ",", ".", "(", ")", "=", ">", "*", "'x'", "1"),
    *("2.5", "AND", "OR", "NOT", "JOIN", "LEFT", "ON", "GROUP", "BY", "ORDER", "count", "sum", "WITH", "a", "AS", "UNION", "ALL"),
    *(
        "INTERVAL",
        "DAY",
        "EXISTS",
        "IN",
        ":days",
        ";",
        "--",
        "/*",
        "CASE",
        "WHEN",
        "END",
        "CAST",
        "[",
        "]",
        "{",
        "}",
        "::",
        "->",
        "?",
    ),
)
COLUMNS = st.sampled_from(sorted(VIEWS["looks"]))
NUMBERS = st.integers(min_value=-(2**62), max_value=2**62)


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=60))
def test_any_text_is_allowed_or_refused_never_a_crash(sql: str) -> None:
    try:
        check_sql(sql, VIEWS)
    except BadRule:
        return
    assert bind_sql(bind_sql(sql, VIEWS, {"days": 1}), VIEWS, {}) == bind_sql(sql, VIEWS, {"days": 1})


@given(st.lists(COLUMNS, min_size=1, max_size=4, unique=True), NUMBERS, st.sampled_from(["=", "<", ">=", "<>"]))
def test_what_is_bound_stays_in_the_dialect(columns: list[str], value: int, sign: str) -> None:
    sql = f"SELECT {', '.join(columns)} FROM looks WHERE access {sign} :limit ORDER BY access"
    bound = bind_sql(sql, VIEWS, {"limit": value})
    check_sql(bound, VIEWS)
    assert str(abs(value)) in bound
