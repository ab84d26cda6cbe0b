"""The decision: Cedar policies with a schema over facts that others vouch for. Anything unexpected is a refusal.

`allowed` = a schema was given, Cedar says Allow, and not one diagnostic. Cedar would skip a `forbid` on a missing attribute, with a
diagnostic and an Allow; the schema makes that impossible, and the diagnostic counts as a refusal all the same. Policies are
compiled once an epoch. A bad reload keeps the last good set and says so; without any set everything is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from custodes.errors import ConfigError
from custodes.guard.grants import OUTSIDE, PERSON
from custodes.guard.words import NEEDS_APPROVAL, NOT_PERMITTED, OBLIGATIONS, UNAVAILABLE, Decision, Known, Request
from custodes.model.canonical import canonical
from custodes.model.policy import Policy

if TYPE_CHECKING:
    import cedarpy

_ACTIONS: Final = {"value": "reveal", "lease": "lease", "compare": "compare", "aggregate": "aggregate"}
_CLASS: Final = re.compile(r'@id\("([^"]*)"\)\s*@class\("([^"]*)"\)')
_PERMIT: Final = re.compile(r"^\s*permit\b", re.MULTILINE)
_NEVER, _NOTHING = "(never)", "(unknown)"
NEVER: Final = ("identify_source", "leak_hunt", "colocate", "locate_subject")
"""Purposes that do not exist, whatever a policy file says."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One compiled set: Cedar text and the facts of one policy. `epoch` only rises."""

    epoch: int
    policy: Policy
    hash: str
    policies: cedarpy.PolicySet
    schema: cedarpy.Schema
    facts: cedarpy.Entities
    classes: Mapping[str, str]


def compile_rules(policy: Policy, policy_bytes: bytes, epoch: int, company: Sequence[str] = ()) -> Rules:
    """Compile the shipped rules and a company's own (Cedar text) for one policy. Raises `ConfigError`: nothing is half in force."""
    import cedarpy

    folder = files("custodes.guard") / "cedar"
    schema_text, text = ((folder / name).read_text(encoding="utf-8") for name in ("guard.cedarschema", "guard.cedar"))
    whole = "\n".join((text, *company))
    found = cedarpy.validate_policies(whole, schema_text)
    if not found.validation_passed:
        raise ConfigError(f"a policy does not fit the schema: {found.errors[0].error if found.errors else 'no reason given'}")
    try:
        policies, schema = cedarpy.PolicySet.from_str(whole), cedarpy.Schema.from_str(schema_text)
    except ValueError as wrong:
        raise ConfigError(f"a policy cannot be read: {wrong}") from None
    digest = sha256(b"\n".join((canonical([schema_text, whole]), policy_bytes))).hexdigest()
    facts = cedarpy.Entities.from_json_str(json.dumps([*_purposes(policy), *_regions(policy)]))
    return Rules(epoch, policy, f"sha256:{digest}", policies, schema, facts, dict(_CLASS.findall(whole)))


def permits(text: str) -> int:
    """Return how many `permit` rules a text holds: adding one takes two people."""
    return len(_PERMIT.findall(text))


class Judge:
    """Holds the rules in force. Not for changing a rule: that is recorded elsewhere; here a new epoch is only taken over."""

    def __init__(self, rules: Rules | None) -> None:
        self._rules = rules

    @property
    def rules(self) -> Rules | None:
        """The set in force."""
        return self._rules

    def reload(self, policy: Policy, policy_bytes: bytes, company: Sequence[str] = ()) -> str:
        """Take over a new set as the next epoch; return "" or why the last good one stays in force."""
        epoch = 1 + (self._rules.epoch if self._rules else 0)
        try:
            self._rules = compile_rules(policy, policy_bytes, epoch, company)
        except ConfigError as wrong:
            return str(wrong)
        return ""

    def decide(self, request: Request, known: Known) -> Decision:
        """Decide one request. Never raises: what goes wrong is a refusal with its reason."""
        rules = self._rules
        if rules is None:
            return Decision(False, "", 0, UNAVAILABLE, ("there are no rules",))
        try:
            return _decide(rules, request, known)
        except Exception as wrong:  # noqa: BLE001  # the promise of this method: whatever breaks here refuses
            return Decision(False, rules.hash, rules.epoch, UNAVAILABLE, (f"the decision broke: {type(wrong).__name__}",))


