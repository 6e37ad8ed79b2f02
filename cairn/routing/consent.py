"""A visitor's consent, as the consent wrapper of the browser client puts it into each call. Pure.

Source: contracts/segment.md section 4, step 6.
"""

from collections.abc import Iterable
from typing import Any


def missing_consent(context: Any, categories: Iterable[str]) -> str | None:  # Any: foreign JSON
    """The first of a connection's categories that the visitor did not agree to; None: nothing is missing.

    A call without a consent object was made where nobody is asked. One that cannot be read agrees to nothing.
    """
    consent = context.get("consent") if isinstance(context, dict) else None
    if consent is None:
        return None
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    agreed = preferences if isinstance(preferences, dict) else {}
    return next((name for name in categories if agreed.get(name) is not True), None)
