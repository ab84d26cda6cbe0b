"""Groups of commands that are found by name and imported when they run, so that `--help` starts at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click


class Late(click.Group):
    """`lines`: command → one line for `--help`, in the order of use. `find` imports one of them."""

    def __init__(self, *given: Any, lines: Mapping[str, str], find: Callable[[str], click.Command], **named: Any) -> None:
        super().__init__(*given, **named)
        self._lines, self._find = lines, find

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        del ctx
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        return self._find(cmd_name) if cmd_name in self._lines else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))


def from_package(package: str) -> Callable[[str], click.Command]:
    """Return how a command is found that is called `command` in a module of its own name."""

    def find(name: str) -> click.Command:
        import importlib

        found: click.Command = importlib.import_module(f"{package}.{name}").command
        return found

    return find
