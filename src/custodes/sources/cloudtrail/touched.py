"""What an event was about, and whose data that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from custodes.model.datamap import DataMap, ResourceMap
from custodes.model.draft import Draft, Resource, Selector, SubjectUse
from custodes.sources.cloudtrail.event import map_of, maps_of, text_of


class Templates:
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
        request = map_of(event, "requestParameters")
        draft.field_basis = "unknown"
        bucket, key = text_of(request, "bucketName"), text_of(request, "key")
        table = text_of(request, "tableName")
        if draft.system == "s3" and bucket:
            self._bucket(draft, bucket, key, text_of(request, "prefix"))
        elif draft.system == "dynamodb" and table:
            self._table(draft, table.rpartition("/")[2], request)
        else:
            draft.resources = _named_resources(event)
        if not is_data and not draft.subjects and _shows_no_persons(draft.system, draft.operation):
            draft.subject_scope, draft.subject_max = "none", 0
        out = map_of(event, "additionalEventData").get("bytesTransferredOut")
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
        keys = [map_of(request, "key"), *maps_of(request, "keys")]
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
    """Return the kinds of things that were touched, such as `iam:user`: their own names may be ids of persons, and stay sealed."""
    arns = [text_of(item, "ARN") or text_of(item, "arn") for item in maps_of(event, "resources")]
    kinds = [
        match["service"] + (f":{match['kind']}" if match["kind"] else "") for arn in arns if arn and (match := _ARN.match(arn))
    ]
    return [Resource(kind, "other") for kind in dict.fromkeys(kinds)]


_ARN: Final = re.compile(r"arn:[\w-]*:(?P<service>[\w-]+):[\w-]*:\d*:(?:(?P<kind>[\w-]+)[/:])?")


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
