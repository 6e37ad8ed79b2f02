"""Who is behind a key: what the edge and the loader must know of workspaces, published as one document.

Keys are looked up by their hash, so the published document holds no secret.
"""

import msgspec
from msgspec import Struct

from cairn.ids import key_hash

DOCUMENT = "directory"  # its name in members.Published


class App(Struct, frozen=True):
    """What a Heap app id stands for."""

    environment_id: int
    workspace_id: int


class Source(Struct, frozen=True):
    """What a Segment write key stands for."""

    source_id: int
    environment_id: int
    workspace_id: int
    name: str
    kind: str  # web, server
    is_enabled: bool
    heap_environments: tuple[int, ...]  # connected built-in analytics; empty: not connected
    # Rules of these connections as JSON, by environment in digits; those without any are not here.
    heap_rules: dict[str, str] = {}


class Sdk(Struct, frozen=True):
    """What a flag SDK key stands for."""

    environment_id: int
    workspace_id: int
    account_id: int
    may_write: bool = True  # events and aliases; not the public key of an environment that needs the server's


class Directory(Struct, frozen=True):
    apps: dict[str, App] = {}  # by app id
    sources: dict[str, Source] = {}  # by hash of the write key
    sdks: dict[str, Sdk] = {}  # by hash of the SDK key
    accounts: dict[str, int] = {}  # Wingify account id -> environment that answers keyless questions
    lists: dict[str, tuple[int, bool]] = {}  # attribute list id -> (account id, folds case)
    keeps_ip: frozenset[int] = frozenset()  # environments whose events keep the address they came from

    def app(self, app_id: str) -> App | None:
        return self.apps.get(app_id)

    def source(self, write_key: str) -> Source | None:
        return self.sources.get(key_hash(write_key))

    def sdk(self, sdk_key: str) -> Sdk | None:
        return self.sdks.get(key_hash(sdk_key))


def encode(directory: Directory) -> bytes:
    return msgspec.msgpack.encode(directory, order="sorted")


def decode(document: bytes | None) -> Directory:
    return msgspec.msgpack.decode(document, type=Directory) if document else Directory()
