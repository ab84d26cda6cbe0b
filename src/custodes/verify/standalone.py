"""Check a bundle of custodes, or one tlog-proof, with nothing but Python. I am one file: read me from top to bottom.

    python verify.py FILE --policy my.policy [--tag-key KEY]

FILE        NAME.custodes-bundle or NAME.tlog-proof
--policy    your own file: whose signatures you believe. Get it from people you trust, never from the bundle.
--tag-key   the key that you were handed with your first statement: 64 hex digits, or a file that holds them

I end with 0 if everything that the bundle claims is proven, 3 if anything is broken, 2 if it could not be checked.

The steps: 1 your policy · 2 the bundle as a container · 3 the signed checkpoint · 4 the tiles of hashes · 5 each entry: is it in
the signed tree, and are the contents shown those that it commits to? · 6 the index: are these all entries about you? · 7 verdicts.
First comes the story of these steps, then the parts that do the work; Ed25519 is the last. I share no code with the program that
wrote the bundle. ML-DSA-44 signatures I only look for and do not check: `custodes verify` does.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import struct
import sys
import zlib
from hashlib import blake2b, sha256, sha512
from pathlib import Path
from typing import Any, NamedTuple

INCLUDED, COMPLETE, ERASED, UNVERIFIED, BROKEN = "INCLUDED", "COMPLETE", "ERASED", "UNVERIFIED", "BROKEN"
GROUPS = ("who", "what", "why", "where", "raw")
KINDS = ("access", "touch", "bulk", "decision", "case", "erasure", "policy", "index root", "heartbeat", "lines")
MOST_BYTES = 1 << 30


class Broken(Exception):
    """Something is not what it says it is."""


class Unknown(Exception):
    """Something that this reader cannot check."""


class Usage(Exception):
    """The reader's own files are wrong: exit 2."""


class Report:
    """Numbered steps, then one verdict for each thing that was claimed, with the contents that were shown for it."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.claims: list[tuple[str, str, list[str]]] = []

    def step(self, text: str) -> None:
        """Take down what was done."""
        self.steps.append(f"{len(self.steps) + 1}. {text}")

    def claim(self, verdict: str, text: str, shown: list[str] | None = None) -> None:
        """Take down a verdict."""
        self.claims.append((verdict, text, shown or []))

    def prove(self, verdict: str, text: str, doubt: str, shown: list[str] | None = None) -> None:
        """Take down what is proven, unless there is a doubt about the signatures that it rests on."""
        self.claim(UNVERIFIED if doubt else verdict, f"{text}: {doubt}" if doubt else text, shown)

    def exit_code(self) -> int:
        """3 if anything is broken, 2 if anything or everything is unverified, else 0."""
        verdicts = {verdict for verdict, _, _ in self.claims}
        return 3 if BROKEN in verdicts else 2 if UNVERIFIED in verdicts or not verdicts else 0


# ———————————————————————————————————————————————— the story ————————————————————————————————————————————————


def check(data: bytes, policy_text: bytes | None, tag_key: bytes | None) -> Report:
    """Check the bytes of a bundle or a proof under the text of the reader's policy. Raises `Usage` for a bad policy."""
    report = Report()
    policy = None if policy_text is None else read_policy(policy_text)
    if policy is None:
        report.step("policy: none was given, so nobody's signature can be believed")
    else:
        report.step(f"policy: {len(policy.logs)} log key(s), {len(policy.witnesses)} witness(es), quorum {policy.quorum}")
    try:
        check_any(data, policy, tag_key, report)
    except Broken as wrong:
        report.claim(BROKEN, str(wrong))
    except Unknown as wrong:
        report.claim(UNVERIFIED, str(wrong))
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as wrong:
        report.claim(BROKEN, f"it is malformed ({type(wrong).__name__})")
    return report


def check_any(data: bytes, policy: Policy | None, tag_key: bytes | None, report: Report) -> None:
    """Tell what it is, and check that."""
    if data.startswith(b"PK"):
        check_bundle(data, policy, tag_key, report)
    elif data.startswith(b"c2sp.org/tlog-proof@"):
        check_proof(data, policy, report)
    else:
        raise Unknown("this is no bundle and no proof that this reader knows")


def check_proof(data: bytes, policy: Policy | None, report: Report) -> None:
    """Check one proof that carries its entry."""
    proof = read_proof(data)
    point = read_checkpoint(proof.checkpoint)
    doubt = believe(point, policy, report)
    if proof.entry is None:
        raise Unknown(f"entry {proof.at} of {point.origin}: the proof does not carry it")
    if inclusion_root(proof.at, point.size, leaf_hash(proof.entry), proof.hashes) != point.root:
        raise Broken(f"entry {proof.at} of {point.origin}: its proof does not lead to the root of the checkpoint")
    report.step(f"entry: {len(proof.entry)} bytes, {len(proof.hashes)} hashes lead to the root of the checkpoint")
    report.prove(INCLUDED, f"entry {proof.at} of {point.origin} (size {point.size})", doubt)


def check_bundle(data: bytes, policy: Policy | None, tag_key: bytes | None, report: Report) -> None:
    """Check a bundle. The first thing that is broken ends the check: half a proof proves nothing."""
    members = read_container(data)
    manifest = read_manifest(members)
    report.step(f"bundle: about a {manifest['kind']}; {len(members)} members, {len(data)} bytes, each as the manifest lists it")
    say_who_checks(members["verify.py"], report)
    point = read_checkpoint(members["checkpoint"])
    if (point.origin, point.size) != (manifest["origin"], manifest["size"]):
        raise Broken("the manifest names another log or size than the checkpoint")
    doubt = believe(point, policy, report)
    if "checkpoint.tsr" in members:
        report.step("time-stamp: there is one over the checkpoint; this reader does not check it")
    tiles = read_tiles(members, point)
    report.step(f"tiles: {len(tiles)} tiles of hashes lead to the root of the checkpoint")
    entries = read_entries(members, point, tiles)
    if [str(at) for at in entries] != [json.dumps(at) for at in manifest["included"]]:
        raise Broken("the manifest claims other entries than the bundle holds")
    report.step(f"entries: {len(entries)} are in the tree and commit to what is shown of them")
    if manifest["kind"] == "subject":
        check_subject(members, manifest["complete"], point, entries, policy, doubt, tag_key, report)
    elif manifest["complete"] or any(name.startswith("index/") for name in members):
        raise Broken("a bundle of single entries makes no claim about months")
    judge_entries(entries, doubt, report)


