"""A typed endpoint: one function, whose signature says what it reads and answers, becomes a route.

The function takes a `Call`, the path's parts by name, and, where it has them, `query` and `body`. It is synchronous
and runs in a thread. A `Surface` is a family of endpoints that share who may call them and how that is known, how
a body is read and what a failure looks like: the API of tokens, the labeller's, and Heap's own for deletion.
"""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cairn.api.body import MalformedJson, check_depth, read_body
from cairn.api.caller import refuse_token_in_query
from cairn.api.problem import NoSuchRoute, WrongMethod, answer, problem_of
from cairn.api.spool import spooled
from cairn.app.call import Call
from cairn.app.core import Core
from cairn.app.waiting import running_of, while_waited_for
from cairn.errors import CairnError, InvalidInput
from cairn.lists.upload import Upload
from cairn.workspace.permission import Verb, require

PREFIX = "/api/v1"
MAX_PAGE = 200
NO_EDITION = -1  # which nothing has
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PREFLIGHT_S = 7_200  # browsers keep a preflight this long at most

_Answer = TypeVar("_Answer")
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


@dataclass(frozen=True)
class Versioned(Generic[_Answer]):
    """An answer of one thing that people edit, with its version, which goes into the ETag header."""

    answer: _Answer
    edition: int


class ProjectQuery(Query, frozen=True):
    """Where a new thing goes."""

    project: ProjectId | None = None


@dataclass(frozen=True)
class Endpoint:
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str  # below the surface's prefix
    verb: Verb
    run: Callable[..., Any]  # Any: what the annotations of `run` say
    example: Any = None  # a body that is accepted, for the document and the tests
    status: int = 200
    streamed: Any = None  # what the pieces make together, when `run` answers with pieces of JSON
    spooled: Any = (
        None  # the body as JSON, when `run` is given it as a file (an `Upload`), which may be large
    )

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
        return self.spooled or self.hints.get("body")

    @property
    def is_conditional(self) -> bool:
        """It takes `expected`: the version that the caller has seen, from the If-Match header."""
        return "expected" in self.hints

    @property
    def is_versioned(self) -> bool:
        return get_origin(self.hints["return"]) is Versioned

    @property
    def answer_type(self) -> Any:
        """None: nothing but the status."""
        if self.streamed is not None:
            return self.streamed
        kind = get_args(self.hints["return"])[0] if self.is_versioned else self.hints["return"]
        return None if kind is type(None) else kind


@dataclass(frozen=True)
class Surface:
    """A family of endpoints. `authenticate` raises NotAllowed, and answers with whose call it is, once it is known."""

    prefix: str
    endpoints: tuple[Endpoint, ...]
    authenticate: Callable[[Core, Request], Call]
    read_body: Callable[[Request], Awaitable[bytes]] = read_body
    failed: Callable[[CairnError], Response] = answer
    is_open_to_pages: bool = False  # pages of any origin may call: what authenticates is not a cookie


def routes(core: Core, surface: Surface) -> list[BaseRoute]:
    return [
        Route(
            surface.prefix + endpoint.path,
            _handler(core, surface, endpoint),
            methods=_methods(surface, endpoint),
            name=endpoint.name,
        )
        for endpoint in surface.endpoints
    ]


def _methods(surface: Surface, endpoint: Endpoint) -> list[str]:
    """A page's browser asks first, and reads an answer of ours to a wrong method too."""
    return [*METHODS, "OPTIONS"] if surface.is_open_to_pages else [endpoint.method]


def nothing_here(surfaces: tuple[Surface, ...]) -> BaseRoute:
    """What answers for every other path below /api, and for a known one with a wrong method.

    Not only below our prefixes: vendors' clients call /api too, and a mistyped path must not lead them to the sign-in
    page.
    """
    known = [
        (re.compile(surface.prefix + re.sub(r"{\w+}", "[^/]+", endpoint.path)), endpoint.method)
        for surface in surfaces
        for endpoint in surface.endpoints
    ]

    async def handle(request: Request) -> Response:
        allowed = sorted({method for path, method in known if path.fullmatch(request.url.path)})
        if allowed:
            return answer(WrongMethod(", ".join(allowed)))
        return answer(NoSuchRoute(f"there is nothing at this path; see {PREFIX}/docs"))

    methods = [*METHODS, "HEAD", "OPTIONS", "TRACE"]
    return Route("/api/{rest:path}", handle, methods=methods, include_in_schema=False)


