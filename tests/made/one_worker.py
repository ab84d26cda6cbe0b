"""How tests are shared out among workers: a file that names an `xdist_group` keeps to one worker.

The plugin marks groups in a private name of a test's id, which this pytest no longer reads (xdist 3.8.0 with pytest 9.2.0): without
this scheduler each test of a group goes wherever there is room, and what a module builds once is built by every worker.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadGroupScheduling


class ByFile(LoadGroupScheduling):
    """Like the plugin's own, but groups are told from the test files, as the ids do not tell them."""

    def _split_scope(self, nodeid: str) -> str:
        return whole_file(self.config.rootpath, nodeid) or super()._split_scope(nodeid)


def whole_file(root: Path, nodeid: str) -> str | None:
    """Return the file of a test whose tests stay together, or None."""
    path = nodeid.partition("::")[0]
    return path if _together(root / path) else None


@cache
def _together(file: Path) -> bool:
    return file.is_file() and "mark.xdist_group(" in file.read_text("utf-8")
