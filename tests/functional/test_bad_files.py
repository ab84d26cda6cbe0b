"""Every command that takes a file, given what is no such file: an error that names it, exit code 2, no wait, no traceback."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from custodes.cli import run
from custodes.errors import BadRule
from custodes.rule import own_text
from custodes.rule_file import read_rule

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "zeros": b"\0" * 3000,
    "latin1": b"\xe9\xe8: \xff\n",
    "utf16": "a,b\n1,2\n".encode("utf-16"),
    "torn gzip": gzip.compress(b"x" * 100_000, mtime=0)[:40],
    "no zip": b"PK\x03\x04abcd",
    "deep flow": b"[" * 200_000,
    "deep mapping": b'{"a":' * 100_000,
    "deep list": b"- " * 100_000 + b"a",
    "a long line": b"a" * 3_000_000,
    "a list": b"[]\n",
    "a number": b"9" * 6_000 + b"\n",
    "a doubled key": b"schema: a\nschema: b\n",
    "the future": b'{"schema":"custodes.access/9"}\n',
}


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is at most a hundred letters long
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


PLACES: dict[str, Callable[[Path], None]] = {
    "a directory": lambda path: path.mkdir(),
    "a link to nowhere": lambda path: path.symlink_to(path.parent / "nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a pipe without a writer": _fifo,
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a socket": _socket,
}
KINDS = (*HOSTILE, *PLACES)


def put(path: Path, kind: str) -> None:
    """Lay something hostile there, in place of what there is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind in HOSTILE:
        path.write_bytes(HOSTILE[kind])
    else:
        PLACES[kind](path)


