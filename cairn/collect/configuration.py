"""What an environment allows its script to capture: the document that the core publishes, or nothing special."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cairn.errors import Unavailable
from cairn.members.sets import Published
from cairn.published.capture import decode, document_name
from cairn.published.directory import Directory

logger = logging.getLogger(__name__)


class CaptureConfigurations:
    """What heap_config.js carries, by app id; None for an app id nobody has."""

    def __init__(self, published: Published, directory: Callable[[], Directory]) -> None:
        self._published, self._directory = published, directory

    async def __call__(self, app_id: str) -> Mapping[str, Any] | None:  # Any: heap_config.js is foreign JSON
        """Raises Unavailable: without its document an environment could capture more than it allows."""
        app = self._directory().app(app_id)
        if app is None:
            return None
        document = self._published.document(document_name(app.environment_id))
        if document is None:
            return {}
        try:
            return decode(document)
        except msgspec.MsgspecError as error:
            logger.error("capture_configuration_refused", extra={"environment_id": app.environment_id})
            raise Unavailable("the capture configuration cannot be read") from error
