"""`custodes load`: take a folder of exports whole, and say what is missing and what that leaves unchecked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from custodes.errors import InputError, Refused
from custodes.lines.whole import read_whole

if TYPE_CHECKING:
    from custodes.context.tables import ContextStore, LoadReport
    from custodes.home import Home
    from custodes.intake import Intake
    from custodes.intake.report import IngestReport

Say = Callable[[str], None]
PROTECTED: Final = "protected"
_DOCUMENTS: Final = ("datamap.yaml", "policy.yaml")
_ENDINGS: Final = (".csv", ".ndjson", ".jsonl", ".json", ".parquet")
_SHOWN: Final = 20
_INTERRUPTED: Final = 130


@dataclass(slots=True)
class Enrolled:
    """What became of a `protected` file: `new` of `rows` enrolments were not known; `rejected` as `file:line: reason`."""

    file: str
    rows: int
    new: int
    rejected: list[str]


@dataclass(slots=True)
class FolderReport:
    """What became of a folder. `unread`: inputs that could not be opened or recognised, each with its reason.

    `missing`: what is not loaded, and what that leaves unchecked.
    """

    adopted: list[str] = field(default_factory=list)
    loads: list[LoadReport] = field(default_factory=list)
    enrolled: list[Enrolled] = field(default_factory=list)
    ingest: IngestReport | None = None
    unread: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--home", "home_folder", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home.")
def command(folder: Path, home_folder: Path) -> int:
    """Load a folder of exports: data map, policy, context tables, protected people, access files.

    \b
    custodes load --home home exports/

    \b
    exports/accesses*.ndjson|csv|parquet (or .gz)   accesses
    exports/context/<table>.csv|ndjson|parquet      staff, tickets, cases, …
    exports/datamap.yaml, exports/policy.yaml       what the fields are, who may do what

    The same folder again adds nothing. Rows that cannot be read are set aside, sealed, each with file, line and reason; the rest
    goes on. Ends with 0, or with 2 if an input could not be opened or recognised. A changed policy or data map is refused (4)
    once accesses were recorded: such a change needs two people.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.cli.ingest import interruptible, progress_line, say_report
    from custodes.decisions.glass import settle_spool
    from custodes.home import Home

    stopped = False
    with Home.open(home_folder) as home, ExitStack() as stack:
        settle_spool(home, whole=True)

        def reading(intake: Intake) -> Callable[[int], None] | None:
            stack.enter_context(interruptible(intake))
            return stack.enter_context(progress_line())

        report, stopped = _load(home, folder, reading)
        home.checkpoint()
    for load in report.loads:
        say_load(load)
    for enrolled in report.enrolled:
        say_enrolled(enrolled)
    _say_rest(report)
    if report.ingest:
        say_report(report.ingest)
    if stopped:
        return _INTERRUPTED
    return 2 if report.unread or (report.ingest and report.ingest.unread) else 0


def load_folder(home: Home, folder: Path, *, say: Say = lambda _: None) -> FolderReport:
    """Load `folder` into `home`; idempotent. `say` gets one short line as each step begins.

    Raises `InputError` if the folder cannot be read or holds nothing that is known, `Refused` for a changed policy or data map.
    """

    def reading(_: Intake) -> Callable[[int], None]:
        return lambda records: say(f"{records:,} accesses")

    return _load(home, folder, reading, say)[0]


def _load(
    home: Home, folder: Path, reading: Callable[[Intake], Callable[[int], None] | None], say: Say = lambda _: None
) -> tuple[FolderReport, bool]:
    """The order matters: what fields are, who may do what, who people are, who is protected, then what happened."""
    tables, documents, accesses = _inventory(folder)
    report = FolderReport()
    report.unread += [f"{name} lies beside the folder context/, where tables are read" for name in _astray(folder)]
    _adopt(home, documents, report)
    store, now = home.context(), datetime.now(UTC)
    for name, path in tables:
        say(name)
        _load_table(home, store, name, path, now=now, report=report)
    stopped = False
    if accesses:
        intake = home.intake()
        report.ingest = intake.read("access", [str(path) for path in accesses], progress=reading(intake))
        stopped = intake.stopping
    report.missing = _missing(home, store, documents, accesses)
    return report, stopped


def _inventory(folder: Path) -> tuple[list[tuple[str, Path]], list[Path], list[Path]]:
    """Return context files by table (staff first, so that unknown actors can be said), documents, access files."""
    try:
        top = sorted(folder.iterdir())
        inner = sorted((folder / "context").iterdir()) if folder / "context" in top else []
    except OSError as wrong:
        raise InputError(f"{wrong.filename} cannot be read: {wrong.strerror}") from None
    accesses = [path for path in top if path.name.startswith("accesses") and _is_data(path)]
    documents = [folder / name for name in _DOCUMENTS if folder / name in top]  # also a link that leads nowhere: it is then named
    tables = sorted(
        ((path.name.split(".")[0], path) for path in inner if _is_data(path)), key=lambda e: (e[0] != "staff", e[0], e[1])
    )
    if not (accesses or documents or tables):
        raise InputError(
            f"{folder} holds no accesses*, no context/ and no datamap.yaml or policy.yaml", hint="see docs/reference/formats.md"
        )
    return tables, documents, accesses


def _astray(folder: Path) -> list[str]:
    """Return the names of tables that lie where nobody reads them."""
    from custodes.model.tables import TABLES

    return sorted(path.name for path in folder.iterdir() if path.name.split(".")[0] in {PROTECTED, *TABLES} and _is_data(path))


