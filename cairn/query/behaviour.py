"""Which events count as behaviour: what people did, as opposed to who they are and what they were shown. Pure."""

from cairn.event import Kind

# Counted only where a question names the kind.
NOT_BEHAVIOUR = (Kind.IDENTIFY, Kind.EXPOSURE)


def _among(kinds: tuple[str, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)


# Booleans over the columns of `events`.
BEHAVIOUR = f"kind NOT IN ({_among(NOT_BEHAVIOUR)})"
# That a session began is not a thing that was done in it.
IN_SESSION = f"{BEHAVIOUR} AND kind != '{Kind.SESSION}'"
EXPOSURE = f"kind = '{Kind.EXPOSURE}'"
IDENTIFY = f"kind = '{Kind.IDENTIFY}'"
PAGEVIEW = f"kind = '{Kind.PAGEVIEW}'"
CUSTOM = f"kind = '{Kind.CUSTOM}'"
