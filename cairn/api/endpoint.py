"""A typed endpoint: one function, whose signature says what it reads and answers, becomes a route.

The function takes a `Call`, the path's parts by name, and, where it has them, `query` and `body`. It is synchronous
and runs in a thread; what only looks gets a reading connection, what changes something gets a transaction.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cairn.api.body import MalformedJson, check_depth, read_body
from cairn.api.caller import authenticate, refuse_token_in_query
from cairn.api.problem import NoSuchRoute, WrongMethod, answer, problem_of
from cairn.app.core import Core
from cairn.errors import InvalidInput
from cairn.workspace.permission import Verb, require

PREFIX = "/api/v1"
MAX_PAGE = 200
READING = frozenset({Verb.SEE, Verb.SEE_KEYS})

Id = Annotated[int, Meta(ge=1, le=2**31 - 1, description="The number Cairn gave it.")]
ProjectId = Annotated[
    int,
    Meta(ge=1, le=2**31 - 1, description="A project's id; needed when the workspace has several."),
]
Key = Annotated[str, Meta(min_length=1, max_length=255, description="The key it was made with.")]
EnvironmentName = Annotated[
    str,
    Meta(min_length=1, max_length=100, description="An environment's id or key.", examples=["production"]),
]
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="How many to answer at most.")]
After = Annotated[
    str, Meta(max_length=1000, description="The previous answer's `next`; empty: from the start.")
]
Next = Annotated[str | None, Meta(description="Send it as `after` for the rest; null: this was all.")]


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint reads from the query string. Unknown parameters are refused, not ignored."""


class Page(Query, frozen=True):
    after: After = ""
    limit: Limit = 50


class ProjectQuery(Query, frozen=True):
    """Where a new thing goes."""

    project: ProjectId | None = None


@dataclass(frozen=True)
class Endpoint:
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str  # below PREFIX
    verb: Verb
    run: Callable[..., Any]  # Any: what the annotations of `run` say
    example: Any = None  # a body that is accepted, for the document and the tests
    status: int = 200
    streamed: Any = None  # what the pieces make together, when `run` answers with pieces of JSON

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def summary(self) -> str:
        return inspect.getdoc(self.run) or ""

    @cached_property
    def hints(self) -> dict[str, Any]:
        return get_type_hints(self.run, include_extras=True)

    @property
    def path_types(self) -> dict[str, Any]:
        return {name: self.hints[name] for name in re.findall(r"{(\w+)}", self.path)}

    @property
    def query_type(self) -> Any:
        return self.hints.get("query", Query)

    @property
    def body_type(self) -> Any:
        return self.hints.get("body")

    @property
    def answer_type(self) -> Any:
        """None: nothing but the status."""
        if self.streamed is not None:
            return self.streamed
        kind = self.hints["return"]
        return None if kind is type(None) else kind


def routes(core: Core, endpoints: tuple[Endpoint, ...]) -> list[BaseRoute]:
    return [
        Route(PREFIX + endpoint.path, _handler(core, endpoint), methods=[endpoint.method], name=endpoint.name)
        for endpoint in endpoints
    ]


def nothing_here(endpoints: tuple[Endpoint, ...]) -> BaseRoute:
    """What answers for every other path below /api, and for a known one with a wrong method.

    Not only below PREFIX: vendors' clients call /api too, and a mistyped path must not lead them to the sign-in page.
    """
    known = [(re.compile(PREFIX + re.sub(r"{\w+}", "[^/]+", each.path)), each.method) for each in endpoints]

    async def handle(request: Request) -> Response:
        allowed = sorted({method for path, method in known if path.fullmatch(request.url.path)})
        if allowed:
            return answer(WrongMethod(", ".join(allowed)))
        return answer(NoSuchRoute(f"there is nothing at this path; see {PREFIX}/docs"))

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
    return Route("/api/{rest:path}", handle, methods=methods, include_in_schema=False)


def _handler(core: Core, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        try:
            refuse_token_in_query(request.query_params.multi_items())
            body = await read_body(request) if endpoint.body_type is not None else b""
            return await run_in_threadpool(_answer, core, endpoint, request, body)
        except Exception as error:  # the request boundary
            return answer(problem_of(error))

    return handle


def _answer(core: Core, endpoint: Endpoint, request: Request, body: bytes) -> Response:
    now = core.clock()
    call = authenticate(core, request.headers.get("authorization", ""), now)
    require(call.role, endpoint.verb)
    arguments = _arguments(endpoint, request, body)
    found = endpoint.run(call, **arguments)
    if endpoint.answer_type is None:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    if endpoint.streamed is not None:
        return StreamingResponse(found, endpoint.status, {"Cache-Control": "no-store"}, "application/json")
    return Response(
        msgspec.json.encode(found), endpoint.status, {"Cache-Control": "no-store"}, "application/json"
    )


def _arguments(endpoint: Endpoint, request: Request, body: bytes) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        name: _convert(request.path_params[name], kind, name) for name, kind in endpoint.path_types.items()
    }
    given = request.query_params.multi_items()
    query = dict(given)
    if len(query) < len(given):
        raise InvalidInput("a parameter is given twice; give each once")
    found = msgspec.convert(query, endpoint.query_type, strict=False)
    if "query" in endpoint.hints:
        arguments["query"] = found
    if endpoint.body_type is not None:
        arguments["body"] = decode_body(body, endpoint.body_type)
    return arguments


def decode_body(body: bytes, kind: Any) -> Any:
    """Raises BodyTooDeep and MalformedJson; msgspec.ValidationError names what does not fit."""
    check_depth(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJson("the body is not JSON in UTF-8; send one JSON object") from error


def _convert(text: str, kind: Any, name: str) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{name}: {error}", field=name) from error