def _decide(rules: Rules, request: Request, known: Known) -> Decision:
    import cedarpy

    result = cedarpy.is_authorized(_asked(rules.policy, request, known), rules.policies, rules.facts, schema=rules.schema)
    named = result.diagnostics.id_annotations_by_reason
    reasons = tuple(sorted(named.get(reason) or reason for reason in result.diagnostics.reasons))
    if result.diagnostics.errors:
        return Decision(False, rules.hash, rules.epoch, UNAVAILABLE, tuple(str(error) for error in result.diagnostics.errors))
    if result.decision is not cedarpy.Decision.Allow:
        classes = {rules.classes.get(reason, NOT_PERMITTED) for reason in reasons} or {NOT_PERMITTED}
        # One class for all: who may never have it is not told that an approval is missing, too.
        word = next(word for word in (UNAVAILABLE, NOT_PERMITTED, NEEDS_APPROVAL) if word in classes)
        return Decision(
            False, rules.hash, rules.epoch, word, reasons, requestable=needed_sets(known) if word == NEEDS_APPROVAL else ()
        )
    obligations: list[Mapping[str, object]] = [{"log_before_release": True}, {"max_rows": request.max_rows}]
    return Decision(True, rules.hash, rules.epoch, None, reasons, tuple(obligations))  # type: ignore[arg-type]  # plain JSON values


def needed_sets(known: Known) -> tuple[str, ...]:
    """Return which approvals could be asked for. The same words for protected, decoy and unknown: membership is not told."""
    duties = OBLIGATIONS if known.duties is None else known.duties
    outside = known.no_duty or "outside_approver" in duties
    return (PERSON, OUTSIDE) if outside or "two_person" in duties else (PERSON,)


def _asked(policy: Policy, request: Request, known: Known) -> dict[str, object]:
    """Return Cedar's request. What is unknown has a value that no rule allows."""
    categories = [category for category in known.categories if category is not None]
    purpose = request.purpose if request.purpose in policy.purposes else _NOTHING
    if request.purpose in {*NEVER, *policy.never_purposes}:
        purpose = _NEVER
    context: dict[str, object] = {
        "purpose": _reference("Purpose", purpose),
        "region": _reference("Region", known.region if known.region in policy.regions else _NOTHING),
        "employed": known.employed,
        "human": known.human,
        "noDuty": known.no_duty or known.unit is None,
        "country": known.place_of_work or "",
        "legalEntity": known.entity or "",
        "sessionCountry": known.session_country or "",
        "categories": categories,
        "mapped": bool(categories) and len(categories) == len(known.categories) == len(request.fields),
        "granted": known.granted,
        "reasonStands": known.reason_stands,
        "reasonCode": request.reason_code,
        "breakGlass": known.break_glass,
        "approvals": known.approvals,
        "outsideApprovals": known.outside_approvals,
        "approverCountries": [*known.approver_countries],
        "duties": [*(OBLIGATIONS if known.duties is None else known.duties)],
    }
    return {
        "principal": {"type": "Actor", "id": request.actor},
        "action": {"type": "Action", "id": _ACTIONS[request.mode]},
        "resource": {"type": "Data", "id": request.subject},
        "context": context,
    }


def _purposes(policy: Policy) -> list[dict[str, object]]:
    """Return the purposes of a policy as entities, with one for all that nobody can be granted and one for unknown words."""
    named = [
        _entity("Purpose", name, categories=[*words], all="*" in words, never=False) for name, words in policy.purposes.items()
    ]
    return [
        *named,
        _entity("Purpose", _NEVER, categories=[], all=False, never=True),
        _entity("Purpose", _NOTHING, categories=[], all=False, never=False),
    ]


def _regions(policy: Policy) -> list[dict[str, object]]:
    named = [
        _entity("Region", name, known=True, countries=[*of.countries], entities=[*of.entities], supportOnly=[*of.support_only])
        for name, of in policy.regions.items()
    ]
    return [*named, _entity("Region", _NOTHING, known=False, countries=[], entities=[], supportOnly=[])]


def _reference(kind: str, name: str | None) -> dict[str, object]:
    return {"__entity": {"type": kind, "id": name}}


def _entity(kind: str, name: str, **attributes: object) -> dict[str, object]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": []}
