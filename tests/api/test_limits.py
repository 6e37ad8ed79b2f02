"""What the API refuses, and that it says so in one form, naming field and fix, without repeating what was sent."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec.inspect
import pytest

from cairn.api.app import ENDPOINTS
from cairn.api.body import MAX_BODY, MAX_DEPTH
from cairn.workspace.permission import Role
from tests.api.conftest import World

SEGMENT = {"key": "k", "name": "n", "condition": {"type": "and", "nodes": []}}


def _nested(levels: int) -> bytes:
    return b'{"condition":' + b'{"type":"not","node":' * levels + b"1" + b"}" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        pytest.param(b"", 400, "malformed_json", "", id="nothing"),
        pytest.param(b"{", 400, "malformed_json", "", id="cut off"),
        pytest.param(b'{"name": "\xff"}', 400, "malformed_json", "", id="not UTF-8"),
        pytest.param(b"[]", 422, "invalid_input", "", id="array"),
        pytest.param(b"{}", 422, "invalid_input", "key", id="field missing"),
        pytest.param(json.dumps({**SEGMENT, "nmae": 1}), 422, "invalid_input", "nmae", id="field unknown"),
        pytest.param(json.dumps({**SEGMENT, "name": 5}), 422, "invalid_input", "name", id="wrong type"),
        pytest.param(json.dumps({**SEGMENT, "name": "a\nb"}), 422, "invalid_input", "name", id="line break"),
        pytest.param(
            json.dumps({**SEGMENT, "name": "see https://evil.example"}),
            422,
            "invalid_input",
            "name",
            id="address",
        ),
        pytest.param(
            json.dumps({**SEGMENT, "condition": {"type": "not", "node": {"type": "x"}}}),
            422,
            "invalid_input",
            "condition.node.type",
            id="unknown condition",
        ),
        pytest.param(
            json.dumps({**SEGMENT, "condition": {"type": "did", "event": {"defined": 10**30}}}),
            422,
            "invalid_input",
            "condition.event.defined",
            id="number beyond every id",
        ),
        pytest.param(_nested(3), 422, "invalid_input", "condition.node.node.node", id="nested"),
        pytest.param(_nested(1000), 422, "body_too_deep", "", id="a thousand levels"),
        pytest.param(b"[" * 10_000, 422, "body_too_deep", "", id="ten thousand brackets"),
        pytest.param(b'{"a":' * (MAX_DEPTH + 1), 422, "body_too_deep", "", id="one level too deep"),
        pytest.param(
            json.dumps({**SEGMENT, "key": "[" * 500}), 422, "invalid_input", "key", id="brackets in text"
        ),
        pytest.param(b'"\\"[[' + b"[" * 100 + b'"', 422, "invalid_input", "", id="escaped quote"),
        pytest.param(b'{"x":"' + b"a" * MAX_BODY + b'"}', 413, "body_too_large", "", id="over a megabyte"),
        pytest.param(json.dumps({"x" * 100_000: 1}), 422, "invalid_input", None, id="long field name"),
        pytest.param(
            json.dumps({**SEGMENT, "key": "K" * 200_000}), 422, "invalid_input", "key", id="long key"
        ),
    ],
)
def test_body_is_refused(world: World, body: bytes | str, status: int, code: str, field: str | None) -> None:
    response = world.call("POST", "/segments", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert field is None or response.json()["field"] == field
    assert len(response.content) < 2_000, "the input must not come back"


def test_problem_has_one_form(world: World) -> None:
    response = world.call("GET", "/segments/999")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "/api/v1/docs#segment_not_found",
        "title": "There is no such segment in this workspace",
        "status": 404,
        "code": "segment_not_found",
        "detail": "no segment 999 in this workspace",
        "field": "segment_id",
        "errors": [],
    }


def test_large_body_without_announced_length_is_cut_off(world: World) -> None:
    def parts() -> Any:
        for _ in range(30):
            yield b"x" * 100_000

    response = world.call("POST", "/flags", content=parts(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_bodies_are_json(world: World, kind: str) -> None:
    response = world.call("POST", "/segments", content=json.dumps(SEGMENT), headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (415, "wrong_media_type")


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        pytest.param("/segments?limit=0", 422, "limit", id="limit too small"),
        pytest.param("/segments?limit=201", 422, "limit", id="limit too large"),
        pytest.param("/segments?limit=x", 422, "limit", id="limit no number"),
        pytest.param("/segments?limt=5", 422, "limt", id="unknown parameter"),
        pytest.param("/segments?limit=5&limit=6", 422, "", id="parameter twice"),
        pytest.param("/segments?after=!", 422, "after", id="cursor made up"),
        pytest.param("/segments?after=gaFh", 422, "after", id="cursor of nothing"),
        pytest.param("/segments/abc", 422, "segment_id", id="id no number"),
        pytest.param("/segments/0", 422, "segment_id", id="id zero"),
        pytest.param("/segments/99999999999999999999", 422, "segment_id", id="id too large"),
        pytest.param("/users", 422, "environment", id="no environment"),
        pytest.param("/users?environment=nowhere", 404, "environment", id="unknown environment"),
        pytest.param("/users?environment=99999999999999999999", 404, "environment", id="absurd environment"),
        pytest.param("/users?environment=production&after=x", 422, "after", id="user cursor"),
        pytest.param(
            "/users/99999999999999999999999999?environment=production", 404, "user", id="absurd user"
        ),
        pytest.param("/users/0?environment=production", 404, "user", id="user zero"),
        pytest.param("/users/%C3%A4%00%22?environment=production", 404, "user", id="strange user"),
        pytest.param("/events?environment=production&outcome=good", 422, "outcome", id="unknown outcome"),
        pytest.param("/events?environment=production&after=-1", 422, "after", id="negative time"),
    ],
)
def test_address_is_refused(world: World, path: str, status: int, field: str) -> None:
    response = world.call("GET", path)
    assert (response.status_code, response.json()["field"]) == (status, field), response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "", 404, None),
        ("DELETE", "/segments", 405, "GET, POST"),
        ("POST", "/segments/1", 405, "DELETE, GET, PATCH"),
        ("OPTIONS", "/flags/x", 405, "DELETE, GET, PATCH"),
    ],
)
def test_unknown_paths_and_methods(
    world: World, method: str, path: str, status: int, allowed: str | None
) -> None:
    response = world.call(method, path)
    assert (response.status_code, response.headers.get("Allow")) == (status, allowed)
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/tracks", "/api/v2/flags", "/api/integrations/nothing"])
def test_a_mistyped_path_of_a_client_never_leads_to_the_sign_in(world: World, path: str) -> None:
    response = world.client.post(path, json={}, follow_redirects=False)
    assert (response.status_code, response.json()["code"]) == (404, "no_such_route")


def test_fault_of_our_own_is_told_without_its_details(world: World) -> None:
    with world.core.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE sources RENAME TO hidden")
    try:
        response = world.call("GET", "/sources", role=Role.VIEWER)
    finally:
        with world.core.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE hidden RENAME TO sources")
    assert response.status_code in (500, 503)
    assert "sources" not in response.text and "SELECT" not in response.text


def _did(number: int, filters: int) -> dict[str, Any]:
    tests = [{"key": f"k{n}", "operator": "contains", "value": str(number)} for n in range(filters)]
    return {
        "type": "did",
        "event": {"name": f"E{number}", "filters": tests},
        "operator": "exactly",
        "count": 3,
        "window": {"type": "last", "amount": 1, "unit": "day"},
    }


TOO_LARGE = [
    pytest.param([_did(number, 0) for number in range(101)], "101 conditions", id="conditions"),
    pytest.param([_did(number, 20) for number in range(100)], "too long to be counted", id="tests of events"),
]


@pytest.mark.parametrize(("nodes", "reason"), TOO_LARGE)
def test_a_segment_too_large_to_be_counted_is_refused_when_it_is_saved(
    world: World, nodes: list[dict[str, Any]], reason: str
) -> None:
    body = {"key": "large", "name": "Large", "condition": {"type": "and", "nodes": nodes}}
    answer = world.call("POST", "/segments", json=body)
    assert answer.status_code == 422, answer.text
    assert reason in answer.json()["detail"]


LONG = "x" * 10_001
VALUES = [
    pytest.param(
        {"type": "user_property", "key": "plan", "operator": "in", "values": ["a", LONG]},
        "condition.values[1]",
        "at most 10000",
        id="one value of a list",
    ),
    pytest.param(
        {"type": "user_property", "key": "plan", "operator": "not_in", "values": []},
        "condition.values",
        "expected 1 to 1000000",
        id="an empty list",
    ),
    pytest.param(
        {"type": "user_property", "key": "plan", "operator": "is", "value": LONG},
        "condition.value",
        "at most 10000",
        id="a value",
    ),
    pytest.param(
        {"type": "user_property", "key": LONG, "operator": "is_set"},
        "condition.key",
        "at most 10000",
        id="a key",
    ),
    pytest.param(
        {"type": "did", "event": {"name": LONG}}, "condition.event.name", "at most 10000", id="an event"
    ),
    pytest.param(
        {
            "type": "did",
            "event": {"name": "e", "filters": [{"key": "k", "operator": "in", "values": ["a", "b", LONG]}]},
        },
        "condition.event.filters[0].values[2]",
        "at most 10000",
        id="a value of an event's list",
    ),
    pytest.param(
        {
            "type": "or",
            "nodes": [
                {
                    "type": "not",
                    "node": {"type": "user_property", "key": "plan", "operator": "in", "values": [LONG]},
                }
            ],
        },
        "condition.nodes[0].node.values[0]",
        "at most 10000",
        id="below a group",
    ),
]


@pytest.mark.parametrize(("condition", "field", "limit"), VALUES)
@pytest.mark.parametrize("path", ["/segments", "/segments/preview?environment=production"])
def test_a_value_or_list_over_its_limit_is_refused_naming_field_and_limit(
    world: World, condition: Any, field: str, limit: str, path: str
) -> None:
    body = (
        {"condition": condition}
        if "preview" in path
        else {"key": "long", "name": "L", "condition": condition}
    )
    answer = world.call("POST", path, json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert limit in answer.json()["detail"] and field in answer.json()["detail"]
    assert LONG not in answer.text, "the input is not sent back"


def test_a_list_as_long_as_a_body_is_counted_and_a_longer_body_says_its_limit(world: World) -> None:
    values = [f"u{number}" for number in range(100_000)]
    condition = {"type": "user_property", "key": "plan", "operator": "in", "values": values}
    made = world.call("POST", "/segments", json={"key": "longlist", "name": "Long", "condition": condition})
    assert made.status_code == 201, made.text[:300]
    own = f"/segments/{made.json()['id']}"
    assert world.call("GET", own).json()["condition"]["values"] == values
    preview = world.call("POST", "/segments/preview?environment=production", json={"condition": condition})
    assert (preview.status_code, preview.json()["users"]) == (200, 0), preview.text[:300]
    assert world.call("DELETE", own).status_code == 204
    condition["values"] = values * 2
    refused = world.call("POST", "/segments", json={"key": "longer", "name": "Long", "condition": condition})
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert "1000000 bytes" in refused.json()["detail"]


# Of a condition: whoever reads the condition checks them, with the reason (conditions/check).
CHECKED_WITH_THEIR_CONDITION = {"count", "amount", "from_ms", "to_ms"}


def test_every_number_that_an_endpoint_reads_has_limits() -> None:
    """Python's have none, and databases and clients in other languages have."""
    kinds = {
        endpoint.name: [endpoint.body_type, endpoint.query_type, *endpoint.path_types.values()]
        for endpoint in ENDPOINTS
    }
    unlimited = {
        f"{name}: {field}"
        for name, types in kinds.items()
        for kind in types
        if kind is not None
        for field in _unlimited(msgspec.inspect.type_info(kind), "", frozenset())
        if field not in CHECKED_WITH_THEIR_CONDITION
    }
    assert not unlimited


