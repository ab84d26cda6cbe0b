"""What a CloudTrail event becomes: who, what, whose data, and what stays open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Note, Parsed, Raw, Resource, Selector
from custodes.sources.cloudtrail import SOURCE

DATAMAP = DataMap.of(
    {
        "s3": {"photos": {"subject_key": ["people/{subject}/", "export/*/{subject}.json"], "fields": {"photo": "identity"}}},
        "dynamodb": {"users": {"subject_key": "user_id", "selectors": {"email": "email"}, "fields": {"email": "contact"}}},
    }
)
ROLE = "arn:aws:sts::1:assumed-role/analyst/session-1"
PERSON = {"type": "IAMUser", "userName": "ann", "arn": "arn:aws:iam::1:user/ann"}


def event(name: str = "GetObject", source: str = "s3", **more: Any) -> dict[str, Any]:
    return {
        "eventTime": "2026-03-02T10:00:00Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "eventCategory": "Data",
        "userIdentity": PERSON,
        **more,
    }


def session(arn: str = ROLE, created: str = "2026-03-02T09:00:00Z", **more: Any) -> dict[str, Any]:
    context = {"sessionIssuer": {"arn": "arn:aws:iam::1:role/analyst"}, "attributes": {"creationDate": created}, **more}
    return {"type": "AssumedRole", "arn": arn, "sessionContext": context}


def assume(caller: dict[str, Any], arn: str = ROLE, time: str = "2026-03-02T09:00:00Z", **more: Any) -> dict[str, Any]:
    return event(
        "AssumeRole",
        "sts",
        eventTime=time,
        eventCategory="Management",
        userIdentity=caller,
        responseElements={"assumedRoleUser": {"arn": arn}},
        **more,
    )


def raws(*events: dict[str, Any]) -> list[Raw]:
    return [Raw(json.dumps(item).encode(), "trail", number) for number, item in enumerate(events, 1)]


def read(*events: dict[str, Any]) -> Parsed:
    parser = SOURCE.parser(DATAMAP)
    parsed, rest = parser.feed(raws(*events)), parser.finish()
    parsed.drafts += rest.drafts
    parsed.notes += rest.notes
    assert not parsed.rejected
    return parsed


def one(**how: Any) -> Draft:
    return read(event(**how)).drafts[0]


def last(*events: dict[str, Any]) -> Draft:
    return next(draft for draft in read(*events).drafts if draft.raws[0].line == len(events))


def test_object_key_names_the_subject_by_its_template() -> None:
    got = one(requestParameters={"bucketName": "photos", "key": "people/s-7/face.jpg"})
    assert [(subject.id, subject.relation) for subject in got.subjects] == [("s-7", "accessed")]
    assert (got.subject_scope, got.subject_basis, got.subject_max) == ("named", "source_named", 1)
    assert got.resources == [Resource("photos", "bucket"), Resource("photos/people/{subject}/", "object")]


@pytest.mark.parametrize("key", ["people", "other/s-7/x", "export/2026/s-7.json/more", "people//x"])
def test_object_key_that_fits_no_template_names_nobody(key: str) -> None:
    got = one(requestParameters={"bucketName": "photos", "key": key})
    assert (got.subjects, got.subject_scope, got.subject_max) == ([], "unknown", None)


def test_template_may_hold_anything_before_the_subject() -> None:
    got = one(requestParameters={"bucketName": "photos", "key": "export/2026/03/s-7.json"})
    assert [subject.id for subject in got.subjects] == ["s-7"]


def test_bucket_outside_the_data_map_stays_unknown() -> None:
    got = one(requestParameters={"bucketName": "other", "key": "people/s-7/face.jpg"})
    assert (got.subjects, got.subject_scope) == ([], "unknown")


def test_refused_read_is_a_search_not_an_access() -> None:
    got = one(requestParameters={"bucketName": "photos", "key": "people/s-7/a"}, errorCode="AccessDenied")
    assert (got.outcome, [subject.relation for subject in got.subjects]) == ("denied", ["searched_for"])


def test_listing_under_a_persons_prefix_lists_that_person() -> None:
    got = one(name="ListObjects", requestParameters={"bucketName": "photos", "prefix": "people/s-7/"})
    assert [(subject.id, subject.relation) for subject in got.subjects] == [("s-7", "listed")]


def test_listing_a_mapped_bucket_is_set_access() -> None:
    assert one(name="ListObjects", requestParameters={"bucketName": "photos", "prefix": "people/s"}).subject_scope == "set"


@pytest.mark.parametrize("value", ["s-7", {"S": "s-7"}])
def test_item_key_names_the_subject(value: object) -> None:
    key = {"user_id": value, "email": {"S": "x@example.org"}}
    got = one(name="GetItem", source="dynamodb", requestParameters={"tableName": "arn:aws:dynamodb:eu:1:table/users", "key": key})
    assert [subject.id for subject in got.subjects] == ["s-7"]
    assert (got.subject_scope, got.selectors, got.resources) == (
        "key_predicate",
        [Selector("email", "x@example.org")],
        [Resource("users")],
    )


def test_scan_of_a_mapped_table_is_set_access() -> None:
    got = one(name="Scan", source="dynamodb", requestParameters={"tableName": "users"})
    assert (got.action, got.subject_scope) == ("query", "set")


@pytest.mark.parametrize(
    ("name", "source", "scope"),
    [
        ("DescribeInstances", "ec2", "none"),
        ("GetBucketAcl", "s3", "none"),
        ("CreateSnapshot", "ec2", "unknown"),
        ("StartSession", "ssm", "unknown"),
        ("AdminGetUser", "cognito-idp", "unknown"),
        ("GetQueryResults", "athena", "unknown"),
    ],
)
def test_only_settings_show_nobody(name: str, source: str, scope: str) -> None:
    assert one(name=name, source=source, eventCategory="Management").subject_scope == scope


def test_things_are_named_by_their_kind_for_their_names_may_be_persons() -> None:
    arns = ["arn:aws:iam::1:user/ann", "arn:aws:iam::1:user/bob", "arn:aws:sns:eu:1:topic-of-ann", "ann", None]
    got = one(name="GetUser", source="iam", resources=[{"ARN": arn} for arn in arns])
    assert [resource.name for resource in got.resources] == ["iam:user", "sns"]


def test_object_read_is_recognised_without_its_category() -> None:
    got = one(eventCategory="Management", requestParameters={"bucketName": "b", "key": "k"})
    assert (got.extra["event_category"], got.subject_scope, got.action) == ("data", "unknown", "read")


@pytest.mark.parametrize(
    ("more", "action"),
    [
        ({"name": "ListObjectsV2"}, "list"),
        ({"name": "PutObject"}, "write"),
        ({"name": "DeleteObjects"}, "delete"),
        ({"name": "CopyObject", "requestParameters": {"bucketName": "b", "x-amz-copy-source": "/b/k"}}, "write"),
        ({"name": "CopyObject", "requestParameters": {"bucketName": "mine", "x-amz-copy-source": "photos/k"}}, "export"),
        ({"name": "StartQueryExecution", "source": "athena"}, "query"),
        ({"name": "ModifyDBSnapshotAttribute", "source": "rds"}, "export"),
        ({"name": "AttachUserPolicy", "source": "iam"}, "grant"),
        ({"name": "ConsoleLogin", "source": "signin"}, "login"),
        ({"name": "Frobnicate", "source": "x", "readOnly": True}, "read"),
        ({"name": "Frobnicate", "source": "x"}, "other"),
    ],
)
def test_action_follows_the_event_name(more: dict[str, Any], action: str) -> None:
    got = one(**more)
    assert (got.action, got.operation) == (action, more["name"])


@pytest.mark.parametrize(
    ("identity", "actor", "kind", "hidden"),
    [
        (PERSON, "ann", "unknown", False),
        ({**PERSON, "sessionContext": {"attributes": {"mfaAuthenticated": "true"}}}, "ann", "human", False),
        ({"type": "Root", "arn": "arn:aws:iam::1:root"}, "arn:aws:iam::1:root", "shared", False),
        ({"type": "AWSService", "invokedBy": "x.amazonaws.com"}, "x.amazonaws.com", "service", False),
        ({"type": "AWSAccount", "accountId": "2"}, "2", "unknown", True),
        ({}, "unknown", "unknown", True),
        (None, "unknown", "unknown", True),
        ({"type": "IAMUser", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"}, "unknown", "unknown", True),
    ],
)
def test_actor_is_the_identity_in_the_log(identity: object, actor: str, kind: str, hidden: bool) -> None:
    got = one(userIdentity=identity)
    assert (got.actor, got.actor_kind, "actor_hidden" in got.coverage) == (actor, kind, hidden)


def test_role_session_is_booked_on_who_assumed_it_wherever_that_stands() -> None:
    use = event(userIdentity=session())
    for events in ((assume(PERSON), use), (use, assume(PERSON))):
        got = next(draft for draft in read(*events).drafts if draft.delegation == "role")
        assert (got.on_behalf_of, got.behalf_basis, got.effective) == ("ann", "assume_role_chain", "arn:aws:iam::1:role/analyst")
        assert "actor_hidden" not in got.coverage


def test_chain_of_roles_leads_to_the_human() -> None:
    second = "arn:aws:sts::1:assumed-role/deep/session-2"
    got = last(assume(session(), second), assume(PERSON), event(userIdentity=session(second)))
    assert got.on_behalf_of == "ann"


def test_session_assumed_by_a_service_has_no_human() -> None:
    got = last(assume({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}), event(userIdentity=session()))
    assert got.on_behalf_of is None
    assert "actor_hidden" in got.coverage


def test_two_possible_callers_are_no_answer() -> None:
    got = last(assume(PERSON), assume({**PERSON, "userName": "bob"}), event(userIdentity=session()))
    assert got.on_behalf_of is None
    assert "actor_hidden" in got.coverage


def test_session_name_used_again_later_belongs_to_its_own_caller() -> None:
    bob = {**PERSON, "userName": "bob"}
    later = "2026-03-02T15:00:00Z"
    got = last(assume(PERSON), assume(bob, time=later), event(userIdentity=session(created=later)))
    assert got.on_behalf_of == "bob"


def test_refused_assumption_creates_no_session() -> None:
    got = last(assume(PERSON, errorCode="AccessDenied"), event(userIdentity=session()))
    assert got.on_behalf_of is None


def test_free_session_name_is_not_believed() -> None:
    got = one(userIdentity=session("arn:aws:sts::1:assumed-role/analyst/bob@example.org"))
    assert got.on_behalf_of is None
    assert "actor_hidden" in got.coverage


def test_session_name_that_looks_like_an_instance_does_not_hide_who_assumed_it() -> None:
    arn = "arn:aws:sts::1:assumed-role/analyst/i-0123456789abcdef0"
    assert last(assume(PERSON, arn), event(userIdentity=session(arn))).on_behalf_of == "ann"


def test_session_name_of_single_sign_on_is_the_human() -> None:
    identity = session("arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_1/ann@example.org")
    assert one(userIdentity=identity).on_behalf_of is None
    issuer = "arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1"
    identity["sessionContext"]["sessionIssuer"]["arn"] = issuer
    got = one(userIdentity=identity)
    assert (got.on_behalf_of, got.behalf_basis) == ("ann@example.org", "session_name")


def test_source_identity_is_the_human_unless_the_creating_call_proves_another() -> None:
    use = event(userIdentity=session(sourceIdentity="bob"))
    assert (last(use).on_behalf_of, last(use).behalf_basis) == ("bob", "declared")
    assert "actor_hidden" not in last(use).coverage
    proven = last(assume(PERSON), use)
    assert (proven.on_behalf_of, proven.behalf_basis) == ("ann", "assume_role_chain")


def test_waiting_events_survive_a_restart() -> None:
    use, creation = raws(event(userIdentity=session()), assume(PERSON))
    before = SOURCE.parser(DATAMAP)
    assert not before.feed([use]).drafts
    after = SOURCE.parser(DATAMAP, before.state())
    drafts = after.feed([creation]).drafts
    assert sorted((draft.raws[0].line, draft.on_behalf_of) for draft in drafts) == [(1, "ann"), (2, None)]


@pytest.mark.parametrize(
    ("address", "kept"), [("10.1.2.3", "10.1.2.3"), ("2001:db8::1", "2001:db8::1"), ("ec2.amazonaws.com", None)]
)
def test_address_of_the_caller_is_an_address(address: str, kept: str | None) -> None:
    assert one(sourceIPAddress=address).client_address == kept


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, "success"),
        ({"errorCode": "Client.UnauthorizedOperation"}, "denied"),
        ({"errorCode": "ThrottlingException"}, "failure"),
        ({"name": "ConsoleLogin", "source": "signin", "responseElements": {"ConsoleLogin": "Failure"}}, "failure"),
    ],
)
def test_outcome_is_what_the_event_says(more: dict[str, Any], outcome: str) -> None:
    assert one(**more).outcome == outcome


def test_bytes_are_taken_and_rows_stay_unknown() -> None:
    got = one(additionalEventData={"bytesTransferredOut": 89.0})
    assert (got.bytes, got.rows, got.rows_basis) == (89, None, "reported")


def notes(*events: dict[str, Any]) -> list[Note]:
    return [note for note in read(*events).notes if note.kind == "configuration"]


def test_file_without_data_events_says_that_they_seem_to_be_off() -> None:
    assert "data events seem to be off" in notes(event("DescribeInstances", "ec2", eventCategory="Management"))[0].text
    assert not notes(event())


@pytest.mark.parametrize("name", ["StopLogging", "DeleteTrail", "PutEventSelectors"])
def test_change_of_the_trail_is_said(name: str) -> None:
    assert "trail" in notes(event(name, "cloudtrail", eventCategory="Management"), event())[0].text


def test_insights_are_counted_as_no_access() -> None:
    assert read(event(eventCategory="Insight")).counted == {"insight": 1}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "missing eventSource"),
        (b'{"eventSource":"x"}', "missing eventName"),
        (b'{"eventSource":"x","eventName":"y"}', "missing eventTime"),
        (b'{"eventSource":"x","eventName":"y","eventTime":"z"}', "eventTime is not a time"),
    ],
)
def test_record_that_is_no_event_is_rejected(line: bytes, words: str) -> None:
    parsed = SOURCE.parser(DATAMAP).feed([Raw(line, "trail", 1)])
    assert parsed.rejected[0].reason.startswith(words)
