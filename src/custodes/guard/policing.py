"""Which rules are in force: policy, data map and the company's own Cedar files, by digest, as two people decided. Pure.

A first policy and data map are adopted when a home is filled (leaves). From then on every change, and every Cedar file, is a
request of the act `policy` that a second person from outside approves; it takes effect 24 hours later. A request names all Cedar
files that will be in force: what it leaves out is gone. What lies in the home and was not decided so is not taken over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from custodes.guard.approval import Refusal
from custodes.guard.enrolment import DELAY
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json

if TYPE_CHECKING:
    from custodes.guard.grants import Asked
    from custodes.store.own_leaves import OwnLeaf

SCHEMA: Final = "custodes.policy-change/1"
ACT: Final = "policy"
DOCUMENT: Final = "policy.yaml"
DOCUMENTS: Final = ("datamap.yaml", DOCUMENT)
FOLDER: Final = "policies"
_NAME: Final = re.compile(r"(datamap|policy)\.yaml|policies/[a-z0-9_-]{1,64}\.cedar")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def digest(content: bytes) -> str:
    """Return what a decision calls a file by."""
    return sha256(content).hexdigest()


def change(files: Mapping[str, bytes], permits: int) -> dict[str, Json]:
    """Return what is asked for and signed. `permits`: how many rules of the Cedar files allow something."""
    return {"schema": SCHEMA, "files": {name: digest(content) for name, content in sorted(files.items())}, "permits": permits}


def refuses_change(content: Mapping[str, Json]) -> Refusal | None:
    """Say why nothing of the kind can be put in force, or None."""
    files, permits = content.get("files"), content.get("permits")
    good = isinstance(files, Mapping) and all(_NAME.fullmatch(name) and _DIGEST.fullmatch(str(sha)) for name, sha in files.items())
    if content.keys() != {"schema", "files", "permits"} or content["schema"] != SCHEMA or not good:
        return Refusal("form", f"the request is no {SCHEMA}: it names files and their digests")
    return None if isinstance(permits, int) else Refusal("form", "the request does not say how many rules allow something")


def in_force(leaves: Iterable[OwnLeaf], requests: Mapping[int, Asked], now: datetime) -> dict[str, str]:
    """Return the files in force now: name → digest. A home that never adopted a policy has none, and the built-in one holds.

    `requests`: those of the book.
    """
    steps: list[tuple[datetime, int, Mapping[str, str]]] = [
        (leaf.hour, leaf.number, {str(leaf.what["what"]): str(leaf.what.get("sha256"))})
        for leaf in leaves
        if leaf.kind == Kind.POLICY and leaf.what.get("what") in DOCUMENTS
    ]
    for asked in requests.values():
        files = asked.request.content.get("files")
        if asked.request.act == ACT and asked.in_force is not None and asked.denied is None and isinstance(files, Mapping):
            steps.append((asked.in_force + DELAY, asked.number, {name: str(sha) for name, sha in files.items()}))
    found: dict[str, str] = {}
    for at, number, files in sorted(steps, key=lambda step: step[:2]):
        if at <= now:
            stays = {name: sha for name, sha in found.items() if name in DOCUMENTS or number not in requests}
            found = {**stays, **files}
    return found


def undecided(present: Mapping[str, bytes], decided: Mapping[str, str]) -> list[str]:
    """Return the files that are not as decided: changed, missing, or never decided on."""
    here = {name: digest(content) for name, content in present.items()}
    return sorted(name for name in {*here, *decided} if here.get(name) != decided.get(name))
