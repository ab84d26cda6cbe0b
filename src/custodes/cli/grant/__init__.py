"""`custodes grant`: ask for a release, approve it, end it. One module per task, imported when it runs."""

from __future__ import annotations

import importlib
from typing import Final

import click

from custodes.cli.late import Late

COMMANDS: Final = {
    "request": ("asking", "ask to be granted a release, for a reason that is on record"),
    "show": ("showing", "the bytes that approvers sign, and their digest"),
    "approve": ("answering", "fill one set of approvals"),
    "deny": ("answering", "end a request, or a grant in force"),
    "revoke": ("asking", "end a grant and its open leases at once"),
    "review": ("asking", "say whether broken glass was justified"),
    "list": ("showing", "all grants and their states, as the record has them"),
}
"""Command → module and one line for `--help`."""


def _find(name: str) -> click.Command:
    module = importlib.import_module(f"custodes.cli.grant.{COMMANDS[name][0]}")
    found: click.Command = getattr(module, name.replace("list", "list_"))
    return found


@click.group(cls=Late, lines={name: line for name, (_, line) in COMMANDS.items()}, find=_find)
def command() -> None:
    """Grants: who may have which field of whom released, how often, until when. Every step is signed and recorded.

    \b
    custodes grant request --home home --system app-db --field app.users.last_ip --purpose support \\
        --code SUPPORT_CASE --reason T-991 --subject-file id.txt --key dora.key     prints g-57
    custodes grant show --home home g-57
    custodes grant approve --home home g-57 --key ada.key
    custodes reveal app.users.last_ip --home home --grant g-57 --subject-file id.txt
    custodes grant revoke --home home g-57 --key dora.key
    custodes grant review --home home g-61 --found justified --key ada.key         after glass was broken
    custodes grant list --home home

    Refused (exit 4, and recorded): approvals by the requester, their unit or chain, or somebody they approved lately; after 24
    hours; after one denial; by whoever left.
    """  # noqa: D301  # click reads \b as "do not rewrap"
