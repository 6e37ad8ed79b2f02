"""The browser's scripts, served first-party: loader per environment, runtime and labeller by versioned name.

The files are built ahead by `browser/build.mjs` with their gzip and brotli twins; here they are only chosen and sent.
What an environment allows to be captured is decided elsewhere: `configurations` is asked for it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cairn.collect.answer import Answer, send_answer
from cairn.collect.files import FOREVER, File, Hashed, comment, file_of_body, read_file, respond
from cairn.collect.functions import Configuration, file_of, functions_of, without_bodies, without_functions
from cairn.collect.request import Receive, Request, Scope, Send, request_of
from cairn.errors import Misconfigured
from cairn.wire.masking import SECRET_NAME

# Paths a page can load us by. The last is ours alone: block lists know the words of the others.
_LOADERS = tuple(
    re.compile(path)
    for path in (r"/js/heap-(\d{1,16})\.js", r"/config/(\d{1,16})/heap_config\.js", r"/k/(\d{1,16})\.js")
)
_RUNTIME = re.compile(r"/v5/heapjs-(?:static|experimental)/([^/]+)/([a-z-]+)/(heap|later|labeller)\.js")
_NEUTRAL_RUNTIME = re.compile(r"/k/([^/]+)/(core|core-[a-z]+|later|labeller)\.js")
# The function of a JavaScript snapshot, by app id and its own id.
_FUNCTION = re.compile(r"/(?:v5/functions|k)/(\d{1,16})/([0-9a-f]{20})\.js")

# Where the script on the neutral path sends to; the collector answers them as /api/capture/v2/<name>.
NEUTRAL_CAPTURE = {
    "/k/e": "track",
    "/k/i": "identify",
    "/k/u": "add_user_properties",
    "/k/a": "add_account_properties",
}

_HOST = re.compile(r"[a-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9a-f:.]{2,45}\](:\d{1,5})?", re.IGNORECASE)
_CONFIGURATION_AGE_S = 60  # how long a browser may act on an old configuration; then one conditional request
_PINNED_AGE_S = 3600  # a page that pins another version gets today's, so the answer must not live for ever

Configurations = Callable[[str], Awaitable[Configuration | None]]


class _Built(Struct, frozen=True):
    version: str
    files: dict[str, File]


class _Manifest(Struct):
    version: str
    files: dict[str, Hashed]


def origin_of(request: Request, scheme: str) -> str:
    """Where this was asked for: a script that runs as a module, or inside a page's own code, cannot tell."""
    host = request.header(b"host")
    return f"{scheme}://{host}" if _HOST.fullmatch(host) else ""


def _runtime(plugins: str) -> str:
    """The runtime for a list of plugins. A page may pin a version whose plugins had other names."""
    return "core" if plugins == "core" else "core-rules"


async def capture_all(_environment: str) -> Configuration | None:
    """The configuration of an environment that restricts nothing."""
    return {}


class ScriptFiles:
    """ASGI application for the script's paths.

    Guarantee: a versioned address always has the same content, so it is sent as immutable.
    `configurations` answers what an app id's heap_config.js carries, or None for an unknown one (404).
    """

    def __init__(
        self, folder: Path, configurations: Configurations = capture_all, *, public_url: str = ""
    ) -> None:
        self._folder = folder
        self._configurations = configurations
        self._public_url = public_url.rstrip("/")
        self._built: _Built | None = None

    def handles(self, method: str, path: str) -> bool:
        return method in ("GET", "HEAD") and any(
            pattern.fullmatch(path) for pattern in (*_LOADERS, _RUNTIME, _NEUTRAL_RUNTIME, _FUNCTION)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(
            send, await self._answer(request_of(scope, scope["path"]), scope.get("scheme", "http"))
        )

    async def _answer(self, request: Request, scheme: str) -> Answer:
        path = request.path
        built = await asyncio.to_thread(self._load)
        for pattern in _LOADERS:
            if match := pattern.fullmatch(path):
                return await self._loader(built, match[1], request, scheme)
        if match := _FUNCTION.fullmatch(path):
            return await self._function(match[1], match[2], request)
        if match := _RUNTIME.fullmatch(path):
            version, plugins, name = match.groups()
            wanted = _runtime(plugins) if name == "heap" else name
        elif match := _NEUTRAL_RUNTIME.fullmatch(path):
            version, name = match.groups()
            wanted = _runtime(name) if name.startswith("core") else name
        else:
            return comment("no such script", 404)
        age = FOREVER if version == built.version else f"public, max-age={_PINNED_AGE_S}"
        return respond(built.files[f"{wanted}.js"], request, age)

    async def _loader(self, built: _Built, environment: str, request: Request, scheme: str) -> Answer:
        is_neutral = request.path.startswith("/k/")
        configuration = await self._configurations(environment)
        if configuration is None:
            return comment("no environment has this id; copy it from Environments", 404)
        if b"functions=none" in request.query.split(b"&"):
            configuration = without_functions(configuration)
        has_rules = (
            configuration.get("snapshots") or configuration.get("capture", {"mode": "all"})["mode"] != "all"
        )
        plugins = ["core", "rules"] if has_rules else ["core"]
        server: dict[str, Any] = {  # Any: heap_config.js is foreign JSON
            **without_bodies(configuration),
            "secrets": SECRET_NAME,
            "sdk": {"version": built.version, "plugins": plugins},
        }
        if functions := functions_of(configuration):
            folder = f"/k/{environment}/" if is_neutral else f"/v5/functions/{environment}/"
            server["functions"] = [f"{folder}{identifier}.js" for identifier in functions]
        if is_neutral:
            server["paths"] = {name: path for path, name in NEUTRAL_CAPTURE.items()}
        origin = self._public_url or origin_of(request, scheme)
        known = {"envId": environment, "server": server, "isNeutral": is_neutral, "origin": origin}
        body = (
            b"(function(C){"
            + built.files["loader.js"].bodies[""]
            + b"})("
            + msgspec.json.encode(known)
            + b")"
        )
        age = f"public, max-age={_CONFIGURATION_AGE_S}, stale-while-revalidate=86400"
        return respond(file_of_body(body), request, age)

    async def _function(self, environment: str, identifier: str, request: Request) -> Answer:
        body = functions_of(await self._configurations(environment) or {}).get(identifier)
        if body is None:
            return comment("no JavaScript snapshot of this environment has this id", 404)
        return respond(file_of_body(file_of(identifier, body)), request, FOREVER)

    def _load(self) -> _Built:
        """The built files, read once. Raises Misconfigured when they were never built."""
        if self._built is None:
            try:
                manifest = msgspec.json.decode((self._folder / "manifest.json").read_bytes(), type=_Manifest)
                files = {
                    name: read_file(self._folder / name, built) for name, built in manifest.files.items()
                }
            except OSError as error:
                raise Misconfigured(
                    f"the browser script is not built ({error}); run `npm ci && npm run build` in browser/",
                    field="script_folder",
                ) from error
            self._built = _Built(manifest.version, files)
        return self._built
