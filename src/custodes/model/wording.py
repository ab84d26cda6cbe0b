"""Codes and tokens in plain words: what stands against an access (V), what would speak for it (E), and what a reason lacked.

One table for the text form, the report and the pages, so that they say the same. Words are about accesses and records, never
about guilt.
"""

from __future__ import annotations

from typing import Final

AGAINST: Final = {
    "V1": "no reason is on record",
    "V2": "the reason given is real, but this subject is not in it",
    "V3": "the reason was made by the reader",
    "V4": "the reason was out of date, recorded too late, or used for somebody else",
    "V5": "a duty to protect this person was not met",
    "V6": "the subjects are linked to one person who was read before",
    "V7": "whereabouts of staff were joined with data of subjects",
    "V8": "this region may not be read from there",
    "V9": "several actors share one rare set of subjects",
    "V10": "the looks began after a public event",
    "V11": "a personal relation is on file, and no consent",
    "V12": "more subjects, or more readers, than is usual for this duty",
    "V13": "a standing query names single persons",
    "V14": "the approval came from the wrong person",
    "V15": "device or roster do not fit the owner of the account",
    "V16": "no legal process covers this",
    "V17": "the data came through a copy, and the opener has no reason of their own",
    "V18": "a part of the log is missing",
    "V19": "those who watch used their access outside their mandate",
    "V20": "a public statement is refuted by the ledger",
    "V21": "an emergency override without incident or review",
    "V22": "access from a role that had ended or not begun",
    "V23": "the search was so narrow that it names persons",
    "V24": "a machine account asked for single persons, and no human is named",
    "V25": "one subject in several systems within minutes",
}
"""V code → what stands against an access. Phrases that fit after a colon."""

FOR: Final = {
    "E1": "the subject's own ticket",
    "E2": "an assigned case that names the subject",
    "E3": "an approved grant",
    "E4": "a verified legal process",
    "E5": "a job or change",
    "E6": "an open incident and its roster",
    "E7": "own account, test account or consent",
    "E8": "a request of the subject about their own data",
    "E9": "a hand-over or quality sample",
    "E10": "training on test accounts",
    "E11": "an oversight mandate",
    "E12": "imminent harm, reviewed from outside",
    "E13": "public fields only",
}
"""E code → the innocent reason. Noun phrases."""

