"""What a group of tests builds once is built by one worker: the demo alone costs a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("xdist.scheduler", reason="tests are not shared out among workers here")


ROOT = Path(__file__).parents[2]


def test_files_that_name_a_group_stay_whole_and_all_others_are_shared_out():
    from one_worker import whole_file

    demo = "tests/functional/test_demo.py"
    assert whole_file(ROOT, f"{demo}::test_no_benign_look_alike_is_loud") == demo
    assert whole_file(ROOT, "tests/house/test_groups_keep_together.py::test_x[a::b]") is None
    assert whole_file(ROOT, "tests/absent.py::test_x") is None


def test_the_commands_of_the_gate_ask_for_groups():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert makefile.count("--dist loadgroup") == 2