def judge_entries(entries: dict[int, Entry], doubt: str, report: Report) -> None:
    """Give each entry its verdict: what happened is shown, or a later record says that it was erased."""
    hashes = {leaf_hash(entry.leaf).hex() for entry in entries.values()}
    records = erasure_records(entries)
    for entry in entries.values():
        what = f"entry {entry.at}, {KINDS[entry.kind - 1]}, recorded {entry.epoch}"
        record = next((at for at, ranges in records if at > entry.at and covers(ranges, entry.at)), None)
        if "what" in entry.shown and entry.access and entry.access not in hashes:
            report.claim(UNVERIFIED, f"{what}: the access that it belongs to is not in the bundle", entry.lines())
        elif "what" in entry.shown:
            report.prove(INCLUDED, what, doubt, entry.lines())
        elif record is not None:
            report.prove(
                ERASED, f"{what}: it stays in the record, its contents were destroyed; see entry {record}", doubt, entry.lines()
            )
        else:
            report.claim(UNVERIFIED, f"{what}: what happened is not shown, and no record says that it was erased", entry.lines())


def check_subject(  # noqa: PLR0917  # each part was checked on its own before
    members: dict[str, bytes],
    claimed: dict[str, str],
    point: Checkpoint,
    entries: dict[int, Entry],
    policy: Policy | None,
    doubt: str,
    tag_key: bytes | None,
    report: Report,
) -> None:
    """Are these all entries about one person in these months? The index, a second signed log, says which there are."""
    index = read_checkpoint(members["index/checkpoint"])
    if index.origin != f"{point.origin}/index":
        raise Broken("the index is of another log")
    doubt = believe(index, policy, report) or doubt
    if {f"index/{epoch}.json" for epoch in claimed} | {"index/checkpoint"} != {name for name in members if name[:6] == "index/"}:
        raise Broken("the manifest claims other months than the bundle has index proofs for")
    wanted: set[int] = set()
    for epoch, tag in claimed.items():
        month = read_month(members[f"index/{epoch}.json"], epoch, unhex(tag), index, point)
        if tag_key is not None and month.tag != blake2b(f"{point.origin}\0{epoch}".encode(), key=tag_key, digest_size=32).digest():
            raise Broken(f"{epoch}: the tag in the bundle is not the one that your key gives")
        for place in month.positions:
            if place not in entries:
                raise Broken(f"{epoch}: the index lists entry {place} for this tag, and the bundle leaves it out")
            check_tagged(entries[place], month)
        if month.lists.keys() != {str(place) for place in month.positions if entries[place].kind == 3}:
            raise Broken(f"{epoch}: there is a proof for a list that no entry of this tag has")
        wanted |= set(month.positions)
        judge_month(month, point, doubt, "you" if tag_key else "this tag", report)
    months = sorted(int(epoch[:4]) * 12 + int(epoch[5:]) for epoch in claimed)
    if not months or months[-1] - months[0] != len(months) - 1:
        report.claim(UNVERIFIED, "between the first and the last month of the bundle some are missing")
    # Nothing else stands in the bundle: entries on the list, accesses that they belong to, and records of erasures.
    accesses = {entry.access for entry in entries.values() if entry.at in wanted}
    wanted |= {entry.at for entry in entries.values() if leaf_hash(entry.leaf).hex() in accesses or entry.kind == 6}
    if wanted != set(entries):
        raise Broken(f"entry {min(set(entries) - wanted)} is in the bundle without being about this person")


def judge_month(month: Month, point: Checkpoint, doubt: str, whom: str, report: Report) -> None:
    """Give one month its verdict."""
    count, end = len(month.positions), "month closed" if month.final else f"as of entry {month.size} of {point.size}"
    what = f"{month.epoch}: {count or 'no'} entries about {whom} ({end}); with nobody resolved: {month.unresolved}"
    if month.size < point.size and not month.final:
        report.claim(UNVERIFIED, f"{what}: the index does not reach the checkpoint")
    else:
        report.prove(COMPLETE, what, doubt)


def check_tagged(entry: Entry, month: Month) -> None:
    """Check that an entry on the list is one of that person and month."""
    if entry.kind == 3 and entry.epoch == month.epoch:
        place, what = month.lists[str(entry.at)], entry.shown["what"]
        shape(place, {"at": int, "hashes": list})
        shape(what, {"access": str, "count": int, "root": str})
        hashes = [unhex(item) for item in place["hashes"]]
        if inclusion_root(place["at"], what["count"], leaf_hash(month.tag), hashes) != unhex(what["root"]):
            raise Broken(f"entry {entry.at}: the tag is not in its list")
    elif entry.kind not in (1, 2) or entry.tag != month.tag or entry.epoch != month.epoch:
        raise Broken(f"{month.epoch}: entry {entry.at} stands in the list of this tag and does not carry it")


def say_who_checks(shipped: bytes, report: Report) -> None:
    """Warn if this script is the one in the bundle: whoever can forge a bundle can forge the script in it."""
    own = Path(__file__).read_bytes()
    name = f"SHA-256 {sha256(own).hexdigest()}"
    if own == shipped:
        report.step(
            f"WARNING: this script is the one in the bundle that it judges ({name}): compare that number with one from elsewhere"
        )
    else:
        report.step(f"this script is not the one in the bundle ({name})")


