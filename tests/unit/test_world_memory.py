"""However long a company is simulated, the builder holds only what is still to come, and a bounded part of each table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from custodes import world

BUILD = """
import resource, sys
from pathlib import Path
from custodes import world
from custodes.world import exports
exports.ROWS_HELD = int(sys.argv[4])
built = world.build([], seed=5, out=Path(sys.argv[1]), file=Path(sys.argv[2]), size=sys.argv[3])
print(built.accesses, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def company(folder: Path, **sizes: dict[str, int]) -> Path:
    ours = json.loads((Path(world.__file__).with_name("scenarios.json")).read_text("utf-8"))
    ours["world"]["sizes"] |= sizes
    file = folder / "sizes.json"
    file.write_text(json.dumps({"schema": "custodes.scenarios/1", "world": ours["world"]}), "utf-8")
    return file


def peak(folder: Path, file: Path, size: str, held: int) -> tuple[int, int]:
    """Return the accesses that a process of its own wrote, and the most memory it had (KB)."""
    command = [sys.executable, "-c", BUILD, str(folder / size), str(file), size, str(held)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    accesses, memory = done.stdout.split()
    return int(accesses), int(memory)


def test_memory_does_not_grow_with_days(tmp_path):
    base = {"staff": 60, "subjects": 3000}
    sizes = {"month": base | {"days": 30, "accesses": 30_000}, "half": base | {"days": 180, "accesses": 180_000}}
    file = company(tmp_path, **sizes)
    wrote, least = peak(tmp_path, file, "month", 1000)
    more, most = peak(tmp_path, file, "half", 1000)
    assert more > 5 * wrote
    assert most < 1.3 * least, (least, most)


def test_what_waited_on_disk_is_written_like_what_was_held(tmp_path):
    file = company(tmp_path, few={"staff": 40, "subjects": 1000, "days": 14, "accesses": 4000})
    peak(tmp_path / "a", file, "few", 50)
    peak(tmp_path / "b", file, "few", 1_000_000)
    left, right = (
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in "ab"
    )
    assert left == right
    assert not [name for name in left if name.endswith(".part")]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_people_of_the_largest_size_fit_into_three_gigabytes(tmp_path):
    """Its staff, its subjects and the volume of its days, for fourteen days instead of 180."""
    file = company(tmp_path, part={"staff": 2000, "subjects": 1_000_000, "days": 14, "accesses": 3_900_000})
    wrote, most = peak(tmp_path, file, "part", 50_000)
    assert wrote >= 3_900_000
    assert most < 3_000_000, most