def _is_data(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(_ENDINGS)


def _adopt(home: Home, documents: Sequence[Path], report: FolderReport) -> None:
    """Put data map and policy in force. Once accesses were recorded a change is a matter for two people."""
    for path in documents:
        try:
            content = read_whole(path)
        except OSError as wrong:
            report.unread.append(f"{path.name} cannot be read: {wrong.strerror}")
            continue
        kept = home.path / path.name
        if _is_in_use(home) and not (kept.is_file() and kept.read_bytes() == content):
            raise Refused(
                f"{path.name} differs from the one in force, and accesses were recorded under that one",
                hint="that needs two people (`custodes guard policy`); nothing was changed. Load the other files without it",
            )
        if home.adopt(path.name, content):
            report.adopted.append(path.name)


def _is_in_use(home: Home) -> bool:
    """Say whether anything was judged under the documents in force: accesses, or a decision of the guard."""
    return bool(home.accesses().manifest().parts) or any(leaf.what.get("what") == "decision" for leaf in home.own_leaves())


def _load_table(home: Home, store: ContextStore, name: str, path: Path, *, now: datetime, report: FolderReport) -> None:
    try:
        if name == PROTECTED:
            report.enrolled.append(enrol(home, path))
        else:
            report.loads.append(store.load(name, path, now=now))
    except InputError as wrong:
        report.unread.append(str(wrong))


def enrol(home: Home, path: Path) -> Enrolled:
    """Enrol the people of a `protected` file, keep nothing of it, and record only how many rows it had."""
    from custodes.context.enrolment import read_protected
    from custodes.protected import trustee
    from custodes.protected.registry import Enrolment

    found, bad = read_protected(path, home.pseudonyms)
    rows = [(row.subject, Enrolment(row.cls, row.enrolled, row.expires)) for row in found]
    if (whose := home.settings.registry.trustee) and rows:
        # Before they are enrolled: whoever is protected stands on the list from which another key takes over.
        trustee.add(home.path / "registry", trustee.seal(rows, trustee.public_of(whose)))
    new = home.registry().enrol_all(rows)
    if new:
        home.record(7, {"what": "enrolment", "rows": len(found), "new": new})
    return Enrolled(path.name, len(found), new, [f"{path.name}:{line}: {reason}" for line, reason in bad])


def _missing(home: Home, store: ContextStore, documents: Sequence[Path], accesses: Sequence[Path]) -> list[tuple[str, str]]:
    """Return what the home still has not, with what cannot be checked without it."""
    from custodes import explain, rule

    loaded = store.tables()
    absent: dict[str, list[str]] = {}
    needs = [(entry.code, entry.tables) for entry in explain.load_templates()]
    needs += [
        (entry.code, (*entry.requires.tables, *(() if loaded & set(entry.requires.any) else entry.requires.any)))
        for entry in rule.load_shelf()
    ]
    for code, tables in needs:
        for table in set(tables) - loaded:
            absent.setdefault(table, []).append(code)
    found = [(table, f"leaves unchecked: {', '.join(sorted(codes))}") for table, codes in sorted(absent.items())]
    names = {path.name for path in documents}
    if "datamap.yaml" not in names and not home.datamap.systems:
        found.append(("datamap.yaml", "no field has a category: duties, purposes and co-location cannot be judged by category"))
    if "policy.yaml" not in names and not (home.path / "policy.yaml").is_file():
        found.append(("policy.yaml", "the built-in policy is in force: it names no regions, purposes or protected classes"))
    if not accesses and not home.accesses().manifest().parts:
        found.append(("accesses", "there is nothing to judge yet"))
    return found


def say_load(load: LoadReport) -> None:
    """Say on stderr what became of one context file. No content of rows."""
    said = f"{load.rows:,} row{'s' * (load.rows != 1)}" if load.added else f"{load.file} had been loaded before, nothing added"
    click.echo(f"{load.table}: {said}", err=True)
    if load.rejected:
        click.echo(f"  {len(load.rejected):,} rows could not be read; they are kept, sealed, in rejected/:", err=True)
        for row in load.rejected[:_SHOWN]:
            click.echo(f"    {row.file}:{row.line}: {row.reason}", err=True)
        if len(load.rejected) > _SHOWN:
            click.echo(f"    … and {len(load.rejected) - _SHOWN:,} more", err=True)
    if load.dropped:
        click.echo(f"  {len(load.dropped)} columns that the table does not have were not kept: {', '.join(load.dropped)}", err=True)
    if load.duplicates:
        click.echo(f"  {load.duplicates:,} ids stand in more than one row; all rows are kept", err=True)
    if load.unknown_actors:
        who = "actor in {} is" if load.unknown_actors == 1 else "actors in {} are"
        click.echo(f"  {load.unknown_actors:,} {who.format(load.table)} not in staff; their rows are kept", err=True)


def say_enrolled(enrolled: Enrolled) -> None:
    """Say on stderr how many were enrolled, and that the list should now go."""
    click.echo(
        f"protected: {enrolled.new:,} enrolled, {enrolled.rows - enrolled.new:,} known already; nothing of the list is kept",
        err=True,
    )
    for reason in enrolled.rejected[:_SHOWN]:
        click.echo(f"    {reason}", err=True)
    click.echo(f"  now destroy {enrolled.file}: it is the list that this registry exists to avoid", err=True)


def _say_rest(report: FolderReport) -> None:
    for name in report.adopted:
        click.echo(f"{name}: in force", err=True)
    for reason in report.unread:
        click.echo(f"not read: {reason}", err=True)
    for name, consequence in report.missing:
        click.echo(f"missing {name}: {consequence}", err=True)
