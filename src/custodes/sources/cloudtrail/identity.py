"""Who called: the identity in the log, and the human behind a role session where the log proves one."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from custodes.model.draft import Draft
from custodes.model.words import UNKNOWN_ACTOR
from custodes.sources.cloudtrail.event import map_of, moment_of, text_of

_SESSIONS: Final = 100_000
_SAME_MOMENT: Final = timedelta(seconds=10)
_CHAIN: Final = 8
_CREATIONS: Final = 1000


class Creation(NamedTuple):
    """One successful call that created a role session.

    `human`: the caller, or whom the caller's session declares, or None; `of`: the caller's own role session, which may say more.
    """

    time: datetime
    key: str
    human: str | None
    of: tuple[str, str] | None


class Session(NamedTuple):
    """What an event says of its role session: name of the session, when it was created, and its key."""

    arn: str
    created: str
    key: str


class Sessions:
    """Who created which role session: the last 100,000 names of sessions, of each the last 1,000 creations.

    `changed`: set when one is added; whoever waits for it takes it back.
    """

    def __init__(self, known: list[tuple[str, list[Creation]]]) -> None:
        self._creations: OrderedDict[str, list[Creation]] = OrderedDict(known)
        self.changed = False

    def known(self) -> list[tuple[str, list[Creation]]]:
        """Return what a new object needs to know the same."""
        return list(self._creations.items())

    def remember(self, draft: Draft, event: Mapping[str, Any], session: Session | None) -> None:
        """Keep who created which session."""
        if not draft.operation.startswith("AssumeRole") or draft.outcome != "success":
            return
        answer = map_of(event, "responseElements")
        arn = text_of(map_of(answer, "assumedRoleUser"), "arn") or _arn_of_request(map_of(event, "requestParameters"))
        if arn is None:
            return
        human = draft.on_behalf_of or (draft.actor if _can_be_human(event) else None)
        of = (session.arn, session.created) if session is not None else None
        key = text_of(map_of(answer, "credentials"), "accessKeyId") or ""
        creations = self._creations.setdefault(arn, [])
        made = Creation(draft.time, key, human, of)
        if made not in creations:
            creations.append(made)
            del creations[:-_CREATIONS]
            self.changed = True
        self._creations.move_to_end(arn)
        while len(self._creations) > _SESSIONS:
            self._creations.popitem(last=False)

    def creator(self, arn: str, created: str, key: str, depth: int = _CHAIN) -> tuple[bool, str | None]:
        """Return whether the creating call was seen, and the one human behind it. Several possible callers are no answer."""
        found = self._creations.get(arn, [])
        moment = moment_of(created)
        if moment is not None:
            found = [creation for creation in found if abs(creation.time - moment) <= _SAME_MOMENT]
        found = [creation for creation in found if creation.key == key] or found
        callers: set[str | None] = set()
        for creation in found:
            known, human = (True, None) if creation.of is None or not depth else self.creator(*creation.of, "", depth - 1)
            if not known and creation.human is None:
                return False, None
            callers.add(human or creation.human)
        return bool(found), callers.pop() if len(callers) == 1 else None


def hide(draft: Draft) -> Draft:
    """Flag that the log does not say who it was, if it does not."""
    if draft.on_behalf_of is None and "actor_hidden" not in draft.coverage:
        draft.coverage.append("actor_hidden")
    return draft


def who(draft: Draft, event: Mapping[str, Any]) -> Session | None:
    """Set the actor as the event names it. Return the role session, if its human may be found elsewhere."""
    identity = map_of(event, "userIdentity")
    kind = text_of(identity, "type")
    arn, principal = text_of(identity, "arn"), text_of(identity, "principalId")
    attributes = map_of(map_of(identity, "sessionContext"), "attributes")
    draft.session = text_of(identity, "accessKeyId")
    if kind in _HUMAN_KINDS:
        draft.actor = text_of(identity, "userName") or principal or arn or UNKNOWN_ACTOR
        signed_in = kind != "IAMUser" or attributes.get("mfaAuthenticated") == "true" or draft.system == "signin"
        draft.actor_kind = "human" if signed_in else "unknown"
    elif kind == "AssumedRole":
        return _role_session(draft, identity, attributes)
    elif kind == "Root":
        draft.actor, draft.actor_kind = arn or principal or UNKNOWN_ACTOR, "shared"
    elif kind == "AWSService" or (kind is None and "invokedBy" in identity):
        draft.actor, draft.actor_kind = text_of(identity, "invokedBy") or UNKNOWN_ACTOR, "service"
    else:
        draft.actor = arn or principal or text_of(identity, "userName") or text_of(identity, "accountId") or UNKNOWN_ACTOR
        hide(draft)
    if draft.actor in (UNKNOWN_ACTOR, "HIDDEN_DUE_TO_SECURITY_REASONS"):
        draft.actor = UNKNOWN_ACTOR
        hide(draft)
    return None


_HUMAN_KINDS: Final = frozenset({"IAMUser", "SAMLUser", "WebIdentityUser", "IdentityCenterUser"})
_SSO: Final = "/aws-reserved/sso.amazonaws.com/"
"""Path of the roles of single sign-on: nobody else can make a role there, and their session name is the person's own."""


def _can_be_human(event: Mapping[str, Any]) -> bool:
    return map_of(event, "userIdentity").get("type") in _HUMAN_KINDS


def _role_session(draft: Draft, identity: Mapping[str, Any], attributes: Mapping[str, Any]) -> Session | None:
    """Set actor, role and what is known of the human; return the session if the call that created it may say more.

    A session name is chosen by the caller and proves nothing: neither a person nor, if it looks like one, an instance.
    """
    arn = text_of(identity, "arn") or text_of(identity, "principalId")
    context = map_of(identity, "sessionContext")
    role = text_of(map_of(context, "sessionIssuer"), "arn")
    if arn is None:
        hide(draft)
        return None
    draft.actor, draft.effective, draft.delegation = arn, role, "role"
    if _SSO in (role or ""):
        name = re.split("[/:]", arn)[-1]
        draft.on_behalf_of, draft.behalf_basis, draft.actor_kind = name, "session_name", "human"
        return None
    if source := text_of(context, "sourceIdentity"):
        draft.on_behalf_of, draft.behalf_basis = source, "declared"
    elif "ec2RoleDelivery" in context or "/aws-service-role/" in (role or ""):
        draft.actor_kind = "service"
        hide(draft)
        return None
    return Session(arn, text_of(attributes, "creationDate") or "", text_of(identity, "accessKeyId") or "")


def _arn_of_request(request: Mapping[str, Any]) -> str | None:
    """Return the name of the session that a request asked for, as later events write it."""
    role, name = text_of(request, "roleArn"), text_of(request, "roleSessionName")
    match = re.fullmatch(r"arn:([\w-]+):iam::(\d+):role/(?:.*/)?([^/]+)", role or "")
    return f"arn:{match[1]}:sts::{match[2]}:assumed-role/{match[3]}/{name}" if match and name else None
