"""`custodes rules`: list the shelf, show one rule, run the tests inside the rules, write or check their reference page."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.errors import BadRule, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from custodes.engine import Engine
    from custodes.rule import Rule

_PAGE = Path("docs/reference/rules.md")


@click.group()
def command() -> None:
    """The rule shelf.

    \b
    custodes rules list              code, level, what each rule finds
    custodes rules show D09          one rule with its words, needs and tests
    custodes rules test              run the tests inside the rules (1 if one fails)
    custodes rules test --home home  likewise with the company's own rules, in home/rules
    custodes rules new X01 "exports at night" --home home
    custodes rules docs --check      does docs/reference/rules.md tell of the rules as they are?
    """  # noqa: D301  # click reads \b as "do not rewrap"


_EXTRA = click.option(
    "--rules",
    "extra",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Also the rules of this folder (files named CODE_name.yml).",
)
_HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Also the company's own rules, in the folder rules of this home, as `watch` takes them.",
)


@command.command("list")
@_EXTRA
@_HOME
def show_list(extra: Path | None, home: Path | None) -> int:
    """List the rules, sorted by code."""
    shelf = _shelf(extra, home)
    width = max(len(rule.title) for rule in shelf)
    for rule in shelf:
        click.echo(f"{rule.code}  {rule.title:<{width}}  {rule.level:<6}  {rule.on:<7}  {rule.state:<8}  {' '.join(rule.codes)}")
    return 0


@command.command()
@click.argument("code")
@click.option("--sql", is_flag=True, help="Print the checked statement with its parameters instead.")
@_EXTRA
@_HOME
def show(code: str, extra: Path | None, home: Path | None, *, sql: bool) -> int:
    """Show one rule: what it finds, why, innocent reasons, questions, what a forger needs, gaps, tests."""
    from custodes.rule_page import section
    from custodes.rule_trial import example

    (rule,) = _chosen(code, extra, home)
    if sql:
        click.echo(rule.sql)
        return 0
    with _engine() as engine:
        click.echo(section(rule, example(engine, rule)).rstrip())
    return 0


@command.command()
@click.argument("code", required=False)
@_EXTRA
@_HOME
def test(code: str | None, extra: Path | None, home: Path | None) -> int:
    """Run the tests inside the rules on the embedded engine; ends with 1 if one fails."""
    from custodes.rule_trial import try_rule

    failures = count = 0
    with _engine() as engine:
        for rule in _chosen(code, extra, home):
            failed = try_rule(engine, rule)
            count += len(rule.tests)
            failures += len(failed)
            click.echo(f"{rule.code}  {'FAILED' if failed else 'ok':<6}  {len(rule.tests)} tests  {rule.title}")
            for failure in failed:
                click.echo(f"      {failure.test}: {failure.words}")
    click.echo(f"{count} tests, {failures} failed", err=True)
    return 1 if failures else 0


@command.command()
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if the page differs from the rules.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=_PAGE, show_default=True)
def docs(output: Path, *, check: bool) -> int:
    """Write the reference page of rules and templates, made from their files."""
    from custodes.explain import load_templates
    from custodes.rule import load_shelf
    from custodes.rule_page import page
    from custodes.rule_trial import example

    shelf = load_shelf()
    with _engine() as engine:
        text = page(shelf, load_templates(), {rule.code: example(engine, rule) for rule in shelf})
    if check:
        same = output.is_file() and output.read_text("utf-8") == text
        click.echo(f"{output} {'tells of the rules as they are' if same else 'differs: run `custodes rules docs`'}", err=True)
        return 0 if same else 1
    if not output.parent.is_dir():
        raise InputError(f"{output.parent} is no folder", hint="run this in the checkout, or name a file with --output")
    output.write_text(text, "utf-8")
    return 0


@command.command()
@click.argument("code")
@click.argument("title")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Folder of the new file.")
@click.option("--home", type=click.Path(path_type=Path, exists=True, file_okay=False), help="A home; the file goes into its rules.")
def new(code: str, title: str, into: Path | None, home: Path | None) -> int:
    """Write a new rule of CODE about TITLE, with tests that pass, to be made into what you look for.

    \b
    custodes rules new X01 "exports at night" --home home
    custodes rules test X01 --home home
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.own_use import FOLDER
    from custodes.rule_scaffold import scaffold

    if home is not None and into is None:
        folder = home / FOLDER
    elif into is not None and home is None:
        folder = into
    else:
        raise InputError("name one place: --home DIR, or --into FOLDER")
    name, text = scaffold(code.upper(), title)
    _refuse_taken(code.upper(), folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    click.echo(str(folder / name))
    return 0


@contextmanager
def _engine() -> Iterator[Engine]:
    """A small engine that reads nothing but what it is given."""
    import tempfile

    from custodes.engines.duckdb_engine import open_engine

    with tempfile.TemporaryDirectory() as folder, open_engine(memory_mb=512, threads=1, directory=Path(folder)) as engine:
        yield engine


def _refuse_taken(code: str, folder: Path) -> None:
    """Refuse a code that a rule has, of the package or of the folder: codes are never used twice."""
    from custodes.rule import load_shelf

    for rule in load_shelf():
        if rule.code == code:
            raise InputError(f"code {code} is taken by {rule.place}", hint="a code is never used again; take the next one")
    for file in sorted(folder.glob(f"{code}_*.yml")) if folder.is_dir() else ():
        raise InputError(f"code {code} is taken by {file.name}", hint="a code is never used again; take the next one")


def _shelf(extra: Path | None, home: Path | None) -> Sequence[Rule]:
    from custodes.own_use import shelf_of
    from custodes.rule import load_shelf

    if extra is not None and home is not None:
        raise InputError("name one place of further rules: --rules FOLDER, or --home DIR")
    return load_shelf(extra) if home is None else shelf_of(home)


def _chosen(code: str | None, extra: Path | None, home: Path | None) -> Sequence[Rule]:
    shelf = _shelf(extra, home)
    if code is None:
        return shelf
    chosen = [rule for rule in shelf if rule.code == code.upper()]
    if not chosen:
        raise BadRule(f"there is no rule {code!r}", hint="`custodes rules list` prints the shelf")
    return chosen
