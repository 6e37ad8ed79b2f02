"""What whoever has the app id can make huge: different names and keys, bounded where they arrive, with a reason."""

from typing import Any

import pytest

from cairn.identity.merges import MOST_USERS_OF_IDENTITY
from cairn.ingest import limits, names
from cairn.ingest.names import MOST_NAMES, MOST_USER_PROPERTIES
from cairn.store.question import ad_hoc
from tests.ingest.rig import Rig


def many(prefix: str, number: int) -> dict[str, int]:
    return {f"{prefix}{n}": n for n in range(number)}


def identify(**properties: int) -> dict[str, Any]:
    return {"kind": "identify", "name": "identify", "identity": "ann", "user_properties": properties}


def keys(rig: Rig, environment_id: int) -> set[str]:
    return {key for _, key in rig.properties(environment_id)} - {"identity"}


@pytest.mark.parametrize("restart", [False, True], ids=["one process", "restarted between"])
def test_a_user_has_a_bounded_number_of_different_properties(
    rig: Rig, environment_id: int, restart: bool
) -> None:
    for request in range(5):
        rig.send(identify(**many(f"r{request}_", 400)), environment_id=environment_id)
        rig.load()
        if restart:
            rig.restart()
    assert len(keys(rig, environment_id)) == MOST_USER_PROPERTIES
    assert rig.refusals(environment_id) == ["too_many_properties"] * 3, "with the reason"
    # After a start some hundred keys are taken unasked; the next call that has many is counted again.
    rig.send(identify(**many("again", 400)), environment_id=environment_id)
    rig.load()
    rig.send(identify(r0_1=77, new=1), environment_id=environment_id)
    rig.load()
    known = {key: value for (_, key), value in rig.properties(environment_id).items()}
    assert known["r0_1"] == "77" and "new" not in known, "what is known is still updated"
    assert "'new'" in rig.feed.recent(environment_id, 1)[0].detail
    rig.send({**identify(fresh=1), "identity": "ben"}, environment_id=environment_id)
    rig.load()
    assert "fresh" in keys(rig, environment_id), "and nobody else is concerned"


def test_users_with_few_properties_cost_no_look_up(rig: Rig, environment_id: int) -> None:
    calls = rig.watch()
    for request in range(20):
        rig.send(identify(**many("k", 30), seen=request), environment_id=environment_id)
    rig.load()
    assert calls["insert_properties"] and not calls["query"]


def test_an_account_has_a_bounded_number_of_different_properties(rig: Rig, environment_id: int) -> None:
    for request in range(3):
        event = {"kind": "account", "account_id": "acme", "properties": many(f"r{request}_", 400)}
        rig.send(event, environment_id=environment_id)
        rig.load()
    stored = rig.store.query(
        ad_hoc(
            environment_id,
            "SELECT uniqExact(key) FROM cairn.account_properties WHERE environment_id = {environment:UInt32}",
        ),
    )
    assert stored == [(MOST_USER_PROPERTIES,)]
    assert rig.refusals(environment_id) == ["account_changed", "account_changed", "too_many_properties"]


def test_an_environment_has_a_bounded_number_of_event_names(rig: Rig, environment_id: int) -> None:
    known = {"identity": "ann", "name": "known"}
    rig.send(known, environment_id=environment_id)
    rig.load()
    for part in range(0, MOST_NAMES + 2_000, 2_000):
        events = [{"identity": "ann", "name": f"e{n}"} for n in range(part, part + 2_000)]
        rig.send(*events, environment_id=environment_id)
        rig.load()
    assert len(set(rig.events(environment_id))) == MOST_NAMES
    assert set(rig.refusals(environment_id)) == {"too_many_event_names"}
    rig.restart()
    rig.send(known, {"identity": "ann", "name": "e1"}, environment_id=environment_id)
    rig.load()
    assert rig.events(environment_id)[-2:] == ["known", "e1"]
    rig.send(
        {"identity": "ann", "name": "e1"}, {"identity": "ann", "name": "x"}, environment_id=environment_id + 1
    )
    rig.load()
    assert rig.events(environment_id + 1) == ["e1", "x"]


def test_an_environment_has_a_bounded_number_of_property_names(rig: Rig, environment_id: int) -> None:
    for part in range(MOST_NAMES // 1_000 + 2):
        event = {"identity": "ann", "properties": many(f"p{part}_", 1_000)}
        rig.send(event, environment_id=environment_id)
        rig.load()
    sizes = rig.events(environment_id, "length(mapKeys(properties))")
    assert sum(sizes) == MOST_NAMES
    assert len(sizes) == MOST_NAMES // 1_000 + 2, "the events themselves are kept"
    assert "left out" in rig.feed.recent(environment_id, 1)[0].detail


def test_an_environment_has_a_bounded_number_of_element_shapes(
    rig: Rig, environment_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_ELEMENTS", 3)
    for n in range(5):
        element = {"hierarchy": f"@button;#b{n};|", "tag": "button"}
        rig.send(
            {"identity": "ann", "kind": "click", "name": "click", "element": element},
            environment_id=environment_id,
        )
        rig.load()
    assert [number > 0 for number in rig.events(environment_id, "element")] == [True] * 3 + [False] * 2
    assert "element" in rig.feed.recent(environment_id, 1)[0].detail


def test_what_live_holds_of_one_event_is_bounded(rig: Rig, environment_id: int) -> None:
    rig.send({"identity": "ann", "properties": many("p", 900)}, environment_id=environment_id)
    rig.load()
    [item] = rig.feed.recent(environment_id, 1)
    assert (len(item.properties), item.more_properties) == (100, 800)


def test_the_limits_are_the_documented_ones() -> None:
    assert (names.MOST_USER_PROPERTIES, names.MOST_NAMES, names.MOST_ELEMENTS) == (500, 10_000, 500_000)


def test_an_identity_has_a_bounded_number_of_ids_and_the_next_is_refused_with_its_reason(
    rig: Rig, environment_id: int
) -> None:
    """Everything known of one user is asked by all of its ids, and a visitor can make up any number of them."""

    def call(raw_id: int, **fields: Any) -> dict[str, Any]:
        of_browser = {"source": "Website", "library": "web"}
        return {
            "kind": "identify",
            "name": "",
            "identity": "ann",
            "merge_user_id": raw_id,
            **of_browser,
            **fields,
        }

    over = 3
    numbers = range(10_000, 10_000 + MOST_USERS_OF_IDENTITY + over)
    for start in range(0, len(numbers), 250):
        rig.send(*map(call, numbers[start : start + 250]), environment_id=environment_id)
        rig.load()
    assert rig.refusals(environment_id) == ["too_many_users_for_identity"] * over
    rig.restart()
    rig.send(call(20_000), environment_id=environment_id)
    rig.load()
    assert rig.refusals(environment_id) == ["too_many_users_for_identity"] * (over + 1), "also after a start"
    rig.send({**call(20_000), "identity": "ben"}, environment_id=environment_id)
    rig.send({"name": "Bought", "identity": "ann"}, environment_id=environment_id)
    rig.load()
    assert len(rig.refusals(environment_id)) == over + 1, (
        "another identity and other events are not concerned"
    )
    assert "Bought" in [row[0] if isinstance(row, tuple) else row for row in rig.events(environment_id)]
