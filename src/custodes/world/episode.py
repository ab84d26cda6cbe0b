"""One scenario comes to pass: its cast is hired, its rows and accesses are worked out relative to a moment T0.

Nothing here knows a scenario by name. A play is worked out in full before anything of it is exported, so that T0 can be tried
again until the whole episode lies inside the world and within the shifts of those who act.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from custodes.errors import InputError
from custodes.world.access import Access
from custodes.world.clock import DAY, HOUR, MINUTE, SECOND, WEEK
from custodes.world.company import Company, Staff, Subject
from custodes.world.dice import Dice
from custodes.world.language import Act, Group, Row, Scenario
from custodes.world.values import At, Play

_TRIES: Final = 60


class Made(NamedTuple):
    """One access of an episode. `truth`: abuse · benign · path · background; `seen`: the subjects it is about."""

    time: int
    access: Access
    staff: Staff
    act: str
    truth: str
    subjects: tuple[Subject, ...]


@dataclass(slots=True)
class Played:
    """What an episode comes to at one T0. `off_shift`: accesses that found nobody on shift."""

    t0: int
    rows: dict[str, list[dict[str, object]]]
    accesses: list[Made]
    staff_times: list[tuple[Staff, str, int]]
    off_shift: int

    def first(self) -> int:
        """Return the time of the first access."""
        return min((made.time for made in self.accesses), default=self.t0)

    def last(self) -> int:
        """Return the time of the last access."""
        return max((made.time for made in self.accesses), default=self.t0)


@dataclass(slots=True)
class Episode:
    """One scenario with its cast, ready to be played."""

    label: str
    number: int
    scenario: Scenario
    level: str
    company: Company
    seed: int
    cast: dict[str, list[Staff] | list[Subject]] = field(default_factory=dict)
    knobs: dict[str, object] = field(default_factory=dict)

    def hire(self) -> None:
        """Draw the knobs and hire and open the cast."""
        dice = Dice(self.seed, f"cast {self.label}")
        play = self.play_of(dice, 0)
        for name, levels in self.scenario.knobs.items():
            self.knobs[name] = play.knob(levels[self.level])
        for group in self.scenario.cast.values():
            count = max(1, play.number(group.body.get("n", 1), At()))
            self.cast[group.name] = self._actors(group, count, play) if group.is_actor else self._subjects(group, count, play)
        for group in self.scenario.cast.values():
            boss = group.body.get("manager")
            for one in self.cast[group.name] if boss is not None else ():
                if isinstance(one, Staff):
                    one.manager = play.staff(str(boss), At())

    def _actors(self, group: Group, count: int, play: Play) -> list[Staff]:
        body = group.body
        made = []
        for index in range(count):
            kind = play.value(body.get("kind_is", body.get("actor_kind", "human")), At(step=index), "actor_kind")
            role = body.get("role")
            one = self.company.hire(
                str(body.get("unit", "*")), role=None if role is None else str(role), kind=str(kind), episode=self.number
            )
            one.was = str(body["was"]) if "was" in body else None
            made.append(one)
        return made

    def _subjects(self, group: Group, count: int, play: Play) -> list[Subject]:
        body = group.body
        raw = body.get("protected")
        protected = raw if isinstance(raw, dict) else play.value(raw, At(), "class")
        owners = self.cast.get(str(body.get("account_of")), [])
        made = []
        for index in range(count):
            owner = owners[index % len(owners)] if owners else None
            region = play.value(body.get("region", "US"), At(step=index), "region")
            made.append(
                self.company.open_account(
                    None if region is None else str(region),
                    kind=str(body.get("kind", "person")),
                    person=owner.person if isinstance(owner, Staff) else None,
                    protected=_protection(protected, index, count),
                    episode=self.number,
                )
            )
        return made

    def play_of(self, dice: Dice, t0: int) -> Play:
        """Return a fresh play of the cast at `t0`."""
        return Play(self.scenario, knobs=self.knobs, cast=self.cast, ids=self.company.ids, dice=dice, t0=t0)

    def play(self, t0: int, attempt: int) -> Played:
        """Work out rows and accesses at `t0`. The same arguments give the same play."""
        play = self.play_of(Dice(self.seed, f"play {self.label} {attempt}"), t0)
        stage = Stage(self, play)
        play.act_times = stage.act_times
        play.on_duty = stage.on_duty
        rows = {name: play.rows(name) for name in self.scenario.rows}
        accesses = [made for name in self.scenario.acts for made in stage.act(name)]
        return Played(t0, rows, accesses, list(self._staff_times(play)), stage.off_shift)

    def _staff_times(self, play: Play) -> Iterator[tuple[Staff, str, int]]:
        for group in self.scenario.cast.values():
            for column in ("notice_from", "left", "joined", "moved"):
                if group.is_actor and column in group.body:
                    for one in self.cast[group.name]:
                        if isinstance(one, Staff):
                            yield one, column, play.time(str(group.body[column]), At())

    def links(self, dice: Dice) -> Iterator[tuple[Subject, Subject, str]]:
        """Yield the links that the cast asks for: to members of another group, and in a ring."""
        play = self.play_of(dice, 0)
        for group in self.scenario.cast.values():
            members = [one for one in self.cast[group.name] if isinstance(one, Subject)]
            anchors = [one for one in self.cast.get(str(group.body.get("linked_to")), []) if isinstance(one, Subject)]
            for index, one in enumerate(members):
                if anchors:
                    word = play.value(group.body.get("link", "follows"), At(step=index), "kind")
                    pair = (one, anchors[index % len(anchors)])
                    yield (*(pair if dice.roll() < 0.5 else pair[::-1]), str(word))
                if group.body.get("linked_ring") and len(members) > 1:
                    yield one, members[(index + 1) % len(members)], str(group.body["linked_ring"])

    def linked(self) -> set[str]:
        """Return the ids of subjects in groups that hang on another group."""
        return {
            one.id
            for group in self.scenario.cast.values()
            if "linked_to" in group.body
            for one in self.cast[group.name]
            if isinstance(one, Subject)
        }


class Stage:
    """Turns acts into accesses."""

    def __init__(self, episode: Episode, play: Play) -> None:
        self._episode, self._scenario, self._play, self._dice = episode, episode.scenario, play, play.dice
        self._done: dict[str, list[Made]] = {}
        self._under_way: set[str] = set()
        self.off_shift = 0

    def act(self, name: str) -> list[Made]:
        """Return the accesses of one act, worked out once."""
        if name not in self._done:
            if name in self._under_way:
                raise InputError(f"{self._scenario.id}: act {name} waits for itself")
            self._under_way.add(name)
            self._done[name] = self._make(self._scenario.acts[name])
        return self._done[name]

    def act_times(self, name: str) -> list[int]:
        """Return the times of one act."""
        return [made.time for made in self.act(name)]

    def on_duty(self, row: Row, index: int) -> Staff | None:
        """Return who will act on a row: the actor it names, or the one of the act that begins at it."""
        named = self._play.actor_of(row, index)
        if named is not None:
            return named
        for act in self._scenario.acts.values():
            if act.start.startswith(f"#{row.name}."):
                actors = self._actors(act)
                return actors[index % len(actors)]
        return None

    def _actors(self, act: Act) -> list[Staff]:
        return [one for name in act.by for one in self._play.group(name) if isinstance(one, Staff)]

    def _make(self, act: Act) -> list[Made]:
        default = "abuse" if self._scenario.kind == "abuse" else "benign"
        looks = self._looks(act)
        if act.pattern == "session":
            timed = self._sessions(act, [look for group in looks for look in group])
        else:
            once = self._window(act, At()) if act.stop and "#" not in act.start + act.stop else None
            timed = [pair for group in looks for pair in self._timed(act, group, once)]
        made = []
        for step, (time, look) in enumerate(timed):
            access = self._access(act, look.at._replace(step=step), look.subjects)
            made.append(Made(time, access, look.staff, act.name, act.truth or default, look.subjects))
        return made

    def _looks(self, act: Act) -> list[list[Look]]:
        """Return who looks at whom, as `per` says, in groups that belong together in time."""
        actors = self._actors(act)
        if not actors:
            raise InputError(f"{self._scenario.id}, act {act.name}: the groups of `by` hold no actor")
        subjects = [one for one in self._play.group(act.on) if isinstance(one, Subject)] if act.on else []
        first = self._dice.below(len(actors))
        if act.per == "pair":
            pairs = [(a, s) for a in range(len(actors)) for s in range(len(subjects))]
            return [[_look(actors, a, subjects, s)] * self._count(act) for a, s in pairs]
        if act.per == "actor":
            return [[_look(actors, a, subjects, a)] * self._count(act) for a in range(len(actors))]
        if act.per == "paired":
            return [[_look(actors, s, subjects, s)] * self._count(act) for s in range(len(subjects))]
        if act.per == "subject":
            counts = [self._count(act) for _ in subjects]
            before = [first + sum(counts[:s]) for s in range(len(counts))] if len(counts) < 1000 else range(len(counts))
            return [[_look(actors, before[s] + turn, subjects, s) for turn in range(count)] for s, count in enumerate(counts)]
        turns = range(self._count(act))
        if act.per == "set":
            return [[_look(actors, first + turn, subjects, None) for turn in turns]]
        return [[_look(actors, first + turn, subjects, turn) for turn in turns]]

    def _count(self, act: Act) -> int:
        return self._play.number(act.n, At())

    def _window(self, act: Act, at: At) -> tuple[int, int]:
        start = self._play.time(act.start, at)
        stop = self._play.time(act.stop or act.start, at)
        return start, max(stop, start + (4 * HOUR if act.stop == act.start else MINUTE))

    def _timed(self, act: Act, looks: Sequence[Look], once: tuple[int, int] | None) -> list[tuple[int, Look]]:
        """Give times to looks that belong together, in order of time."""
        if not looks:
            return []
        if act.stop is None:
            return sorted(((self._moment(act, look), look) for look in looks), key=_by_time)
        low, high = once or self._window(act, looks[0].at)
        if act.pattern in ("daily", "weekly"):
            times = self._distinct(looks, low, high, DAY if act.pattern == "daily" else WEEK)
        elif act.pattern == "burst":
            times = self._burst(looks, low, high)
        else:
            times = [self._draw(look.staff, low, high, on=act.pattern != "off_hours") for look in looks]
        return sorted(zip(times, looks, strict=False), key=_by_time)

    def _moment(self, act: Act, look: Look) -> int:
        """Return the time of an act that has a beginning only."""
        time = self._play.time(act.start, look.at, look.staff)
        self.off_shift += not look.staff.on_shift(time)
        return time

    def _draw(self, staff: Staff, low: int, high: int, *, on: bool) -> int:
        """Draw a time within the window, on shift or off; anywhere in it if there is none, and count that."""
        for _ in range(_TRIES):
            time = self._dice.moment(low, high)
            if staff.on_shift(time) is on:
                return time
        self.off_shift += 1
        return self._dice.moment(low, high)

    def _burst(self, looks: Sequence[Look], low: int, high: int) -> list[int]:
        """Return times within six minutes."""
        length = min(high - low, 5 * MINUTE)
        start = self._draw(looks[0].staff, low, high - length + 1, on=True)
        return sorted(self._dice.moment(start, start + length) for _ in looks)

    def _distinct(self, looks: Sequence[Look], low: int, high: int, step: int) -> list[int]:
        """Return one time for each of so many different days or weeks, working days first; fewer if the window has fewer."""
        days = range(low // DAY, (high - 1) // DAY + 1)
        staff = looks[0].staff
        ranked = sorted(days, key=lambda day: (not staff.works(day), self._dice.roll()))
        taken: dict[int, int] = {}
        for day in ranked:
            if len(taken) < len(looks) and max(low, day * DAY) < min(high, day * DAY + DAY):
                taken.setdefault(day * DAY // step, day)
        return [
            self._draw(look.staff, max(low, day * DAY), min(high, day * DAY + DAY), on=True)
            for day, look in zip(sorted(taken.values()), looks, strict=False)
        ]

    def _sessions(self, act: Act, looks: Sequence[Look]) -> list[tuple[int, Look]]:
        """Cut each actor's looks into sittings of 20 to 60, seconds apart."""
        low, high = self._window(act, At())
        timed: list[tuple[int, Look]] = []
        for number in sorted({look.staff.number for look in looks}):
            own = [look for look in looks if look.staff.number == number]
            while own:
                sitting, own = own[: (size := self._dice.between(20, 60))], own[size:]
                time = self._draw(sitting[0].staff, low, max(low + 1, high - len(sitting) * 8 * SECOND), on=True)
                for look in sitting:
                    timed.append((time, look))
                    time += self._dice.moment(2 * SECOND, 8 * SECOND)
        return sorted(timed, key=_by_time)

    def _access(self, act: Act, at: At, subjects: Sequence[Subject]) -> Access:
        play = self._play
        found: dict[str, object] = {}
        for column, raw in act.columns.items():
            value = play.value(raw, at, column)
            if value is not None:
                found[column] = value
        if subjects:
            found.setdefault("subjects", [one.id for one in subjects])
        query = found.get("query")
        if isinstance(query, str):
            found["query"] = statement(query, found.get("fields"), subjects)
        try:
            return msgspec.convert(found, Access)
        except msgspec.ValidationError as wrong:
            raise InputError(f"{self._scenario.id}, act {act.name}: {wrong}") from None


