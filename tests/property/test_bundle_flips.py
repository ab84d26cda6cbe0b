"""One changed byte anywhere in a bundle: never proven, and both verifiers say the same. Found by search, not by thought."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from bundle_making import MONTHS, Made, key_of, make
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.disclose.bundle import subject_bundle
from custodes.ledger.bundle import open_bundle, seal
from custodes.ledger.policy import parse_policy
from custodes.verify import standalone
from custodes.verify.bundle import check_bundle
from custodes.verify.verdict import VerifyReport

NEVER_BELIEVED = {"README.txt", "policy.example", "verify.py", "manifest.json"}
"""What the manifest lists for the reader's convenience; `manifest.json` is made again after the change."""


@cache
def made() -> tuple[Made, bytes]:
    folder = Path(mkdtemp(prefix="custodes-flips-"))
    log = make(folder, looks=8)
    return log, subject_bundle(log.sources(), key_of("anna"), MONTHS, with_actor=False)


@pytest.fixture(scope="module", autouse=True)
def _clean():
    import shutil

    yield
    if made.cache_info().currsize:
        shutil.rmtree(made()[0].folder)
        made.cache_clear()


def codes(data: bytes) -> tuple[int, int]:
    policy, key = made()[0].policy, key_of("anna")
    report = VerifyReport()
    check_bundle(data, "bundle", parse_policy(policy), key, report)
    return report.exit_code, standalone.check(data, policy, key).exit_code()


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**9), mask=st.integers(1, 255))
def test_a_changed_byte_of_the_file(at: int, mask: int) -> None:
    data = bytearray(made()[1])
    data[2 + at % (len(data) - 2)] ^= mask  # the first two bytes say that it is a bundle at all
    one, two = codes(bytes(data))
    assert one == two
    assert one in {2, 3}


@settings(max_examples=300, deadline=None)
@given(which=st.integers(0, 10**6), at=st.integers(0, 10**9), mask=st.integers(1, 255))
def test_a_changed_byte_of_a_member_under_a_manifest_that_fits(which: int, at: int, mask: int) -> None:
    manifest, members = open_bundle(made()[1])
    names = sorted(set(members) - NEVER_BELIEVED)
    name = names[which % len(names)]
    body = bytearray(members[name])
    # The last line of the index's checkpoint is its ML-DSA-44 signature, which only the package checks (the next test).
    stop = len(body) if name != "index/checkpoint" else body.rindex("— ".encode())
    body[at % stop] ^= mask
    members.pop("manifest.json")
    one, two = codes(seal(manifest, {**members, name: bytes(body)}))
    assert one == two, name
    assert one in {2, 3}, name


def test_only_the_package_checks_mldsa_signatures_and_verify_py_says_so() -> None:
    manifest, members = open_bundle(made()[1])
    body = members["index/checkpoint"]
    at = len(body) - 100
    changed = body[:at] + (b"A" if body[at : at + 1] != b"A" else b"B") + body[at + 1 :]
    members.pop("manifest.json")
    data = seal(manifest, {**members, "index/checkpoint": changed})
    assert codes(data) == (3, 0)
    steps = standalone.check(data, made()[0].policy, key_of("anna")).steps
    assert any("not checked: the ML-DSA-44 signature" in step and "/index" in step for step in steps)
