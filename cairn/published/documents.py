"""Every document that the core writes and the edge reads: what it is called, what it is, who writes it, who reads it.

The edge needs no database: it has the members store and these. A document is replaced as a whole, and the same
state gives the same bytes, so that publishing again changes nothing.
"""

from msgspec import Struct

from cairn.published import capture, directory, settings_file, source_settings


class Document(Struct, frozen=True):
    name: str  # as its module makes it; <environment> and <source> stand for an id
    module: str  # name, type, encode and decode
    encoding: str
    written_by: str
    read_by: tuple[str, ...]


DOCUMENTS = (
    Document(
        directory.DOCUMENT,
        directory.__name__,
        "msgpack",
        "cairn.workspace.directory_build",
        ("cairn.edge", "cairn.server"),
    ),
    Document(
        "capture/<environment>",
        capture.__name__,
        "JSON",
        "cairn.privacy.capture",
        ("cairn.collect.configuration", "cairn.ingest.controls"),
    ),
    Document(
        "settings/<environment>/<family>",
        settings_file.__name__,
        "JSON",
        "cairn.flags.publish",
        ("cairn.gateway.settings_file",),
    ),
    Document(
        "source/<source>",
        source_settings.__name__,
        "JSON",
        "cairn.routing.settings_document",
        ("cairn.collect.source_settings",),
    ),
)
