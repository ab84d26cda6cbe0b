"""Tampered bundles: each ends with 3 or 2, never 0, in both verifiers, and both agree.

Whoever tampers here knows the format: the manifest is made again to fit wherever that helps him. What he does not have is the log's
signing key, save in the cases that say so, where the reader's policy is what holds.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import bundle_making
import pytest
from bundle_making import MONTHS, Made, erase, key_of, make

from custodes.cli import run
from custodes.disclose.bundle import leaf_bundle, subject_bundle
from custodes.errors import CouldNotCheck
from custodes.ledger.bundle import MOST_BYTES, Manifest, open_bundle, pack, seal
from custodes.ledger.note import COSIGNED_ED25519, make_key
from custodes.ledger.policy import parse_policy
from custodes.ledger.signer import Signer
from custodes.model.canonical import canonical
from custodes.verify import standalone
from custodes.verify.bundle import check_bundle
from custodes.verify.verdict import VerifyReport

Members = dict[str, bytes]
Change = Callable[[Manifest, Members], Manifest | None]
CASES: dict[str, Change] = {}
"""What is done to a whole, proven bundle about "anna" before its manifest is made to fit."""


def codes(data: bytes, policy: bytes | None, key: bytes | None) -> tuple[int, int]:
    """Return the exit codes of both verifiers."""
    report = VerifyReport()
    check_bundle(data, "bundle", None if policy is None else parse_policy(policy), key, report)
    return report.exit_code, standalone.check(data, policy, key).exit_code()


def case(change: Change) -> Change:
    """Register a tampering under its name."""
    CASES[change.__name__] = change
    return change


def openings(members: Members, change: Callable[[list[dict]], object]) -> None:
    """Change the parsed openings."""
    lines = [json.loads(line) for line in members["openings.ndjson"].splitlines()]
    change(lines)
    members["openings.ndjson"] = b"".join(canonical(line) + b"\n" for line in lines)


def month(members: Members, epoch: str, change: Callable[[dict], object]) -> None:
    """Change a parsed index file."""
    document = json.loads(members[f"index/{epoch}.json"])
    change(document)
    members[f"index/{epoch}.json"] = canonical(document)


def flip(data: bytes, at: int) -> bytes:
    """Change one byte."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def flip_hex(text: str) -> str:
    """Change one digit."""
    return ("1" if text[0] == "0" else "0") + text[1:]


def first(members: Members, prefix: str) -> str:
    """Return the first member of a folder."""
    return next(name for name in sorted(members) if name.startswith(prefix))


def drop(manifest: Manifest, members: Members, at: int) -> Manifest:
    """Take an entry out without a trace in the manifest."""
    openings(members, lambda lines: lines.remove(next(line for line in lines if line["index"] == at)))
    del members[f"proofs/{at}.tlog-proof"]
    return replace(manifest, included=tuple(index for index in manifest.included if index != at))


# Contents


