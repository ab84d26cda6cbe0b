"""Reading one event: foreign copies put other types in odd places, and none of them may stop the reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from custodes.model.draft import Raw

DECODE: Final = msgspec.json.Decoder().decode


class BadEvent(Exception):
    """A record that cannot be read. Not an error of the tree: its text becomes the reason of a `Rejected`."""


def decode(raw: Raw) -> dict[str, Any]:
    """Return the event as an object. Raises `BadEvent`."""
    if raw.cut:
        raise BadEvent("record longer than the limit: kept by its first bytes, its length and its SHA-256")
    try:
        event = DECODE(raw.data)
    except UnicodeDecodeError:
        raise BadEvent("not UTF-8") from None
    except (msgspec.DecodeError, ValueError):
        raise BadEvent("not JSON") from None
    except RecursionError:
        raise BadEvent("not JSON that can be read: nested too deeply") from None
    if not isinstance(event, dict):
        raise BadEvent("not a JSON object")
    return event


def text_of(values: Mapping[str, Any], name: str) -> str | None:
    """Return a text, or None for anything else: foreign events put other types in odd places."""
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def map_of(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object, or an empty one for anything else."""
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def maps_of(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list, or none for anything else."""
    value = values.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def time_of(event: Mapping[str, Any]) -> datetime:
    """Return when it happened. Raises `BadEvent`."""
    value = text_of(event, "eventTime") or text_of(event, "@timestamp")
    if value is None:
        raise BadEvent("missing eventTime")
    moment = moment_of(value)
    if moment is None:
        raise BadEvent("eventTime is not a time: expected such as 2026-03-02T10:00:00Z")
    return moment


def moment_of(value: str) -> datetime | None:
    """Return a time of an event. CloudTrail defines its times as UTC; copies of events often lose the letter that says so."""
    try:
        made = datetime.fromisoformat(value)
        return made.replace(tzinfo=UTC) if made.tzinfo is None else made.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def outcome_of(event: Mapping[str, Any]) -> str:
    """Return success, denied or failure."""
    code = text_of(event, "errorCode")
    if code is not None:
        return "denied" if _DENIED.search(code) else "failure"
    answer = map_of(event, "responseElements")
    return "failure" if "Failure" in (answer.get("ConsoleLogin"), answer.get("CheckMfa")) else "success"


_DENIED: Final = re.compile(r"AccessDenied|Unauthori[sz]ed|NotAuthori[sz]ed|Forbidden|^403|OptInRequired|AuthFailure")


def address_of(event: Mapping[str, Any]) -> str | None:
    """Return the caller's address; names of services stand in the same place and are none."""
    value = text_of(event, "sourceIPAddress")
    try:
        return None if value is None else str(ip_address(value))
    except ValueError:
        return None


def is_data_event(event: Mapping[str, Any], system: str, name: str) -> bool:
    """Judge by the name as well: exports and normalised copies lose or mistake the category."""
    if event.get("eventCategory") == "Data":
        return True
    return system in _DATA_EVENTS and _DATA_EVENTS[system].fullmatch(name) is not None


_DATA_EVENTS: Final = {
    "s3": re.compile(
        r"(Get|Head|Put|Post|Delete|Copy|Restore|Select|Upload|List|Create|Complete|Abort)"
        r"(Objects?(V2|Versions|Content|Acl|Tagging|Torrent|Attributes|Retention|LegalHold)?|MultipartUploads?|Parts?|PartCopy)"
    ),
    "dynamodb": re.compile(
        r"(Batch|Transact)?(Get|Put|Update|Delete|Write)Items?|Query|Scan|(Batch)?ExecuteStatement|ExecuteTransaction"
    ),
    "lambda": re.compile(r"Invoke\w*"),
}


def action_of(event: Mapping[str, Any], system: str, name: str) -> str:
    """Return the word for what was done; the event's own name stays in `operation`."""
    if system in ("signin", "sts"):
        return (
            "login"
            if name.startswith(("ConsoleLogin", "AssumeRole", "GetSessionToken", "GetFederationToken", "SwitchRole"))
            else "read"
        )
    if name == "CopyObject":
        request = map_of(event, "requestParameters")
        source = (text_of(request, "x-amz-copy-source") or "").lstrip("/").partition("/")[0]
        return "write" if source == request.get("bucketName") else "export"
    for pattern, action in _ACTIONS:
        if pattern.match(name):
            return action
    if "readOnly" not in event:
        return "other"
    return "read" if event["readOnly"] in (True, "true") else "write"


_ACTIONS: Final = tuple(
    (re.compile(pattern), action)
    for pattern, action in (
        (r"(Put|Attach)\w*Policy$|AddUserToGroup|AddPermission|CreateAccessKey|CreateLoginProfile|CreateGrant", "grant"),
        (r"Export|StartExport|Modify\w*(Snapshot|Image)Attribute|CopyDB\w*Snapshot|CreateInstanceExport", "export"),
        (r"Query$|Scan$|SelectObject|StartQuery|Start\w*QueryExecution|(Batch)?ExecuteStatement|ExecuteTransaction", "query"),
        (r"Search|FilterLogEvents|LookupEvents", "search"),
        (r"List", "list"),
        (r"(Batch|Transact)?Get|BatchDescribe|Describe|Head|View|Read|Download|Decrypt", "read"),
        (r"(Batch)?(Delete|Terminate)|Remove|Purge", "delete"),
        (
            r"(Batch)?(Put|Create|Update|Modify|Write)|Attach|Detach|Set|Add|Tag|Untag|Run|Start|Stop|Enable|Disable|Encrypt",
            "write",
        ),
    )
)
