"""A gate stage where glass can be broken: folders for notices, a passkey for `dora`, a ledger that can be made to take nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authenticator import Authenticator
from gate_stage import GateStage

from custodes import decisions
from custodes.errors import NotDurable
from custodes.guard import passkey
from custodes.guard.book import ENROL, GRANT, Asked
from custodes.guard.words import Released
from custodes.home import Home
from custodes.ledger.disk import Disk

SETTINGS = '\n[guard.notices]\nprivacy = "told/privacy"\noutside = "told/outside"\noncall = "told/oncall"\n'
WAIT = timedelta(hours=25)


class GlassStage(GateStage):
    """Dora has a passkey, and 25 hours have passed."""

    device = Authenticator.of("dora")

    @classmethod
    def whole(cls, folder: Path) -> GlassStage:
        GateStage.built(folder, SETTINGS).home.close()
        stage = cls(folder, Home.open(folder / "home"))
        asked = stage.ask_for(ENROL, "finn", {"actor": stage.actor("dora"), "key": stage.device.passkey().to_text()})
        stage.answer(asked, "cleo")
        return stage

    @classmethod
    def opened(cls, folder: Path) -> GlassStage:
        stage = cls(folder, Home.open(folder / "home"))
        stage.now += WAIT
        return stage

    def break_glass(self, *, device: Authenticator | None = None, flags: int | None = None, **changes: Any) -> Asked:
        """Ask for broken glass with the passkey, which needs no approval."""
        terms = replace(self.terms("dora", reason_code="LIFE_SAFETY", break_glass=True, lasts_s=1200, sets=()), **changes)
        asking = decisions.asking(self.home)
        request, statement = asking.draft(GRANT, self.actor("dora"), terms.content(), self.now)
        used = device or self.device
        used.counter += 1
        signed = used.answer(statement.challenge(), **({} if flags is None else {"flags": flags}))
        return asking.hand_in(request, statement, signed.to_bytes(), self.now, passkey.METHOD)

    def use(self, asked: Asked, **changes: Any) -> Released:
        """Have something released under broken glass, as somebody whose presence was shown."""
        who = self.identity("dora", user_verified=True, method="webauthn")
        return self.release(asked, identity=who, reason_code="LIFE_SAFETY", **changes)

    @contextmanager
    def ledger_down(self, *, again: bool = True) -> Iterator[None]:
        """Let no file of ledger and vault be written meanwhile; other disks work. Ends with the home opened anew, or closed."""
        real, barred = Disk.write, [self.home.path / name for name in ("ledger", "vault")]

        def write(disk: Disk, descriptor: int, data: bytes, offset: int) -> None:
            place = Path(f"/proc/self/fd/{descriptor}").readlink()
            if any(place.is_relative_to(folder) for folder in barred):
                raise NotDurable("no space left on device")
            real(disk, descriptor, data, offset)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Disk, "write", write)
            yield
        if again:
            self.again()
        else:
            self.home.close()

    def again(self) -> None:
        """Open home and gate anew, as a restart does."""
        self.home.close()
        self.home = Home.open(self.home.path)
        self.gate = self.fresh_gate()
