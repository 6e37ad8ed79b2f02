"""The guide "write a destination": its module is found by being in the folder, and does what the guide says."""

import importlib
import json
import re
from pathlib import Path

import pytest

from cairn.routing.catalogue import destinations_of
from cairn.routing.destination import Destination
from tests.routing.destinations.sending import HOSTILE, message, prepared, refusal, survives

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "write-a-destination.md"
SETTINGS = {"url": "https://example.test/events", "token": "t0ken"}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Destination:
    """The guide's module in a package of its own, read as the catalogue reads its package."""
    [module] = [
        code
        for code in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
        if "DESTINATION =" in code
    ]
    folder = tmp_path_factory.mktemp("written")
    package = folder / "destinations_of_the_guide"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "example.py").write_text(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        [entry] = destinations_of(importlib.import_module(package.name))
    return entry


def test_the_guides_module_is_found_and_sends(example: Destination) -> None:
    assert example.slug == "example"
    [request] = prepared(example, message(userId="u1", event="Plan Chosen"), **SETTINGS)
    assert json.loads(request.call.body) == {"name": "Plan Chosen", "user": "u1", "id": "msg-00000001"}
    assert request.call.secret is not None and request.call.secret.host == "example.test"
    assert "userId: is missing" in refusal(example, message(event="E"), **SETTINGS)


@pytest.mark.parametrize("value", HOSTILE)
def test_the_guides_module_survives_hostile_values(example: Destination, value: object) -> None:
    survives(example, value, **SETTINGS)
