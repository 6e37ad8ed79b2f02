"""What went wrong, as `application/problem+json` (RFC 9457): stable code, the field at fault, and the fix.

A detail never carries the input back: it is cut to a length at which it can only name it.
"""

import logging
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response

from cairn.errors import CairnError, InvalidInput

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_DETAIL = 400  # characters
RETRY_AFTER_S = 1  # what is away for a moment is mostly a lock


class Problem(Struct, frozen=True):
    """What every unsuccessful answer looks like."""

    type: str  # where the code is explained
    title: str
    status: int
    code: str
    detail: str
    field: str = ""  # the input at fault: a body field's path, or a parameter's name
    errors: list[str] = []  # of an upload: the first lines that are refused, and why


class NoSuchRoute(CairnError):
    """There is nothing at this path. The document lists every path there is."""

    code = "no_such_route"
    status = 404


class WrongMethod(CairnError):
    """The path exists, but not with this method. The answer's Allow header lists those it has."""

    code = "wrong_method"
    status = 405

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(f"this path answers to {allowed} only")


class InternalError(CairnError):
    """A fault of Cairn's own. It is in the log of the core."""

    code = "internal_error"


def problem_of(error: Exception) -> CairnError:
    """The error to tell the caller about. What nobody foresaw is logged, and told without its details."""
    match error:
        case CairnError():
            return error
        case msgspec.ValidationError():
            return _invalid(error)
        case _:
            logger.error("request_failed", exc_info=error)
            return InternalError("Cairn could not do this; the reason is in the core's log")


def answer(error: CairnError) -> Response:
    title = (type(error).__doc__ or "").strip().partition(". ")[0].rstrip(".")
    body = Problem(
        type=f"/api/v1/docs#{error.code}",
        title=" ".join(title.split()),
        status=error.status,
        code=error.code,
        detail=_cut(str(error), MAX_DETAIL),
        field=_cut(error.field, 100),
        errors=[_cut(text, MAX_DETAIL) for text in getattr(error, "errors", ())],
    )
    headers = {"Cache-Control": "no-store"}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    if isinstance(error, WrongMethod):
        headers["Allow"] = error.allowed
    return Response(msgspec.json.encode(body), error.status, headers, MEDIA_TYPE)


def _invalid(error: msgspec.ValidationError) -> InvalidInput:
    """msgspec says "Expected `int`, got `str` - at `$.name`"; callers want the field by itself."""
    text, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    for opening in ("Object contains unknown field `", "Object missing required field `"):
        if text.startswith(opening):
            field = ".".join(part for part in (field, text.removeprefix(opening).rstrip("`")) if part)
    return InvalidInput(f"{_cut(field, 100)}: {text}" if field else text, field=field)


def _cut(text: str, length: int) -> str:
    """At most so many characters, all of which JSON can carry."""
    plain = text.encode(errors="replace").decode()
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def problem_classes() -> list[type[CairnError]]:
    """Every error there is, by code, for the page that explains them."""
    classes: dict[str, type[CairnError]] = {}
    waiting: list[Any] = [CairnError]
    while waiting:
        problem = waiting.pop()
        classes.setdefault(problem.code, problem)
        waiting += problem.__subclasses__()
    return [classes[code] for code in sorted(classes)]
