"""What a PostgreSQL log with pgaudit shows, and what it cannot show."""

from __future__ import annotations

from typing import Final

from custodes.source import CannotSee, Coverage

MANIFEST: Final = Coverage(
    source="pgaudit",
    version="pgaudit/1",
    sees=(
        "every statement that ran, with its final text, its tables and its bind values",
        "rows returned or changed, if pgaudit.log_rows is on",
        "statements that were refused or died while they ran",
        "keys and look-ups that stand in a statement's conditions",
        "changes of routines, of copies made inside the database, and of the audit settings",
        "missing lines inside a session",
    ),
    cannot_see=(
        CannotSee(
            "what a SECURITY DEFINER routine reads",
            "pgaudit does not log inner statements if the caller is no member of the owner's role (pgaudit issue 157)",
            "keep an inventory of definer routines, or put the gate or a result tap before them",
        ),
        CannotSee(
            "which rows a cursor fetched",
            "DECLARE names no table and FETCH is not logged",
            "forbid cursors to staff, or use a result tap",
        ),
        CannotSee(
            "whose rows a range, pattern or join returned",
            "the log has the condition, not the result",
            "use the gate or a result tap",
        ),
        CannotSee(
            "values inside routines and in hidden parameters",
            "variables of routines are logged by place without names; values are absent with pgaudit.log_parameter off",
            "set pgaudit.log_parameter on, and register the routines' source",
        ),
        CannotSee(
            "what a superuser does to the log or to the audit settings",
            "a superuser may change pgaudit.log for the own session, write files and edit the log before it is read",
            "ship the log at once to another host, and give no person superuser rights",
        ),
        CannotSee(
            "statements that are not audited: other classes, sessions without pgaudit, replicas, backups, files of the server",
            "pgaudit logs what pgaudit.log names, in databases where it is loaded",
            "set pgaudit.log as expected for all roles, audit replicas too, and guard dumps and backups separately",
        ),
        CannotSee(
            "missing lines at the end of a session, or a whole missing session",
            "only a disconnection record proves the last line; a session of which no line is left has no number that could miss",
            "set log_disconnections on, and compare with the server's own counters",
        ),
        CannotSee(
            "the human behind a shared role",
            "the log names the database role",
            "one role per person, or the access proxy's log beside it",
        ),
        CannotSee(
            "what becomes of rows after they left",
            "filters in a notebook or a spreadsheet leave no trace in the database",
            "count a read of a set as a read of everybody in it",
        ),
    ),
    subject="key",
    fields="parsed",
    rows=True,
    purpose="application_name, SQL comment",
    gap_proof="per_session",
    tail_proof=False,
    deletable_by=("operating system account of the server", "superuser", "administrator of the log shipper"),
    checked="2026-11-22",
    delay_s=0,
    settings_expected={
        "pgaudit.log": "read,write,function,role,ddl,misc_set",
        "pgaudit.log_relation": "on",
        "pgaudit.log_parameter": "on",
        "pgaudit.log_rows": "on",
        "pgaudit.log_catalog": "off",
        "log_destination": "jsonlog",
        "log_disconnections": "on",
        "log_timezone": "UTC",
    },
)
