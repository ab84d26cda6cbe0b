"""The door: who asks is verified and never claimed, refusals of a class are alike in text and time, bodies are bounded."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from door_stage import GRANTED, KEY, SETTINGS, Stage, asked, token

from custodes.errors import ConfigError, NotDurable
from custodes.settings import ServeSettings
from custodes.web.answers import STEP_S
from custodes.web.issuer import IssuerKeys
from custodes.web.server import check_place

EVALUATION, RELEASE = "/access/v1/evaluation", "/guard/v1/release"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def with_key(body: dict) -> dict:  # type: ignore[type-arg]  # JSON
    del body["resource"]["id"]
    body["resource"]["properties"]["key"] = "4711"
    return body


def test_an_identified_person_with_a_grant_is_allowed_and_told_where_it_stands(stage: Stage) -> None:
    answer = stage.post(EVALUATION, asked())
    assert answer.status_code == 200
    body = answer.json()
    assert body["decision"] is True
    assert body["context"]["ledger"] == {"index": 0}
    assert body["context"]["policy_hash"].startswith("sha256:")
    assert {"log_before_release": True} in body["context"]["obligations"]


def test_the_actor_is_the_token_s_and_nothing_else_is_believed(stage: Stage) -> None:
    body = asked()
    body["subject"] = {"type": "actor", "id": "a-boss", "properties": {"unit": "executive", "auth": {"uv": True}}}
    stage.post(EVALUATION, body, headers={"x-forwarded-user": "boss", "x-remote-user": "boss"})
    request, identity, _ = stage.recorded[0]
    assert request.actor == identity.actor == "a-ada"
    assert (identity.session_country, identity.country_source, identity.user_verified) == ("IE", "idp", True)


STRANGER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
NOW = int(datetime.now(UTC).timestamp())
BAD_TOKENS = {
    "none": "",
    "no token": "abc",
    "another key": token(key=STRANGER),
    "unknown key id": token(kid="k2"),
    "other issuer": token(iss="https://evil.example"),
    "other audience": token(aud="payroll"),
    "expired": token(exp=NOW - 400, iat=NOW - 1000),
    "not yet": token(nbf=NOW + 40_000),
    "of the future": token(iat=NOW + 40_000),
    "without an end": token(exp=None),
    "without a beginning": token(iat=None),
    "lives for ever": token(exp=NOW + 10**8),
    "nobody": token(sub=None),
    "empty name": token(sub=""),
    "number as name": token(sub=7),
    "shared secret": jwt.encode({"sub": "ada"}, "k" * 64, algorithm="HS256", headers={"kid": "k1"}),
    "unsigned": jwt.encode({"sub": "ada"}, None, algorithm="none", headers={"kid": "k1"}),
    "other algorithm": token(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
    "too long": token(padding="x" * 9000),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_a_token_that_does_not_count_identifies_nobody(stage: Stage, case: str) -> None:
    answer = stage.post(EVALUATION, asked(), bearer=BAD_TOKENS[case])
    assert answer.status_code == 401
    assert answer.json() == {"decision": False, "reason_class": "not_identified", "text": "Nobody was identified."}
    assert stage.recorded == []


def test_five_minutes_of_skew_at_most(tmp_path: Path) -> None:
    lenient = Stage(tmp_path, settings=replace(SETTINGS, leeway_s=300))
    now = int(datetime.now(UTC).timestamp())
    assert lenient.post(EVALUATION, asked(), bearer=token(exp=now - 200, iat=now - 900)).status_code == 200
    with pytest.raises(ConfigError, match="leeway_s"):
        Stage(tmp_path, settings=replace(SETTINGS, leeway_s=301))


@pytest.mark.parametrize("algorithms", ["HS256", "none", "EdDSA HS512"])
def test_settings_cannot_allow_secrets_that_the_service_would_share(tmp_path: Path, algorithms: str) -> None:
    with pytest.raises(ConfigError, match="not allowed"):
        Stage(tmp_path, settings=replace(SETTINGS, algorithms=algorithms))


def test_a_token_without_country_leaves_it_unknown_and_a_service_is_no_human(stage: Stage) -> None:
    stage.post(EVALUATION, asked(), bearer=token(ctry=None, client_id="ada", amr=None))
    identity = stage.recorded[0][1]
    assert (identity.session_country, identity.country_source, identity.human) == (None, "none", False)
    assert not identity.user_verified


REFUSALS = {
    "no grant": (replace(GRANTED, granted=False), "needs_approval"),
    "reason gone": (replace(GRANTED, reason_stands=False), "needs_approval"),
    "unit unknown": (replace(GRANTED, unit=None), "needs_approval"),
    "left": (replace(GRANTED, employed=False), "not_permitted"),
    "robot": (replace(GRANTED, human=False), "not_permitted"),
    "region unknown": (replace(GRANTED, region=None), "not_permitted"),
    "abroad": (replace(GRANTED, session_country="CN"), "not_permitted"),
    "field not mapped": (replace(GRANTED, categories=(None,)), "not_permitted"),
}


def test_refusals_of_a_class_are_one_text(tmp_path: Path) -> None:
    texts: dict[str, set[bytes]] = {}
    for case, (known, kind) in REFUSALS.items():
        stage = Stage(tmp_path, known=known)
        answer = stage.post(RELEASE, with_key(asked()))
        assert answer.status_code == 403, case
        assert answer.json()["reason_class"] == kind, case
        if kind == "not_permitted":
            texts.setdefault(kind, set()).add(answer.content)
    assert len(texts["not_permitted"]) == 1


def test_a_person_enrolled_and_a_decoy_are_told_the_same_at_the_same_time(tmp_path: Path) -> None:
    """Medians within 5 % in one of twelve rounds: a busy machine disturbs many rounds, a difference would show in all."""
    protected = replace(GRANTED, duties=("outside_approver",))

    def look(subject: str) -> None:
        time.sleep(0.01 if subject.endswith("b") else 0.0)  # the look-up of one takes longer

    stage = Stage(tmp_path, known=protected, looks_up=look)
    seen, gaps = set(), []
    for _ in range(12):
        times: dict[str, list[float]] = {"a": [], "b": []}
        for number in range(14):
            who = "ab"[number % 2]
            began = time.perf_counter()
            seen.add(stage.post(EVALUATION, asked("s-aaaaaaaaaaaaaaa" + who)).content)
            times[who].append(time.perf_counter() - began)
        first, second = (statistics.median(times[who]) for who in "ab")
        assert min(first, second) >= STEP_S
        gaps.append(abs(first - second) / max(first, second))
        if gaps[-1] <= 0.05:
            break
    assert len(seen) == 1
    assert min(gaps) <= 0.05


def test_registry_down_means_everybody_is_protected(tmp_path: Path) -> None:
    down = Stage(tmp_path, known=replace(GRANTED, duties=None))
    enrolled = Stage(tmp_path, known=replace(GRANTED, duties=("outside_approver", "two_person", "reason")))
    assert down.post(EVALUATION, asked()).content == enrolled.post(EVALUATION, asked()).content
    assert down.post(EVALUATION, asked()).json()["decision"] is False


def test_a_ledger_that_is_down_releases_nothing_and_says_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def look(subject: str) -> None:
        raise NotDurable("the disk is full")

    answer = Stage(tmp_path, looks_up=look).post(RELEASE, with_key(asked()))
    assert (answer.status_code, answer.json()["reason_class"]) == (503, "unavailable")
    assert "disk" not in answer.text
    assert "the disk is full" in capsys.readouterr().err


def test_an_exception_releases_nothing_and_its_text_stays_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def look(subject: str) -> None:
        raise RuntimeError(f"value of {subject}")

    answer = Stage(tmp_path, looks_up=look).post(RELEASE, with_key(asked()))
    assert answer.status_code == 503
    assert "4711" not in answer.text + capsys.readouterr().err


def test_a_release_carries_the_value_and_a_retry_of_nothing(stage: Stage) -> None:
    body = stage.post(RELEASE, with_key(asked())).json()
    assert body["values"] == [{"app.users.last_ip": "of 4711"}]
    assert stage.recorded[0][0].subject == "s-4711"


def test_key_and_pseudonym_of_two_people_are_refused(stage: Stage) -> None:
    body = with_key(asked())
    body["resource"]["id"] = "s-4712"
    assert stage.post(RELEASE, body).status_code == 400
    assert stage.recorded == []


MALFORMED = {
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "no bytes": b"",
    "not utf-8": b'{"a": "\xff"}',
    "resource a word": b'{"resource": "s-1"}',
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_cannot_be_read_is_malformed(stage: Stage, case: str) -> None:
    answer = stage.post(EVALUATION, MALFORMED[case])
    assert answer.status_code in {400, 413}
    assert stage.recorded == []


def test_a_body_is_bounded(stage: Stage) -> None:
    assert stage.post(EVALUATION, {**asked(), "more": "x" * 20_000}).status_code == 413


def test_shadow_decides_records_and_does_not_enforce_until_its_end(tmp_path: Path) -> None:
    until = datetime(2026, 12, 1, tzinfo=UTC)
    now = [until - timedelta(seconds=1)]
    stage = Stage(tmp_path, known=replace(GRANTED, granted=False), shadow_until=until, clock=lambda: now[0])
    body = stage.post(EVALUATION, asked()).json()
    assert (body["decision"], body["context"]["shadow"], body["context"]["until"]) == (True, True, "2026-12-01")
    assert body["context"]["would"]["decision"] is False
    assert stage.recorded[0][2].decision.allowed is False
    assert "SHADOW" in stage.get("/health").text
    assert "custodes_guard_shadow 1" in stage.get("/metrics").text
    assert stage.post(RELEASE, with_key(asked())).status_code == 403  # a release is enforced always
    now[0] = until
    assert stage.post(EVALUATION, asked()).json()["decision"] is False
    assert "SHADOW" not in stage.get("/health").text


def test_health_and_metrics_are_plain_text_and_name_nobody(stage: Stage) -> None:
    stage.post(EVALUATION, asked())
    health, metrics = stage.get("/health"), stage.get("/metrics")
    assert (health.status_code, health.text) == (200, "ready\n")
    assert 'custodes_guard_answers_total{door="evaluation",answer="fine"} 1' in metrics.text
    assert "custodes_guard_in_flight 0" in metrics.text
    assert "ada" not in metrics.text
    assert "T-991" not in metrics.text


def test_health_says_that_nothing_can_be_recorded(tmp_path: Path) -> None:
    stage = Stage(tmp_path, broken=lambda: "the ledger cannot be written")
    assert stage.get("/health").status_code == 503


@pytest.mark.parametrize(
    "settings",
    [
        ServeSettings(listen="0.0.0.0:8200"),
        ServeSettings(listen="192.0.2.1:8200"),
        ServeSettings(listen="guard.example:8200"),
        ServeSettings(listen="[::]:8200"),
        ServeSettings(listen="127.0.0.1:8200", certificate="c.pem"),
        ServeSettings(listen="127.0.0.1:8200", client_ca="ca.pem"),
        ServeSettings(listen="127.0.0.1"),
        ServeSettings(listen="127.0.0.1:99999"),
    ],
)
def test_without_tls_this_machine_only(settings: ServeSettings) -> None:
    with pytest.raises(ConfigError):
        check_place(settings)


def test_with_tls_anywhere() -> None:
    assert check_place(ServeSettings(listen="192.0.2.1:1", certificate="c", private_key="k")) == ("192.0.2.1", 1)
    assert check_place(ServeSettings(listen="[::1]:1")) == ("::1", 1)


@pytest.mark.parametrize("place", ["http://idp.example/keys", "ftp://idp.example/keys", "file:///etc/keys", "missing.json"])
def test_keys_come_over_tls_or_from_a_file(tmp_path: Path, place: str) -> None:
    with pytest.raises(ConfigError):
        IssuerKeys(place, tmp_path)


@pytest.mark.parametrize("kind", ["ed25519", "p256", "rsa"])
def test_one_pem_key_will_do(tmp_path: Path, kind: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key, algorithm = {
        "ed25519": lambda: (KEY, "EdDSA"),
        "p256": lambda: (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        "rsa": lambda: (rsa.generate_private_key(65537, 2048), "RS256"),
    }[kind]()
    (tmp_path / "key.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    found = IssuerKeys("key.pem", tmp_path).find(None)
    assert found is not None
    assert found.algorithm_name == algorithm
