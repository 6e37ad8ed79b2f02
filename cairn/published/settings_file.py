"""What flag SDKs fetch: `settings/<environment>/<family>`, a settings file of Wingify (contracts/wingify.md 7).

Its bytes are compiled by `flags.settings_file` and served as they are, but for the caller's key; so there is nothing
to decode here.
"""

from typing import Literal

Family = Literal["node", "python"]


def document_name(environment_id: int, family: Family) -> str:
    """Python SDKs cannot ask the gateway for lists, so their file holds them."""
    return f"settings/{environment_id}/{family}"