# ———————————————————————————————————————————— the container ————————————————————————————————————————————

MEMBER = re.compile(
    r"README\.txt|checkpoint|checkpoint\.tsr|manifest\.json|openings\.ndjson|policy\.example|verify\.py|index/checkpoint"
    r"|index/[0-9]{4}-(0[1-9]|1[0-2])\.json|proofs/(0|[1-9][0-9]{0,18})\.tlog-proof"
    r"|log/tile/(0|[1-7])/(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?"
)
ALWAYS = {"README.txt", "checkpoint", "manifest.json", "openings.ndjson", "policy.example", "verify.py"}


def read_container(data: bytes) -> dict[str, bytes]:
    """Return the members of a bundle. It is the one zip that its members make: any other byte anywhere is refused."""
    members: dict[str, bytes] = {}
    directory, at, last = b"", 0, ""
    while data[at : at + 4] == b"PK\x03\x04":
        if len(data) < at + 30:
            raise Broken("the bundle ends within a member")
        size, _, length = struct.unpack_from("<IIH", data, at + 18)
        body = data[at + 30 + length : at + 30 + length + size]
        raw = data[at + 30 : at + 30 + length]
        sizes = (zlib.crc32(body), size, size, length)
        if data[at : at + 30] != struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 33, *sizes, 0) or len(body) != size:
            raise Broken("a member is not stored as a bundle stores it")
        name = raw.decode("latin-1")
        if not MEMBER.fullmatch(name) or name <= last:
            raise Broken("a member has a name that no bundle has, or stands in the wrong place")
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 788, 20, 0, 0, 0, 33, *sizes, 0, 0, 0, 0, 0o100644 << 16, at) + raw
        members[name], last, at = body, name, at + 30 + length + size
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(members) & 0xFFFF, len(members) & 0xFFFF, len(directory), at, 0)
    if data[at:] != directory + end or not members.keys() >= ALWAYS or len(members) > 65_535:
        raise Broken("the bundle does not end with the list of its members, or lacks one that every bundle has")
    return members


def read_manifest(members: dict[str, bytes]) -> dict[str, Any]:
    """Return the manifest; every member is what it lists."""
    manifest: dict[str, Any] = read_json(members["manifest.json"])
    if not isinstance(manifest, dict) or manifest.get("schema") != "custodes.bundle/1":
        raise Unknown("the bundle is of a version that this reader does not know")
    fields = {"complete": dict, "included": list, "kind": str, "members": dict, "origin": str, "schema": str, "size": int}
    shape(manifest, fields)
    if manifest["kind"] not in {"leaf", "subject"}:
        raise Unknown("the bundle is of a kind that this reader does not know")
    if manifest["members"] != {name: sha256(body).hexdigest() for name, body in members.items() if name != "manifest.json"}:
        raise Broken("a member is not the one that the manifest lists")
    return manifest


def read_json(data: bytes) -> Any:
    """Return the value of canonical JSON (RFC 8785 without floats). Bytes that could be read in two ways are refused."""
    text = data.decode("utf-8", "surrogatepass")
    value = json.loads(text, parse_int=whole, parse_float=whole, parse_constant=whole, object_pairs_hook=keyed)
    if json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) != text:
        raise Broken("a part of the bundle is not canonical JSON")
    return value


def whole(number: str) -> int:
    """Return a whole number; canonical bytes have no others, and none that some readers would round."""
    if not re.fullmatch("-?[0-9]{1,16}", number) or abs(int(number)) >= 2**53:
        raise Broken(f"{number[:20]} is no number of canonical JSON")
    return int(number)


def keyed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a map; keys beyond the basic plane would sort in two ways."""
    if any(char >= "\ud800" for key, _ in pairs for char in key):
        raise Broken("a key is not one of canonical JSON")
    return dict(pairs)


def shape(value: Any, fields: dict[str, type]) -> None:
    """Check that a map has exactly these fields, each of its type."""
    if type(value) is not dict or {name: type(item) for name, item in value.items()} != fields:
        raise Broken("a part of the bundle has other fields than its format")


def unhex(text: Any, size: int = 32) -> bytes:
    """Return bytes from their small hex digits."""
    if type(text) is not str or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text):
        raise Broken("a value is not hex of its length")
    return bytes.fromhex(text)


# ———————————————————————————————————— policy, notes, checkpoints ————————————————————————————————————


class Key(NamedTuple):
    """A public key: `kind` 1 Ed25519 of a log, 4 Ed25519 of a witness, 6 ML-DSA-44 of either."""

    name: str
    key_id: bytes
    kind: int
    public: bytes


class Policy(NamedTuple):
    """Whom the reader believes. `groups`: name → (how many, of whom)."""

    logs: list[Key]
    witnesses: dict[str, Key]
    groups: dict[str, tuple[int, list[str]]]
    quorum: str


class Checkpoint(NamedTuple):
    """Origin, size and root of a log, and the note that says so: its text and its signature lines (name, key id, value)."""

    origin: str
    size: int
    root: bytes
    text: str
    lines: list[tuple[str, bytes, bytes]]


def read_key(text: str) -> Key:
    """Read a public key: name+id+base64."""
    name, plus, rest = text.partition("+")
    key_id, second, encoded = rest.partition("+")
    material = unbase64(encoded)
    if (
        not plus
        or not second
        or not good_name(name)
        or len(material) != {1: 33, 4: 33, 6: 1313}.get(material[0] if material else 0)
    ):
        raise Broken("a public key is name+id+base64")
    if sha256(name.encode() + b"\n" + material).digest()[:4].hex() != key_id:
        raise Broken("the id of a public key does not belong to it")
    return Key(name, bytes.fromhex(key_id), material[0], material[1:])


def good_name(name: str) -> bool:
    """Say whether a key may be called so."""
    return name != "" and "+" not in name and not any(char.isspace() or char < " " for char in name)


def unbase64(text: str) -> bytes:
    """Return bytes from base64 in its one form."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise Broken("a value is not base64") from None
    if base64.b64encode(value).decode() != text:
        raise Broken("a value is not base64 in its one form")
    return value