LACKED: Final = {
    "E1:assignments.actor": "the subject's ticket was not assigned to this actor",
    "E1:assignments.assigned_by": "the ticket was assigned by the actor, not by somebody else",
    "E1:assignments.unit": "the subject's ticket was not assigned to this actor's unit",
    "E1:tickets.closed": "the ticket had been closed too long before the access",
    "E1:tickets.inbound": "the ticket holds no message or call from the subject",
    "E1:tickets.opened": "the ticket was opened after the access",
    "E1:tickets.opened_by": "the ticket was opened by the actor",
    "E1:tickets.origin": "the ticket does not come from the subject",
    "E1:tickets.subject": "no ticket of this subject exists",
    "E1:tickets.ticket": "the cited ticket does not exist",
    "E2:assignments.actor": "the case was not assigned to this actor",
    "E2:assignments.assigned_by": "the actor assigned the case to themselves",
    "E2:case_scope.added": "the subject was added to the case after the access",
    "E2:case_scope.added_by": "the actor added the subject to the case",
    "E2:case_scope.subject": "the cited case does not name this subject",
    "E2:cases.case": "the cited case does not exist",
    "E2:cases.closed": "the case had been closed before the access",
    "E2:cases.opened": "the case was opened after the access",
    "E2:cases.opened_by": "the case was opened by the actor",
    "E2:cases.recorded_at": "the case was recorded after the access",
    "E2:cases.scope_kind": "the cited case is about staff, and covers no subject",
    "E2:policy.purposes": "the stated purpose is not one that policy allows for these fields",
    "E2:datamap.category": "the case's purpose does not cover these fields",
    "E3:approvals.approver": "the grant was not approved from outside the requester's unit and chain",
    "E3:approvals.decision": "the grant was not approved",
    "E3:grants.actor": "the grant is for another actor",
    "E3:grants.fields": "the grant does not cover these fields",
    "E3:grants.grant": "no approved grant exists",
    "E3:grants.subject": "the grant does not cover this subject",
    "E3:grants.valid_from": "the grant had not begun",
    "E3:grants.valid_to": "the grant had ended",
    "E4:accesses.reason": "the access cites no legal process",
    "E4:legal.approver_class": "the legal process was approved by the wrong class of person",
    "E4:legal.data_from": "the legal process does not cover these dates",
    "E4:legal.expires": "the legal process had expired",
    "E4:legal.fields": "the legal process does not cover these fields",
    "E4:legal.process": "no legal process is on record",
    "E4:legal.served": "the legal process was served only after the access",
    "E4:legal.subject": "no legal process covers this subject",
    "E4:legal.verified": "the legal process was not verified",
    "E5:accesses.on_behalf_of": "no human is named behind the account",
    "E5:jobs.change": "no open change stands behind the job",
    "E5:jobs.job": "no job of this name exists",
    "E5:jobs.service": "no job of this service was due",
    "E5:jobs.targeted": "the job is declared untargeted, but it names persons",
    "E5:jobs.valid_to": "the job had ended",
    "E6:incidents.closed": "the incident had been closed before the access",
    "E6:incidents.incident": "no incident was open",
    "E6:roster.actor": "the actor was not on the roster of the incident",
    "E7:consents.subject": "the subject gave no consent",
    "E7:subjects.person": "the account is not the actor's own",
    "E8:staff.unit": "the actor is not of the privacy unit",
    "E8:tickets.inbound": "no request of the subject about their own data exists",
    "E8:tickets.kind": "the ticket is no request of the subject about their own data",
    "E8:tickets.subject": "no request of the subject about their own data exists",
    "E9:assignments.valid_from": "no hand-over to this actor began before the access",
    "E9:case_scope.subject": "the quality case does not hold this subject in its sample",
    "E10:cases.case": "no training case names this actor",
    "E10:subjects.kind": "the account is no test account",
    "E11:assignments.actor": "the oversight case was not assigned to this actor",
    "E11:cases.case": "no oversight case covers this",
    "E11:cases.owner": "the oversight case is owned from inside the overseen unit",
    "E12:approvals.at": "the override was not reviewed from outside within 24 hours",
    "E12:approvals.decision": "the override was not reviewed from outside within 24 hours",
    "E12:incidents.incident": "no incident about danger to life was open",
    "E12:incidents.kind": "the open incident is not about danger to life",
    "E13:datamap.category": "fields that are not public were read",
}
"""Token (template and the column that failed) → why the innocent reason does not hold. Whole clauses."""

LEVELS: Final = {"high": "look today", "medium": "look this week", "low": "look when there is time", "note": "for the record"}
"""Level of a finding or campaign → what it asks of a reader."""

CATEGORY: Final = {
    "location": "location",
    "ip_address": "IP address",
    "message": "messages",
    "contact": "contact",
    "identity": "identity",
    "credential": "credentials",
    "payment": "payment",
    "health": "health",
    "device": "device",
    "behaviour": "behaviour",
    "public": "public",
    "staff_location": "staff location",
}
"""Sensitivity class of a field → a short name."""


def against(code: str) -> str:
    """Return what a V code says; a code that is not known says so."""
    return AGAINST.get(code, "a code this version does not know")


def reason(code: str) -> str:
    """Return the innocent reason that an E code names; a code that is not known says so."""
    return FOR.get(code, "a reason this version does not know")


def lacked(token: str) -> str:
    """Return why an innocent reason does not hold, for a token such as `E2:case_scope.subject`."""
    if token in LACKED:
        return LACKED[token]
    code, _, place = token.partition(":")
    table, _, column = place.partition(".")
    if code not in FOR or not table or not column:
        return f"not met: {token}"
    return f"{FOR[code]}: no fitting {_spaced(column)} in {_spaced(table)}"


def category(word: str) -> str:
    """Return the short name of a category."""
    return CATEGORY.get(word, _spaced(word))


def _spaced(word: str) -> str:
    return word.replace("_", " ")
