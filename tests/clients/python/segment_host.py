"""A pytest plugin: the tests inside segment-analytics-python send to `CAIRN_URL` instead of the vendor's host."""

import os
import sys
import unittest.mock
from typing import Any

from segment.analytics import request

sys.modules["mock"] = unittest.mock  # the package of that name is where this one came from
VENDOR = "https://api.segment.io"
_session: Any = request._session  # noqa: SLF001  # the one session that the client sends by
_send = _session.request


def _rewritten(method: str, url: str, **options: Any) -> Any:
    return _send(method, url.replace(VENDOR, os.environ["CAIRN_URL"]), **options)


_session.request = _rewritten
