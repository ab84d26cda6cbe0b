"""Build a simulated company: the cast first, the company around it, the episodes, the innocent days, and what is true.

The same arguments give the same bytes. `truth.json` is written last: a folder without it was not finished.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import yaml

from custodes.errors import ConfigError, CouldNotCheck, InputError, UnreadableFile
from custodes.world.background import Background
from custodes.world.clock import DAY, Calendar, span
from custodes.world.company import Company, Staff, draw_links
from custodes.world.dice import Dice
from custodes.world.episode import Episode, Played
from custodes.world.exports import AccessBook, ContextBook, Gap
from custodes.world.ids import Ids
from custodes.world.language import LEVELS, Library, Scenario, Size, library
from custodes.world.office import Office
from custodes.world.truth import SCHEMA as TRUTH_SCHEMA
from custodes.world.truth import campaign
from custodes.world.values import At, Play

_ATTEMPTS: Final = 24
_MARGIN: Final = DAY // 2


@dataclass(frozen=True, slots=True)
class Built:
    """What was built. `accesses`: rows written; `lost`: lines that a scenario dropped; `pending`: steps that need a ledger."""

    folder: Path
    size: str
    accesses: int
    lost: int
    campaigns: tuple[str, ...]
    pending: tuple[str, ...]


def build(
    scenarios: Sequence[str],
    *,
    seed: int,
    out: str | Path,
    level: str = "medium",
    size: str | None = None,
    twins: int = 1,
    file: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Build a world with these scenarios (or worlds of `file`) into `out`; each abuse scenario brings each twin `twins` times.

    `size` defaults to the largest that the scenarios ask for. `progress` is called with (days done, days in all).
    Raises `ConfigError` for unknown names and for an episode that does not fit, `InputError` for a faulty scenario file.
    """
    shelf = library(None if file is None else Path(file))
    if level not in LEVELS:
        raise ConfigError(f"no level {level!r}", hint=f"known: {', '.join(LEVELS)}")
    if twins < 0:
        raise ConfigError("twins: expected a whole number, 0 or more")
    named = shelf.named(scenarios)
    measure = _size(shelf, named, size)
    folder = _folder(Path(out))
    world = _World(shelf, measure, seed, level, folder)
    world.cast(_wanted(shelf, named, twins))
    world.stage()  # until here nothing is written: what cannot be built leaves an earlier world as it was
    _clear(folder)
    world.live(progress)
    return world.close([one.id for one in named])


def _wanted(shelf: Library, named: Sequence[Scenario], twins: int) -> list[Scenario]:
    """Return scenarios in the order given, each abuse one followed by its twins; a named twin is not built once more."""
    wanted: list[Scenario] = []
    brought = {twin for one in named if one.kind == "abuse" and twins for twin in one.twins}
    for one in named:
        if one.kind == "abuse":
            wanted.append(one)
            wanted += [shelf.scenario(twin) for twin in one.twins for _ in range(twins)]
        elif one.id not in brought:
            wanted.append(one)
    return wanted


def _size(shelf: Library, named: Sequence[Scenario], size: str | None) -> Size:
    sizes = shelf.charter.sizes
    if size is not None:
        if size not in sizes:
            raise ConfigError(f"no size {size!r}", hint=f"known: {', '.join(sizes)}")
        return sizes[size]
    asked = [sizes[one.size] for one in named] or [sizes["demo"]]
    return max(asked, key=lambda one: (one.days, one.accesses))


