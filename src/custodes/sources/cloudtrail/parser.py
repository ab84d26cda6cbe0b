"""Turning events into drafts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Note, Parsed, Raw, Rejected
from custodes.model.words import UNKNOWN_ACTOR
from custodes.sources.cloudtrail.event import BadEvent, action_of, address_of, decode, is_data_event, outcome_of, text_of, time_of
from custodes.sources.cloudtrail.identity import Creation, Session, Sessions, hide, who
from custodes.sources.cloudtrail.touched import Templates

_HELD: Final = 20_000


class _Seen(msgspec.Struct):
    """What was seen in one file since the last `finish`."""

    records: int = 0
    data_events: int = 0


class _State(msgspec.Struct):
    creations: list[tuple[str, list[Creation]]]
    held: list[Raw]
    seen: dict[str, _Seen]


class CloudTrailParser:
    """Turns events into drafts. Drafts of unexplained role sessions wait for the call that created the session."""

    def __init__(self, datamap: DataMap, state: bytes | None = None) -> None:
        self._datamap = datamap
        self._sessions = Sessions([])
        self._held: deque[tuple[Draft, Session]] = deque()
        self._seen: dict[str, _Seen] = {}
        self._templates = Templates(datamap)
        if state:
            before = msgspec.json.decode(state, type=_State)
            self._sessions = Sessions(before.creations)
            self.feed(before.held)
            self._seen = before.seen

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        """Parse each event by itself, then see which waiting ones can be explained now."""
        parsed = Parsed()
        for raw in raws:
            try:
                self._event(raw, parsed)
            except BadEvent as bad:
                parsed.rejected.append(Rejected(raw, str(bad)))
        if self._sessions.changed:
            self._sessions.changed = False
            waiting, self._held = self._held, deque()
            for draft, session in waiting:
                self._give(draft, session, parsed)
        while len(self._held) > _HELD:
            parsed.drafts.append(hide(self._held.popleft()[0]))
        return parsed

    def finish(self) -> Parsed:
        """Give out what waits, its human unknown, and say which files held no data event."""
        parsed = Parsed(drafts=[hide(draft) for draft, _ in self._held])
        self._held.clear()
        for file, seen in self._seen.items():
            if not seen.data_events:
                parsed.notes.append(Note("configuration", _NO_DATA_EVENTS, file, None, {"records": seen.records, "data_events": 0}))
        self._seen = {}
        return parsed

    def state(self) -> bytes:
        """Return the sessions seen and the records that wait."""
        held = [draft.raws[0] for draft, _ in self._held]
        return msgspec.json.encode(_State(self._sessions.known(), held, self._seen))

    def _event(self, raw: Raw, parsed: Parsed) -> None:
        event = decode(raw)
        if event.get("eventCategory") == "Insight" or event.get("eventType") == "AwsCloudTrailInsight":
            parsed.counted["insight"] = parsed.counted.get("insight", 0) + 1
            return
        name, source = text_of(event, "eventName"), text_of(event, "eventSource")
        if not name or not source:
            raise BadEvent(f"missing {'eventName' if source else 'eventSource'}: not a CloudTrail event")
        system = source.removesuffix(".amazonaws.com")
        draft = Draft([raw], time_of(event), UNKNOWN_ACTOR, action_of(event, system, name), system, name)
        draft.id = text_of(event, "eventID")
        draft.outcome = outcome_of(event)
        draft.client_address = address_of(event)
        is_data = is_data_event(event, system, name)
        draft.extra = {"event_category": "data" if is_data else "management"}
        for key in ("awsRegion", "userAgent", "errorCode", "recipientAccountId"):
            if value := text_of(event, key):
                draft.extra[key] = value
        seen = self._seen.setdefault(raw.file, _Seen())
        seen.records += 1
        seen.data_events += is_data
        self._templates.describe(draft, event, is_data=is_data)
        if note := _TRAIL_CHANGES.get(name) if system == "cloudtrail" else None:
            parsed.notes.append(Note("configuration", note, raw.file, raw.line, {"outcome": draft.outcome or "unknown"}))
        session = who(draft, event)
        self._sessions.remember(draft, event, session)
        if session is None:
            parsed.drafts.append(draft)
        else:
            self._give(draft, session, parsed)

    def _give(self, draft: Draft, session: Session, parsed: Parsed) -> None:
        """Give the draft out if the call that created its session is known; else it waits."""
        if self._explain(draft, session):
            parsed.drafts.append(draft)
        else:
            self._held.append((draft, session))

    def _explain(self, draft: Draft, session: Session) -> bool:
        """Book the draft on the human who created its session, if known; True if there is nothing to wait for."""
        known, human = self._sessions.creator(session.arn, session.created, session.key)
        if human is not None:
            draft.on_behalf_of, draft.behalf_basis = human, "assume_role_chain"
        elif known:
            hide(draft)
        return known


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
