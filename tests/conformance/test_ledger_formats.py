"""Foreign tables of cases for notes, keys, checkpoints, proofs, tile paths, policies, cosignatures and Ed25519.

Each table is run whole. Where a foreign package is more lenient than the specification, the file says so and ours follows the
specification.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from custodes.errors import BadInclusion, BadSignature, ConfigError, CustodesError
from custodes.ledger.checkpoint import open_checkpoint, parse_body
from custodes.ledger.leaf import leaf_hash
from custodes.ledger.merkle import EMPTY_ROOT, verify_inclusion
from custodes.ledger.note import (
    ED25519,
    Ambiguous,
    Key,
    Malformed,
    Note,
    Signature,
    Unsigned,
    cosigned_message,
    make_key,
    parse,
    parse_key,
    verify,
)
from custodes.ledger.note import _ed25519 as ed25519_verifies
from custodes.ledger.policy import LOW_ORDER, parse_policy
from custodes.ledger.proof import parse_proof
from custodes.ledger.signer import Signer
from custodes.ledger.tiles import parse_tile_path, tile_path, tiles_of

OUTCOMES = {"malformed": Malformed, "unverified": Unsigned, "invalid_signature": BadSignature, "ambiguous": Ambiguous}


def _load(shared_data: Path, name: str) -> dict:
    return json.loads((shared_data / "vectors" / name).read_text())


def _refuses(parser, *arguments) -> bool:
    try:
        parser(*arguments)
    except CustodesError:
        return True
    return False


def test_notes_end_as_the_table_says(shared_data: Path) -> None:
    cases = _load(shared_data, "note/notes.json")["notes"]
    assert len(cases) == 17
    for case in cases:
        data = b64decode(case["note_base64"]) if "note_base64" in case else case["note"].encode()
        keys = [parse_key(vkey) for vkey in case["verifiers"]]
        try:
            opened = verify(parse(data), keys)
            outcome = "ok"
        except CustodesError as wrong:
            outcome = type(wrong)
        assert outcome == OUTCOMES.get(case["want"], "ok"), case["case"]
        if outcome == "ok" and "verified" in case:
            assert [f"{key.name}+{key.key_id.hex()}" for key in opened.verified] == case["verified"]
            assert [f"{line.name}+{line.key_id.hex()}" for line in opened.unverified] == case["unverified"]


def test_verifier_keys_are_refused_when_one_byte_is_other_or_missing(shared_data: Path) -> None:
    for case in _load(shared_data, "note/notes.json")["vkeys"]:
        assert _refuses(parse_key, case["vkey"]) is not case["ok"]
        if "mangled" in case:
            vkey = case["vkey"]
            assert parse_key(vkey).vkey() == vkey
            for start in range(len(vkey)):
                for end in range(start + 1, len(vkey) + 1):
                    if end - start < len(vkey):
                        assert _refuses(parse_key, vkey[start:end])
            for at, char in enumerate(vkey):
                assert _refuses(parse_key, vkey[:at] + chr(ord(char) + 1) + vkey[at + 1 :])


def test_a_line_finds_its_key_by_name_and_id(shared_data: Path) -> None:
    wanted = {"found": BadSignature, "unknown": Unsigned, "ambiguous": Ambiguous}
    for case in _load(shared_data, "note/notes.json")["lookup"]:
        note = Note("text\n", (Signature(case["name"], bytes.fromhex(case["key_id"]), bytes(64)),))
        with pytest.raises(wanted[case["want"]]) as wrong:
            verify(note, [parse_key(vkey) for vkey in case["known"]])
        assert type(wrong.value) is wanted[case["want"]]


def test_checkpoint_bodies(shared_data: Path) -> None:
    cases = _load(shared_data, "checkpoint/checkpoints.json")["bodies"]
    assert len(cases) == 13
    taken = 0
    for case in cases:
        # The table takes roots of any length; a checkpoint's root has 32 bytes, and extension lines are not empty.
        expected = case["ok"] and len(b64decode(case["hash"])) == 32 and "spec" not in case
        assert _refuses(parse_body, case["body"]) is not expected, case["case"]
        padded = "\n".join([*case["body"].split("\n")[:2], "A" * 43 + "=", *case["body"].split("\n")[3:]])
        if case["ok"] and "spec" not in case:
            read = parse_body(padded)
            assert (read.origin, read.size, "".join(f"{line}\n" for line in read.extension)) == (
                case["origin"],
                case["size"],
                case["rest"],
            )
            assert read.body() == padded
            taken += 1
    assert taken == 5


def test_checkpoints_open_for_the_right_log_and_origin(shared_data: Path) -> None:
    cases = _load(shared_data, "checkpoint/checkpoints.json")["opens"]
    assert len(cases) == 13
    for case in cases:
        log, others = parse_key(case["log_vkey"]), [parse_key(vkey) for vkey in case["other_vkeys"]]
        short = "\nYWJjZGVm\n" in case["note"]  # six bytes where a root has 32: the signatures are judged, the body is not
        data = case["note"].encode()
        try:
            note = parse(data)
            verified = len(verify(note, [log, *others]).verified)
        except CustodesError:
            verified = 0
        assert verified == case["verified_signatures"], case["case"]
        refused = _refuses(open_checkpoint, data, case["want_origin"], [log], others)
        assert refused is not (case["ok"] and not short), case["case"]


def test_proof_texts(shared_data: Path) -> None:
    cases = _load(shared_data, "proof/proofs.json")
    assert (len(cases["parse"]), len(cases["verify"])) == (15, 7)
    for case in cases["parse"]:
        if "text" in case:
            data = case["text"].encode()
        else:
            head, char, count, tail = case["text_repeat"]
            data = (head + char * count + tail).encode()
        assert _refuses(parse_proof, data) is not case["ok"], case["case"]
        if case["ok"]:
            proof = parse_proof(data)
            assert (proof.index, list(proof.hashes)) == (case["index"], [b64decode(value) for value in case["hashes"]])
            assert proof.checkpoint.decode() == case["checkpoint"]
            assert proof.extra == (b64decode(case["extra"]) if "extra" in case else None)
            assert proof.to_bytes() == data


def test_proofs_over_a_foreign_log(shared_data: Path) -> None:
    for case in _load(shared_data, "proof/proofs.json")["verify"]:
        key, proof = parse_key(case["log_vkey"]), parse_proof(case["text"].encode())
        signed, _ = open_checkpoint(proof.checkpoint, key.name, [key])
        try:
            verify_inclusion(proof.index, signed.size, leaf_hash(case["entry"].encode()), proof.hashes, signed.root)
            verifies = True
        except BadInclusion:
            verifies = False
        assert verifies is case["verifies"], case["case"]


def test_tile_paths(shared_data: Path) -> None:
    cases = _load(shared_data, "tiles/paths.json")
    for case in cases["c2sp_ok"]:
        parsed = parse_tile_path(case["path"])
        level = -1 if case["level"] == "entries" else case["level"]
        assert parsed is not None
        assert (parsed.level, parsed.index, parsed.width) == (level, case["index"], case["width"])
        assert tile_path(case["level"], case["index"], case["width"]) == case["path"]
    for path in cases["c2sp_bad"]:
        assert parse_tile_path(path) is None, path
    for case in cases["sumdb"]:
        # The Go checksum database writes the tile height into its paths; ours always is 8 and the number is not there.
        wanted = case["want"]
        if wanted is None or wanted["level"] == "data" or wanted["width"] != 1 << wanted["height"]:
            continue
        head, height, level, rest = case["path"].split("/", 3)
        assert tile_path(wanted["level"], wanted["index"]) == f"{head}/{level}/{rest}"
        assert int(height) == wanted["height"]
    assert b64decode(cases["empty_root"]) == EMPTY_ROOT


def test_tiles_of_a_size(shared_data: Path) -> None:
    cases = _load(shared_data, "tiles/paths.json")["tiles_of_size"]
    assert cases
    for case in cases:
        assert {str(n): {"full": f, "partial": p} for n, (f, p) in enumerate(tiles_of(case["size"]))} == case["tiles"]


def test_policies_follow_the_specification(shared_data: Path) -> None:
    table = _load(shared_data, "policy/policies.json")
    cases = table["cases"] + table["spec_cases"]
    assert len(cases) == 39
    for case in cases:
        refused = _refuses(parse_policy, case["policy"].encode())
        assert refused is not case["spec_ok"], case["case"]
        if not refused and "threshold" in case:
            policy = parse_policy(case["policy"].encode())
            group = policy.groups[policy.quorum]
            assert (group.threshold, len(group.members)) == (case["threshold"], case["members"])


def test_cosigners_keys(shared_data: Path) -> None:
    for case in _load(shared_data, "cosignature/cosignatures.json")["vkeys"]:
        if case.get("type") == ED25519:
            assert _refuses(parse_policy, f"witness w {case['vkey']}\nquorum w\n".encode())
        else:
            assert _refuses(parse_policy, f"witness w {case['vkey']}\nquorum w\n".encode()) is not case["ok"], case["vkey"][:40]


def test_quorums_of_cosignatures(shared_data: Path) -> None:
    cases = _load(shared_data, "cosignature/cosignatures.json")["quorum"]
    assert len(cases) == 14
    for case in cases:
        policy = parse_policy(case["policy"].encode())
        try:
            _, opened = open_checkpoint(case["checkpoint"].encode(), policy.logs[0].name, policy.logs, [*policy.witnesses.values()])
            valid = policy.is_met(opened.verified)
        except CustodesError:
            valid = False
        assert valid is case["valid"], case["case"]


def test_ed25519_accepts_exactly_the_cases_without_the_two_flags(shared_data: Path) -> None:
    cases = _load(shared_data, "ed25519/cctv.json")
    expected = set(_load(shared_data, "ed25519/expected.json")["accepted_numbers"])
    accepted = {
        case["number"]
        for case in cases
        if ed25519_verifies(bytes.fromhex(case["key"]), bytes.fromhex(case["sig"]), case["msg"].encode())
    }
    by_flag = {case["number"] for case in cases if not {"non_canonical_R", "low_order_residue"} & set(case["flags"] or ())}
    assert (len(cases), accepted) == (914, expected)
    assert accepted == by_flag


def test_all_low_order_keys_are_refused_in_policies(shared_data: Path) -> None:
    named = {bytes.fromhex(key) for key in _load(shared_data, "ed25519/expected.json")["low_order_public_keys"]}
    assert named == LOW_ORDER
    for public in named:
        key = make_key("log.example", ED25519, public)
        with pytest.raises(ConfigError, match="low order"):
            parse_policy(f"log {key.vkey()}\nquorum none\n".encode())


def test_a_key_round_trips() -> None:
    key = make_key("log.example/ä", ED25519, bytes(range(32)))
    assert isinstance(key, Key)
    assert parse_key(key.vkey()) == key


def test_a_signer_refuses_names_and_texts_that_the_format_forbids(shared_data: Path) -> None:
    cases = {case["case"]: case for case in _load(shared_data, "note/notes.json")["signing"]}
    with pytest.raises(ConfigError):
        Signer(cases["signer name with a space"]["signer_name"], bytes(32), bytes(32))
    with pytest.raises(ConfigError):
        Signer("log.example", bytes(32), bytes(32)).sign(cases["text without final newline"]["text"])


def test_an_mldsa_cosignature_commits_to_name_origin_and_root_and_not_to_extension_lines() -> None:
    signer = Signer("log.example", bytes(32), bytes(32))
    note = signer.sign(f"log.example\n5\n{'A' * 43}=\n")
    strong, line = signer.keys[1], note.signatures[1]
    assert verify(note, [strong]).verified == (strong,)
    assert verify(Note(note.text + "extension\n", (line,)), [strong]).verified == (strong,)
    for text in (note.text.replace("log.e", "log.f"), note.text.replace("\n5\n", "\n6\n"), note.text.replace("AAAA=", "AAAE=")):
        with pytest.raises(BadSignature):
            verify(Note(text, (line,)), [strong])
    other = make_key("other.example", strong.kind, strong.public)
    with pytest.raises(BadSignature):
        verify(Note(note.text, (Signature(other.name, other.key_id, line.value),)), [other])
    assert cosigned_message("n" * 256, 0, note.text) is None
    assert cosigned_message("n", 0, "o" * 256 + note.text[len("log.example") :]) is None


def test_a_plain_key_does_not_open_a_cosignature_of_the_same_key(shared_data: Path) -> None:
    case = _load(shared_data, "cosignature/cosignatures.json")["quorum"][0]
    witness = next(iter(parse_policy(case["policy"].encode()).witnesses.values()))
    plain = make_key(witness.name, ED25519, witness.public)
    with pytest.raises(Unsigned):
        verify(parse(case["checkpoint"].encode()), [plain])
    data = parse(case["checkpoint"].encode())
    line = next(line for line in data.signatures if line.name == witness.name)
    with pytest.raises(BadSignature):
        verify(Note(data.text, (Signature(plain.name, plain.key_id, line.value),)), [plain])
