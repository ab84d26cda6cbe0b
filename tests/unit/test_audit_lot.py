"""The lot hangs on the first checkpoint signed over the window's last access: asking again cannot draw it again."""

from __future__ import annotations

from pathlib import Path

from custodes.home_making import make_home
from custodes.ledger.signed import first_beyond


def test_the_first_checkpoint_over_an_entry_stays_the_same_whatever_is_recorded_and_signed_later(tmp_path: Path) -> None:
    with make_home(tmp_path / "home", simulated=True) as home:
        signed = home.path / "ledger" / "log" / "signed"
        before = home.checkpoint()
        assert first_beyond(signed, before.size) is None, "nothing has been signed over what is not yet recorded"
        home.note_use("watch")
        point = home.checkpoint()
        assert point.size > before.size
        found = first_beyond(signed, before.size)
        assert found is not None
        assert (found.size, found.root) == (point.size, point.root)
        home.note_use("explain", "x-another")
        assert home.checkpoint().size > point.size
        assert first_beyond(signed, before.size) == found