@case
def value_of_an_opening(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        lines[0]["groups"]["what"]["value"] = lines[0]["groups"]["what"]["value"].replace("read", "list")

    openings(members, change)


@case
def salt_of_an_opening(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        lines[0]["groups"]["what"]["salt"] = flip_hex(lines[0]["groups"]["what"]["salt"])

    openings(members, change)


@case
def digest_of_a_hidden_group(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        lines[0]["groups"]["who"]["digest"] = flip_hex(lines[0]["groups"]["who"]["digest"])

    openings(members, change)


@case
def hidden_group_said_to_be_absent(_: Manifest, members: Members) -> None:
    openings(members, lambda lines: lines[0]["groups"].update(who=None))


@case
def openings_swapped(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        lines[0]["groups"], lines[1]["groups"] = lines[1]["groups"], lines[0]["groups"]

    openings(members, change)


@case
def groups_swapped_within_an_opening(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        groups = lines[0]["groups"]
        groups["what"], groups["why"] = groups["why"], groups["what"]

    openings(members, change)


@case
def other_leaf(_: Manifest, members: Members) -> None:
    openings(members, lambda lines: lines[0].update(leaf=flip_hex(lines[0]["leaf"])))


@case
def nothing_shown(_: Manifest, members: Members) -> None:
    openings(members, lambda lines: lines[0].update(groups=None))


@case
def what_happened_not_shown(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        what = lines[0]["groups"]["what"]
        digest = standalone.group_digest(1, what)
        lines[0]["groups"]["what"] = {"digest": digest.hex()}

    openings(members, change)


@case
def opening_dropped(_: Manifest, members: Members) -> None:
    openings(members, lambda lines: lines.pop(0))


@case
def openings_out_of_order(_: Manifest, members: Members) -> None:
    openings(members, lambda lines: lines.reverse())


@case
def opening_twice(_: Manifest, members: Members) -> None:
    openings(members, lambda lines: lines.insert(0, lines[0]))


@case
def value_with_a_key_twice(_: Manifest, members: Members) -> None:
    def change(lines: list[dict]) -> None:
        what = lines[0]["groups"]["what"]
        what["value"] = what["value"].replace('{"action"', '{"action":"export","action"')

    openings(members, change)


@case
def openings_with_spaces(_: Manifest, members: Members) -> None:
    members["openings.ndjson"] = members["openings.ndjson"].replace(b'"index":', b'"index": ')


@case
def openings_without_their_last_newline(_: Manifest, members: Members) -> None:
    members["openings.ndjson"] = members["openings.ndjson"][:-1]


# Entries and proofs


@case
def entry_left_out(manifest: Manifest, members: Members) -> Manifest:
    return drop(manifest, members, manifest.included[0])


@case
def entry_left_out_and_its_position(manifest: Manifest, members: Members) -> Manifest:
    month(members, MONTHS[0], lambda document: document["lookup"]["positions"].pop(0))
    return drop(manifest, members, manifest.included[0])


@case
def access_of_a_touch_left_out(manifest: Manifest, members: Members) -> Manifest:
    lines = [json.loads(line) for line in members["openings.ndjson"].splitlines()]
    return drop(manifest, members, next(line["index"] for line in lines if line["leaf"][32:96] == "ff" * 32))


@case
def claim_of_one_entry_more(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, included=(*manifest.included, manifest.size - 1))


@case
def claim_of_one_entry_less(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, included=manifest.included[1:])


@case
def proof_of_another_entry(manifest: Manifest, members: Members) -> None:
    one, two = manifest.included[:2]
    members[f"proofs/{one}.tlog-proof"] = members[f"proofs/{two}.tlog-proof"]


@case
def proof_under_another_index(manifest: Manifest, members: Members) -> None:
    at = manifest.included[0]
    name = f"proofs/{at}.tlog-proof"
    members[name] = members[name].replace(b"\nindex %d\n" % at, b"\nindex %d\n" % (at + 1))


@case
def hash_of_a_proof(manifest: Manifest, members: Members) -> None:
    name = f"proofs/{manifest.included[0]}.tlog-proof"
    at = members[name].index(b"\nindex ") + 15
    swapped = b"B" if members[name][at : at + 1] != b"B" else b"C"
    members[name] = members[name][:at] + swapped + members[name][at + 1 :]


@case
def proof_with_one_hash_less(manifest: Manifest, members: Members) -> None:
    name = f"proofs/{manifest.included[0]}.tlog-proof"
    head, _, note = members[name].partition(b"\n\n")
    members[name] = head.rpartition(b"\n")[0] + b"\n\n" + note


@case
def proof_without_its_opening(manifest: Manifest, members: Members) -> None:
    stranger = next(at for at in range(manifest.size) if at not in manifest.included)
    members[f"proofs/{stranger}.tlog-proof"] = members[f"proofs/{manifest.included[0]}.tlog-proof"]


# Checkpoint and tiles


@case
def size_of_the_checkpoint(manifest: Manifest, members: Members) -> Manifest:
    members["checkpoint"] = members["checkpoint"].replace(b"\n%d\n" % manifest.size, b"\n%d\n" % (manifest.size + 1))
    return replace(manifest, size=manifest.size + 1)


@case
def root_of_the_checkpoint(_: Manifest, members: Members) -> None:
    lines = members["checkpoint"].split(b"\n")
    members["checkpoint"] = b"\n".join([*lines[:2], b"A" * 43 + b"=", *lines[3:]])


@case
def signature_of_the_checkpoint(_: Manifest, members: Members) -> None:
    at = members["checkpoint"].index(b" ", members["checkpoint"].index("— ".encode()) + 4) + 20
    swapped = b"B" if members["checkpoint"][at : at + 1] != b"B" else b"C"
    members["checkpoint"] = members["checkpoint"][:at] + swapped + members["checkpoint"][at + 1 :]


@case
def checkpoint_without_its_ed25519_line(_: Manifest, members: Members) -> None:
    lines = members["checkpoint"].split(b"\n")
    members["checkpoint"] = b"\n".join([*lines[:4], *lines[5:]])


@case
def checkpoint_without_its_mldsa_line(_: Manifest, members: Members) -> None:
    lines = members["checkpoint"].split(b"\n")
    note = b"\n".join([*lines[:5], *lines[6:]])
    for name in members:
        members[name] = members[name].replace(members["checkpoint"], note) if name.startswith("proofs/") else members[name]
    members["checkpoint"] = note


@case
def manifest_of_another_size(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, size=manifest.size - 1)


@case
def manifest_of_another_log(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, origin="other.example/log")


@case
def byte_of_a_tile(_: Manifest, members: Members) -> None:
    members[first(members, "log/tile/")] = flip(members[first(members, "log/tile/")], 40)


@case
def tile_left_out(_: Manifest, members: Members) -> None:
    del members[first(members, "log/tile/0/")]


@case
def tile_too_many(_: Manifest, members: Members) -> None:
    members["log/tile/3/000.p/1"] = bytes(32)


@case
def tile_too_short(_: Manifest, members: Members) -> None:
    members[first(members, "log/tile/")] = members[first(members, "log/tile/")][:-32]


# The index


@case
def position_dropped(_: Manifest, members: Members) -> None:
    month(members, MONTHS[1], lambda document: document["lookup"]["positions"].pop())


@case
def position_added(_: Manifest, members: Members) -> None:
    month(members, MONTHS[1], lambda document: document["lookup"]["positions"].append(document["lookup"]["positions"][-1] + 1))


@case
def absence_claimed(manifest: Manifest, members: Members) -> Manifest:
    for epoch in MONTHS:
        month(members, epoch, lambda document: document["lookup"].update(positions=[], path=[], end="empty"))
    for at in manifest.included:
        manifest = drop(manifest, members, at)
    members["openings.ndjson"] = b""
    return manifest


@case
def absence_at_the_own_leaf(manifest: Manifest, members: Members) -> None:
    def change(document: dict) -> None:
        lookup = document["lookup"]
        key = standalone.sha256(b"\x30" + bytes.fromhex(lookup["tag"])).hexdigest()
        listed = standalone.tree_root([standalone.leaf_hash(at.to_bytes(8, "big")) for at in lookup["positions"]])
        lookup.update(end={"leaf": [key, len(lookup["positions"]), listed.hex()]}, positions=[])

    month(members, MONTHS[0], change)


@case
def path_without_its_last_step(_: Manifest, members: Members) -> None:
    month(members, MONTHS[0], lambda document: document["lookup"]["path"].pop())


@case
def unresolved_count(_: Manifest, members: Members) -> None:
    month(members, MONTHS[0], lambda document: document["unresolved"].update(count=document["unresolved"]["count"] - 1))


@case
def unresolved_said_to_be_none(_: Manifest, members: Members) -> None:
    month(members, MONTHS[0], lambda document: document["unresolved"].update(count=0, list="", end="empty", path=[]))


@case
def unresolved_proof_dropped(_: Manifest, members: Members) -> None:
    month(members, MONTHS[0], lambda document: document.pop("unresolved"))


@case
def unresolved_proof_of_another_month(_: Manifest, members: Members) -> None:
    other = json.loads(members[f"index/{MONTHS[1]}.json"])["unresolved"]
    month(members, MONTHS[0], lambda document: document.update(unresolved=other))


@case
def index_entry_of_another_month(_: Manifest, members: Members) -> None:
    one, two = (f"index/{epoch}.json" for epoch in MONTHS[:2])
    members[one], members[two] = members[two], members[one]


@case
def index_entry_edited(_: Manifest, members: Members) -> None:
    month(members, MONTHS[2], lambda document: document.update(entry=document["entry"].replace('"final":false', '"final":true')))


@case
def index_inclusion(_: Manifest, members: Members) -> None:
    month(members, MONTHS[0], lambda document: document["inclusion"].__setitem__(0, flip_hex(document["inclusion"][0])))


@case
def index_consistency(_: Manifest, members: Members) -> None:
    month(members, MONTHS[2], lambda document: document["consistency"].append("00" * 32))


@case
def index_checkpoint_is_the_main_one(_: Manifest, members: Members) -> None:
    members["index/checkpoint"] = members["checkpoint"]


@case
def index_checkpoint_dropped(_: Manifest, members: Members) -> None:
    del members["index/checkpoint"]


@case
def index_signature(_: Manifest, members: Members) -> None:
    at = members["index/checkpoint"].index(b"/index ") + 20
    swapped = b"B" if members["index/checkpoint"][at : at + 1] != b"B" else b"C"
    members["index/checkpoint"] = members["index/checkpoint"][:at] + swapped + members["index/checkpoint"][at + 1 :]


def bulk_proof(members: Members, change: Callable[[dict], object]) -> None:
    """Change the proof that the tag stands in the list of the first bulk entry."""
    month(members, MONTHS[1], lambda document: change(document["lists"][min(document["lists"], key=int)]))


@case
def place_in_the_list_of_a_bulk_entry(_: Manifest, members: Members) -> None:
    bulk_proof(members, lambda place: place.update(at=place["at"] ^ 1))


@case
def hash_in_the_list_of_a_bulk_entry(_: Manifest, members: Members) -> None:
    bulk_proof(members, lambda place: place["hashes"].__setitem__(0, flip_hex(place["hashes"][0])))


@case
def list_of_a_bulk_entry_dropped(_: Manifest, members: Members) -> None:
    month(members, MONTHS[1], lambda document: document.update(lists={}))


@case
def list_for_an_entry_that_has_none(_: Manifest, members: Members) -> None:
    month(
        members,
        MONTHS[0],
        lambda document: document.update(lists={str(document["lookup"]["positions"][0]): {"at": 0, "hashes": []}}),
    )


@case
def middle_month_left_out(manifest: Manifest, members: Members) -> Manifest:
    for at in json.loads(members[f"index/{MONTHS[1]}.json"])["lookup"]["positions"]:
        manifest = drop(manifest, members, at)
    del members[f"index/{MONTHS[1]}.json"]
    return replace(manifest, complete={epoch: tag for epoch, tag in manifest.complete.items() if epoch != MONTHS[1]})


@case
def month_file_dropped(_: Manifest, members: Members) -> None:
    del members[f"index/{MONTHS[1]}.json"]


@case
def all_months_dropped(manifest: Manifest, members: Members) -> Manifest:
    for epoch in MONTHS:
        del members[f"index/{epoch}.json"]
    return replace(manifest, complete={})


@case
def other_tag_claimed(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, complete={epoch: flip_hex(tag) for epoch, tag in manifest.complete.items()})


@case
def called_a_bundle_of_single_entries(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, kind="leaf", complete={})


@case
def kind_that_nobody_knows(manifest: Manifest, _: Members) -> Manifest:
    return replace(manifest, kind="board")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("hostile"), looks=25)


@pytest.fixture(scope="module")
def whole(made: Made) -> bytes:
    data = subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)
    assert codes(data, made.policy, key_of("anna")) == (0, 0)
    return data


@pytest.mark.parametrize("name", CASES)
def test_bundle_hostile(made: Made, whole: bytes, name: str) -> None:
    manifest, members = open_bundle(whole)
    manifest = CASES[name](manifest, members) or manifest
    members.pop("manifest.json")
    data = seal(manifest, members)
    assert data != whole
    for key in (key_of("anna"), None):
        one, two = codes(data, made.policy, key)
        assert one == two, name
        assert one in {2, 3}, name


def test_there_are_enough_ways() -> None:
    assert len(CASES) + len(TRICKS) >= 60


# The zip


def relisted(members: Members, change: Callable[[zipfile.ZipFile], object], **options) -> bytes:
    """Write members with the standard library's zip writer."""
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w", **options) as archive:
        for name in sorted(members):
            archive.writestr(_info(name), members[name], options.get("compression"))
        change(archive)
    return sink.getvalue()


def _info(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, mode << 16
    return info


def _renamed(data: bytes, old: bytes, new: bytes, count: int = -1) -> bytes:
    assert len(old) == len(new)
    return data.replace(old, new, count)


@dataclass(frozen=True)
class Zip:
    """A whole bundle, as bytes and as members."""

    data: bytes
    members: Members

    def without_readme(self) -> Members:
        """Return the members but one."""
        return {name: body for name, body in self.members.items() if name != "README.txt"}


TRICKS: dict[str, Callable[[Zip], bytes]] = {
    "a member edited": lambda z: relisted({**z.members, "README.txt": b"other"}, lambda _: None),
    "a member that is not listed": lambda z: relisted({**z.members, "checkpoint.tsr": b"x"}, lambda _: None),
    "a member with a name of its own": lambda z: relisted({**z.members, "evil.sh": b"x"}, lambda _: None),
    "a listed member missing": lambda z: relisted(z.without_readme(), lambda _: None),
    "compressed": lambda z: relisted(z.members, lambda _: None, compression=zipfile.ZIP_DEFLATED),
    "a name twice": lambda z: _duplicate(z.members),
    "a name that leads out": lambda z: _renamed(z.data, b"README.txt", b"../ADM.txt"),
    "an absolute name": lambda z: _renamed(z.data, b"README.txt", b"/EADME.txt"),
    "a name of a drive": lambda z: _renamed(z.data, b"README.txt", b"C:\\DME.txt"),
    "two names for one member": lambda z: _renamed(z.data, b"README.txt", b"REEDME.txt", 1),
    "a link": lambda z: relisted(z.without_readme(), lambda a: a.writestr(_info("README.txt", 0o120777), "/etc/passwd")),
    "a folder": lambda z: relisted(z.members, lambda a: a.writestr(_info("proofs/", 0o40755), b"")),
    "a comment": lambda z: relisted(z.members, lambda a: setattr(a, "comment", b"hello")),
    "bytes after the end": lambda z: z.data + b"\n",
    "bytes before the start": lambda z: b"PK" + z.data,
    "a second zip after the end": lambda z: z.data + z.data,
    "cut off": lambda z: z.data[:-1],
    "cut in the middle": lambda z: z.data[: len(z.data) // 2],
    "only its first bytes": lambda z: z.data[:4],
    "another time": lambda z: z.data.replace(struct.pack("<HH", 0, 33), struct.pack("<HH", 1, 33), 1),
    "another order": lambda z: _reversed(z.members),
    "a gap between members": lambda z: _gap(z.data),
    "one member more in the count": lambda z: z.data[:-14] + struct.pack("<HH", 9999, 9999) + z.data[-10:],
    "an encrypted member": lambda z: z.data[:6] + b"\x01\x00" + z.data[8:],
    "a wrong check sum": lambda z: flip(z.data, 14),
}


def _duplicate(members: Members) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return relisted(members, lambda archive: archive.writestr(_info("README.txt"), b"second"))


def _reversed(members: Members) -> bytes:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in sorted(members, reverse=True):
            archive.writestr(_info(name), members[name])
    return sink.getvalue()


def _gap(data: bytes) -> bytes:
    start = data.index(b"PK\x01\x02")
    return data[:start] + b"hidden" + data[start:-6] + struct.pack("<I", start + 6) + data[-2:]


def test_the_standard_zip_writer_makes_the_same_bytes(whole: bytes) -> None:
    """So that each trick below differs from a bundle in the trick alone."""
    assert relisted(open_bundle(whole)[1], lambda _: None) == whole


@pytest.mark.parametrize("name", TRICKS)
def test_zip_tricks(made: Made, whole: bytes, name: str) -> None:
    data = TRICKS[name](Zip(whole, open_bundle(whole)[1]))
    assert data != whole
    one, two = codes(data, made.policy, key_of("anna"))
    assert (one, two) == (3, 3)


def test_a_file_of_more_than_a_gibibyte_is_not_read(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "big.custodes-bundle"
    with file.open("wb") as handle:
        handle.write(b"PK\x03\x04")
        handle.truncate(MOST_BYTES + 1)
    (tmp_path / "policy").write_bytes(made.policy)
    assert run(["verify", str(file), "--policy", str(tmp_path / "policy")]) == 3
    assert standalone.main([str(file), "--policy", str(tmp_path / "policy")]) == 3
    assert capsys.readouterr().out.count("was not read") == 2


@pytest.mark.parametrize("version", ["custodes.bundle/2", "other"])
def test_other_versions_cannot_be_checked(made: Made, whole: bytes, version: str) -> None:
    _, members = open_bundle(whole)
    members["manifest.json"] = members["manifest.json"].replace(b"custodes.bundle/1", version.encode())
    assert codes(pack(members), made.policy, None) == (2, 2)


# The reader's side


def test_a_forged_log_fails_under_the_readers_policy(
    made: Made, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        name: Signer(bundle_making.signer(name).name, name.encode().ljust(32, b"a"), name.encode().ljust(32, b"b"))
        for name in ("log", "index")
    }
    monkeypatch.setattr(bundle_making, "signer", lambda name: foreign[name])
    other = make(tmp_path, looks=25)
    forged = subject_bundle(other.sources(), key_of("anna"), MONTHS, with_actor=False)
    assert codes(forged, other.policy, key_of("anna")) == (0, 0)
    assert codes(forged, made.policy, key_of("anna")) == (2, 2)
    assert codes(whole, other.policy, key_of("anna")) == (2, 2)


def test_a_policy_without_the_index_proves_no_completeness(made: Made, whole: bytes) -> None:
    lines = made.policy.decode().splitlines()
    main_only = "\n".join(line for line in lines if "/index+" not in line).encode() + b"\n"
    assert codes(whole, main_only, key_of("anna")) == (2, 2)


def test_a_policy_that_asks_for_a_witness_is_not_met(made: Made, whole: bytes) -> None:
    witness = Signer("witness.example", b"\x09" * 32, b"\x09" * 32)
    vkey = make_key(witness.name, COSIGNED_ED25519, witness.keys[0].public).vkey()
    policy = made.policy.replace(b"quorum none", f"witness w {vkey}\nquorum w".encode())
    assert codes(whole, policy, key_of("anna")) == (2, 2)


def test_the_tag_key_of_another_person_is_noticed(made: Made, whole: bytes) -> None:
    assert codes(whole, made.policy, key_of("berta")) == (3, 3)


def test_entries_of_another_person_do_not_belong_there(made: Made, whole: bytes) -> None:
    manifest, members = open_bundle(whole)
    stranger = leaf_bundle(made.sources(), [made.about["carla"][0]], with_actor=False)
    theirs, parts = open_bundle(stranger)
    members.update({name: body for name, body in parts.items() if name.startswith("proofs/")})
    lines = sorted(
        (json.loads(line) for line in (members["openings.ndjson"] + parts["openings.ndjson"]).splitlines()),
        key=lambda line: line["index"],
    )
    members["openings.ndjson"] = b"".join(canonical(line) + b"\n" for line in lines)
    members.pop("manifest.json")
    forged = seal(replace(manifest, included=tuple(sorted({*manifest.included, *theirs.included}))), members)
    assert codes(forged, made.policy, key_of("anna")) == (3, 3)


def test_an_index_that_ends_before_the_checkpoint_proves_no_open_month(tmp_path: Path) -> None:
    """A server that shows yesterday's index beside today's log: the newest look would be missing from the list."""
    made = make(tmp_path, looks=10)
    with made._log("log") as log:
        bundle_making._access(made, log, bundle_making.hour_of(bundle_making.NOW), 999, "anna")
        log.publish()
    with pytest.raises(CouldNotCheck, match="does not reach the checkpoint"):
        subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)


def test_an_older_checkpoint_of_the_index_or_log_does_not_fit(tmp_path: Path) -> None:
    made = make(tmp_path, looks=10)
    older = open_bundle(subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False))[1]
    with made._log("log") as log:
        bundle_making._access(made, log, bundle_making.hour_of(bundle_making.NOW), 999, "anna")
    made.publish()
    manifest, members = open_bundle(subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False))
    members.pop("manifest.json")
    for names in (["index/checkpoint"], ["checkpoint"], ["index/2026-11.json"], ["index/checkpoint", "index/2026-11.json"]):
        forged = seal(manifest, {**members, **{name: older[name] for name in names}})
        one, two = codes(forged, made.policy, key_of("anna"))
        assert one == two
        assert one in {2, 3}, names


def test_an_erasure_needs_its_record(tmp_path: Path) -> None:
    made = make(tmp_path, looks=10)
    at = erase(made, "anna")
    data = subject_bundle(made.sources(), key_of("anna"), MONTHS, with_actor=False)
    assert codes(data, made.policy, key_of("anna")) == (0, 0)
    manifest, members = open_bundle(data)
    manifest = drop(manifest, members, at)
    members.pop("manifest.json")
    assert codes(seal(manifest, members), made.policy, key_of("anna")) == (2, 2)
