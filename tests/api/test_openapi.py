"""The document is valid OpenAPI 3.1, says what the endpoints really do, and survives being fuzzed."""

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import msgspec
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode, checks

from cairn.api.app import ENDPOINTS
from cairn.api.endpoint import decode_body
from cairn.api.problem import problem_classes
from cairn.workspace.permission import Role
from tests.api.conftest import World, make_tenant

CHECKED = ("not_a_server_error", "content_type_conformance", "response_schema_conformance")


@pytest.fixture
def document(world: World) -> Any:
    response = world.client.get("/api/v1/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_document_is_valid(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"


def test_every_endpoint_is_described(document: Any) -> None:
    for endpoint in ENDPOINTS:
        operation = document["paths"][f"/api/v1{endpoint.path}"][endpoint.method.lower()]
        assert operation["operationId"] == endpoint.name
        assert operation["summary"].endswith(".")
        assert ("requestBody" in operation) == (endpoint.body_type is not None)
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.body_type], ids=lambda each: each.name
)
def test_examples_are_accepted(endpoint: Any) -> None:
    decode_body(msgspec.json.encode(endpoint.example), endpoint.body_type)


def test_answers_are_objects(document: Any) -> None:
    for endpoint in ENDPOINTS:
        assert endpoint.answer_type is None or issubclass(endpoint.answer_type, msgspec.Struct)


def test_page_for_people_shows_every_endpoint_and_error(world: World) -> None:
    response = world.client.get("/api/v1/docs")
    assert response.status_code == 200
    for endpoint in ENDPOINTS:
        assert f"<code>{endpoint.method} /api/v1{endpoint.path}</code>" in response.text
    for known in problem_classes():
        assert f"id='{known.code}'" in response.text
    assert "<script" not in response.text and "src=" not in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.fixture
def served(world: World) -> Iterator[str]:
    """The address of the same application behind a real server."""
    config = uvicorn.Config(world.client.app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def deep_recursion() -> Iterator[None]:
    """Schemathesis walks the schema of conditions, which holds itself, in a few hundred frames for each level."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("deep_recursion")
def test_no_generated_request_breaks_it(world: World, served: str, document: Any) -> None:
    """Requests that fit the document and requests that do not, against things that exist."""
    own = make_tenant(world.core, "capybara")
    schema = schemathesis.openapi.from_dict(_naming(document, own.path))
    wanted = tuple(map(checks.CHECKS.get_one, CHECKED))
    statuses: Counter[int] = Counter()
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda each: each.method == "delete"):
        for mode in GenerationMode:

            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            @hypothesis.settings(
                max_examples=8,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            def fuzz(case: Any) -> None:
                headers = {"Authorization": f"Bearer {own.tokens[Role.EDITOR]}"}
                response = case.call(base_url=served, headers=headers)
                case.validate_response(response, checks=wanted)
                statuses[response.status_code] += 1

            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing to get wrong in that one
                fuzz()
    assert {200, 201, 204, 404, 422} <= set(statuses), statuses


def _naming(document: Any, own: dict[str, Any]) -> Any:
    """The document with names of what exists and plain texts, so that requests get past the first checks."""
    schemas = document["components"]["schemas"]
    for schema in ("NewSegment", "SegmentChanges", "NewFlag", "NewRule"):
        for name in {"key", "name"} & set(schemas[schema]["properties"]):
            schemas[schema]["properties"][name] = {"type": "string", "pattern": "^[a-z]{1,9}$"}
    schemas["NewRule"]["properties"]["kind"] = {"enum": ["rollout"]}
    schemas["NewRule"]["properties"]["allocations"] = {"enum": [[{"variation_id": 1}]]}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["name"] in own and parameter["required"]:
                    parameter["schema"] = {"type": "string", "enum": [str(own[parameter["name"]])]}
    return document
