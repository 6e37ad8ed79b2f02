"""Account properties, named by account or by one of its users."""

from typing import Any

import pytest

from cairn.event import Draft, Kind
from tests.wire.arrivals import APP, NOW_MS, draft, outcome, parse, refused

PARSER = "heap.add_account_properties"


def test_an_account_of_the_server_api() -> None:
    body = {"app_id": "55", "account_id": "acme", "properties": {"plan": "pro", "tags": ["a", "b"], "Id": 1}}
    assert draft(PARSER, body) == Draft(
        APP,
        Kind.ACCOUNT,
        "Set account properties",
        NOW_MS,
        NOW_MS,
        account_id="acme",
        properties={"plan": "pro", "tags": "a||b"},
        source="shop",
        library="server",
    )


def test_an_account_of_a_browsers_user() -> None:
    found = draft(PARSER, {"env_id": "55", "user_id": "7", "properties": {"plan": "pro"}}, app_id="55")
    assert (found.account_id, found.user_id, found.properties) == ("", 7, {"plan": "pro"})


def test_one_bad_account_costs_no_other_and_looker_names_its_library() -> None:
    accounts = [
        {"account_id": "a", "properties": {}},
        {"account_id": 5},
        7,
        {"account_id": True},
        {"properties": {}},
    ]
    results = parse(PARSER, {"app_id": "55", "library": "looker", "accounts": accounts})
    assert [outcome(result) for result in results] == [
        "draft",
        "draft",
        "bad_request",
        "id_not_string",
        "no_account",
    ]
    assert [(result.account_id, result.library) for result in results if isinstance(result, Draft)] == [
        ("a", "looker"),
        ("5", "looker"),
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"account_id": "undefined"}, "junk_identity"),
        ({"account_id": "x" * 256}, "id_too_long"),
        ({"account_id": "a", "properties": 5}, "properties_not_object"),
        ({"account_id": ["a"]}, "id_not_string"),
        ({"env_id": "6", "user_id": "7"}, "bad_request"),
        ({"user_id": "x"}, "bad_request"),
        ({"user_id": True}, "no_account"),
        ({"accounts": []}, "empty_batch"),
        (b"{", "malformed_json"),
    ],
)
def test_refusals(body: Any, reason: str) -> None:
    assert refused(PARSER, body, app_id="55").reason == reason


def test_more_accounts_than_a_request_carries() -> None:
    results = parse(PARSER, {"accounts": [{"account_id": "a"}] * 1002})
    assert [outcome(result) for result in results[-3:]] == ["draft", "too_many_events", "too_many_events"]
