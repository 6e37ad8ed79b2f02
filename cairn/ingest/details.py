"""What the gateway knows of a caller's device and location, in the words of flag SDKs.

Source: contracts/wingify.md 3.2. What is not known is left out, which makes location and device conditions false in
every SDK instead of blocking it.
"""

from cairn.ingest.location import Locate

_LOCATION = ("country", "region", "city")
# By the SDKs' name, the fact of a captured event.
_USER_AGENT = {
    "os": "os",
    "browser_string": "browser",
    "device_type": "device_type",
    "device": "device",
    "browser_version": "browser_version",
    "os_version": "os_version",
}
# The contract's own example says `Mac OS` and `desktop` where captured events say `Mac OS X` and `Desktop`.
_OS_NAMES = {"Mac OS X": "Mac OS"}


def details(user_agent: str, ip: str, *, locate: Locate) -> dict[str, dict[str, str]]:
    """Shape: `location` and `userAgent`, each only when something is known of it."""
    location = locate(ip) if ip else {}
    known = {
        "location": {name: location[name] for name in _LOCATION if name in location},
        "userAgent": _agent(user_agent) if user_agent else {},
    }
    return {name: facts for name, facts in known.items() if facts}


def _agent(user_agent: str) -> dict[str, str]:
    # Loaded with the first question: the patterns take 0.2 s and 25 MB, and most environments never ask.
    from cairn.ingest.device import device_facts

    facts = device_facts(user_agent)
    agent = {name: facts[fact] for name, fact in _USER_AGENT.items() if fact in facts}
    if "os" in agent:
        agent["os"] = _OS_NAMES.get(agent["os"], agent["os"])
    if "device_type" in agent:
        agent["device_type"] = agent["device_type"].lower()
    return agent
