"""The exit codes of the contract: 1 means findings (or failed rule tests) and nothing else."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

import custodes.cli
from custodes import errors
from custodes.cli import run


def _family(root: type[errors.CustodesError]) -> list[type[errors.CustodesError]]:
    return [root, *(found for child in root.__subclasses__() for found in _family(child))]


def test_each_family_has_the_code_of_the_house_table() -> None:
    table = {
        errors.ConfigError: 2,
        errors.InputError: 2,
        errors.CouldNotCheck: 2,
        errors.VerificationError: 3,
        errors.Refused: 4,
        errors.Outage: 5,
    }
    for family, code in table.items():
        assert {kind.exit_code for kind in _family(family)} == {code}


def _raising(error: BaseException) -> click.Group:
    @click.command()
    def broken() -> None:
        raise error

    return click.Group(commands={"broken": broken})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("x"), 5),
        (KeyError("subject-17"), 5),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.ClickException("no such thing"), 2),
        (errors.LedgerRewritten("shorter"), 3),
        (errors.NotDurable("full"), 5),
        (errors.UnreadableFile("gone"), 2),
    ],
)
def test_a_crash_is_not_a_finding(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custodes.cli, "street", _raising(error))
    assert run(["broken"]) == code


def test_a_crash_shows_no_values(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(custodes.cli, "street", _raising(KeyError("subject-17")))
    assert run(["broken"]) == 5
    assert "subject-17" not in capsys.readouterr().err


def test_unknown_command_is_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "custodes", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_broken_pipe_is_quiet() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m custodes --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() in {"0", "141"}
    assert "Traceback" not in done.stderr
