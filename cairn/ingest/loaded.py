"""What one load changed, named so that live segments look only at users who could have changed."""

from msgspec import Struct, field


class Loaded(Struct):
    """The touched users of one environment. Raw user ids; resolve merges before comparing."""

    environment_id: int
    by_event: dict[tuple[str, str], set[int]] = field(default_factory=dict)  # (kind, name) -> users
    by_property: dict[str, set[int]] = field(default_factory=dict)  # user property key -> users
    merged: set[int] = field(
        default_factory=set
    )  # users whose canonical user changed, and both canonical users