def read_policy(data: bytes) -> Policy:
    """Read a policy file (C2SP tlog-policy). Raises `Usage`."""
    if re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data):
        raise Usage("the policy holds a control character")
    policy, quorum = Policy([], {}, {}, ""), ""
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = re.findall("[^ \t]+", line)
        if not words or words[0][0] == "#":
            continue
        try:
            quorum = read_line(words, policy, quorum)
        except (Broken, UnicodeEncodeError) as wrong:
            raise Usage(f"policy, line {number}: {wrong}") from None
    if not quorum:
        raise Usage("the policy has no quorum line (`quorum none` asks for no witness)")
    return policy._replace(quorum=quorum)


def read_line(words: list[str], policy: Policy, quorum: str) -> str:
    """Take one line into the policy; return the name of the quorum as far as it is known."""
    known = policy.witnesses.keys() | policy.groups.keys()
    if words[0] == "log" and len(words) in {2, 3}:
        policy.logs.append(fresh_key(words[1], {1, 6}, policy))
    elif words[0] == "witness" and len(words) in {3, 4} and words[1] not in known | {"none"}:
        policy.witnesses[words[1]] = fresh_key(words[2], {4, 6}, policy)
    elif words[0] == "group" and len(words) > 3 and words[1] not in known | {"none"}:
        members = [name for _, names in policy.groups.values() for name in names] + words[3:]
        if not known >= set(words[3:]) or len(set(members)) < len(members):
            raise Broken("a member is not known above, or is a member twice")
        policy.groups[words[1]] = (threshold(words[2], len(words) - 3), words[3:])
    elif words[0] == "quorum" and len(words) == 2 and not quorum and words[1] in known | {"none"}:
        return words[1]
    else:
        raise Broken("this is no line of a policy, or a name in it is taken or not known")
    return quorum


def threshold(word: str, members: int) -> int:
    """Return how many of a group are needed."""
    count = {"any": 1, "all": members}.get(word) or (int(word) if re.fullmatch("[0-9]{1,9}", word) else 0)
    if not 1 <= count <= members:
        raise Broken("a group asks for more or fewer than it has")
    return count


def fresh_key(text: str, kinds: set[int], policy: Policy) -> Key:
    """Read a key of a policy: of these kinds, not there yet, and not one of the points for which anybody can sign."""
    key = read_key(text)
    if key.kind not in kinds or any(key.public == other.public for other in [*policy.logs, *policy.witnesses.values()]):
        raise Broken("a key is of the wrong kind for its line, or stands in the policy twice")
    point = decode_point(key.public) if key.kind != 6 else None
    if point is not None and multiply([(8, point)])[:2] == (0, 1):
        raise Broken("a key is of low order: it verifies signatures that nobody made")
    return key


def read_checkpoint(note: bytes) -> Checkpoint:
    """Read a signed checkpoint (C2SP signed-note, tlog-checkpoint); nothing is believed yet."""
    text, lines = read_note(note)
    return Checkpoint(*read_body(text), text, lines)


