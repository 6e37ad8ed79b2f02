"""The OpenAPI 3.1 document, made from the endpoints themselves."""

from typing import Any

import msgspec

from cairn import __version__
from cairn.api.endpoint import PREFIX, Endpoint
from cairn.api.problem import MEDIA_TYPE, Problem
from cairn.api.spool import FORMATS
from cairn.workspace.permission import LEAST_ROLE

Document = dict[str, Any]  # Any: JSON
ETAG: Document = {
    "description": "The version of what was answered. Send it as If-Match with a change.",
    "schema": {"type": "string"},
}
IF_MATCH: Document = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that was read. After somebody else's change the answer is 412 and says who changed what.",
    "schema": {"type": "string"},
}
REFERENCE = "#/components/schemas/{name}"


def openapi(endpoints: tuple[Endpoint, ...]) -> Document:
    """Shape: an OpenAPI 3.1 document. Guarantee: the same endpoints give the same document."""
    kinds = _kinds(endpoints)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema_of = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, Document] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, schema_of)
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cairn",
            "version": __version__,
            "description": "Segments, flags, users and events of one workspace: that of the token.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token made in the workspace's settings. Only in the header, never in an address.",
                }
            },
        },
    }


def _kinds(endpoints: tuple[Endpoint, ...]) -> list[Any]:
    """Every type that the document describes, each once."""
    kinds: dict[str, Any] = {repr(Problem): Problem}
    for endpoint in endpoints:
        parameters = [field.type for field in msgspec.structs.fields(endpoint.query_type)]
        for kind in (
            *endpoint.path_types.values(),
            *parameters,
            endpoint.body_type,
            endpoint.answer_type,
        ):
            if kind is not None:
                kinds[repr(kind)] = kind
    return list(kinds.values())


def _operation(endpoint: Endpoint, schema_of: dict[str, Document]) -> Document:
    operation: Document = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"For role {LEAST_ROLE[endpoint.verb].value} or higher.",
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": schema_of[repr(kind)]}
                for name, kind in endpoint.path_types.items()
            ),
            *(_parameter(field, schema_of) for field in msgspec.structs.fields(endpoint.query_type)),
            *([IF_MATCH] if endpoint.is_conditional else []),
        ],
        "responses": {
            str(endpoint.status if endpoint.answer_type else 204): _success(endpoint, schema_of),
            "default": {
                "description": "What went wrong, and what to do about it.",
                "content": {MEDIA_TYPE: {"schema": schema_of[repr(Problem)]}},
            },
        },
    }
    if endpoint.body_type is not None:
        content = {"schema": schema_of[repr(endpoint.body_type)], "example": endpoint.example}
        kinds = {"application/json": content}
        if endpoint.spooled is not None:
            kinds |= {kind: {"schema": {"type": "string"}} for kind in FORMATS if kind not in kinds}
        operation["requestBody"] = {"required": True, "content": kinds}
    return operation


def _parameter(field: msgspec.structs.FieldInfo, schema_of: dict[str, Document]) -> Document:
    schema = dict(schema_of[repr(field.type)])
    if not field.required and field.default is not None:
        schema["default"] = field.default
    return {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}


def _success(endpoint: Endpoint, schema_of: dict[str, Document]) -> Document:
    if endpoint.answer_type is None:
        return {"description": "Done."}
    success = {
        "description": "Done.",
        "content": {"application/json": {"schema": schema_of[repr(endpoint.answer_type)]}},
    }
    return success | {"headers": {"ETag": ETAG}} if endpoint.is_versioned else success
