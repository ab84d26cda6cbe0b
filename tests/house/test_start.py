"""`custodes --help` starts at once, and outsiders need little."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

HEAVY = {"duckdb", "pyarrow", "jinja2", "cryptography", "sqlglot", "msgspec", "yaml", "starlette"}


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_help_imports_no_heavy_library() -> None:
    code = "from custodes.cli import run\nassert run(['--help']) == 0"
    assert not HEAVY & _modules_after(code)


def test_every_command_explains_itself_without_a_heavy_library() -> None:
    from custodes.cli import COMMANDS

    for name in COMMANDS:
        code = f"from custodes.cli import run\nassert run(['{name}', '--help']) == 0"
        assert not HEAVY & _modules_after(code), name


def test_help_starts_within_the_budget() -> None:
    """The budget is 0.3 s: of the processor's time, which other work does not lengthen; twice that is slack."""
    best = 9.0
    for _ in range(5):
        began = _spent()
        subprocess.run([sys.executable, "-m", "custodes", "--help"], capture_output=True, check=True)
        best = min(best, _spent() - began)
    assert best < 0.6


def _spent() -> float:
    """Return the seconds of processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_verify_and_ledger_load_without_anything_but_cryptography() -> None:
    loaded = _modules_after("import custodes.verify, custodes.ledger")
    assert not (HEAVY - {"cryptography"}) & loaded


def test_base_install_is_small() -> None:
    """At most 25 packages, build backend included."""
    from pathlib import Path

    lock = (Path(__file__).resolve().parents[2] / "requirements" / "base.lock").read_text()
    names = [line.split("==")[0] for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert 5 < len(names) <= 25
