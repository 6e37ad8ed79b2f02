"""What a page of Segment's analytics.js loads when only its script host is this one.

The library's own files as its npm package has them, our Heap destinations for it, and the settings of a source.
Source: contracts/segment.md 3.2. A browser blocks a script that is answered with JSON, so what is missing here is
answered with a comment in JavaScript.
"""

import asyncio
import base64
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from cairn.collect.answer import Answer, no_such_call, send_answer
from cairn.collect.files import FOREVER, File, Hashed, comment, read_file, respond
from cairn.collect.request import Receive, Request, Scope, Send, request_of
from cairn.collect.script import origin_of
from cairn.collect.source_settings import SourceSettingsAnswers
from cairn.errors import Misconfigured
from cairn.members.sets import Published
from cairn.published.directory import Directory

_FOLDERS = ("/analytics.js/", "/analytics-next/", "/next-integrations/")
_SETTINGS_FOLDER = "/v1/projects/"
_KEY = r"[A-Za-z0-9_-]{1,100}"
_LIBRARY = re.compile(rf"/analytics\.js/v1/({_KEY})/(?:platform/)?analytics(?:\.min)?\.js")
_BUNDLE = re.compile(r"/analytics-next/bundles/([\w.-]{1,200}\.js)")
_INTEGRATION = re.compile(r"/next-integrations/integrations/([\w.-]+)/[\w.-]+/\1\.dynamic\.js\.gz")
_ACTION = re.compile(r"/next-integrations/actions/([\w.-]+)/([\w-]+)\.js")
_SETTINGS = re.compile(rf"/v1/projects/({_KEY})/settings/?")

ACTION_NAME = "heap-web"  # the plugin's folder and file
_JAVASCRIPT = (b"content-type", b"application/javascript; charset=utf-8")
_AGE_S = 60  # for what keeps its address while its content changes


def _named(names: dict[str, str]) -> dict[str, str]:
    """With the names that `obfuscate: true` makes of them."""
    obfuscated = {base64.b64encode(name.encode()).decode().rstrip("="): file for name, file in names.items()}
    return names | obfuscated


_INTEGRATIONS = _named({"heap": "heap.js"})
_ACTIONS = _named({ACTION_NAME: "heap-web.js"})


class _Manifest(Struct):
    files: dict[str, Hashed]


class AnalyticsFiles:
    """ASGI application for these paths. `folder`: what browser/build-segment.mjs has built."""

    def __init__(
        self, folder: Path, published: Published, directory: Callable[[], Directory], *, public_url: str = ""
    ) -> None:
        self._folder = folder
        self._directory = directory
        self._settings = SourceSettingsAnswers(published, directory)
        self._public_url = public_url.rstrip("/")
        self._files: dict[str, File] = {}

    def handles(self, path: str) -> bool:
        """Whatever the method: a wrong one is answered here too."""
        return path.startswith(_FOLDERS) or path.startswith(_SETTINGS_FOLDER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope, scope["path"])
        if request.path.startswith(_SETTINGS_FOLDER):
            await send_answer(send, self._source_settings(request, scope.get("scheme", "http")))
        else:
            await send_answer(send, await self._script(request))

    def _source_settings(self, request: Request, scheme: str) -> Answer:
        match = _SETTINGS.fullmatch(request.path)
        if match is None:
            return no_such_call(request)
        return self._settings.answer(request, match[1], self._public_url or origin_of(request, scheme))

    async def _script(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return comment("send GET", 405).with_headers((b"allow", b"GET, HEAD"))
        files = self._files or await asyncio.to_thread(self._load)
        path = request.path
        if match := _LIBRARY.fullmatch(path):
            # Never started, it asks nobody for settings. Started without settings, it would report to the vendor.
            if self._directory().source(match[1]) is None:
                return comment("no source has this write key; copy it from Sources and keys", 404)
            return _sent(files["bundles/standalone.js"], request)
        if match := _BUNDLE.fullmatch(path):
            return _sent(files.get(f"bundles/{match[1]}"), request, FOREVER if "bundle." in path else "")
        if match := _INTEGRATION.fullmatch(path):
            return _sent(files.get(_INTEGRATIONS.get(match[1], "")), request)
        if match := _ACTION.fullmatch(path):
            file = files.get(_ACTIONS.get(match[1], ""))
            return _sent(file, request, FOREVER if file and file.etag == f'"{match[2]}"' else "")
        return _missing()

    def _load(self) -> dict[str, File]:
        """The built files, read once. Raises Misconfigured when they were never built."""
        try:
            manifest = msgspec.json.decode((self._folder / "manifest.json").read_bytes(), type=_Manifest)
            self._files = {
                name: read_file(self._folder / name, built) for name, built in manifest.files.items()
            }
        except OSError as error:
            raise Misconfigured(
                f"analytics.js is not built ({error}); run `npm ci && npm run build` in browser/",
                field="script_folder",
            ) from error
        return self._files


def _missing() -> Answer:
    return comment("there is no such file here; only the Heap destinations run in the browser", 404)


def _sent(file: File | None, request: Request, cache_control: str = "") -> Answer:
    if file is None:
        return _missing()
    return respond(file, request, cache_control or f"public, max-age={_AGE_S}", content_type=_JAVASCRIPT)
