"""Histories that people look at are kept within bounds."""

from typing import Any

import sqlalchemy as sa


def keep_newest(
    connection: sa.Connection,
    of: sa.Column[Any],
    owner: object,
    at: sa.Column[Any],
    most: int,
    *which: sa.ColumnElement[bool],
) -> None:
    """Delete all but the newest rows of one owner, by the moment in `at`. `which`: those that may go at all."""
    newest = sa.select(at).where(of == owner).order_by(at.desc()).offset(most).limit(1)
    oldest = connection.execute(newest).scalar()
    if oldest is not None:
        connection.execute(sa.delete(of.table).where(of == owner, at <= oldest, *which))
