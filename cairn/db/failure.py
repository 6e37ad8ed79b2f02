"""What a failure of the metadata database means to whoever asked: the one place that reads the driver's errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cairn.errors import Conflict, InvalidInput, Unavailable

logger = logging.getLogger(__name__)


@contextmanager
def explained() -> Iterator[None]:
    """Around a transaction. Raises Conflict, InvalidInput and Unavailable in place of the database's own errors."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise Conflict(
            "somebody else made a contradicting change at the same time; read again and repeat"
        ) from error
    except sa.exc.DataError as error:
        raise InvalidInput(
            "a text holds a character the database cannot keep; leave out control characters"
        ) from error
    except sa.exc.OperationalError as error:
        logger.warning("metadata_database_away", exc_info=error)
        raise Unavailable("the metadata database is busy; try again") from error
