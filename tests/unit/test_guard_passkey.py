"""Passkeys: each numbered check refuses by itself, and package `webauthn` is of the same opinion."""

from __future__ import annotations

from dataclasses import replace

import pytest
from authenticator import Authenticator
from hypothesis import given
from hypothesis import strategies as st
from passkey_opinion import CHALLENGE, DEVICES, WRONG, second_opinion

from custodes.errors import ConfigError
from custodes.guard.passkey import Assertion, Passkey, assertion_of, check, passkey_of


@pytest.mark.parametrize("kind", DEVICES)
def test_a_verified_holder_s_signature_counts(kind: str) -> None:
    device = DEVICES[kind]
    assertion = device.answer(CHALLENGE)
    assert check(assertion, device.passkey(), CHALLENGE, 0) is None
    assert second_opinion(device, assertion, 0)


@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("case", WRONG)
def test_each_check_refuses_by_itself(case: str, kind: str) -> None:
    changes, code = WRONG[case]
    device = DEVICES[kind]
    assertion = device.answer(CHALLENGE, **changes)  # type: ignore[arg-type]  # a table of cases
    found = check(assertion, device.passkey(), CHALLENGE, 0)
    assert found is not None
    assert found.code == code
    assert not second_opinion(device, assertion, 0)


def test_a_frame_of_another_page_does_not_count() -> None:
    device = DEVICES["es256"]
    assert check(device.answer(CHALLENGE, crossOrigin=True), device.passkey(), CHALLENGE, 0) is not None


@pytest.mark.parametrize("kind", DEVICES)
def test_another_person_s_device_does_not_count(kind: str) -> None:
    device, other = DEVICES[kind], Authenticator.of("eve", curve=kind == "es256")
    for assertion in (other.answer(CHALLENGE), other.answer(CHALLENGE)._replace(credential=device.credential)):
        assert check(assertion, device.passkey(), CHALLENGE, 0) is not None


@pytest.mark.parametrize(
    ("now", "last", "counts"), [(0, 0, True), (1, 0, True), (8, 7, True), (7, 7, False), (6, 7, False), (0, 7, False)]
)
def test_a_counter_does_not_fall(now: int, last: int, counts: bool) -> None:
    device = replace(DEVICES["es256"], counter=now)
    assertion = device.answer(CHALLENGE)
    assert (check(assertion, device.passkey(), CHALLENGE, last) is None) is counts
    assert second_opinion(device, assertion, last) is counts


@pytest.mark.parametrize("kind", DEVICES)
@given(place=st.integers(0, 3), at=st.integers(0, 1000), bit=st.integers(0, 7))
def test_no_bit_of_an_assertion_can_be_changed(kind: str, place: int, at: int, bit: int) -> None:
    device = DEVICES[kind]
    parts = list(device.answer(CHALLENGE))
    part = bytearray(parts[place])
    part[at % len(part)] ^= 1 << bit
    parts[place] = bytes(part)
    assert check(Assertion(*parts), device.passkey(), CHALLENGE, 0) is not None


@given(data=st.binary(max_size=200))
def test_client_data_of_a_stranger_never_raises(data: bytes) -> None:
    device = DEVICES["es256"]
    assert check(Assertion(device.credential, data, data, data), device.passkey(), CHALLENGE, 0) is not None


@pytest.mark.parametrize("kind", DEVICES)
def test_forms_are_read_back_and_nothing_else_is(kind: str) -> None:
    device = DEVICES[kind]
    assertion, passkey = device.answer(CHALLENGE), device.passkey()
    assert assertion_of(assertion.to_bytes()) == assertion
    assert passkey_of(passkey.to_text()) == passkey
    for broken in (assertion.to_bytes()[:-1], assertion.to_bytes() + b"\0", b"", b"\xff"):
        assert assertion_of(broken) is None


BAD_KEYS = {
    "words": "passkey:hello",
    "no prefix": DEVICES["es256"].passkey().to_text().removeprefix("passkey:"),
    "padding": DEVICES["es256"].passkey().to_text() + "=",
    "point off the curve": DEVICES["es256"].passkey()._replace(public=b"\x04" + b"\x01" * 64).to_text(),
    "low order": DEVICES["eddsa"].passkey()._replace(public=bytes(32)).to_text(),
    "RS256": DEVICES["es256"].passkey()._replace(algorithm=-257).to_text(),
    "no TLS": DEVICES["es256"].passkey()._replace(origin="http://guard.example").to_text(),
    "another domain": DEVICES["es256"].passkey()._replace(origin="https://evil.example").to_text(),
    "suffix of a name": DEVICES["es256"].passkey()._replace(origin="https://evilguard.example").to_text(),
    "no credential": DEVICES["es256"].passkey()._replace(credential=b"").to_text(),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_what_is_no_passkey_is_not_enrolled(case: str) -> None:
    with pytest.raises(ConfigError):
        passkey_of(BAD_KEYS[case])


def test_a_page_below_the_service_s_domain_may_sign() -> None:
    below = DEVICES["es256"].passkey()._replace(origin="https://sign.guard.example")
    assert isinstance(passkey_of(below.to_text()), Passkey)