def said(*words: str | Path) -> tuple[int, str]:
    """Run a command in this process; return its exit code and all that it said."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run([str(word) for word in words])
    return code, out.getvalue()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one access, a checkpoint, and a policy for its readers."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "log.ndjson").write_text(
        '{"time":"2026-03-02T10:00:00Z","actor":"a","action":"read","system":"crm","subjects":["s1"]}\n', encoding="utf-8"
    )
    assert said("init", folder / "home")[0] == 0
    assert said("ingest", "--home", folder / "home", folder / "log.ndjson")[0] == 0
    code, policy = said("ledger", "checkpoint", "--home", folder / "home", "--policy")
    assert code == 0
    (folder / "my.policy").write_text(policy, encoding="utf-8")
    return folder


def check(words: Sequence[str | Path], file: Path, kinds: Sequence[str] = KINDS, codes: tuple[int, ...] = (2,)) -> None:
    """Run a command with each kind of thing in place of `file`."""
    for kind in kinds:
        put(file, kind)
        code, told = said(*words)
        assert code in codes, (kind, code, told)
        assert "unexpected" not in told, (kind, told)
        assert "Traceback" not in told, (kind, told)
        assert told.strip(), kind
        assert len(told) < 3_000, kind  # what was in the file is not printed back


def _without(*kinds: str) -> list[str]:
    return [kind for kind in KINDS if kind not in kinds]


@pytest.mark.parametrize("name", ["policy.yaml", "datamap.yaml", "custodes.toml"])
def test_a_document_of_the_home_that_is_none_stops_the_run(kept: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(kept / "home", tmp_path / "home")
    check(["watch", "--home", tmp_path / "home"], tmp_path / "home" / name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_of_ones_own_that_is_none_is_said(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "X01_x.yml", kind)
    with pytest.raises(BadRule, match=r"X01_x\.yml"):
        read_rule(own_text(tmp_path / "X01_x.yml"), "X01_x.yml")


def test_a_home_that_has_read_nothing_is_watched_and_says_so(tmp_path: Path) -> None:
    assert said("init", tmp_path / "home")[0] == 0
    for _ in range(2):  # also where an earlier run left what it worked out
        code, told = said("watch", "--home", tmp_path / "home")
        assert (code, "No access has been recorded yet" in told) == (0, True), told


def test_an_emptied_policy_is_not_the_wish_to_have_none(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept / "home", tmp_path / "home")
    for text in ("", "# nothing\n", "null\n", "\ufeff"):
        (tmp_path / "home/policy.yaml").write_text(text, encoding="utf-8")
        code, told = said("watch", "--home", tmp_path / "home")
        assert (code, "policy.yaml holds nothing" in told) == (2, True), told
    (tmp_path / "home/policy.yaml").unlink()
    assert said("watch", "--home", tmp_path / "home")[0] in {0, 1}


def test_a_key_that_stands_twice_is_refused_with_its_line(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept / "home", tmp_path / "home")
    (tmp_path / "home/policy.yaml").write_text(
        "schema: custodes.policy/1\npurposes:\n  support: [contact]\n  support: ['*']\n", encoding="utf-8"
    )
    code, told = said("watch", "--home", tmp_path / "home")
    assert (code, "line 3: key 'support' stands twice" in told) == (2, True), told


def test_norway_is_a_country_and_no_truth_value(kept: Path, tmp_path: Path) -> None:
    from custodes.model.policy import Policy
    from custodes.settings import yaml_of

    policy = Policy.of(yaml_of(b"schema: custodes.policy/1\nregions: {EU: {countries: [NO, SE]}}\n", "policy.yaml"))
    assert "NO" in repr(policy.regions)


@pytest.mark.parametrize("name", ["staff.csv", "staff.ndjson", "staff.parquet"])
def test_no_hostile_table_is_waited_for(kept: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(kept / "home", tmp_path / "home")
    check(["context", "load", "--home", tmp_path / "home", "staff", tmp_path / name], tmp_path / name, codes=(0, 2))


@pytest.mark.parametrize("kind", ["a link to nowhere", "a pipe without a writer", "a directory"])
def test_a_folder_with_one_unreadable_file_is_loaded_but_for_that(tmp_path: Path, kind: str) -> None:
    assert said("init", tmp_path / "home")[0] == 0
    exports = tmp_path / "exports"
    put(exports / "accesses-1.ndjson", kind)
    put(exports / "context/staff.csv", kind)
    (exports / "context/tickets.csv").write_text("ticket,subject\nt-1,s-1\n", encoding="utf-8")
    code, told = said("load", "--home", tmp_path / "home", exports)
    assert code == 2
    assert "tickets: 1 row" in told
    assert "accesses-1.ndjson" in told
    assert "staff.csv" in told


def test_a_table_that_lies_beside_the_folder_for_tables_is_said(tmp_path: Path) -> None:
    assert said("init", tmp_path / "home")[0] == 0
    (tmp_path / "exports/context").mkdir(parents=True)
    (tmp_path / "exports/context/tickets.csv").write_text("ticket,subject\nt-1,s-1\n", encoding="utf-8")
    (tmp_path / "exports/protected.csv").write_text("subject,class\ns-1,journalist\n", encoding="utf-8")
    code, told = said("load", "--home", tmp_path / "home", tmp_path / "exports")
    assert (code, "protected.csv lies beside the folder context/" in told) == (2, True), told


@pytest.mark.parametrize("option", ["path", "--policy", "--tag-key", "--tsa"])
def test_verify_believes_no_hostile_file(kept: Path, tmp_path: Path, option: str) -> None:
    words: list[str | Path] = ["verify", tmp_path / "it" if option == "path" else kept / "home"]
    if option != "path":
        words += [option, tmp_path / "it"]
    if option != "--policy":
        words += ["--policy", kept / "my.policy"]
    check(words, tmp_path / "it", codes=(2, 3))


@pytest.mark.parametrize("option", ["--subject-from", "--subject-key"])
def test_prove_opens_nothing_for_a_hostile_file(kept: Path, tmp_path: Path, option: str) -> None:
    out = tmp_path / "o.custodes-bundle"
    check(["ledger", "prove", "--home", kept / "home", option, tmp_path / "it", "-o", out], tmp_path / "it")
    assert not out.exists()


def test_a_scenario_file_that_is_none_is_said(tmp_path: Path) -> None:
    words: list[str | Path] = ["world", "build", "--scenario", "S01", "--seed", "1", "--size", "tiny"]
    check([*words, "--out", tmp_path / "out", "--file", tmp_path / "it"], tmp_path / "it")


@pytest.mark.parametrize("name", ["permit", "bpic13-snoop", "bpic13-collude"])
def test_a_benchmark_log_that_is_none_is_said(tmp_path: Path, name: str) -> None:
    check(["evaluate", name, "--data", tmp_path / "it.xes.gz"], tmp_path / "it.xes.gz")


def test_a_passphrase_or_key_file_that_is_none_is_said(kept: Path, tmp_path: Path) -> None:
    keygen: list[str | Path] = ["ledger", "approver", "keygen", tmp_path / "new.key", "--passphrase-file", tmp_path / "it"]
    check(keygen, tmp_path / "it", _without("a number", "utf16", "torn gzip", "no zip", "latin1", "a doubled key", "the future"))
    assert not (tmp_path / "new.key").exists()
    (tmp_path / "id").write_text("s1\n", encoding="utf-8")
    request: list[str | Path] = ["ledger", "erase", "request", "--home", kept / "home", "--basis", "a", "--yes"]
    words = [*request, "--subject-file", tmp_path / "id", "--key", tmp_path / "it", "--passphrase-file", tmp_path / "id"]
    check(words, tmp_path / "it")


@pytest.mark.parametrize("option", ["--key", "--state", "--log"])
def test_a_witness_starts_with_no_hostile_file(tmp_path: Path, option: str) -> None:
    code, _ = said("ledger", "witness", "keygen", "w.example/1", "--key", tmp_path / "w.key", "--state", tmp_path / "w.sqlite")
    assert code == 0
    (tmp_path / "vkey").write_text("nonsense\n", encoding="utf-8")
    given: dict[str, Any] = {"--key": tmp_path / "w.key", "--state": tmp_path / "w.sqlite", "--log": tmp_path / "vkey"}
    given[option] = tmp_path / "it"
    words = [word for pair in given.items() for word in pair]
    check(["ledger", "witness", "serve", "--listen", "127.0.0.1:0", *words], tmp_path / "it", codes=(2, 3))


def test_the_address_of_a_database_is_never_printed_back(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    (tmp_path / "url").write_text("app:hunter2-secret@db.example\n", encoding="utf-8")
    code, told = said("guard", "map", "app", "--url-file", tmp_path / "url")
    assert code == 2
    assert "hunter2" not in told
    check(["guard", "map", "app", "--url-file", tmp_path / "url"], tmp_path / "url", _without("zeros", "latin1"))


def test_no_home_is_made_through_a_link_to_nowhere(tmp_path: Path) -> None:
    for kind in PLACES:
        if kind != "a directory":
            put(tmp_path / "home", kind)
            code, told = said("init", tmp_path / "home")
            assert code == 2, told