def read_note(data: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Return text and signature lines of a note."""
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Broken("a note is not UTF-8") from None
    text, blank, rest = whole.rpartition("\n\n")
    found = re.findall("— ([^ \n]+) ([^ \n]+)\n", rest)
    rebuilt = "".join(f"— {name} {encoded}\n" for name, encoded in found)
    if re.search("[\x00-\x09\x0b-\x1f]", whole) or not blank or rebuilt != rest or not 1 <= len(found) <= 100:
        raise Broken("a checkpoint is not a signed note")
    lines = [(name, unbase64(encoded)[:4], unbase64(encoded)[4:]) for name, encoded in found]
    if not all(good_name(name) and value for name, _, value in lines):
        raise Broken("a checkpoint has a malformed signature line")
    return text + "\n", lines


def read_body(text: str) -> tuple[str, int, bytes]:
    """Return origin, size and root."""
    match = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([^\n]+)\n(?:[^\n]+\n)*", text)
    if match is None or int(match[2]) >= 2**63 or len(unbase64(match[3])) != 32:
        raise Broken("a signed note is not a checkpoint")
    return match[1], int(match[2]), unbase64(match[3])


def believe(point: Checkpoint, policy: Policy | None, report: Report) -> str:
    """Return why a checkpoint is not to be believed, or "". Raises `Broken` if a signature of a known key fails."""
    name = f"checkpoint: size {point.size} of {point.origin}"
    if policy is None:
        report.step(f"{name}, not checked")
        return "no policy was given (--policy FILE)"
    logs = [key for key in policy.logs if key.name == point.origin]
    if not any(key.kind == 1 for key in logs):
        report.step(f"{name}, not checked")
        return f"the policy has no key for {point.origin} that this reader can check"
    signed, unchecked = signers(point, [*logs, *policy.witnesses.values()])
    silent = [key for key in logs if key not in signed and key not in unchecked]
    report.step(f"{name}, signed by {len([key for key in logs if key in signed])} of {len(logs)} keys of the log")
    for key in unchecked:
        report.step(f"not checked: the ML-DSA-44 signature of {key.name}; this reader has no code for it, `custodes verify` has")
    if silent:
        return "not every key that the policy lists for this log has signed the checkpoint"
    if policy.quorum != "none" and not enough(policy.quorum, policy, signed):
        return "the quorum of witnesses is not met"
    report.step("witnesses: none asked for" if policy.quorum == "none" else f"witnesses: quorum {policy.quorum} met")
    return ""


def signers(point: Checkpoint, keys: list[Key]) -> tuple[set[Key], set[Key]]:
    """Return the keys whose signature holds, and those whose signature is there but cannot be checked here."""
    signed, unchecked = set[Key](), set[Key]()
    for name, key_id, value in dict.fromkeys(point.lines):
        known = [key for key in keys if (key.name, key.key_id) == (name, key_id)]
        if len(known) > 1:
            raise Usage("two keys of the policy share name and id")
        if known and known[0].kind == 6 and len(value) == 8 + 2420:
            unchecked.add(known[0])
        elif known and not holds(known[0], value, point.text):
            raise Broken(f"the signature of {name} does not verify")
        elif known:
            signed.add(known[0])
    return signed, unchecked


def holds(key: Key, value: bytes, text: str) -> bool:
    """Say whether a signature is one of this Ed25519 key over a checkpoint's text; a witness signs its time with it."""
    if key.kind == 1:
        return ed25519(key.public, value, text.encode())
    time = int.from_bytes(value[:8], "big")
    return key.kind == 4 and time < 2**63 and ed25519(key.public, value[8:], f"cosignature/v1\ntime {time}\n{text}".encode())


def enough(name: str, policy: Policy, signed: set[Key]) -> bool:
    """Say whether a witness has signed, or enough of a group."""
    if name in policy.witnesses:
        return policy.witnesses[name] in signed
    count, members = policy.groups[name]
    return sum(enough(member, policy, signed) for member in members) >= count


# ————————————————————————————————————— the tree (RFC 6962), its tiles and proofs —————————————————————————————————————


class Proof(NamedTuple):
    """The way of entry number `at` to the root: hashes from the leaf up."""

    at: int
    hashes: list[bytes]
    checkpoint: bytes
    entry: bytes | None


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def tree_root(hashes: list[bytes]) -> bytes:
    """Return the root over hashes: neighbours are joined, an odd last one goes up as it is."""
    while len(hashes) > 1:
        joined = [node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes) - 1, 2)]
        hashes = joined + hashes[len(hashes) & ~1 :]
    return hashes[0] if hashes else sha256(b"").digest()


def divide(size: int) -> int:
    """Return the largest power of two below a size: where a tree divides."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_root(index: int, size: int, leaf: bytes, hashes: list[bytes]) -> bytes | None:
    """Return the root that a proof leads to, None if it has too many or too few hashes."""
    if not 0 <= index < size or (size == 1 and hashes) or (size > 1 and not hashes) or len(leaf) != 32:
        return None
    if size == 1:
        return leaf
    middle, beside = divide(size), hashes[-1]
    if index < middle:
        below = inclusion_root(index, middle, leaf, hashes[:-1])
        return below and node(below, beside)
    below = inclusion_root(index - middle, size - middle, leaf, hashes[:-1])
    return below and node(beside, below)


def is_prefix(size1: int, size2: int, root1: bytes, root2: bytes, hashes: list[bytes]) -> bool:
    """Say whether a proof shows that the tree of `size1` entries (at least one) is the beginning of the one of `size2`."""
    rest = list(hashes)

    def roots(old: int, new: int, *, whole: bool) -> tuple[bytes, bytes]:
        """Return the roots of the old and the new part of a subtree; takes hashes from the top down."""
        if old == new:
            root = root1 if whole else rest.pop()
            return root, root
        middle, beside = divide(new), rest.pop()
        if old <= middle:
            first, second = roots(old, middle, whole=whole)
            return first, node(second, beside)
        first, second = roots(old - middle, new - middle, whole=False)
        return node(beside, first), node(beside, second)

    if not 0 < size1 <= size2:
        return False
    try:
        return roots(size1, size2, whole=True) == (root1, root2) and not rest
    except IndexError:
        return False


def read_proof(data: bytes) -> Proof:
    """Read a proof (C2SP tlog-proof)."""
    head, blank, checkpoint = data.partition(b"\n\n")
    pattern = rb"c2sp\.org/tlog-proof@v1\n(?:extra ([^ \n]*)\n)?index (0|[1-9][0-9]{0,18})((?:\n[A-Za-z0-9+/]{43}=){0,63})"
    match = re.fullmatch(pattern, head)
    if match is None or not blank or int(match[2]) >= 2**63 or len(data) > 1 << 20:
        raise Broken("a proof is not a tlog-proof")
    hashes = [unbase64(line.decode()) for line in match[3].split()]
    entry = None if match[1] is None else unbase64(match[1].decode("latin-1"))
    return Proof(int(match[2]), hashes, checkpoint, entry)


def read_tiles(members: dict[str, bytes], point: Checkpoint) -> dict[tuple[int, int], list[bytes]]:
    """Return the tiles by level and number: 256 hashes each, at the right edge fewer. All of them lead to the signed root."""
    tiles = {}
    for name, body in members.items():
        if name.startswith("log/tile/"):
            level, digits, width = re.fullmatch(r"log/tile/(\d)/([x\d/]+)(?:\.p/(\d+))?", name).groups()  # type: ignore[union-attr]  # the container took the name
            number = int(re.sub("[x/]", "", digits))
            full, left = divmod(point.size >> 8 * int(level), 256)
            count = int(width or 256)
            if tile_name(int(level), number, count) != name or not (
                (number < full and count == 256) or (number, count) == (full, left)
            ):
                raise Broken("a tile is not one of this tree")
            if len(body) != 32 * count:
                raise Broken("a tile has a wrong length")
            tiles[int(level), number] = [body[at : at + 32] for at in range(0, len(body), 32)]
    edge: list[bytes] = []
    level, size = 0, point.size
    while size:  # the unfinished tiles from the lowest level up: each ends with the root of the one below
        hashes = (tiles[level, size // 256] if size % 256 else []) + edge
        edge = [tree_root(hashes)] if hashes else []
        level, size = level + 1, size // 256
    if tree_root(edge) != point.root:
        raise Broken("the tiles do not lead to the root of the checkpoint")
    for (level, number), hashes in tiles.items():
        if len(hashes) == 256 and tiles[level + 1, number // 256][number % 256] != tree_root(hashes):
            raise Broken("a tile does not fit into the one above it")
    return tiles


def tile_name(level: int, number: int, width: int) -> str:
    """Return the one name of a tile."""
    digits = f"{number:0{-(-len(str(number)) // 3) * 3}d}"
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"log/tile/{level}/{path}" + ("" if width == 256 else f".p/{width}")


# ——————————————————————————————————————————— entries and what they commit to ———————————————————————————————————————————


class Entry(NamedTuple):
    """Entry number `at`, which is in the tree. `shown`: group → its value; `access`: of a touch or bulk, its access's hash."""

    at: int
    leaf: bytes
    kind: int
    epoch: str
    tag: bytes
    shown: dict[str, Any]
    access: str

    def lines(self) -> list[str]:
        """Return what is shown, safe to print."""
        texts = [f"{name:5}  {json.dumps(value, ensure_ascii=False, sort_keys=True)}" for name, value in self.shown.items()]
        return [
            "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text) if not text.isprintable() else text
            for text in texts
        ]


