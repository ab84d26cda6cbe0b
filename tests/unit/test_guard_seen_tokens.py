"""A token whose signature was verified once: known again, and no longer once its key is gone or its time is up."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from door_stage import SETTINGS, token, write_keys

from custodes.web import identity
from custodes.web.identity import Identities, Names, NotIdentified
from custodes.web.issuer import IssuerKeys


@pytest.fixture
def keys(tmp_path: Path) -> IssuerKeys:
    write_keys(tmp_path)
    return IssuerKeys("issuer.json", tmp_path)


@pytest.fixture
def identities(keys: IssuerKeys) -> Identities:
    return Identities(SETTINGS, keys, Names(lambda own: f"a-{own}", lambda own: own))


def test_a_token_that_counted_is_known_at_once_and_another_is_not(identities: Identities) -> None:
    shown, other = f"Bearer {token()}", f"Bearer {token('ben')}"
    assert identities.at_once(shown, None) is None  # nobody has verified it yet
    found = identities.of(shown, None)
    assert identities.at_once(shown, None) == found
    assert identities.at_once(other, None) is None
    with pytest.raises(NotIdentified):
        identities.of(f"Bearer {token(key=Ed25519PrivateKey.from_private_bytes(b'x' * 32))}", None)


def test_a_signature_is_verified_once(identities: Identities, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = f"Bearer {token()}"
    found = identities.of(shown, None)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("verified again")

    monkeypatch.setattr(jwt, "decode", never)
    assert identities.of(shown, None) == found


def test_a_token_whose_key_the_issuer_took_back_counts_no_longer(identities: Identities, keys: IssuerKeys) -> None:
    shown = f"Bearer {token()}"
    identities.of(shown, None)
    keys._keys = {}
    assert identities.at_once(shown, None) is None
    with pytest.raises(NotIdentified):
        identities.of(shown, None)


@pytest.mark.parametrize("gone", [700 + SETTINGS.leeway_s, -60 - SETTINGS.leeway_s])
def test_a_token_outside_its_time_is_verified_anew(identities: Identities, monkeypatch: pytest.MonkeyPatch, gone: int) -> None:
    shown = f"Bearer {token()}"
    identities.of(shown, None)
    assert all(identities._still_counts(seen) for seen in identities._seen.values())
    now = time.time()
    monkeypatch.setattr(identity.time, "time", lambda: now + gone)
    assert not any(identities._still_counts(seen) for seen in identities._seen.values())


def test_what_is_not_a_token_that_counts_is_never_kept(identities: Identities) -> None:
    for wrong in (token(aud="somewhere"), token(exp=None), token(algorithm="HS256", key="shared" * 8)):
        with pytest.raises(NotIdentified):
            identities.of(f"Bearer {wrong}", None)
    assert not identities._seen
