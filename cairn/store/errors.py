"""What can go wrong with the event store, and the engine's error codes sorted into it."""

from clickhouse_connect.driver.exceptions import DatabaseError, Error

from cairn.errors import CairnError, InvalidInput, Misconfigured, Unavailable

_TOO_EXPENSIVE = frozenset({158, 159, 160, 241, 307, 396})  # too many rows/bytes, time, too slow, memory
_CANCELLED = 394
_BAD_PATTERN = frozenset({427, 36_427})  # CANNOT_COMPILE_REGEXP
_BAD_ROWS = frozenset(
    {6, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407}
)  # cannot parse, wrong type, out of range, too big


class StoreBusy(Unavailable):
    """The event store could not do it now: it is out of memory, disk or time, or another program holds it."""

    code = "store_busy"


class QuestionTooExpensive(StoreBusy):
    """The question hit its time or memory limit. Ask about a shorter time, or about fewer events."""

    code = "question_too_expensive"


class QuestionCancelled(StoreBusy):
    """The question was stopped because nobody waited for its answer any more. Ask again."""

    code = "question_cancelled"


class BadPattern(InvalidInput):
    """A regular expression in the question cannot be compiled."""

    code = "bad_pattern"


class RowsNotStorable(InvalidInput):
    """At least one of the rows cannot be stored as it is; none of them was."""

    code = "rows_not_storable"


class StoreTooNew(Misconfigured):
    """The event store was written by a newer Cairn. Start that version, or restore the backup."""

    code = "store_too_new"


class StoreInUse(Misconfigured):
    """Another process has the event store open; one process owns it. Stop the other one."""

    code = "store_in_use"


class StoreFault(CairnError):
    """The event store refused a statement of ours. A fault in Cairn."""

    code = "store_fault"


def of_question(error: Error) -> CairnError:
    code = _code(error)
    if code in _TOO_EXPENSIVE:
        return QuestionTooExpensive(f"the question hit its limit: {_short(error)}")
    if code == _CANCELLED:
        return QuestionCancelled("the question was stopped")
    if code in _BAD_PATTERN:
        return BadPattern(f"the regular expression cannot be compiled: {_short(error)}", field="value")
    return StoreFault(_short(error))


def of_insert(error: Error) -> CairnError:
    if _code(error) in _BAD_ROWS:
        return RowsNotStorable(_short(error))
    return StoreBusy(f"the event store did not take the rows: {_short(error)}")


def _code(error: Error) -> int:
    return (error.code or 0) if isinstance(error, DatabaseError) else 0


def _short(error: Error) -> str:
    return str(error).split("\n")[0][:500]