def _unlimited(kind: Any, field: str, within: frozenset[type]) -> Iterator[str]:
    if isinstance(kind, msgspec.inspect.IntType):
        if (kind.ge is None and kind.gt is None) or (kind.le is None and kind.lt is None):
            yield field
    elif isinstance(kind, msgspec.inspect.StructType):
        if kind.cls not in within:
            for inner in kind.fields:
                yield from _unlimited(inner.type, inner.encode_name, within | {kind.cls})
    else:
        for inner in _inside(kind):
            yield from _unlimited(inner, field, within)


def _inside(kind: Any) -> tuple[Any, ...]:
    match kind:
        case msgspec.inspect.UnionType():
            return kind.types
        case msgspec.inspect.TupleType():
            return kind.item_types
        case msgspec.inspect.DictType():
            return (kind.value_type,)
        case _:
            return (kind.item_type,) if hasattr(kind, "item_type") else ()


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30, -1, -(2**63) - 1, -(10**30)])
def test_a_number_beyond_every_id_is_refused_at_its_field(world: World, number: int) -> None:
    variable = {"id": number, "key": "size", "type": "integer", "value": 1}
    bodies = {
        "variables[0].id": {"key": "huge", "variables": [variable]},
        "variations[0].id": {"key": "huge", "variations": [{"id": number, "key": "v"}]},
        "metrics[0].id": {"key": "huge", "metrics": [{"id": number, "identifier": "bought"}]},
    }
    for field, body in bodies.items():
        answer = world.call("POST", "/flags", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    path = f"/segments/{world.a.segment_id}/syncs?environment=production"
    answer = world.call("POST", path, json={"target_id": number})
    assert (answer.status_code, answer.json()["field"]) == (422, "target_id")
    for key in ("count", "amount"):
        window = {"type": "last", "amount": 7, "unit": "day"}
        condition: dict[str, Any] = {"type": "did", "event": {"name": "X"}, "operator": "at_least"}
        if key == "count":
            condition["count"] = number
        else:
            condition["window"] = {**window, "amount": number}
        answer = world.call("POST", "/segments", json={**SEGMENT, "condition": condition})
        assert (answer.status_code, answer.json()["code"]) == (422, "condition_not_accepted")