def read_entries(members: dict[str, bytes], point: Checkpoint, tiles: dict[tuple[int, int], list[bytes]]) -> dict[int, Entry]:
    """Return the entries in order; each is in the tree and commits to what is shown of it."""
    entries: dict[int, Entry] = {}
    lines = members["openings.ndjson"].split(b"\n")
    if lines.pop():
        raise Broken("the last opening is cut off")
    for line in lines:
        opening = read_json(line)
        if type(opening) is not dict or opening.keys() != {"groups", "index", "leaf"} or type(opening["index"]) is not int:
            raise Broken("an opening has other fields than its format")
        index, leaf = opening["index"], unhex(opening["leaf"], 96)
        if entries and index <= max(entries):
            raise Broken("the openings are not in order")
        proof = read_proof(members[f"proofs/{index}.tlog-proof"])
        if (proof.at, proof.entry, proof.checkpoint) != (index, leaf, members["checkpoint"]):
            raise Broken(f"entry {index}: its proof is of another entry or checkpoint")
        if inclusion_root(index, point.size, leaf_hash(leaf), proof.hashes) != point.root:
            raise Broken(f"entry {index}: its proof does not lead to the root of the checkpoint")
        if tiles[0, index // 256][index % 256] != leaf_hash(leaf):
            raise Broken(f"entry {index}: the tile holds another one")
        entries[index] = open_entry(index, leaf, opening["groups"])
    if len(entries) != sum(name.startswith("proofs/") for name in members):
        raise Broken("there is a proof without its opening")
    return entries


def open_entry(index: int, leaf: bytes, groups: Any) -> Entry:
    """Return an entry; each group that is shown, together with the digests of the others, is what the leaf commits to."""
    version, kind, hour, tag, commit = leaf[0], leaf[1], int.from_bytes(leaf[2:6], "big"), leaf[16:48], leaf[48:80]
    if version != 1 or not 1 <= kind <= len(KINDS):
        raise Unknown(f"entry {index} is of a version or kind that this reader does not know")
    shown: dict[str, Any] = {}
    if groups is not None:
        if type(groups) is not dict or groups.keys() != set(GROUPS):
            raise Broken(f"entry {index}: its opening has other groups than a leaf")
        digests = [group_digest(number, groups[name]) for number, name in enumerate(GROUPS)]
        if sha256(b"\x10" + b"".join(digests)).digest() != commit:
            raise Broken(f"entry {index}: what is shown is not what the entry commits to")
        shown = {name: read_json(octets(groups[name]["value"])) for name in GROUPS if "value" in (groups[name] or ())}
    access = shown.get("what", {}).get("access", "") if kind in {2, 3} and type(shown.get("what", {})) is dict else ""
    if hour >= 70_389_528:
        raise Broken(f"entry {index}: its hour is in no year that there is")
    return Entry(index, leaf, kind, month_of(hour), tag, shown, access if type(access) is str else "")


def group_digest(number: int, group: Any) -> bytes:
    """Return the digest of a group: zeros if it is absent, as given if it is hidden, computed if it is shown."""
    if group is None:
        return bytes(32)
    if type(group) is dict and group.keys() == {"digest"}:
        return unhex(group["digest"])
    shape(group, {"salt": str, "value": str})
    return sha256(bytes((0x11, number)) + unhex(group["salt"]) + octets(group["value"])).digest()


def octets(text: str) -> bytes:
    """Return the bytes of a text, also of one that a damaged log left with lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def month_of(hour: int) -> str:
    """Return the month of an hour, counted in UTC from 1970."""
    year, day = 1970, hour // 24
    while day >= (days := 365 + leap(year)):
        year, day = year + 1, day - days
    month = 0
    for length in (31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31):
        month += 1
        if day < length:
            break
        day -= length
    return f"{year:04d}-{month:02d}"


def leap(year: int) -> bool:
    """Say whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def erasure_records(entries: dict[int, Entry]) -> list[tuple[int, list[Any]]]:
    """Return the shown records of erasures and expiries with the ranges of entries that they name."""
    found = []
    for entry in entries.values():
        record = entry.shown.get("what")
        if entry.kind == 6 and type(record) is dict and record.get("what") in {"erasure", "expiry"}:
            ranges = record.get("ranges")
            found.append((entry.at, ranges if type(ranges) is list else []))
    return found


def covers(ranges: list[Any], index: int) -> bool:
    """Say whether an index lies in one of the ranges [first, last]."""
    return any(type(pair) is list and [type(end) for end in pair] == [int, int] and pair[0] <= index <= pair[1] for pair in ranges)


# ————————————————————————————————————————————— the index: all about one tag —————————————————————————————————————————————


class Month(NamedTuple):
    """What the signed index says of one tag in one month, below `size` entries of the log.

    `lists`: for entries about very many people, by number as text: where the tag stands in their list of tags.
    """

    epoch: str
    tag: bytes
    positions: list[int]
    unresolved: int
    size: int
    final: bool
    lists: dict[str, Any]


def read_month(data: bytes, epoch: str, tag: bytes, index: Checkpoint, point: Checkpoint) -> Month:
    """Return the proven answer of the index for a tag."""
    proof = read_json(data)
    maps = dict.fromkeys(("lists", "lookup", "unresolved"), dict)
    shape(proof, {"at": int, "consistency": list, "entry": str, "inclusion": list, **maps})
    lookup, unresolved = proof["lookup"], proof["unresolved"]
    shape(lookup, {"end": type(lookup.get("end")), "epoch": str, "path": list, "positions": list, "schema": str, "tag": str})
    shape(unresolved, {"count": int, "end": type(unresolved.get("end")), "list": str, "path": list})
    # 1. The entry is in the index log, and the tree that it covers is the beginning of ours.
    raw = octets(proof["entry"])
    if inclusion_root(proof["at"], index.size, leaf_hash(raw), [unhex(item) for item in proof["inclusion"]]) != index.root:
        raise Broken(f"{epoch}: the proof of the index entry does not lead to the root of the index log")
    entry = read_json(raw)
    numbers = dict.fromkeys(("many", "positions", "size", "tags", "unresolved"), int)
    shape(entry, {**numbers, **dict.fromkeys(("epoch", "index", "origin", "root", "schema"), str), "final": bool})
    if entry["schema"] != "custodes.index/1" or lookup["schema"] != "custodes.lookup/1":
        raise Unknown(f"{epoch}: the index is of a version that this reader does not know")
    if (entry["origin"], entry["epoch"]) != (point.origin, epoch):
        raise Broken(f"{epoch}: the index entry is of another log or month")
    steps = [unhex(item) for item in proof["consistency"]]
    if not is_prefix(entry["size"], point.size, unhex(entry["root"]), point.root, steps):
        raise Broken(f"{epoch}: the log that the index covers is not the beginning of the log of the checkpoint")
    # 2. The positions are those of this tag.
    positions, root = lookup["positions"], unhex(entry["index"])
    if (lookup["epoch"], unhex(lookup["tag"])) != (epoch, tag):
        raise Broken(f"{epoch}: the index was asked for another tag or month than the manifest claims")
    if any(type(at) is not int or not 0 <= at < entry["size"] for at in positions) or positions != sorted(set(positions)):
        raise Broken(f"{epoch}: the positions are no ascending list of entries")
    listed = tree_root([leaf_hash(at.to_bytes(8, "big")) for at in positions])
    if trie_root(tag, len(positions), listed, lookup["path"], lookup["end"]) != root:
        raise Broken(f"{epoch}: the answer for this tag does not lead to the root of the index")
    # 3. The number of entries with nobody resolved is that of the tag of zeros.
    count, listed = unresolved["count"], unhex(unresolved["list"]) if unresolved["count"] else b""
    if trie_root(bytes(32), count, listed, unresolved["path"], unresolved["end"]) != root or count != entry["unresolved"]:
        raise Broken(f"{epoch}: the number of entries with nobody resolved is not proven")
    return Month(epoch, tag, positions, count, entry["size"], entry["final"], proof["lists"])


def trie_root(tag: bytes, count: int, listed: bytes, path: list[Any], end: Any) -> bytes:
    """Return the root that the answer for a tag leads to: `count` positions with this root, or (0) the node that parts from it."""
    key = sha256(b"\x30" + tag).digest()
    reached = -1
    for depth, prefix, sibling in path:
        if type(depth) is not int or not reached < depth < 256 or unhex(prefix) != first_bits(key, depth) or not unhex(sibling):
            raise Broken("a path in the index is not the one to its tag")
        reached = depth
    if count > 0 and end is None:
        found = sha256(b"\x31" + key + count.to_bytes(8, "big") + listed).digest()
    elif count == 0 and end is not None:
        found = parting(key, reached, end)
    else:
        raise Broken("an answer of the index has positions and none at once")
    for depth, prefix, sibling in reversed(path):
        right = key[depth // 8] >> (7 - depth % 8) & 1
        sides = unhex(sibling) + found if right else found + unhex(sibling)
        found = sha256(b"\x32" + depth.to_bytes(2, "big") + unhex(prefix) + sides).digest()
    return found


def parting(key: bytes, reached: int, end: Any) -> bytes:
    """Return the hash of the node at which the search for an absent key ends: an empty trie, or one that does not lead to it."""
    if end == "empty" and reached == -1:
        return sha256(b"\x33").digest()
    if type(end) is not dict or len(end) != 1:
        raise Broken("an answer of the index ends nowhere")
    if "leaf" in end:
        other, count, listed = end["leaf"]
        there, apart = unhex(other), unhex(other) != key and type(count) is int and 0 < count < 2**53
        found = sha256(b"\x31" + there + max(0, count).to_bytes(8, "big") + unhex(listed)).digest() if apart else b""
    else:
        depth, prefix, left, right = end["inner"]
        apart = type(depth) is int and reached < depth < 256 and unhex(prefix) == first_bits(unhex(prefix), depth)
        there, apart = unhex(prefix), apart and unhex(prefix) != first_bits(key, depth)
        found = sha256(b"\x32" + depth.to_bytes(2, "big") + there + unhex(left) + unhex(right)).digest() if apart else b""
    if not apart or first_bits(there, reached + 1) != first_bits(key, reached + 1):
        raise Broken("an answer of the index ends at a node that does not show the tag's absence")
    return found


def first_bits(key: bytes, count: int) -> bytes:
    """Return the first bits of a key, the rest zero."""
    return (int.from_bytes(key, "big") >> 256 - count << 256 - count).to_bytes(32, "big")


# ———————————————————————————————————————————————— Ed25519 (RFC 8032) ————————————————————————————————————————————————

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, FIELD) % FIELD
ROOT = pow(2, (FIELD - 1) // 4, FIELD)
"""A square root of −1."""
Point = tuple[int, int, int, int]
"""Extended coordinates: X, Y, Z, T with x = X/Z, y = Y/Z, x·y = T/Z."""


def ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether a signature holds: S below the group's order, and S·B − h·A encodes to exactly the bytes R."""
    point, s = decode_point(public), int.from_bytes(signature[32:], "little")
    if point is None or len(signature) != 64 or s >= ORDER:
        return False
    h = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % ORDER
    x, y, z, t = point
    found = multiply([(s, BASE), (h, (-x % FIELD, y, z, -t % FIELD))])
    return encode_point(found) == signature[:32]


def add(one: Point, two: Point) -> Point:
    """Add two points; doubling included."""
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % FIELD, (one[1] + one[0]) * (two[1] + two[0]) % FIELD
    c, d = 2 * one[3] * two[3] * CURVE % FIELD, 2 * one[2] * two[2] % FIELD
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD


def multiply(terms: list[tuple[int, Point]]) -> Point:
    """Return the sum of factor · point, all doubled together, in affine form (Z = 1)."""
    total: Point = (0, 1, 1, 0)
    for bit in range(max(factor.bit_length() for factor, _ in terms) - 1, -1, -1):
        total = add(total, total)
        for factor, point in terms:
            if factor >> bit & 1:
                total = add(total, point)
    inverse = pow(total[2], -1, FIELD)
    x, y = total[0] * inverse % FIELD, total[1] * inverse % FIELD
    return x, y, 1, x * y % FIELD


def decode_point(data: bytes) -> Point | None:
    """Return the point of 32 bytes, None if there is none. y is taken modulo the field, as widespread libraries do."""
    number = int.from_bytes(data, "little")
    y, odd = (number & (1 << 255) - 1) % FIELD, number >> 255 & 1
    above, below = (y * y - 1) % FIELD, (CURVE * y * y + 1) % FIELD
    x = above * pow(below, 3, FIELD) * pow(above * pow(below, 7, FIELD), (FIELD - 5) // 8, FIELD) % FIELD
    if (below * x * x + above) % FIELD == 0:
        x = x * ROOT % FIELD
    if len(data) != 32 or (below * x * x - above) % FIELD:
        return None
    x = x if x & 1 == odd else -x % FIELD
    return x, y, 1, x * y % FIELD


def encode_point(point: Point) -> bytes:
    """Return the one encoding of an affine point."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = decode_point((4 * pow(5, -1, FIELD) % FIELD).to_bytes(32, "little")) or (0, 1, 1, 0)


# ——————————————————————————————————————————————————— the command ———————————————————————————————————————————————————


def main(arguments: list[str]) -> int:
    """Run the check, print steps and verdicts, return the exit code."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Check a bundle or a tlog-proof, offline, with Python alone.")
    parser.add_argument("path", metavar="FILE", help="NAME.custodes-bundle or NAME.tlog-proof")
    parser.add_argument("--policy", metavar="FILE", help="your own policy file: whose signatures you believe")
    parser.add_argument("--tag-key", metavar="HEX|FILE", help="the key that you were handed with your first statement")
    options = parser.parse_args(arguments)
    try:
        policy = Path(options.policy).read_bytes() if options.policy else None
        report = check(read_file(Path(options.path)), policy, read_tag_key(options.tag_key))
    except Broken as wrong:
        sys.stdout.write(f"BROKEN  {wrong}\n")
        return 3
    except OSError as wrong:
        sys.stderr.write(f"error: {wrong.filename} cannot be read ({wrong.strerror})\n")
        return 2
    except Usage as wrong:
        sys.stderr.write(f"error: {wrong}\n")
        return 2
    lines = report.steps + [
        f"{verdict}  {text}" + "".join(f"\n    {line}" for line in shown) for verdict, text, shown in report.claims
    ]
    code = report.exit_code()
    words = {0: "PROVEN", 2: "NOT PROVEN: something could not be checked", 3: "BROKEN: nobody should trust this bundle"}
    sys.stdout.write("\n".join([*lines, words[code], ""]))
    return code


def read_file(path: Path) -> bytes:
    """Return a file's bytes."""
    if path.stat().st_size > MOST_BYTES:
        raise Broken("it is larger than a bundle or proof can be, and was not read")
    return path.read_bytes()


def read_tag_key(given: str | None) -> bytes | None:
    """Return the key from 64 hex digits or from a file that holds them."""
    if given is None:
        return None
    text = given if re.fullmatch("[0-9a-fA-F]{64}", given) else Path(given).read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise Usage("a tag key is 64 hex digits, or a file that holds them")
    return bytes.fromhex(text)


if __name__ == "__main__":
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may know fewer letters
        code = main(sys.argv[1:])
    except Exception as crash:  # noqa: BLE001  # a defect of this program is neither "proven" nor "broken"
        sys.stderr.write(f"error: unexpected {type(crash).__name__}\n")
        code = 5
    sys.exit(code)
