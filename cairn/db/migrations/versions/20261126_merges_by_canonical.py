"""The history of merges by the user merged into: a user's page asks by both ids."""

from alembic import op

revision = "20261126_merges_by_canonical"
down_revision = "20261125_expected_names"


def upgrade() -> None:
    op.create_index("ix_merges_environment_id_canonical_id", "merges", ["environment_id", "canonical_id"])
