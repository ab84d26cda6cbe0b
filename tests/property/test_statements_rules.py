"""Rules of reading SQL hold for generated statements: plans equal direct parsing, OR never names, AND never widens."""

from __future__ import annotations

import string
from collections.abc import Callable

from hypothesis import assume, given
from hypothesis import strategies as st

from custodes.model.datamap import DataMap
from custodes.statements import Statements, lexer
from custodes.statements.plan import SCOPE_ORDER

DATAMAP = DataMap.of(
    {
        "sql": {
            "users": {
                "subject_key": "id",
                "fields": {"email": "contact", "handle": "identity"},
                "selectors": {"handle": "handle", "email": "email"},
            },
            "login_event": {
                "subject_key": "user_id",
                "fields": {"ip": "ip_address", "city": "location", "at": "behaviour"},
                "selectors": {"ip": "ip", "city": "location", "at": "time_window"},
            },
        }
    }
)
TEXT = st.text(alphabet=string.ascii_letters + string.digits + " '\"\\-/*$;()=\n\u00e9", max_size=12)
NUMBER = st.integers(0, 10**9)


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def escaped(value: str) -> str:
    return "E'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def dollar(value: str) -> str:
    tag = next(tag for tag in ("", "q", "qq", "zz9") if f"${tag}$" not in f"{value}$")
    return f"${tag}${value}${tag}$"


STRING = (
    TEXT.filter(lambda value: "\\" not in value).map(quoted) | TEXT.map(escaped) | TEXT.filter(lambda v: "$" not in v).map(dollar)
)
COMMENT = st.sampled_from(["", " /* id = 99 */", " -- id = 98\n", " /* a /* nested ' */ \" */", "\n"])
KEY = st.one_of(
    NUMBER.map(lambda n: f"id = {n}"),
    NUMBER.map(lambda n: f"{n} = id"),
    NUMBER.map(lambda n: f"users.id = '{n}'::bigint"),
    st.lists(NUMBER, min_size=1, max_size=5).map(lambda ns: f"id in ({', '.join(map(str, ns))})"),
    st.lists(NUMBER, min_size=1, max_size=4).map(lambda ns: f"id = any(array{ns})"),
    st.lists(NUMBER, min_size=1, max_size=4).map(lambda ns: "id = any('{" + ",".join(map(str, ns)) + "}')"),
    st.tuples(NUMBER, STRING).map(lambda pair: f"(id, handle) = ({pair[0]}, {pair[1]})"),
    NUMBER.map(lambda n: f"id in (select id from users where id = {n})"),
    NUMBER.map(lambda n: f"exists (select 1 from login_event where user_id = users.id and user_id = {n})"),
)
OTHER = st.one_of(
    STRING.map(lambda s: f"handle = {s}"),
    STRING.map(lambda s: f"email like {s}"),
    NUMBER.map(lambda n: f"id > {n}"),
    NUMBER.map(lambda n: f"not (id = {n})"),
    NUMBER.map(lambda n: f"id <> {n}"),
    st.just("handle is not null"),
)
OPAQUE = NUMBER.map(lambda n: f"coalesce(id, 0) = {n}")


def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(parts, st.sampled_from([" and ", " or "]), parts, COMMENT).map(lambda p: f"({p[0]}{p[3]}{p[1]}{p[2]})")


PREDICATE = st.recursive(KEY | OTHER | OPAQUE, combined, max_leaves=5)
CLEAR = st.recursive(KEY | OTHER, combined, max_leaves=5)
TAUTOLOGY = st.sampled_from(
    ["1 = 1", "true", "id = id", "id is not null", "'a' = 'a'", "not false", "1 < 2", "id <> id + 1", "handle is null"]
)
SELECT = "select email from users where "


def fresh() -> Statements:
    return Statements(DATAMAP)


def accessed(statements: Statements, text: str) -> set[str]:
    return {subject.id for subject in statements.read("sql", text).subjects if subject.relation == "accessed"}


def width(scope: str) -> int:
    """How wide a scope is. A set and an unknown scope may both be everybody."""
    return min(SCOPE_ORDER.index(scope), SCOPE_ORDER.index("set"))


