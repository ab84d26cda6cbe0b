"""`custodes watch --follow`: findings as looks come in. Read by people line by line, or by programs as JSON lines."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from custodes.follow import Follow, News
    from custodes.following import Basis
    from custodes.home import Home
    from custodes.model.finding import Finding
    from custodes.model.run import Change

SCHEMA: Final = "custodes.news/1"
_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Pace:
    """`poll`: seconds between looks at the store; `idle_stop`: end after so many without anything new."""

    poll: float
    idle_stop: float | None


def run(folder: Path, pace: Pace, *, as_json: bool, keep: bool) -> int:
    """Follow a home until Ctrl-C or `idle_stop`; return the exit code. The use is recorded before anything is shown."""
    from custodes.decisions.glass import settle_spool
    from custodes.home import Home

    with Home.open(folder) as home:
        settle_spool(home, whole=True)
        home.note_use("watch")
    with _stopping() as stop:
        return _Session(folder, pace, _Lines(as_json=as_json), keep=keep).run(stop)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Set the event on the first Ctrl-C; a second one ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        del number, frame
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class _Session:
    """One process that follows. A load of context, a changed policy and the like open the home anew; what was told stays told."""

    def __init__(self, folder: Path, pace: Pace, lines: _Lines, *, keep: bool) -> None:
        self._folder, self._pace, self._lines, self._keep = folder, pace, lines, keep
        self._home, self._basis, self._following = self._opened()
        self._accesses = self._findings = self._changes = 0

    def run(self, stop: threading.Event) -> int:
        self._lines.began(self._following)
        last = time.monotonic()
        try:
            while not stop.wait(self._pace.poll):
                if self._step():
                    last = time.monotonic()
                elif self._pace.idle_stop is not None and time.monotonic() - last >= self._pace.idle_stop:
                    break
        finally:
            self._following.close()
            self._home.close()
        self._lines.ended(self._accesses, self._findings, self._changes, self._following.left)
        return _INTERRUPTED if stop.is_set() else 1 if self._findings else 0

    def _opened(self) -> tuple[Home, Basis, Follow]:
        from custodes.follow import Follow
        from custodes.following import Basis, ground
        from custodes.home import Home

        home = Home.open(self._folder)
        basis = Basis(home)  # first: what changes while the state is made is noticed afterwards
        return home, basis, Follow(ground(home, keep=self._keep))

    def _step(self) -> bool:
        """Tell what is new; say whether anything was."""
        from custodes.explain.warm import Outdated

        if why := self._basis.changed():
            self._anew(f"{why} changed")
            return True
        try:
            waiting = self._following.waiting()
            if waiting:
                self._tell(self._following.take(waiting))
        except Outdated as wrong:
            self._anew(str(wrong))
            return True
        return bool(waiting)

    def _anew(self, why: str) -> None:
        """Make the state anew, and tell what is judged otherwise by it."""
        self._lines.anew(why)
        earlier, home = self._following, self._home
        self._home, self._basis, self._following = self._opened()
        self._tell(self._following.since(earlier))
        earlier.close()
        home.close()

    def _tell(self, news: News) -> None:
        from custodes import own_use

        own_use.note_verdicts(self._home.record, news.changes)  # in the record before it is shown
        for finding in news.findings:
            self._lines.finding(finding, news.instead_of.get(finding.finding, ()), self._home)
        for change in news.changes:
            self._lines.change(change)
        self._accesses += news.accesses
        self._findings += len(news.findings)
        self._changes += len(news.changes)


class _Lines:
    """What is said: facts on stdout, one line each; talk on stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json

    def began(self, following: Follow) -> None:
        said = f"following; {following.stands:,} findings of {', '.join(following.judges) or 'no rule'} stand already"
        click.echo(f"  {said}: `custodes watch` tells them", err=True)
        for code, why in following.unchecked.items():
            click.echo(f"  could not check: {code} {why}", err=True)
        self._left(following.left)

    def anew(self, why: str) -> None:
        click.echo(f"  {why}: all that it can bear on is asked again …", err=True)

    def ended(self, accesses: int, findings: int, changes: int, left: tuple[str, ...]) -> None:
        click.echo(f"  {accesses:,} accesses came in, {findings:,} findings were told, {changes:,} judged otherwise", err=True)
        self._left(left)

    def finding(self, finding: Finding, instead_of: tuple[str, ...], home: Home) -> None:
        from custodes.minimise.display import Display, found_in
        from custodes.model.wording import lacked

        if self._json:
            self._line(
                event="finding",
                finding=finding.finding,
                rule=finding.rule,
                title=finding.title,
                level=finding.level,
                sentence=finding.sentence,
                codes=list(finding.codes),
                missing=list(finding.missing),
                accesses=list(finding.accesses),
                instead_of=list(instead_of),
            )
            return
        sentence = Display(home.display_key, found_in([finding.sentence])).text(finding.sentence)
        lacking = f" Lacking: {'; '.join(lacked(token) for token in finding.missing[:3])}." if finding.missing else ""
        grown = f" (more of {', '.join(instead_of)})" if instead_of else ""
        codes = " ".join(finding.codes)
        click.echo(f"{finding.level.upper():6}  {finding.rule} {finding.finding}{grown}  {sentence}{lacking}  {codes}".rstrip())

    def change(self, change: Change) -> None:
        if self._json:
            gained = list(change.gained)
            self._line(
                event="change",
                finding=change.finding,
                rule=change.rule,
                change=change.change,
                was=change.was,
                now=change.now,
                gained=gained,
            )
            return
        level = f"{change.was} → {change.now}" if change.now else f"was {change.was}"
        by = f", explained by {', '.join(change.gained)}" if change.gained else ""
        click.echo(f"{change.change.upper()}  {change.rule} {change.finding}  {level}{by}")

    def _left(self, codes: tuple[str, ...]) -> None:
        click.echo(f"  judged by the next full run, since they need more than one look: {', '.join(codes)}", err=True)

    @staticmethod
    def _line(**facts: object) -> None:
        click.echo(json.dumps({"schema": SCHEMA, **facts}, ensure_ascii=False))
