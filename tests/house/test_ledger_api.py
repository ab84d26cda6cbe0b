"""Every public function of the ledger and of verify that writes says what holds of it: durable when, in which order, and again.

Which ones write is not declared but found: who calls the disk, a file or a database to change it, and who calls one of those. The
rest writes nothing, so it may be called again at will; `docs/reference/ledger-api.md` says so once.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOMS = [Path(__file__).resolve().parents[2] / "src/custodes" / room for room in ("ledger", "verify")]
GUARANTEES = re.compile(r"Durable:\s.+?\sOrder:\s.+?\sAgain:\s.+", flags=re.DOTALL)
DISK = {"write", "sync", "truncate", "replace", "rename", "make_folder", "sync_folder"}
FILES = {"write_bytes", "write_text", "unlink", "mkdir", "rmdir", "rmtree", "touch", "writestr", "pwrite", "executescript"}
OWN_NAMES = {
    "append_batch",
    "batch",
    "before_signing",
    "believe",
    "catch_up",
    "commit",
    "comparing",
    "cosign",
    "keep_fork",
    "keep_keys",
    "publish",
    "show",
    "sign_growth",
    "stop_signing",
    "take_up",
}
"""Methods of these rooms that are known by their name alone, whatever they are called on."""
SQL = re.compile(r"^\s*(INSERT|UPDATE|DELETE|CREATE|PRAGMA user_version|BEGIN IMMEDIATE)", flags=re.IGNORECASE)


class Place(NamedTuple):
    """Where a function stands. `owner`: its class, or "" in a module."""

    module: str
    owner: str
    name: str

    def is_public(self) -> bool:
        """Say whether callers may use it. `Calls` are the bare calls, which promise nothing, `main` is a program's entry."""
        if self.owner == "Calls" or self.name == "main":
            return False
        return not any(part.startswith("_") for part in (self.owner, self.name))


def _functions() -> dict[Place, ast.FunctionDef]:
    found = {}
    for room in ROOMS:
        for file in sorted(room.glob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            module = f"{room.name}.{file.stem}"
            for node in tree.body:
                if isinstance(node, ast.FunctionDef):
                    found[Place(module, "", node.name)] = node
                elif isinstance(node, ast.ClassDef) and not any("Protocol" in ast.unparse(base) for base in node.bases):
                    found |= {Place(module, node.name, one.name): one for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def _changes(node: ast.FunctionDef) -> bool:
    """Say whether the function itself changes a file or a database."""
    for call in (one for one in ast.walk(node) if isinstance(one, ast.Call)):
        if not isinstance(call.func, ast.Attribute):
            continue
        name, on = call.func.attr, ast.unparse(call.func.value)
        disk = re.search(r"(^|\.)_?(disk|calls)$|Disk\(\)$", on) is not None
        text = ast.unparse(call)
        if name in FILES or (disk and (name in DISK or (name == "open" and "create=True" in text))):
            return True
        if name in {"execute", "executemany", "executescript"} and any(
            isinstance(one, ast.Constant) and isinstance(one.value, str) and SQL.match(one.value) for one in call.args
        ):
            return True
        if name == "open" and re.search(r"open\(.*'[wax]b?\+?'", text):
            return True
    return False


def _calls(place: Place, node: ast.FunctionDef, functions: dict[Place, ast.FunctionDef]) -> set[Place]:
    """Return the functions of these rooms that this one may call, by name."""
    found = set()
    for call in (one for one in ast.walk(node) if isinstance(one, ast.Call)):
        if isinstance(call.func, ast.Name):
            name = call.func.id
            found |= {other for other in functions if not other.owner and other.name == name}
            found |= {other for other in functions if other.owner == name and other.name == "__init__"}
        elif isinstance(call.func, ast.Attribute):
            name, on = call.func.attr, ast.unparse(call.func.value)
            if on in {"self", "cls"}:
                found |= {other for other in functions if other[:2] == place[:2] and other.name == name}
            elif any(other.owner == on for other in functions):
                found |= {other for other in functions if other.owner == on and other.name == name}
            elif name in OWN_NAMES:
                found |= {other for other in functions if other.owner and other.name == name}
    return found


def writers(functions: dict[Place, ast.FunctionDef]) -> set[Place]:
    """Return the functions that change a file or a database, themselves or through others."""
    found = {place for place, node in functions.items() if place.owner in {"Disk", "Calls"} or _changes(node)}
    calls = {place: _calls(place, node, functions) for place, node in functions.items()}
    while more := {place for place, called in calls.items() if called & found} - found:
        found |= more
    return found


def test_the_writers_are_found() -> None:
    names = {f"{place.owner}.{place.name}" for place in writers(_functions())}
    assert names >= {
        "Log.create",
        "Log.open",
        "Log.append_batch",
        "Log.batch",
        "Log.publish",
        "Entries.commit",
        "Signing.sign_growth",
        "Blobs.put",
        ".export",
        "State.create",
    }
    assert not names & {".verify_inclusion", ".fsck", ".check", "Segments.read", "Tree.add", ".parse_policy", "Signer.sign"}


def test_every_public_function_that_writes_says_what_holds() -> None:
    functions = _functions()
    silent = [
        f"custodes.{place.module}.{place.owner}{'.' if place.owner else ''}{place.name}"
        for place in sorted(writers(functions))
        if place.is_public() and not GUARANTEES.search(ast.get_docstring(functions[place]) or "")
    ]
    assert silent == []
