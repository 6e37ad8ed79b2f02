"""The OpenAPI document as one page for people: no script, nothing from elsewhere."""

import base64
import hashlib
from html import escape
from typing import Any

import msgspec

from cairn.api.endpoint import PREFIX
from cairn.api.openapi import Document
from cairn.api.problem import problem_classes

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
       color-scheme: light dark; background: light-dark(#fff, #1e1e1b); color: light-dark(#23211d, #ece9e2); }
a { color: light-dark(#2f6b52, #6fbf98); }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { padding: .75rem; overflow-x: auto; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
h3 code { font-size: 1rem; }
p, code { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def docs_page(document: Document) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>Cairn API</title>",
        f"<style>{STYLE}</style><main><h1>Cairn API</h1><p>{escape(document['info']['description'])}</p>",
        f"<p>The same for programs: <a href='{PREFIX}/openapi.json'>openapi.json</a>.</p>",
        f"<pre>curl -H 'Authorization: Bearer cairn_…' https://your.cairn{PREFIX}/environments</pre>",
    ]
    tag = ""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                parts.append(f"<h2>{escape(tag.capitalize())}</h2>")
            parts.append(_operation(method.upper(), path, operation))
    parts.append("<h2>Errors</h2><p>Every unsuccessful answer is <code>application/problem+json</code>.</p>")
    parts += [
        f"<h3 id='{problem.code}'><code>{problem.code}</code></h3>"
        f"<p>{problem.status}: {escape(problem.__doc__ or '')}</p>"
        for problem in problem_classes()
    ]
    return "".join(parts) + "</main></html>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code><td>{'required' if parameter['required'] else 'optional'}"
        f"<td>{escape(parameter['schema'].get('description', ''))}"
        for parameter in operation["parameters"]
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    example = ""
    if body is not None:
        example = f"<pre>{escape(msgspec.json.format(msgspec.json.encode(body)).decode())}</pre>"
    return (
        f"<h3 id='{operation['operationId']}'><code>{method} {escape(path)}</code></h3>"
        f"<p>{escape(operation['summary'])} {escape(operation['description'])}</p>"
        f"{f'<table>{rows}</table>' if rows else ''}{example}"
    )
