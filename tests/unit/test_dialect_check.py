"""The dialect: what ports and can do no harm passes, everything else is refused by name and line."""

from __future__ import annotations

import pytest

from custodes.dialect import Statement, bind_sql, check_sql, output_columns, placeholders, read_statement
from custodes.errors import BadRule
from custodes.model.views import VIEWS

ALLOWED = {
    "plain": "SELECT access, actor FROM looks WHERE subject IS NOT NULL ORDER BY actor, access",
    "whole_view": "SELECT l.* FROM looks l",
    "cte": "WITH a AS (SELECT actor, subject FROM looks), b AS (SELECT actor FROM a) SELECT DISTINCT actor FROM b",
    "joins": (
        "SELECT l.access FROM looks l JOIN fieldsets f ON l.fieldset = f.fieldset LEFT JOIN units u ON u.unit = l.unit "
        "CROSS JOIN policy_settings p WHERE f.category <> 'public' AND p.late_record_minutes >= 0"
    ),
    "anti": "SELECT access FROM looks l WHERE NOT EXISTS (SELECT 1 FROM explanations e WHERE e.access = l.access AND 1 = 1)",
    "union": "SELECT access FROM looks UNION ALL SELECT access FROM residue",
    "sets": "SELECT access FROM looks WHERE actor IN (SELECT human FROM residue) AND system IN ('crm', 'warehouse')",
    "groups": (
        "SELECT actor, CAST(time AS DATE) AS day, COUNT(*) AS n, count(DISTINCT subject) AS subjects, SUM(access) AS p, "
        "MIN(time) AS first FROM looks GROUP BY actor, CAST(time AS DATE) HAVING COUNT(*) > 3 ORDER BY day, actor"
    ),
    "numbered": "SELECT access, row_number() OVER (PARTITION BY actor ORDER BY time DESC, access) AS n FROM looks",
    "numbered_groups": (
        "WITH g AS (SELECT actor, subject, COUNT(*) AS n FROM looks GROUP BY actor, subject) "
        "SELECT actor, row_number() OVER (PARTITION BY actor ORDER BY n DESC, subject) AS place FROM g"
    ),
    "range": (
        "WITH d AS (SELECT actor, day_number(time) AS day, COUNT(*) AS n FROM looks GROUP BY actor, day_number(time)) "
        "SELECT actor, SUM(n) OVER (PARTITION BY actor ORDER BY day RANGE BETWEEN 30 PRECEDING AND 1 PRECEDING) AS past FROM d"
    ),
    "values": (
        "SELECT access, CASE WHEN deliberate THEN 1 ELSE 0 END AS d, coalesce(unit, '-') AS place, access % 2 AS odd, "
        "minute_number(time) - 5 AS m FROM looks WHERE time >= time - INTERVAL '7' DAY AND access BETWEEN 1 AND 9 "
        "AND actor IS DISTINCT FROM human AND purpose LIKE 'x%'"
    ),
    "parameter": "SELECT access FROM looks WHERE time > time - INTERVAL (:days) DAY AND access > :least",
}


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_what_ports_is_allowed(name: str) -> None:
    check_sql(ALLOWED[name], VIEWS)


ATTACKS = {
    "read_text": ("SELECT content FROM read_text('/etc/passwd')", "read_text"),
    "read_text_as_a_value": ("SELECT read_text('/etc/passwd') AS x FROM looks", "read_text"),
    "getenv": ("SELECT getenv('HOME') AS x FROM looks", "getenv"),
    "query": ("SELECT * FROM query('SELECT 1')", "query"),
    "query_table": ("SELECT * FROM query_table('looks')", "query_table"),
    "glob": ("SELECT * FROM glob('/etc/*')", "glob"),
    "file_as_table": ("SELECT * FROM '/etc/passwd'", "/etc/passwd"),
    "parquet_file_as_table": ("SELECT * FROM 'accesses/day=2026-01-01/part.parquet'", "part.parquet"),
    "delete_in_a_cte": ("WITH d AS (DELETE FROM accesses RETURNING *) SELECT * FROM d", "DELETE"),
    "insert_in_a_cte": ("WITH d AS (INSERT INTO accesses SELECT * FROM accesses RETURNING *) SELECT * FROM d", "INSERT"),
    "two_statements": ("SELECT access FROM looks; DROP TABLE looks", "2 statements"),
    "no_statement": ("-- nothing", "0 statements"),
    "delete": ("DELETE FROM looks", "DELETE"),
    "copy": ("COPY (SELECT 1) TO 'x.csv'", "COPY"),
    "attach": ("ATTACH 'x.db'", "ATTACH"),
    "set": ("SET threads = 1", "SET"),
    "pragma": ("PRAGMA database_list", "PRAGMA"),
    "settings": ("SELECT name FROM duckdb_settings()", "duckdb_settings"),
    "catalogue": ("SELECT table_name FROM information_schema.tables", "TABLE"),
    "setting_value": ("SELECT current_setting('threads') AS x FROM looks", "current_setting"),
    "variable": ("SELECT getvariable('x') AS x FROM looks", "getvariable"),
    "protected_list": ("SELECT subject FROM protected", "protected"),
    "findings": ("SELECT access FROM findings", "findings"),
    "other_database": ("SELECT access FROM memory.main.looks", "TABLE"),
    "values": ("VALUES (1)", "VALUES"),
    "table_of_values": ("SELECT a FROM (VALUES (1)) AS v(a)", "line 1"),
    "lateral": ("SELECT access FROM looks, LATERAL (SELECT 1) AS x", "LATERAL"),
    "unnest": ("SELECT access FROM looks, unnest([1, 2]) AS x", "line 1"),
    "sample": ("SELECT access FROM looks USING SAMPLE 5", "SAMPLE"),
    "recursive": (
        "WITH RECURSIVE a AS (SELECT access FROM looks UNION SELECT access FROM a) SELECT access FROM a",
        "RECURSIVE",
    ),
    "redefined_view": ("WITH looks AS (SELECT access FROM accesses) SELECT access FROM looks", "looks"),
    "unclosed": ("SELECT (access FROM looks", "not SQL"),
}

