"""The side that has the segments, as contracts/heap.md section 12 has it: a server on loopback that remembers calls."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class HeapSide:
    """`answers`: path -> (status, body) in place of what it would say."""

    def __init__(self, *, is_cairn: bool = True) -> None:
        self.is_cairn = is_cairn
        self.answers: dict[str, tuple[int, Any]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.codes: dict[str, str] = {}  # code -> PKCE challenge
        self.segments: list[dict[str, Any]] = [{"id": 1, "name": "Premium"}, {"id": 2, "name": "Trial"}]
        self.id_token = "5b1c0000-0000-4000-8000-0000000000aa"
        self.url = ""

    def allow(self, address: str) -> str:
        """A member follows the address to the consent page and allows: where the browser goes then."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert asked["response_type"] == "code" and asked["scope"] == "segment"
        assert asked["code_challenge_method"] == "S256"
        code = f"code {len(self.codes)}"
        self.codes[code] = asked["code_challenge"]
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def called(self, path: str) -> list[Any]:
        return [body for called, body in self.calls if called == path]

    def answer(self, path: str, body: Any, token: str) -> tuple[int, Any]:
        self.calls.append((path, body))
        if path in self.answers:
            return self.answers[path]
        oauth = f"{self.url}/api/partner/oauth"
        if path == "/.well-known/oauth-authorization-server" and self.is_cairn:
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{oauth}/authorize",
                "token_endpoint": f"{oauth}/token",
                "registration_endpoint": f"{oauth}/register",
                "revocation_endpoint": f"{oauth}/revoke",
            }
        if path == "/api/partner/oauth/register" and self.is_cairn:
            return 201, {
                "client_id": "given id",
                "client_secret": "given secret",
                "webhook_secret": "given hook",
            }
        if path == "/api/partner/oauth/token":
            return self._exchange(body)
        if path == "/api/partner/oauth/revoke":
            return 200, {}
        if token != "Bearer the token":
            return 401, {"error": "invalid_token"}
        if path == f"/api/partner/v1/metadata/{self.id_token}":
            return 200, {"account": {"name": "Acme"}, "environment": {"name": "Production of Acme"}}
        if path == "/api/partner/v1/segments" and self.is_cairn:
            return 200, {"segments": self.segments}
        return 404, {"error": "not_found"}

    def _exchange(self, body: Any) -> tuple[int, Any]:
        challenge = self.codes.pop(body["code"], None)
        digest = hashlib.sha256(body["code_verifier"].encode()).digest()
        if challenge is None or base64.urlsafe_b64encode(digest).decode().rstrip("=") != challenge:
            return 400, {"error": "invalid_grant"}
        if body["client_secret"] not in ("given secret", "typed-secret"):
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": "the token", "id_token": self.id_token, "token_type": "bearer"}


@contextmanager
def heap_side(*, is_cairn: bool = True) -> Iterator[HeapSide]:
    side = HeapSide(is_cairn=is_cairn)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do({})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            is_json = self.headers["Content-Type"] == "application/json"
            self._do(json.loads(raw) if is_json else dict(parse_qsl(raw.decode())))

        def _do(self, body: Any) -> None:
            status, answer = side.answer(self.path, body, self.headers.get("Authorization", ""))
            encoded = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    side.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield side
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
