"""The import contracts hold, each breaks when its fault is planted, and none has an exception."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAULTS = {
    "floors": ("ledger/merkle.py", "import custodes.home"),
    "floors ": ("utils.py", ""),
    "stored-accesses": ("disclose/document.py", "import custodes.store.accesses"),
    "raw-addresses": ("rule.py", "import custodes.minimise.address"),
    "registry-key": ("explain/__init__.py", "import custodes.protected.key"),
    "drivers": ("explain/__init__.py", "import duckdb"),
    "sqlite": ("explain/__init__.py", "import sqlite3"),
    "sqlite ": ("ledger/witness_client.py", "import sqlite3"),
    "door": ("guard/decide.py", "import starlette"),
    "outsiders": ("verify/check.py", "import custodes.ledger.witness_client"),
    "outsiders ": ("verify/check.py", "import urllib.request"),
    "quiet-ledger": ("ledger/merkle.py", "import http.client"),
    "quiet-ledger ": ("ledger/log.py", "import custodes.ledger.witness_client"),
    "witnesses": ("ledger/witness.py", "import click"),
    "arrow-in-model": ("model/draft.py", "import pyarrow"),
    "shelves": ("sources/access/__init__.py", "import custodes.sources.cloudtrail"),
    "no-cycles": ("ledger/merkle.py", "import custodes.intake"),
}
"""Contract → (file, line planted in it). A trailing space tells two faults of one contract apart."""


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_contracts_hold(copy: Path) -> None:
    done = _lint(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("contract", FAULTS)
def test_planted_fault_breaks_its_contract(copy: Path, contract: str) -> None:
    file, line = FAULTS[contract]
    target = copy / "src" / "custodes" / file
    before = target.read_text() if target.exists() else None
    try:
        target.write_text(f"{before or ''}\n{line}\n")
        done = _lint(copy)
    finally:
        if before is None:
            target.unlink()
        else:
            target.write_text(before)
    assert done.returncode != 0
    title = next(c["name"] for c in _contracts() if c["id"] == contract.strip())
    broken = [text for text in done.stdout.splitlines() if text.startswith(title) and "BROKEN" in text]
    assert broken or file.removesuffix(".py").rpartition("/")[2] in done.stdout + done.stderr


def _contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return contracts


def test_no_contract_has_an_exception() -> None:
    assert not [contract for contract in _contracts() if "ignore_imports" in contract]


def test_every_module_of_the_ledger_is_quiet_or_a_witness() -> None:
    listed = next(contract["source_modules"] for contract in _contracts() if contract["id"] == "quiet-ledger")
    modules = {file.stem for file in (ROOT / "src/custodes/ledger").glob("*.py")} - {"__init__"}
    assert listed == sorted(f"custodes.ledger.{name}" for name in modules if not name.startswith("witness"))


def test_every_contract_has_a_planted_fault() -> None:
    assert {str(contract["id"]) for contract in _contracts()} == {name.strip() for name in FAULTS}
