"""What keeps a page safe in the browser: response headers, cookies, and where a sign-in may lead back to."""

import re
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"[a-z0-9.:_-]+")  # nothing that ends a directive of the header
# The page of a partner app's consent, at the address that the contract gives it.
CONSENT = "/api/partner/oauth/authorize"
PAGES = ("/env/", f"{CONSENT}?")  # what addresses to come back to begin with
NONCE = "nonce"  # in the request's state; only scripts that carry it run


def content_security_policy(nonce: str, *, form_targets: Sequence[str] = ()) -> str:
    """Scripts are admitted one by one, not by host: files of code that customers write come from this host too.

    `form_targets`: addresses that a form of the page may lead to beside our own, also by a redirect. Their origins
    are admitted. Raises ValueError for what is not a web address.
    """
    form_action = " ".join(["'self'", *map(_origin, form_targets)])
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            f"form-action {form_action}",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )


def _origin(address: str) -> str:
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise ValueError(f"not the address of a site: {address!r}")
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{parts.port}" if parts.port else "")


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityHeaders:
    """Adds the headers to every response of the pages, and keeps personal ones out of shared caches."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})[NONCE] = nonce

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", content_security_policy(nonce))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self._secure or scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


def is_secure(public_url: str, scheme: str = "") -> bool:
    """Whether people reach Cairn by TLS: by its public address always, or in this request, as a trusted proxy says."""
    return public_url.startswith("https://") or scheme == "https"


def set_cookie(
    response: Response, name: str, value: str, *, secure: bool, max_age_s: int | None = None
) -> None:
    response.set_cookie(
        name, value, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax"
    )


def read_cookie(request: Request, name: str) -> str:
    """The last one of this name, without the quotes that `set_cookie` may put around it; empty when there is none.

    Starlette's `request.cookies` also undoes escapes, by Python's own function: its work grows with the square of the
    length, half a second for the longest header. No cookie of ours holds an escape.
    """
    value = ""
    for header in request.headers.getlist("cookie"):
        for pair in header.split(";"):
            key, _, text = pair.partition("=")
            if key.strip() == name:
                value = text.strip().removeprefix('"').removesuffix('"')
    return value


def came_from_elsewhere(request: Request) -> bool:
    """A change that another site's page sent. Browsers that do not report it are judged by the token alone."""
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def safe_next(path: str) -> str:
    """Where to go after signing in: a path of this site, or the start page for anything else."""
    plain = path.startswith(PAGES) and "\\" not in path and not any(ord(c) < 33 for c in path)
    return path if plain else "/"
