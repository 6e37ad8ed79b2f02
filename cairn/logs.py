"""The processes' log: one line of plain text for each event on standard error, with its values, and without keys."""

import logging
import sys

from cairn.redact import redacted

# What every record has; the rest of its fields are the values that the caller named.
_OWN = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "color_message"))


class Redacting(logging.Formatter):
    """Every line goes through `redacted` as a whole: the message, its values, and the text of an exception."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        values = [f"{name}={value}" for name, value in record.__dict__.items() if name not in _OWN]
        return " ".join([super().formatMessage(record), *values])

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def set_up_logging() -> None:
    """For the process: warnings and worse, of every library too. Idempotent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redacting())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
