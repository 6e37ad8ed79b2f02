"""What the gateway knows of a caller's device and place. Pure.

Limit: without a location database and a user agent reader it knows nothing, and says so with an empty object, which
makes location and device conditions false in every SDK instead of blocking them (contracts/wingify.md 3.2).
"""


def details(user_agent: str, ip: str) -> dict[str, dict[str, str]]:
    return {}
