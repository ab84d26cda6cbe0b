"""Runs the shell blocks of a page of `docs/how-to` as they stand there, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def blocks_of(page: str) -> list[str]:
    """Return the blocks of a page that are marked `sh`, in their order."""
    return re.findall(r"^```sh\n(.*?)^```", (_PAGES / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def run_blocks(
    blocks: Sequence[str], work: Path, *, programs: Sequence[Path | str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run blocks as one script in the new folder `work`, which ends at the first command that fails.

    `custodes` is the one under test; `programs`: more folders of programs; `variables`: of the environment.
    """
    shim = work.parent / "custodes"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m custodes "$@"\n')
    shim.chmod(0o755)
    work.mkdir()
    path = os.pathsep.join(map(str, (shim.parent, *programs, os.environ["PATH"])))
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=work,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