DO_NOT_PORT = {
    "asof": ("SELECT l.access FROM looks l ASOF JOIN staff s ON l.time >= s.joined", "METHOD"),
    "anti": ("SELECT l.access FROM looks l ANTI JOIN residue r ON l.access = r.access", "ANTI"),
    "semi": ("SELECT l.access FROM looks l SEMI JOIN residue r ON l.access = r.access", "SEMI"),
    "right": ("SELECT l.access FROM looks l RIGHT JOIN residue r ON l.access = r.access", "RIGHT"),
    "full": ("SELECT l.access FROM looks l FULL JOIN residue r ON l.access = r.access", "FULL"),
    "natural": ("SELECT access FROM looks NATURAL JOIN residue", "METHOD"),
    "qualify": ("SELECT access FROM looks QUALIFY row_number() OVER (ORDER BY access) = 1", "QUALIFY"),
    "group_by_all": ("SELECT actor, count(*) AS n FROM looks GROUP BY ALL", "ALL"),
    "group_by_number": ("SELECT actor, count(*) AS n FROM looks GROUP BY 1", "by name"),
    "list_len": ("SELECT len([1, 2]) AS n FROM looks", "line 1"),
    "list_element": ("SELECT fields[1] AS f FROM grants", "list access"),
    "list_contains": ("SELECT list_contains(fields, 'x') AS f FROM grants", "line 1"),
    "list_agg": ("SELECT list(access) AS f FROM looks", "array_agg"),
    "string_agg": ("SELECT string_agg(actor, ',') AS f FROM looks", "line 1"),
    "float_literal": ("SELECT access FROM looks WHERE access > 1.5", "1.5"),
    "float_exponent": ("SELECT access FROM looks WHERE access > 1e3", "1e3"),
    "division": ("SELECT access FROM looks WHERE access / 3 > 1", "division"),
    "whole_division": ("SELECT access FROM looks WHERE access // 3 > 1", "line 1"),
    "average": ("SELECT avg(access) AS a FROM looks", "avg"),
    "float_cast": ("SELECT CAST(access AS DOUBLE) AS a FROM looks", "DOUBLE"),
    "decimal_cast": ("SELECT access::DECIMAL(10, 2) AS a FROM looks", "DECIMAL"),
    "try_cast": ("SELECT TRY_CAST(actor AS BIGINT) AS a FROM looks", "line 1"),
    "now": ("SELECT access FROM looks WHERE time > now()", "now"),
    "current_timestamp": ("SELECT access FROM looks WHERE time > CURRENT_TIMESTAMP", "now"),
    "current_date": ("SELECT access FROM looks WHERE CAST(time AS DATE) = current_date", "current date"),
    "random": ("SELECT access FROM looks WHERE random() > 0", "line 1"),
    "order_without_unique_key": ("SELECT access, actor FROM looks\nORDER BY actor", "line 2"),
    "order_by_position": ("SELECT access FROM looks ORDER BY 1", "unique"),
    "numbered_without_order": ("SELECT access, row_number() OVER (PARTITION BY actor) AS n FROM looks", "row_number"),
    "numbered_without_unique_key": ("SELECT access, row_number() OVER (ORDER BY time) AS n FROM looks", "unique"),
    "rows_frame": ("SELECT sum(access) OVER (ORDER BY access ROWS 3 PRECEDING) AS n FROM looks", "RANGE"),
    "lag": ("SELECT lag(access) OVER (ORDER BY access) AS n FROM looks", "line 1"),
    "rank": ("SELECT rank() OVER (ORDER BY access) AS n FROM looks", "line 1"),
    "hiding_alias": ("SELECT min(time) AS time FROM looks", "time"),
    "hiding_alias_of_a_joined_view": ("SELECT l.actor AS subject FROM looks l", "subject"),
    "limit": ("SELECT access FROM looks ORDER BY access LIMIT 3", "LIMIT"),
    "distinct_on": ("SELECT DISTINCT ON (actor) access FROM looks", "ON"),
    "filter": ("SELECT count(*) FILTER (WHERE deliberate) AS n FROM looks", "line 1"),
    "except_columns": ("SELECT * EXCLUDE (actor) FROM looks", "STAR"),
    "scalar_query": ("SELECT access FROM looks WHERE access > (SELECT max(access) AS m FROM residue)", "join it"),
    "unknown_column": ("SELECT filename FROM looks", "filename"),
    "row_id": ("SELECT rowid FROM looks", "rowid"),
    "struct": ("SELECT a.b.c FROM looks AS a", "line 1"),
    "interval_of_a_column": ("SELECT access FROM looks WHERE time > time - INTERVAL (access) DAY", "INTERVAL"),
    "months": ("SELECT access FROM looks WHERE time > time - INTERVAL '1' MONTH", "INTERVAL"),
    "lambda": ("SELECT list_filter(fields, x -> x = 'a') AS f FROM grants", "line 1"),
    "intersect": ("SELECT access FROM looks INTERSECT SELECT access FROM residue", "line 1"),
    "question_mark": ("SELECT access FROM looks WHERE access = ?", "parameter"),
}


