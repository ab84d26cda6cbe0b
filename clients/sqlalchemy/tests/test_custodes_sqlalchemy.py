"""Statements carry what they are for, on a real database where there is one, and nothing can be smuggled into the comment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from custodes_sqlalchemy import NoPurpose, Purpose, attach, purpose
from sqlalchemy import Engine, create_engine, event, text


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = create_engine("sqlite://")
    yield made
    made.dispose()


def seen(engine: Engine) -> list[str]:
    statements: list[str] = []
    event.listen(engine, "after_cursor_execute", lambda *call: statements.append(call[2]))
    return statements


def test_statements_say_what_they_are_for_and_only_inside_the_block(engine: Engine) -> None:
    attach(engine)
    statements = seen(engine)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        with purpose("support", grant="g-57", reason="T-991"):
            assert connection.execute(text("select :n"), {"n": 2}).scalar() == 2
            with purpose("oversight"):
                connection.execute(text("select 3"))
            connection.execute(text("select 4"))
        connection.execute(text("select 5"))
    assert statements == [
        "select 1",
        "select ? /*custodes:purpose=support,grant=g-57,reason=T-991*/",
        "select 3 /*custodes:purpose=oversight*/",
        "select 4 /*custodes:purpose=support,grant=g-57,reason=T-991*/",
        "select 5",
    ]


@pytest.mark.parametrize("word", ["", "*/ drop table x; /*", "a b", "a,b=c", "a'b", "é", "x" * 101, "-- x", "\n"])
def test_what_is_no_word_is_refused(word: str) -> None:
    for make in (lambda: Purpose(word), lambda: Purpose("support", grant=word), lambda: Purpose("support", reason=word)):
        with pytest.raises(ValueError, match="letters"):
            make()


def test_an_engine_may_require_a_purpose(engine: Engine) -> None:
    attach(engine, require=True)
    with engine.connect() as connection:
        with pytest.raises(NoPurpose):
            connection.execute(text("select 1"))
        with purpose("support"):
            connection.execute(text("select 1"))


def test_a_purpose_is_the_thread_s_own() -> None:
    found: list[str] = []

    def other() -> None:
        with purpose("oversight") as said:
            found.append(said.comment())

    with purpose("support") as said:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        found.append(said.comment())
    assert found == ["/*custodes:purpose=oversight*/", "/*custodes:purpose=support*/"]


def test_a_name_fits_into_what_postgresql_keeps() -> None:
    assert Purpose("support", "g-57").name() == "custodes support g-57"
    assert len(Purpose("x" * 100, "g-57").name().encode()) == 63


@pytest.fixture
def postgres() -> Iterator[Engine]:
    url = os.environ.get("CUSTODES_CLIENT_POSTGRES")
    if not url:
        pytest.skip("set CUSTODES_CLIENT_POSTGRES to a postgresql+psycopg:// URL")
    made = create_engine(url, pool_size=1, max_overflow=0, connect_args={"application_name": "shop"})
    attach(made)
    yield made
    made.dispose()


def name(connection: object) -> str:
    return str(connection.execute(text("select current_setting('application_name')")).scalar())  # type: ignore[attr-defined]


def test_the_connection_has_the_name_of_what_it_is_used_for_and_its_own_afterwards(postgres: Engine) -> None:
    with postgres.connect() as connection:
        assert name(connection) == "shop"
        with purpose("support", grant="g-57"):
            assert name(connection) == "custodes support g-57"
            connection.rollback()  # the server takes the name back with the transaction
            assert name(connection) == "custodes support g-57"
        assert name(connection) == "shop"
        with purpose("oversight"):
            assert name(connection) == "custodes oversight"
    with postgres.connect() as connection:  # the same connection of the pool, by somebody else
        assert name(connection) == "shop"
        with purpose("oversight"):  # the pool rolled the name back that it had
            assert name(connection) == "custodes oversight"
            connection.commit()
    with postgres.connect() as connection:  # and a committed one is put back
        assert name(connection) == "shop"
