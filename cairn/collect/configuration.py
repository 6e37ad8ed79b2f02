"""What an environment allows its script to capture: the document that the core publishes, or nothing special."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cairn.errors import Unavailable
from cairn.members.sets import Published
from cairn.workspace.directory import Directory

logger = logging.getLogger(__name__)


def capture_document(environment_id: int) -> str:
    """The name of an environment's capture configuration among the published documents. JSON, as serverConfig."""
    return f"capture/{environment_id}"


class CaptureConfigurations:
    """What heap_config.js carries, by app id; None for an app id nobody has."""

    def __init__(self, published: Published, directory: Callable[[], Directory]) -> None:
        self._published, self._directory = published, directory

    async def __call__(self, app_id: str) -> Mapping[str, Any] | None:  # Any: heap_config.js is foreign JSON
        """Raises Unavailable: without its document an environment could capture more than it allows."""
        app = self._directory().app(app_id)
        if app is None:
            return None
        document = self._published.document(capture_document(app.environment_id))
        if document is None:
            return {}
        try:
            return msgspec.json.decode(document, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            logger.error("capture_configuration_refused", extra={"environment_id": app.environment_id})
            raise Unavailable("the capture configuration cannot be read") from error
