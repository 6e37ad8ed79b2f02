"""Identities that many strangers share by mistake, so that merging on them would make one user of them all."""

_JUNK = frozenset(
    {
        "null", "undefined", "none", "nil", "nan", "guest", "anonymous", "anon", "unknown", "not set", "(not set)",
        "n/a", "[object object]", "(null)", "<null>",
    }
)  # fmt: skip


def is_junk(identity: str) -> bool:
    """Source: contracts/heap.md section 7. Compared without case and surrounding blanks; "0" is a real identity."""
    stripped = identity.strip()
    return not stripped or stripped.lower() in _JUNK
