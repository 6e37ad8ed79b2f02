"""Interrupted before and after every call it makes, the loader ends with the same outcomes."""

from typing import Any

import pytest

from cairn.errors import Unavailable
from cairn.ids import identified_user_id
from tests.ingest.rig import DAY_MS, NOW_MS, Rig, outcomes

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The end of the process."""


class Interrupting:
    """Passes calls on to the real thing and raises at the n-th moment: before a call, half-way, or after it."""

    def __init__(self, real: Any, moments: "Moments") -> None:
        self._real, self._moments = real, moments

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            self._moments.next()
            if name == "insert_events" and len(arguments[0]) > 1 and self._moments.is_next_last():
                method(arguments[0][::2])  # as when only some of the months were written
            self._moments.next()
            answer = method(*arguments, **options)
            self._moments.next()
            return answer

        return call


class Moments:
    """Counts them, and raises at one of them."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error
        self.raise_at(0)

    def raise_at(self, moment: int) -> None:
        self._seen, self._last = 0, moment

    def next(self) -> None:
        self._seen += 1
        if self._seen == self._last:
            raise self._error("interrupted")

    def is_next_last(self) -> bool:
        return self._seen + 1 == self._last


def send_all(rig: Rig, environment_id: int) -> None:
    def identify(user_id: int, identity: str) -> dict[str, Any]:
        return {"kind": "identify", "name": "", "identity": identity, "merge_user_id": user_id}

    rig.send(
        {"user_id": 1, "key": "m-1", "user_properties": {"plan": "pro"}},
        {"user_id": 2, "key": "m-2", "time_ms": NOW_MS - 40 * DAY_MS},
        {"user_id": 1, "key": "m-1"},
        {"name": "nobody"},
        environment_id=environment_id,
    )
    rig.send(identify(7, "ann"), identify(7, "bob"), {"user_id": 7}, environment_id=environment_id)
    rig.send({"user_id": 3, "key": "m-1"}, {"user_id": 2**80}, {"user_id": 4}, environment_id=environment_id)


EXPECTED = [
    *("stored", "stored", "repeated_id", "no_user"),
    *("stored", "identity_taken", "stored"),
    *("repeated_id", "not_stored", "stored"),
]


@pytest.mark.parametrize("error", [Killed, Unavailable])
def test_at_every_moment(rig: Rig, environment_id: int, error: type[BaseException]) -> None:
    moments = Moments(error)
    log: Any = Interrupting(rig.log, moments)
    store: Any = Interrupting(rig.store, moments)
    rig.restart(log=log, store=store)
    moment, was_interrupted = 0, True
    while was_interrupted:
        environment_id, moment = environment_id + 10_000, moment + 1
        send_all(rig, environment_id)
        moments.raise_at(moment)
        was_interrupted = is_interrupted(rig, error)
        moments.raise_at(0)
        if error is Killed:  # else the same loader goes on
            rig.restart(log=log, store=store)
        rig.load()
        assert outcomes(rig, environment_id) == EXPECTED, f"interrupted at moment {moment}"
        ann = identified_user_id(environment_id, "ann")
        properties = {(1, "plan"): "pro", (ann, "identity"): "ann"}
        assert rig.properties(environment_id) == properties, f"interrupted at moment {moment}"
        assert touched_users(rig, environment_id) == {1, 2, 4, 7, ann}, f"interrupted at moment {moment}"
    assert moment > 20


def is_interrupted(rig: Rig, error: type[BaseException]) -> bool:
    try:
        rig.load()
    except error:
        return True
    return False


def touched_users(rig: Rig, environment_id: int) -> set[int]:
    return {
        user_id
        for loaded in rig.loaded
        if loaded.environment_id == environment_id
        for users in loaded.by_event.values()
        for user_id in users
    }