def _folder(out: Path) -> Path:
    """Return a folder that is empty or holds an earlier world; anything else is refused."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        present = sorted(path.name for path in out.iterdir())
    except OSError as wrong:
        raise UnreadableFile(f"--out: {wrong.strerror or 'cannot be used'}") from None
    truth = out / "truth.json"
    if present and (not truth.is_file() or TRUTH_SCHEMA not in truth.read_text("utf-8")[:200]):
        raise ConfigError("--out: the folder is not empty and holds no finished world", hint="name a new folder")
    return out


def _clear(folder: Path) -> None:
    """Remove the files of an earlier world, its truth first: from here on it is no finished world."""
    (folder / "truth.json").unlink(missing_ok=True)
    for path in [*folder.glob("accesses-*.ndjson"), *folder.glob("context/*.csv"), *folder.glob("context/*.part")]:
        path.unlink()


class _World:
    """One build."""

    def __init__(self, shelf: Library, size: Size, seed: int, level: str, folder: Path) -> None:
        self._shelf, self._size, self._seed, self._level, self._folder = shelf, size, seed, level, folder
        self._ids = Ids(Dice(seed, "ids"))
        self._company = Company(shelf.charter, size, self._ids, Dice(seed, "company"))
        self._calendar = Calendar(size.days)
        self._accesses = AccessBook(folder, self._calendar, Dice(seed, "log"))
        self._context = ContextBook(self._calendar)
        self._episodes: list[Episode] = []
        self._played: list[Played] = []
        self._after: list[list[tuple[str, str]]] = []
        self._pending: list[str] = []

    def cast(self, wanted: Iterable[Scenario]) -> None:
        """Hire the cast of every episode, then the rest of the company."""
        counts: dict[str, int] = {}
        for number, scenario in enumerate(wanted, 1):
            counts[scenario.id] = counts.get(scenario.id, 0) + 1
            label = f"{scenario.id}-{counts[scenario.id]}"
            episode = Episode(label, number, scenario, self._level, self._company, self._seed)
            episode.hire()
            self._episodes.append(episode)
        self._company.fill()

    def stage(self) -> None:
        """Find a moment for each episode and export its rows and accesses."""
        for episode in self._episodes:
            played = self._find(episode)
            for one, column, time in played.staff_times:
                setattr(one, column, time)
            for name, rows in played.rows.items():
                table = episode.scenario.rows[name].table
                for row in rows:
                    self._context.add_row(table, {key: value for key, value in row.items() if value is not None})
            self._rosters(episode, played)
            for made in played.accesses:
                self._accesses.add(made.time, made.access, made.staff)
            self._played.append(played)
            self._after.append(self._steps(episode, played))

    def _find(self, episode: Episode) -> Played:
        """Try moments until the episode lies inside the world, within shifts if that can be."""
        end, dice = self._calendar.end, Dice(self._seed, f"moment {episode.label}")
        best: Played | None = None
        shortest = math.inf
        guess = episode.play(end // 2, 0)
        for attempt in range(1, _ATTEMPTS + 1):
            before, behind = guess.t0 - guess.first(), max(guess.last(), _latest(episode, guess)) - guess.t0
            shortest = min(shortest, before + behind)
            low, high = max(before, 0) + _MARGIN, end - behind - _MARGIN
            if low >= high:
                low, high = before + 1, end - behind - 1
            if low >= high:
                guess = episode.play(end // 2, attempt)
                continue
            guess = episode.play(dice.moment(low, high), attempt)
            if guess.first() >= 0 and guess.last() < end and _latest(episode, guess) < end:
                if best is None or guess.off_shift < best.off_shift:
                    best = guess
                if best.off_shift * 50 <= len(best.accesses):
                    break
        if best is None:
            self._refuse(episode, shortest)
        return best

    def _refuse(self, episode: Episode, shortest: float) -> NoReturn:
        needed = math.ceil(shortest / DAY) + 1
        fitting = sorted((one for one in self._shelf.charter.sizes.values() if one.days >= needed), key=lambda one: one.accesses)
        hint = f"smallest size that holds it: {fitting[0].name}" if fitting else "no size of this file holds it"
        raise ConfigError(
            f"{episode.label} needs {needed} days and size {self._size.name} has {self._size.days}: it does not fit", hint=hint
        )

    def _rosters(self, episode: Episode, played: Played) -> None:
        """Whose shifts a scenario fixes works by them: the background writes no others and gives no work outside."""
        people = {one.id: one for group in episode.cast.values() for one in group if isinstance(one, Staff)}
        for name, rows in played.rows.items():
            if episode.scenario.rows[name].table == "roster":
                for row in rows:
                    one = people.get(str(row.get("actor")))
                    if one is not None and row.get("unit"):
                        one.rostered = False

    def _steps(self, episode: Episode, played: Played) -> list[tuple[str, str]]:
        """Do what the scenario asks for once its accesses exist; return rows made, as (table, key) by name."""
        made: list[tuple[str, str]] = []
        for step in episode.scenario.after:
            what = step["do"]
            times = {name: [one.time for one in played.accesses if one.act == name] for name in episode.scenario.acts}
            play = episode.play_of(Dice(self._seed, f"after {episode.label}"), played.t0)
            play.act_times = times.__getitem__
            if what == "drop_lines":
                self._drop(step, play, episode)
            elif what == "claim":
                made.append(("claims", self._claim(step, play)))
            elif step.get("run") == "second build":
                when = self._calendar.millis(play.time(str(step["to"]), At()))
                self._pending.append(f"{episode.label}: {what} to {when} needs a home whose ledger was witnessed")
            else:
                raise CouldNotCheck(
                    f"{episode.label}: {what} needs a ledger with a witnessed checkpoint, and a folder of files has none",
                    hint="build without this step, load the folder into a home, have a witness sign, then cut the ledger back",
                )
        return made

    def _drop(self, step: Mapping[str, object], play: Play, episode: Episode) -> None:
        window = span(str(play.value(step["window"], At(), "")))
        if window is None:
            raise InputError(f"{episode.label}: the window of drop_lines is no span of time")
        middle = play.time(str(step["where"]), At())
        half = int(window[0] / 2)
        self._accesses.lose(Gap(str(step["seq_of"]), middle - half, middle + half))

    def _claim(self, step: Mapping[str, object], play: Play) -> str:
        claim = self._ids.new("claims")
        start, stop = play.time(str(step["from"]), At()), play.time(str(step["to"]), At())
        self._context.add(
            "claims",
            claim=claim,
            made=min(stop + DAY // 3, self._calendar.end - 1),
            by="company",
            text=str(step.get("text", "")),
            predicate=json.dumps(step.get("predicate", {}), separators=(",", ":")),
            window_from=start,
            window_to=stop,
        )
        return claim

    def live(self, progress: Callable[[int, int], None] | None) -> None:
        """Let the innocent days pass, and write each when it is over."""
        self._context.spill(self._folder / "context")
        dice = Dice(self._seed, "links")
        for left, right, word, since in draw_links(self._company.subjects, dice):
            self._context.add("links", subject=left.id, other=right.id, kind=word, since=since)
        for episode in self._episodes:
            for left, right, word in episode.links(dice):
                since = -dice.moment(0, 700 * DAY)
                self._context.add("links", subject=left.id, other=right.id, kind=word, since=since)
        office = Office(
            self._company,
            calendar=self._calendar,
            accesses=self._accesses,
            context=self._context,
            ids=self._ids,
            seed=self._seed,
        )
        background = Background(office, self._size.days)
        background.prepare()
        for day in range(self._size.days):
            background.day(day)
            self._accesses.close_day(day)
            if progress is not None:
                progress(day + 1, self._size.days)

    def close(self, named: Sequence[str]) -> Built:
        """Write context, data map, policy and, last, the truth."""
        for one in self._company.people():
            for row in staff_rows(one):
                self._context.add_row("staff", row)
        for subject in self._company.subjects:
            self._context.add("subjects", subject=subject.id, region=subject.region, kind=subject.kind, person=subject.person)
        self._context.write(self._folder / "context")
        charter = self._shelf.charter
        datamap = {
            system: {name: {"fields": dict(fields)} for name, fields in resources.items()}
            for system, resources in charter.datamap.items()
        }
        (self._folder / "datamap.yaml").write_text(yaml.safe_dump(datamap, sort_keys=False), "utf-8")
        (self._folder / "policy.yaml").write_text(yaml.safe_dump(dict(charter.policy), sort_keys=False), "utf-8")
        campaigns = [
            campaign(episode, played, after, self._calendar)
            for episode, played, after in zip(self._episodes, self._played, self._after, strict=True)
        ]
        truth = {
            "schema": TRUTH_SCHEMA,
            "scenario": "+".join(named),
            "seed": self._seed,
            "size": self._size.name,
            "level": self._level,
            "campaigns": campaigns,
            "pending": self._pending,
        }
        text = json.dumps(truth, ensure_ascii=False, indent=1)
        (self._folder / "truth.json").write_text(text + "\n", "utf-8")
        return Built(
            self._folder,
            self._size.name,
            self._accesses.written,
            self._accesses.lost,
            tuple(episode.label for episode in self._episodes),
            tuple(self._pending),
        )


def _latest(episode: Episode, played: Played) -> int:
    """Return the latest time in the rows that says what has happened (not what is planned, and not what may still be open)."""
    latest = played.t0
    for name, rows in played.rows.items():
        for column in HAPPENED.get(episode.scenario.rows[name].table, ()):
            for row in rows:
                value = row.get(column)
                if isinstance(value, int):
                    latest = max(latest, value)
    return latest


HAPPENED: Final = {
    "press": ("time",),
    "tickets": ("opened",),
    "cases": ("opened", "recorded_at"),
    "case_scope": ("added",),
    "assignments": ("valid_from",),
    "approvals": ("at",),
    "incidents": ("opened",),
    "legal": ("served",),
    "claims": ("made",),
}


def staff_rows(one: Staff) -> Iterator[dict[str, object]]:
    """Yield the rows of one member of staff: the older one, if the unit changed, and the present one."""
    row: dict[str, object] = {
        "actor": one.id,
        "person": one.person,
        "department": one.unit.split("/")[0],
        "unit": one.unit,
        "manager": one.manager.id if one.manager else None,
        "role": one.role,
        "site": one.unit.rpartition("/")[2],
        "country": one.place.country,
        "entity": one.place.entity,
        "employer": one.place.employer,
        "covered": one.covered,
        "joined": one.joined,
        "left": one.left,
        "notice_from": one.notice_from,
    }
    if one.was is not None and one.moved is not None:
        yield {
            **row,
            "unit": one.was,
            "department": one.was.split("/")[0],
            "site": one.was.rpartition("/")[2],
            "valid_to": one.moved,
        }
        row["valid_from"] = one.moved
    yield row
