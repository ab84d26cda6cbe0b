"""`cloudtrail`: AWS CloudTrail, as delivered files (`{"Records": […]}`), as one event per line, gzip or not.

What an event says is taken; what it does not say stays open. The human behind a role session is named only by what the log proves
or the platform sets: the call that created the session (`assume_role_chain`), the source identity (`declared`), or the session
name of a single sign-on role (`session_name`). Files are not in time order: an event of an unexplained session waits until `finish`
(at most 20,000 wait) for the call that created it. In a `Records` file the line of a record is its number, counted from 1.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

import msgspec

from custodes.lines import read_head, read_lines
from custodes.lines.arrays import ArrayFormat, read_array
from custodes.model.datamap import DataMap, ResourceMap
from custodes.model.draft import Draft, Note, Parsed, Raw, Rejected, Resource, Selector, SubjectUse
from custodes.model.words import UNKNOWN_ACTOR
from custodes.source import CannotSee, Chunk, Coverage, Follow, Position

MANIFEST: Final = Coverage(
    source="cloudtrail",
    version="cloudtrail/1",
    sees=("management calls: who changed or listed what", "data events, where switched on: object key, item key, caller"),
    cannot_see=(
        CannotSee(
            "object reads unless data events are on",
            "data events are off by default; management events show buckets and tables, not what was read from them",
            "switch on data events for every bucket and table that holds personal data (put-event-selectors), and keep them on",
        ),
        CannotSee(
            "values that are not keys",
            "only the object key or the item's primary key is in an event; filters, results and contents are not",
            "declare key templates in the data map; put the gate or a result tap in front of the store",
        ),
        CannotSee(
            "the human behind a role without a session name or source identity",
            "an assumed role is a shared identity; instance and service roles have no human at all",
            "require sts:SourceIdentity, or single sign-on with the person's id as session name; keep AssumeRole events",
        ),
        CannotSee(
            "the human behind a session that was created outside the files read",
            "the call that created a session may stand in another region's, account's or day's file",
            "read the trail of all regions and accounts together, in one run",
        ),
        CannotSee(
            "how many rows a query returned",
            "events carry bytes at most, for object reads",
            "read the log of the query engine as well",
        ),
        CannotSee(
            "events that were never delivered",
            "the files carry no sequence numbers, and who may write to the bucket may remove a file",
            "turn on log file validation and check the digest chain; deliver to an account that nobody works in",
        ),
    ),
    subject="key",
    fields="none",
    rows=False,
    purpose=None,
    gap_proof="none",
    tail_proof=False,
    deletable_by=("whoever may write to the delivery bucket", "whoever may stop the trail"),
    checked="2026-11-22",
    delay_s=900,
    retention_d=90,
    settings_expected={"data events": "on for stores with personal data", "log file validation": "on", "regions": "all"},
)

_DOCUMENT: Final = ArrayFormat(
    opens=re.compile(r'\s*(?:\{\s*"Records"\s*:\s*)?\['),
    record=re.compile(r'\{\s*"(?:eventVersion|eventSource|eventName|eventTime|userIdentity|awsRegion)"'),
)
_EMPTY: Final = re.compile(r'\s*\{\s*"Records"\s*:\s*\[\s*\]\s*\}\s*')
_LOOKED_AT: Final = 20
_HELD: Final = 20_000
_SESSIONS: Final = 100_000
_SAME_MOMENT: Final = timedelta(seconds=10)
_CHAIN: Final = 8


@dataclass(frozen=True, slots=True)
class CloudTrailSource:
    """The source."""

    @property
    def name(self) -> str:
        """Return `cloudtrail`."""
        return MANIFEST.source

    @property
    def version(self) -> str:
        """Return the parser's version."""
        return MANIFEST.version

    @property
    def manifest(self) -> Coverage:
        """Say what a trail cannot show."""
        return MANIFEST

    def sniff(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - content decides, names lie
        """Recognise a `Records` document with events (or empty), or lines that are events."""
        if _DOCUMENT.matches(head):
            return b'"eventSource"' in head or _EMPTY.fullmatch(head.decode("latin-1")) is not None
        return any(_is_event(line) for line in head.split(b"\n", _LOOKED_AT)[:_LOOKED_AT])

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        """Yield raw records. A delivered file does not grow: with `follow` it is read to its end, a file of lines is followed."""
        if _DOCUMENT.matches(read_head(path)):
            return read_array(path, position, _DOCUMENT)
        return read_lines(path, position, follow=follow)

    def parser(self, datamap: DataMap, state: bytes | None = None) -> CloudTrailParser:
        """Return a parser that knows the sessions seen so far."""
        return CloudTrailParser(datamap, state)


def _is_event(line: bytes) -> bool:
    try:
        event = _DECODE(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        # An event longer than what is looked at.
        return line.lstrip().startswith(b"{") and all(
            word in line for word in (b'"eventSource"', b'"eventName"', b'"userIdentity"')
        )
    return isinstance(event, dict) and {"eventSource", "eventName"} <= event.keys()


_DECODE: Final = msgspec.json.Decoder().decode


class _Bad(Exception):
    """A record that cannot be read. Not an error of the tree: its text becomes the reason of a `Rejected`."""


class _Creation(NamedTuple):
    """One successful call that created a role session. `human`: None if the caller was none; `of`: the caller's own session."""

    time: datetime
    key: str
    human: str | None
    of: tuple[str, str] | None


class _Session(NamedTuple):
    """What an event says of its role session: name of the session, when it was created, and its key."""

    arn: str
    created: str
    key: str


class _Seen(msgspec.Struct):
    """What was seen in one file since the last `finish`."""

    records: int = 0
    data_events: int = 0


class _State(msgspec.Struct):
    creations: list[tuple[str, list[_Creation]]]
    held: list[Raw]
    seen: dict[str, _Seen]


class CloudTrailParser:
    """Turns events into drafts. Drafts of unexplained role sessions wait for the call that created the session."""

    def __init__(self, datamap: DataMap, state: bytes | None = None) -> None:
        self._datamap = datamap
        self._creations: OrderedDict[str, list[_Creation]] = OrderedDict()
        self._held: deque[tuple[Draft, _Session]] = deque()
        self._seen: dict[str, _Seen] = {}
        self._templates = _Templates(datamap)
        if state:
            before = msgspec.json.decode(state, type=_State)
            self._creations.update(before.creations)
            self.feed(before.held)
            self._seen = before.seen

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        """Parse each event by itself, then see which waiting ones can be explained now."""
        parsed = Parsed()
        for raw in raws:
            try:
                self._event(raw, parsed)
            except _Bad as bad:
                parsed.rejected.append(Rejected(raw, str(bad)))
        waiting, self._held = self._held, deque()
        for draft, session in waiting:
            if self._explain(draft, session):
                parsed.drafts.append(draft)
            else:
                self._held.append((draft, session))
        while len(self._held) > _HELD:
            parsed.drafts.append(_hidden(self._held.popleft()[0]))
        return parsed

    def finish(self) -> Parsed:
        """Give out what waits, its human unknown, and say which files held no data event."""
        parsed = Parsed(drafts=[_hidden(draft) for draft, _ in self._held])
        self._held.clear()
        for file, seen in self._seen.items():
            if not seen.data_events:
                parsed.notes.append(Note("configuration", _NO_DATA_EVENTS, file, None, {"records": seen.records, "data_events": 0}))
        self._seen = {}
        return parsed

    def state(self) -> bytes:
        """Return the sessions seen and the records that wait."""
        held = [draft.raws[0] for draft, _ in self._held]
        return msgspec.json.encode(_State(list(self._creations.items()), held, self._seen))

    def _event(self, raw: Raw, parsed: Parsed) -> None:
        event = _decode(raw)
        if event.get("eventCategory") == "Insight" or event.get("eventType") == "AwsCloudTrailInsight":
            parsed.counted["insight"] = parsed.counted.get("insight", 0) + 1
            return
        name, source = _text(event, "eventName"), _text(event, "eventSource")
        if not name or not source:
            raise _Bad(f"missing {'eventName' if source else 'eventSource'}: not a CloudTrail event")
        system = source.removesuffix(".amazonaws.com")
        draft = Draft([raw], _time(event), UNKNOWN_ACTOR, _action(event, system, name), system, name)
        draft.id = _text(event, "eventID")
        draft.outcome = _outcome(event)
        draft.client_address = _address(event)
        is_data = _is_data_event(event, system, name)
        draft.extra = {"event_category": "data" if is_data else "management"}
        for key in ("awsRegion", "userAgent", "errorCode", "recipientAccountId"):
            if value := _text(event, key):
                draft.extra[key] = value
        seen = self._seen.setdefault(raw.file, _Seen())
        seen.records += 1
        seen.data_events += is_data
        self._templates.describe(draft, event, is_data=is_data)
        if note := _TRAIL_CHANGES.get(name) if system == "cloudtrail" else None:
            parsed.notes.append(Note("configuration", note, raw.file, raw.line, {"outcome": draft.outcome or "unknown"}))
        session = _who(draft, event)
        self._remember(draft, event, session)
        if session is None or draft.on_behalf_of is not None:
            parsed.drafts.append(draft)
        else:
            self._held.append((draft, session))

    def _remember(self, draft: Draft, event: Mapping[str, Any], session: _Session | None) -> None:
        """Keep who created which session."""
        if not draft.operation.startswith("AssumeRole") or draft.outcome != "success":
            return
        answer = _map(event, "responseElements")
        arn = _text(_map(answer, "assumedRoleUser"), "arn") or _arn_of_request(_map(event, "requestParameters"))
        if arn is None:
            return
        human = draft.on_behalf_of or (draft.actor if _can_be_human(event) else None)
        of = (session.arn, session.created) if session is not None and draft.on_behalf_of is None else None
        key = _text(_map(answer, "credentials"), "accessKeyId") or ""
        creations = self._creations.setdefault(arn, [])
        made = _Creation(draft.time, key, human, of)
        if made not in creations:
            creations.append(made)
        self._creations.move_to_end(arn)
        while len(self._creations) > _SESSIONS:
            self._creations.popitem(last=False)

    def _explain(self, draft: Draft, session: _Session) -> bool:
        """Book the draft on the human who created its session, if known; True if there is nothing to wait for."""
        known, human = self._creator(session.arn, session.created, session.key, _CHAIN)
        if human is not None:
            draft.on_behalf_of, draft.behalf_basis = human, "assume_role_chain"
        elif known:
            _hidden(draft)
        return known

    def _creator(self, arn: str, created: str, key: str, depth: int) -> tuple[bool, str | None]:
        """Return whether the creating call was seen, and the one human behind it. Several possible callers are no answer."""
        found = self._creations.get(arn, [])
        moment = _moment(created)
        if moment is not None:
            found = [creation for creation in found if abs(creation.time - moment) <= _SAME_MOMENT]
        found = [creation for creation in found if creation.key == key] or found
        callers: set[str | None] = set()
        for creation in found:
            if creation.of is None:
                callers.add(creation.human)
            elif depth:
                known, human = self._creator(*creation.of, "", depth - 1)
                if not known:
                    return False, None
                callers.add(human)
        return bool(found), callers.pop() if len(callers) == 1 else None


_NO_DATA_EVENTS: Final = (
    "no data event in this file: data events seem to be off, so it does not show who read objects or items"
    " (no sign that nobody did)"
)
_TRAIL_CHANGES: Final = {
    "StopLogging": "the trail was stopped",
    "DeleteTrail": "a trail was deleted",
    "UpdateTrail": "a trail's settings were changed",
    "PutEventSelectors": "what a trail records was changed",
    "PutInsightSelectors": "what a trail records was changed",
    "DeleteEventDataStore": "an event store was deleted",
}


def _hidden(draft: Draft) -> Draft:
    if "actor_hidden" not in draft.coverage:
        draft.coverage.append("actor_hidden")
    return draft


def _decode(raw: Raw) -> dict[str, Any]:
    if raw.cut:
        raise _Bad("record longer than the limit: kept by its first bytes, its length and its SHA-256")
    try:
        event = _DECODE(raw.data)
    except UnicodeDecodeError:
        raise _Bad("not UTF-8") from None
    except (msgspec.DecodeError, ValueError):
        raise _Bad("not JSON") from None
    except RecursionError:
        raise _Bad("not JSON that can be read: nested too deeply") from None
    if not isinstance(event, dict):
        raise _Bad("not a JSON object")
    return event


def _text(values: Mapping[str, Any], name: str) -> str | None:
    """Return a text, or None for anything else: foreign events put other types in odd places."""
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def _map(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _maps(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = values.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _time(event: Mapping[str, Any]) -> datetime:
    value = _text(event, "eventTime") or _text(event, "@timestamp")
    if value is None:
        raise _Bad("missing eventTime")
    moment = _moment(value)
    if moment is None:
        raise _Bad("eventTime is not a time: expected such as 2026-03-02T10:00:00Z")
    return moment


def _moment(value: str) -> datetime | None:
    """Return a time of an event. CloudTrail defines its times as UTC; copies of events often lose the letter that says so."""
    try:
        made = datetime.fromisoformat(value)
        return made.replace(tzinfo=UTC) if made.tzinfo is None else made.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _outcome(event: Mapping[str, Any]) -> str:
    code = _text(event, "errorCode")
    if code is not None:
        return "denied" if _DENIED.search(code) else "failure"
    answer = _map(event, "responseElements")
    return "failure" if "Failure" in (answer.get("ConsoleLogin"), answer.get("CheckMfa")) else "success"


_DENIED: Final = re.compile(r"AccessDenied|Unauthori[sz]ed|NotAuthori[sz]ed|Forbidden|^403|OptInRequired|AuthFailure")


def _address(event: Mapping[str, Any]) -> str | None:
    """Return the caller's address; names of services stand in the same place and are none."""
    value = _text(event, "sourceIPAddress")
    try:
        return None if value is None else str(ip_address(value))
    except ValueError:
        return None


def _who(draft: Draft, event: Mapping[str, Any]) -> _Session | None:
    """Set the actor as the event names it. Return the role session, if its human may be found elsewhere."""
    identity = _map(event, "userIdentity")
    kind = _text(identity, "type")
    arn, principal = _text(identity, "arn"), _text(identity, "principalId")
    attributes = _map(_map(identity, "sessionContext"), "attributes")
    draft.session = _text(identity, "accessKeyId")
    if kind in _HUMAN_KINDS:
        draft.actor = _text(identity, "userName") or principal or arn or UNKNOWN_ACTOR
        signed_in = kind != "IAMUser" or attributes.get("mfaAuthenticated") == "true" or draft.system == "signin"
        draft.actor_kind = "human" if signed_in else "unknown"
    elif kind == "AssumedRole":
        return _role_session(draft, identity, attributes)
    elif kind == "Root":
        draft.actor, draft.actor_kind = arn or principal or UNKNOWN_ACTOR, "shared"
    elif kind == "AWSService" or (kind is None and "invokedBy" in identity):
        draft.actor, draft.actor_kind = _text(identity, "invokedBy") or UNKNOWN_ACTOR, "service"
    else:
        draft.actor = arn or principal or _text(identity, "userName") or _text(identity, "accountId") or UNKNOWN_ACTOR
        _hidden(draft)
    if draft.actor in (UNKNOWN_ACTOR, "HIDDEN_DUE_TO_SECURITY_REASONS"):
        draft.actor = UNKNOWN_ACTOR
        _hidden(draft)
    return None


_HUMAN_KINDS: Final = frozenset({"IAMUser", "SAMLUser", "WebIdentityUser", "IdentityCenterUser"})
_SSO: Final = "/AWSReservedSSO_"


def _can_be_human(event: Mapping[str, Any]) -> bool:
    return _map(event, "userIdentity").get("type") in _HUMAN_KINDS


def _role_session(draft: Draft, identity: Mapping[str, Any], attributes: Mapping[str, Any]) -> _Session | None:
    """Set actor, role and what is known of the human; return the session if the call that created it may say more."""
    arn = _text(identity, "arn") or _text(identity, "principalId")
    context = _map(identity, "sessionContext")
    role = _text(_map(context, "sessionIssuer"), "arn")
    if arn is None:
        _hidden(draft)
        return None
    draft.actor, draft.effective, draft.delegation = arn, role, "role"
    name = re.split("[/:]", arn)[-1]
    if source := _text(context, "sourceIdentity"):
        draft.on_behalf_of, draft.behalf_basis, draft.actor_kind = source, "declared", "shared"
        return None
    if _SSO in arn:
        draft.on_behalf_of, draft.behalf_basis, draft.actor_kind = name, "session_name", "human"
        return None
    if re.fullmatch(r"i-[0-9a-f]{8,17}", name) or "ec2RoleDelivery" in context or "/aws-service-role/" in (role or ""):
        draft.actor_kind = "service"
        _hidden(draft)
        return None
    return _Session(arn, _text(attributes, "creationDate") or "", _text(identity, "accessKeyId") or "")


def _arn_of_request(request: Mapping[str, Any]) -> str | None:
    """Return the name of the session that a request asked for, as later events write it."""
    role, name = _text(request, "roleArn"), _text(request, "roleSessionName")
    match = re.fullmatch(r"arn:([\w-]+):iam::(\d+):role/(?:.*/)?([^/]+)", role or "")
    return f"arn:{match[1]}:sts::{match[2]}:assumed-role/{match[3]}/{name}" if match and name else None


def _is_data_event(event: Mapping[str, Any], system: str, name: str) -> bool:
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


def _action(event: Mapping[str, Any], system: str, name: str) -> str:
    """Return the word for what was done; the event's own name stays in `operation`."""
    if system in ("signin", "sts"):
        return (
            "login"
            if name.startswith(("ConsoleLogin", "AssumeRole", "GetSessionToken", "GetFederationToken", "SwitchRole"))
            else "read"
        )
    if name == "CopyObject":
        request = _map(event, "requestParameters")
        source = (_text(request, "x-amz-copy-source") or "").lstrip("/").partition("/")[0]
        return "write" if source == request.get("bucketName") else "export"
    for pattern, action in _ACTIONS:
        if pattern.match(name):
            return action
    return {True: "read", False: "write"}.get(event.get("readOnly") in (True, "true"), "other") if "readOnly" in event else "other"


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


class _Templates:
    """What an event was about, and whose data that is, by the key templates of the data map.

    In the data map the resource is the bucket or table. For a bucket `subject_key` is a template of the object key, such as
    `people/{subject}/`: `{subject}` is one step of the path, `*` anything; what ends in `/` or `*` may go on. For a table it is the
    name of the key attribute. A template counts as naming a person only where all of it is matched.
    """

    def __init__(self, datamap: DataMap) -> None:
        self._datamap = datamap
        self._compiled: dict[str, re.Pattern[str]] = {}

    def describe(self, draft: Draft, event: Mapping[str, Any], *, is_data: bool) -> None:
        """Fill resources, subjects, scope and bytes of `draft`."""
        request = _map(event, "requestParameters")
        draft.field_basis = "unknown"
        bucket, key = _text(request, "bucketName"), _text(request, "key")
        table = _text(request, "tableName")
        if draft.system == "s3" and bucket:
            self._bucket(draft, bucket, key, _text(request, "prefix"))
        elif draft.system == "dynamodb" and table:
            self._table(draft, table.rpartition("/")[2], request)
        else:
            draft.resources = _named_resources(event)
        if not is_data and not draft.subjects and _shows_no_persons(draft.system, draft.operation):
            draft.subject_scope, draft.subject_max = "none", 0
        out = _map(event, "additionalEventData").get("bytesTransferredOut")
        if isinstance(out, int | float) and not isinstance(out, bool) and 0 <= out < 2**63:
            draft.bytes, draft.rows_basis = int(out), "reported"

    def _bucket(self, draft: Draft, bucket: str, key: str | None, prefix: str | None) -> None:
        draft.resources = [Resource(bucket, "bucket")]
        entry = self._datamap.resource(draft.system, bucket)
        if key is None:
            if entry is not None and prefix and (found := self._match(entry, prefix)):
                _name(draft, [found[0]], "listed")
            elif entry is not None and draft.action == "list":
                draft.subject_scope = "set"
            return
        found = self._match(entry, key) if entry is not None else None
        if found is None:
            draft.resources.append(Resource(f"{bucket}/{key}", "object"))
        else:
            draft.resources.append(Resource(f"{bucket}/{found[1]}", "object"))
            _name(draft, [found[0]], "accessed")

    def _match(self, entry: ResourceMap, key: str) -> tuple[str, str] | None:
        for template in entry.subject_key:
            if "{subject}" not in template:
                continue
            pattern = self._compiled.setdefault(template, _compile(template))
            if match := pattern.fullmatch(key.lstrip("/")):
                return match["subject"], template.lstrip("/")
        return None

    def _table(self, draft: Draft, table: str, request: Mapping[str, Any]) -> None:
        draft.resources = [Resource(table)]
        entry = self._datamap.resource(draft.system, table)
        if entry is None:
            return
        keys = [_map(request, "key"), *_maps(request, "keys")]
        named = [value for key in keys for name in entry.subject_key if (value := _attribute(key.get(name))) is not None]
        if named:
            _name(draft, list(dict.fromkeys(named)), "accessed")
            draft.subject_scope = "key_predicate"
        elif draft.operation == "Scan":
            draft.subject_scope = "set"
        draft.selectors = [
            Selector(kind, value)
            for key in keys
            for name, kind in entry.selectors.items()
            if (value := _attribute(key.get(name))) is not None
        ]


def _compile(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{subject\}|\*|…)", template.lstrip("/"))
    pattern = "".join({"{subject}": "(?P<subject>[^/]+)", "*": ".*", "…": ".*"}.get(part) or re.escape(part) for part in parts)
    pattern = (
        pattern.replace("(?P<subject>[^/]+)", "\0", 1).replace("(?P<subject>[^/]+)", "[^/]+").replace("\0", "(?P<subject>[^/]+)")
    )
    return re.compile(pattern + (".*" if template.endswith("/") else ""), re.DOTALL)


def _name(draft: Draft, subjects: list[str], relation: str) -> None:
    """Name persons. Where the call was refused or failed they were asked for, not seen."""
    relation = relation if draft.outcome == "success" else "searched_for"
    draft.subjects = [SubjectUse(subject, "user_id", relation) for subject in subjects]
    draft.subject_scope, draft.subject_basis = "named", "source_named"
    draft.subject_min = draft.subject_max = len(subjects)


def _attribute(value: Any) -> str | None:
    """Return the value of a key attribute, written plainly or with its type (`{"S": "…"}`)."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    return value if isinstance(value, str) and value else str(value) if isinstance(value, int) else None


def _named_resources(event: Mapping[str, Any]) -> list[Resource]:
    arns = [_text(item, "ARN") or _text(item, "arn") for item in _maps(event, "resources")]
    return [Resource(arn, "other") for arn in dict.fromkeys(arns) if arn][:_MOST_RESOURCES]


_MOST_RESOURCES: Final = 50


def _shows_no_persons(system: str, name: str) -> bool:
    """Say whether a management call shows settings only. What is not on this closed list may show persons: its scope stays open."""
    return system in _SETTINGS_ONLY and not _MAY_REACH_DATA.search(name)


_SETTINGS_ONLY: Final = frozenset(
    {
        *("access-analyzer", "account", "acm", "autoscaling", "cloudformation", "cloudtrail", "config", "ec2"),
        *("elasticloadbalancing", "guardduty", "health", "iam", "inspector2", "kms", "organizations", "route53", "s3"),
        *("secretsmanager", "securityhub", "servicequotas", "signin", "ssm", "sso", "sts", "tagging"),
    }
)
_MAY_REACH_DATA: Final = re.compile(
    r"Snapshot|Image|Volume(?!s?(Status|Modif))|Session$|SendCommand|Object|Inventory|StartAutomation|ConsoleOutput|ConsoleScreenshot"
)


SOURCE: Final = CloudTrailSource()