def _handler(core: Core, surface: Surface, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204)
        try:
            if request.method not in (endpoint.method, "HEAD"):
                raise WrongMethod(endpoint.method)
            refuse_token_in_query(request.query_params.multi_items())
            if endpoint.spooled is not None:
                return await _answer_upload(core, surface, endpoint, request)
            body = await surface.read_body(request) if endpoint.body_type is not None else b""
            return await while_waited_for(request, lambda: _answer(core, surface, endpoint, request, body))
        except Exception as error:  # the request boundary
            return surface.failed(problem_of(error))

    async def handle(request: Request) -> Response:
        response = await respond(request)
        return open_to_pages(response, endpoint.method) if surface.is_open_to_pages else response

    return handle


async def _answer_upload(core: Core, surface: Surface, endpoint: Endpoint, request: Request) -> Response:
    """Nothing is received before it is known who sends it, and that they may."""
    await run_in_threadpool(lambda: _caller(core, surface, endpoint, request))
    async with spooled(core, request) as upload:
        return await while_waited_for(request, lambda: _answer(core, surface, endpoint, request, upload))


def _caller(core: Core, surface: Surface, endpoint: Endpoint, request: Request) -> Call:
    """Raises NotAllowed."""
    call = replace(surface.authenticate(core, request), running=running_of(request))
    require(call.role, endpoint.verb)
    return call


def _answer(
    core: Core, surface: Surface, endpoint: Endpoint, request: Request, body: bytes | Upload
) -> Response:
    call = _caller(core, surface, endpoint, request)
    arguments = _arguments(endpoint, request, body)
    call.check_reach(_environment_in(arguments))
    result = endpoint.run(call, **arguments)
    headers = {"Cache-Control": "no-store"}
    if isinstance(result, Versioned):
        headers["ETag"], result = f'"{result.edition}"', result.answer
    if endpoint.answer_type is None:
        return Response(status_code=204, headers=headers)
    if endpoint.streamed is not None:
        return StreamingResponse(result, endpoint.status, headers, "application/json")
    return Response(msgspec.json.encode(result), endpoint.status, headers, "application/json")


def _environment_in(arguments: dict[str, Any]) -> str | None:
    """The environment a call is about: a part of its path, or a field of its query or body by that name."""
    structs = [msgspec.structs.asdict(value) for value in arguments.values() if isinstance(value, Struct)]
    named = {
        str(fields["environment"])
        for fields in (arguments, *structs)
        if fields.get("environment") is not None
    }
    return named.pop() if len(named) == 1 else None


def open_to_pages(response: Response, method: str) -> Response:
    """What authenticates is in a header that only our own script sends, so any origin may ask and no cookie counts."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After"
    response.headers["Access-Control-Allow-Methods"] = method
    response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _arguments(endpoint: Endpoint, request: Request, body: bytes | Upload) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        name: _convert(request.path_params[name], kind, name) for name, kind in endpoint.path_types.items()
    }
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    if len(query) < len(pairs):
        raise InvalidInput("a parameter is given twice; give each once")
    converted = msgspec.convert(query, endpoint.query_type, strict=False)
    if "query" in endpoint.hints:
        arguments["query"] = converted
    if isinstance(body, Upload):
        arguments["body"] = body
    elif endpoint.body_type is not None:
        arguments["body"] = decode_body(body, endpoint.body_type)
    if endpoint.is_conditional:
        arguments["expected"] = _expected(request.headers.get("if-match", "*"))
    return arguments


def _expected(header: str) -> int | None:
    """The edition that an If-Match header names; None: any. What we never sent as an ETag is not an edition."""
    if header.strip() == "*":
        return None
    digits = header.strip().removeprefix('"').removesuffix('"')
    is_edition = (
        digits.isascii() and digits.isdigit() and len(digits) < 10 and header.strip() == f'"{digits}"'
    )
    return int(digits) if is_edition else NO_EDITION


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