@given(predicate=PREDICATE, tautology=TAUTOLOGY)
def test_or_with_a_tautology_never_leaves_a_subject_accessed(predicate: str, tautology: str) -> None:
    for text in (f"{predicate} or {tautology}", f"{tautology} or ({predicate})"):
        reading = fresh().read("sql", SELECT + text)
        assert not [subject for subject in reading.subjects if subject.relation == "accessed"]
        assert reading.scope in {"set", "unknown"}
        assert reading.maximum is None


@given(predicate=CLEAR, conjunct=CLEAR)
def test_a_further_conjunct_never_widens_the_scope(predicate: str, conjunct: str) -> None:
    statements = fresh()
    before = statements.read("sql", SELECT + predicate)
    for text in (f"{predicate} and ({conjunct})", f"({conjunct}) and {predicate}"):
        after = statements.read("sql", SELECT + text)
        assert width(after.scope) <= width(before.scope)
        assert accessed(statements, SELECT + predicate) <= {subject.id for subject in after.subjects}


@given(predicate=PREDICATE, other=PREDICATE)
def test_a_remembered_plan_gives_what_parsing_gives(predicate: str, other: str) -> None:
    """Two statements, each read by a reader that has met the other's template, and by one that has not."""
    used = fresh()
    used.read("sql", SELECT + other)
    used.read("sql", SELECT + predicate)
    for text in (SELECT + predicate, SELECT + other):
        assert used.read("sql", text) == fresh().read("sql", text)


@given(values=st.lists(st.tuples(NUMBER, STRING, STRING), min_size=2, max_size=4), comment=COMMENT)
def test_one_plan_serves_all_values_of_a_template(values: list[tuple[int, str, str]], comment: str) -> None:
    texts = [f"select email from users{comment} where id = {n} and handle = {s} and email like {t}" for n, s, t in values]
    assume(not any(lexer.strip(text).fault for text in texts))
    statements = fresh()
    for text, (number, _, _) in zip(texts, values, strict=True):
        reading = statements.read("sql", text)
        assert [subject.id for subject in reading.subjects] == [str(number)]
        assert reading == fresh().read("sql", text)
    assert statements.misses == 1


SIGNS = """' '' E' e' U&' U&" $$ $a$ $1 -- /* */ \\ a ab1 5 5. .5 1e3 0x1F 1_000 = <<= ; ( ) , in array[ ] é $ x$y ::int N' b'1'"""
PIECE = st.sampled_from([*SIGNS.split(" "), '"', " ", "\n", "select"])


@given(pieces=st.lists(PIECE, max_size=14), apart=st.sampled_from(["", " "]))
def test_fast_and_thorough_lexing_agree(pieces: list[str], apart: str) -> None:
    text = apart.join(pieces)
    assert lexer._postgres(text) == lexer._thorough(text)


@given(pieces=st.lists(PIECE, max_size=14), literals=st.lists(STRING | NUMBER.map(str), max_size=4))
def test_any_text_is_read_without_an_exception(pieces: list[str], literals: list[str]) -> None:
    text = "select email from users where " + " ".join([*pieces, *literals])
    reading = fresh().read("sql", text)
    assert reading.scope in SCOPE_ORDER
    if reading.plan.coverage == ("parse_failed",):
        assert reading.scope == "unknown"


@given(value=TEXT)
def test_every_way_to_write_a_string_gives_its_value(value: str) -> None:
    ways = [escaped(value)]
    if "\\'" not in quoted(value):
        ways.append(quoted(value))
    if "$" not in value:
        ways.append(dollar(value))
    for way in ways:
        reading = fresh().read("sql", f"select email from users where handle = {way} and id = 5")
        assert [selector.value for selector in reading.selectors if selector.kind == "handle"] == [value]
        assert [subject.id for subject in reading.subjects] == ["5"]


@given(value=TEXT, number=NUMBER, way=st.sampled_from([quoted, escaped, dollar]))
def test_no_literal_stands_in_a_template(value: str, number: int, way: Callable[[str], str]) -> None:
    assume("$" not in value and "\\" not in value)
    literal = way("Zq9" + value)
    text = f"select email, 'x' || {literal} as n from users where handle = {literal} and id = {number + 10**10} limit 12345678"
    template = fresh().read("sql", text).plan.template
    assert str(number + 10**10) not in template
    assert "12345678" not in template
    assert "Zq9" not in template
