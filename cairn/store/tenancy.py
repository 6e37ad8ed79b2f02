"""Every question sees its environment's rows only, whatever its text says: the engine is told with each one. Pure."""

from cairn.store.schema import DATABASE

# Tables with rows of several environments. A test compares them with the tables there are.
TENANT_TABLES = (
    "events",
    "user_properties",
    "account_properties",
    "user_map",
    "refusals",
    "elements",
    "visitors",
)


def filters(environment_id: int) -> str:
    """For the engine's setting (`FILTERS_SETTING`), which it adds to every read of these tables."""
    pairs = (f"'{DATABASE}.{table}': 'environment_id = {int(environment_id)}'" for table in TENANT_TABLES)
    return "{" + ", ".join(pairs) + "}"
