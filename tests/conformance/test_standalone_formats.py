"""The one-file verifier against the same foreign tables as the package: two implementations, one verdict for each case."""

from __future__ import annotations

import ast
import json
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from custodes.ledger.note import COSIGNED_ED25519, ED25519, make_key
from custodes.ledger.note import _ed25519 as package_verifies
from custodes.verify import standalone

REFUSALS = (standalone.Broken, standalone.Usage, standalone.Unknown)


def _load(shared_data: Path, name: str):
    return json.loads((shared_data / "vectors" / name).read_text())


def _refuses(reader, *arguments) -> bool:
    try:
        reader(*arguments)
    except REFUSALS:
        return True
    return False


def test_ed25519_two_verifiers_agree(shared_data: Path) -> None:
    cases = _load(shared_data, "ed25519/cctv.json")
    expected = set(_load(shared_data, "ed25519/expected.json")["accepted_numbers"])
    accepted = {"package": set(), "standalone": set()}
    for case in cases:
        given = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"]), case["msg"].encode()
        for name, verifies in (("package", package_verifies), ("standalone", standalone.ed25519)):
            if verifies(*given):
                accepted[name].add(case["number"])
    assert len(cases) == 914
    assert accepted["package"] == accepted["standalone"] == expected


def test_all_low_order_keys_are_refused(shared_data: Path) -> None:
    keys = [bytes.fromhex(key) for key in _load(shared_data, "ed25519/expected.json")["low_order_public_keys"]]
    assert len(keys) == 14
    for public in keys:
        for kind, line in ((ED25519, "log"), (COSIGNED_ED25519, "witness w")):
            with pytest.raises(standalone.Usage, match="low order"):
                standalone.read_policy(f"{line} {make_key('log.example', kind, public).vkey()}\nquorum none\n".encode())


def test_merkle_vectors(shared_data: Path) -> None:
    inclusion, consistency = (_load(shared_data, f"merkle/{name}.json") for name in ("inclusion", "consistency"))
    assert (len(inclusion), len(consistency)) == (98, 98)
    for case in inclusion:
        proof, root = [b64decode(item) for item in case["proof"] or []], b64decode(case["root"] or "")
        reached = standalone.inclusion_root(case["leafIdx"], case["treeSize"], b64decode(case["leafHash"] or ""), proof)
        assert (reached != root) is case["wantErr"], case["case"]
    for case in consistency:
        proof = [b64decode(item) for item in case["proof"] or []]
        roots = [b64decode(case[name] or "") for name in ("root1", "root2")]
        assert standalone.is_prefix(case["size1"], case["size2"], *roots, proof) is not case["wantErr"], case["case"]


def test_notes(shared_data: Path) -> None:
    for case in _load(shared_data, "note/notes.json")["notes"]:
        data = b64decode(case["note_base64"]) if "note_base64" in case else case["note"].encode()
        try:
            text, lines = standalone.read_note(data)
        except standalone.Broken:
            assert case["want"] == "malformed", case["case"]
            continue
        keys = [standalone.read_key(vkey) for vkey in case["verifiers"]]
        try:
            signed, _ = standalone.signers(standalone.Checkpoint("", 0, b"", text, lines), keys)
            outcome = "ok" if signed else "unverified"
        except standalone.Usage:
            outcome = "ambiguous"
        except standalone.Broken:
            outcome = "invalid_signature"
        assert outcome == case["want"], case["case"]


def test_verifier_keys(shared_data: Path) -> None:
    for case in _load(shared_data, "note/notes.json")["vkeys"]:
        assert _refuses(standalone.read_key, case["vkey"]) is not case["ok"]
        for at in range(len(case["vkey"])):
            mangled = case["vkey"][:at] + chr(ord(case["vkey"][at]) + 1) + case["vkey"][at + 1 :]
            assert _refuses(standalone.read_key, mangled)


def test_checkpoint_bodies(shared_data: Path) -> None:
    for case in _load(shared_data, "checkpoint/checkpoints.json")["bodies"]:
        expected = case["ok"] and len(b64decode(case["hash"])) == 32 and "spec" not in case
        assert _refuses(standalone.read_body, case["body"]) is not expected, case["case"]


def test_checkpoints_open(shared_data: Path) -> None:
    for case in _load(shared_data, "checkpoint/checkpoints.json")["opens"]:
        keys = [standalone.read_key(vkey) for vkey in (case["log_vkey"], *case["other_vkeys"])]
        try:
            text, lines = standalone.read_note(case["note"].encode())
            signed, _ = standalone.signers(standalone.Checkpoint("", 0, b"", text, lines), keys)
        except standalone.Broken:
            signed = set()
        assert len(signed) == case["verified_signatures"], case["case"]


def test_policies(shared_data: Path) -> None:
    table = _load(shared_data, "policy/policies.json")
    for case in table["cases"] + table["spec_cases"]:
        assert _refuses(standalone.read_policy, case["policy"].encode()) is not case["spec_ok"], case["case"]


def test_quorums(shared_data: Path) -> None:
    for case in _load(shared_data, "cosignature/cosignatures.json")["quorum"]:
        policy = standalone.read_policy(case["policy"].encode())
        try:
            doubt = standalone.believe(standalone.read_checkpoint(case["checkpoint"].encode()), policy, standalone.Report())
        except standalone.Broken:
            doubt = "broken"
        assert (doubt == "") is case["valid"], case["case"]


def test_proof_texts(shared_data: Path) -> None:
    for case in _load(shared_data, "proof/proofs.json")["parse"]:
        if "text" in case:
            data = case["text"].encode()
        else:
            head, char, count, tail = case["text_repeat"]
            data = (head + char * count + tail).encode()
        assert _refuses(standalone.read_proof, data) is not case["ok"], case["case"]
        if case["ok"]:
            proof = standalone.read_proof(data)
            assert (proof.at, proof.checkpoint.decode()) == (case["index"], case["checkpoint"])
            assert proof.hashes == [b64decode(value) for value in case["hashes"]]
            assert proof.entry == (b64decode(case["extra"]) if "extra" in case else None)


def test_proofs_over_a_foreign_log(shared_data: Path) -> None:
    for case in _load(shared_data, "proof/proofs.json")["verify"]:
        proof = standalone.read_proof(case["text"].encode())
        point = standalone.read_checkpoint(proof.checkpoint)
        policy = standalone.read_policy(f"log {case['log_vkey']}\nquorum none\n".encode())
        leaf = standalone.leaf_hash(case["entry"].encode())
        verifies = standalone.inclusion_root(proof.at, point.size, leaf, proof.hashes) == point.root
        assert verifies is case["verifies"], case["case"]
        assert standalone.believe(point, policy, standalone.Report()) == ""


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(standalone.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)
