"""The list of published documents is whole and true: nothing is published or read under a name that is not in it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from cairn.published import capture, directory, settings_file, source_settings
from cairn.published.documents import DOCUMENTS, Document

ROOT = Path(__file__).parents[2] / "cairn"


def imports_of(module: str) -> set[str]:
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    tree = ast.parse(path.read_text())
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_who_writes_and_reads_a_document_takes_its_name_from_its_module(document: Document) -> None:
    importlib.import_module(document.module)
    for user in (document.written_by, *document.read_by):
        assert document.module in imports_of(user), f"{user} does not use {document.module}"


def test_names_are_those_of_the_list() -> None:
    made = {
        directory.DOCUMENT,
        capture.document_name(7),
        settings_file.document_name(7, "node"),
        source_settings.document_name(7),
    }
    known = {"<environment>": "7", "<family>": "node", "<source>": "7"}
    listed = {re.sub("<.*?>", lambda found: known[found[0]], document.name) for document in DOCUMENTS}
    assert made == listed


def test_nobody_else_spells_a_document_name() -> None:
    for path in ROOT.rglob("*.py"):
        if path.parent.name != "published":
            text = path.read_text()
            assert 'f"capture/{' not in text and 'f"settings/{' not in text, path
            assert 'f"source/{' not in text, path


def test_documents_are_read_as_they_were_written() -> None:
    known = directory.Directory(apps={"1": directory.App(7, 8)}, keeps_ip=frozenset({7}))
    assert directory.decode(directory.encode(known)) == known
    assert directory.decode(None) == directory.Directory()
    configuration = {"keep_ip": True, "capture": {"mode": "block", "pages": ["/account/*"]}, "snapshots": {}}
    assert capture.decode(capture.encode(configuration)) == configuration
    read = capture.decode_controls(capture.encode(configuration))
    assert (read.keep_ip, read.capture) == (True, capture.Pages("block", ("/account/*",)))
    settings = source_settings.without_destinations()
    assert source_settings.decode(source_settings.encode(settings)) == settings
    for decode in (capture.decode, source_settings.decode):
        with pytest.raises(ValueError, match=r".+"):
            decode(b"[")