CONTEXT = {**VIEWS, "staff": {"actor": "", "joined": ""}, "grants": {"fields": ""}}


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_rule_cannot_read_files_settings_or_write(name: str) -> None:
    sql, word = ATTACKS[name]
    with pytest.raises(BadRule, match="(?i)" + word.replace("/", ".").replace("*", ".")):
        check_sql(sql, CONTEXT)


@pytest.mark.parametrize("name", sorted(DO_NOT_PORT))
def test_what_does_not_port_is_refused(name: str) -> None:
    sql, word = DO_NOT_PORT[name]
    with pytest.raises(BadRule, match="(?i)" + word.replace("(", ".")):
        check_sql(sql, CONTEXT)


def test_refusal_names_the_line() -> None:
    with pytest.raises(BadRule, match="line 3: function getenv"):
        check_sql("SELECT access\nFROM looks\nWHERE actor = getenv('HOME')", VIEWS)


def test_unknown_functions_are_refused_before_anything_else() -> None:
    with pytest.raises(BadRule, match="getenv"):
        check_sql("SELECT avg(access) AS x, getenv('HOME') AS y FROM nowhere", VIEWS)


def test_parameters_become_whole_numbers() -> None:
    bound = bind_sql(ALLOWED["parameter"], VIEWS, {"days": 7, "least": -2})
    assert "INTERVAL '7' DAY" in bound
    assert "> (-2)" in bound
    assert ":" not in bound
    assert placeholders(ALLOWED["parameter"], VIEWS) == {"days", "least"}


def test_undeclared_parameter_is_refused() -> None:
    with pytest.raises(BadRule, match=":least"):
        bind_sql(ALLOWED["parameter"], VIEWS, {"days": 7})


def test_colon_inside_a_text_is_no_parameter() -> None:
    assert placeholders("SELECT access FROM looks WHERE actor = ':days'", VIEWS) == set()


def test_output_columns_follow_stars_and_unions() -> None:
    sql = "WITH a AS (SELECT actor AS who, access FROM looks) SELECT a.* FROM a UNION ALL SELECT actor, access FROM residue"
    assert output_columns(sql, VIEWS) == ("who", "access")


def test_comments_do_not_reach_the_engine() -> None:
    assert "secret" not in bind_sql("SELECT access /* secret */ FROM looks -- secret", VIEWS, {})


def test_deep_nesting_is_refused_not_a_crash() -> None:
    with pytest.raises(BadRule):
        check_sql("SELECT " + "(" * 5000 + "access" + ")" * 5000 + " FROM looks", VIEWS)


def test_a_statement_is_read_once_and_says_all_of_itself() -> None:
    sql = "WITH a AS (SELECT actor, access FROM looks WHERE look > 1) SELECT access, actor AS who FROM a WHERE access > :least"
    read = read_statement(sql, VIEWS, {"least": 3, "idle": 1})
    assert read == Statement(output_columns(sql, VIEWS), frozenset(placeholders(sql, VIEWS)), bind_sql(sql, VIEWS, {"least": 3}))
    assert (read.columns, read.placeholders) == (("access", "who"), {"least"})
    assert read.text.endswith("access > 3")