class Look(NamedTuple):
    """One look still without a time."""

    staff: Staff
    at: At
    subjects: tuple[Subject, ...]


def _look(actors: Sequence[Staff], actor: int, subjects: Sequence[Subject], subject: int | None) -> Look:
    """Return the look of an actor at one subject, or at all of them where `subject` is None."""
    a = actor % len(actors)
    if not subjects:
        return Look(actors[a], At(actor=actors[a], actor_index=a, subject_index=subject or 0), ())
    if subject is None:
        one = subjects[0] if len(subjects) == 1 else None
        return Look(actors[a], At(actor=actors[a], actor_index=a, subject=one), tuple(subjects))
    s = subject % len(subjects)
    return Look(actors[a], At(actor=actors[a], actor_index=a, subject=subjects[s], subject_index=s), (subjects[s],))


def _by_time(pair: tuple[int, Look]) -> int:
    return pair[0]


def statement(template: str, fields: object, subjects: Sequence[Subject]) -> str:
    """Return SQL text for a statement written with ellipses: the fields, the literal ids and whole intervals in their place."""
    names = ", ".join(fields) if isinstance(fields, list) else "*"
    ids = ", ".join(f"'{one.id}'" for one in subjects) or "''"
    text = re.sub(r"\bselect …", f"select {names}", template)
    text = re.sub(r"\(…[^)]*\)", f"({ids})", text)
    text = re.sub(r"= ?…[^…]*…", f"= {ids.partition(',')[0]}", text)
    return re.sub(r"\b(\d+) min\b", r"interval '\1 minutes'", text)


def _protection(raw: object, index: int, count: int) -> str | None:
    """Return the class that protects member `index` of `count`: one for all, or for the first, half or a tenth of them."""
    if isinstance(raw, Mapping):
        for part, share in (("first", 1 / count), ("tenth", 0.1), ("half", 0.5)):
            if part in raw and index < share * count:
                return str(raw[part])
        return None
    return None if raw in (None, "none") else str(raw)
