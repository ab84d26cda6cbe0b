"""What one command costs as a whole process: for benchmarks that must not measure themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

_CODE = (
    "import json,resource,subprocess,sys,time\n"
    "began=time.monotonic()\n"
    "done=subprocess.run(sys.argv[1:],stdout=subprocess.PIPE,text=True)\n"
    "used=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(json.dumps([time.monotonic()-began,used.ru_utime+used.ru_stime,used.ru_maxrss,done.stdout,done.returncode]))\n"
)


class Cost(NamedTuple):
    """Seconds by the clock and of processors, peak memory in KiB, and what the command printed and ended with."""

    wall_s: float
    cpu_s: float
    peak_kib: int
    out: str
    status: int


def cost(command: Sequence[str]) -> Cost:
    """Run a command in a process of its own, whose only child it is."""
    done = subprocess.run([sys.executable, "-c", _CODE, *command], stdout=subprocess.PIPE, text=True, check=True)
    return Cost(*json.loads(done.stdout))
