"""A team's own attribute lists over the API: what uploads take, and what they refuse as a whole."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cairn.lists.spool import MOST_BYTES
from cairn.lists.upload import PIECE
from cairn.members.sets import UPLOADS, list_set
from cairn.workspace.permission import Role
from tests.api.conftest import World

HERE = {"environment": "production"}
Make = Callable[..., str]


@pytest.fixture
def make(world: World, request: pytest.FixtureRequest) -> Make:
    """Make a list of this test's own; its id."""
    made = 0

    def make(**more: Any) -> str:
        nonlocal made
        made += 1
        name = f"{abs(hash(request.node.name)) % 10**9} {made}"
        answer = world.call("POST", "/lists", params=HERE, json={"name": name, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return make


def send(
    world: World, list_id: str, body: bytes | str, kind: str = "text/csv", *, how: str = "add", **query: str
) -> Any:
    method = "PUT" if how == "replace" else "POST"
    path = f"/lists/{list_id}/values" + ("/remove" if how == "remove" else "")
    content = body if isinstance(body, bytes) else body.encode()
    return world.call(method, path, params=HERE | query, content=content, headers={"Content-Type": kind})


def values_of(world: World, list_id: str) -> list[str]:
    return [value for value, _ in world.core.members.values(list_set(list_id))]


def as_json(values: list[str]) -> str:
    return json.dumps({"values": values})


TAKEN = [
    pytest.param("application/json", as_json(["a", "b"]), ["a", "b"], "", id="json"),
    pytest.param(
        "application/json", '\ufeff { "values" : [ "a" ,\n"b" ] } \n', ["a", "b"], "", id="json, spaced"
    ),
    pytest.param(
        "application/json",
        as_json(['"q"', "a\\b", "é", "😀", "x]y", "1,2"]),
        ['"q"', "1,2", "a\\b", "x]y", "é", "😀"],
        "",
        id="json, escaped",
    ),
    pytest.param("application/json", '{"values": []}', [], "", id="json, empty"),
    pytest.param(
        "application/json", '{"values": ["\\u00e9", "\\ud83d\\ude00"]}', ["é", "😀"], "", id="json, ascii"
    ),
    pytest.param("text/csv", "a\nb\n", ["a", "b"], "", id="csv"),
    pytest.param("text/csv", "", [], "", id="csv, empty"),
    pytest.param("text/csv", "\n\na\r\n\r\nb", ["a", "b"], "", id="csv, blank lines"),
    pytest.param(
        "text/csv", "user_id,name\na,Ann\nb,Ben\n", ["a", "b"], "user_id", id="csv, heading and columns"
    ),
    pytest.param("text/csv", "E-Mail;Name\na@b.c;Ann, B.\n", ["a@b.c"], "E-Mail", id="csv, semicolons"),
    pytest.param("text/csv", "id\tname\na\tAnn\n", ["a"], "id", id="csv, tabs"),
    pytest.param("text/csv", '"a,b",1\n"say ""hi""",2\n', ["a,b", 'say "hi"'], "", id="csv, quoted"),
    pytest.param("text/csv; charset=UTF-8", "\ufeffid\né\n", ["é"], "id", id="csv, byte order mark"),
    pytest.param("text/csv", " a \n\tb\n", ["a", "b"], "", id="csv, blanks around"),
    pytest.param("text/plain", "a,b\r\nc;d\n\n e f \n", ["a,b", "c;d", "e f"], "", id="text"),
    pytest.param("text/plain", 'Email\n"a"\n', ['"a"'], "Email", id="text, heading"),
    pytest.param("text/csv", "x" * 1000 + "\n", ["x" * 1000], "", id="longest"),
    pytest.param("text/plain", "😀" * 1000, ["😀" * 1000], "", id="longest of four bytes each"),
    pytest.param("text/csv", "a\na\n a\n", ["a"], "", id="named twice"),
]


@pytest.mark.parametrize(("kind", "body", "values", "heading"), TAKEN)
def test_every_form_of_upload_adds_its_values(
    world: World, make: Make, kind: str, body: str, values: list[str], heading: str
) -> None:
    list_id = make()
    answer = send(world, list_id, body, kind)
    assert answer.status_code == 200, answer.text
    size = len(values)
    assert answer.json() == {"added": size, "removed": 0, "size": size, "heading": heading}
    assert sorted(values_of(world, list_id)) == sorted(values)


@pytest.mark.parametrize(
    ("body", "heading", "values"),
    [
        pytest.param("code\na\n", "auto", ["a", "code"], id="no known word"),
        pytest.param("code\na\n", "yes", ["a"], id="said to be one"),
        pytest.param("email\na\n", "no", ["a", "email"], id="said to be none"),
    ],
)
def test_whoever_uploads_can_say_whether_there_is_a_heading(
    world: World, make: Make, body: str, heading: str, values: list[str]
) -> None:
    list_id = make()
    assert send(world, list_id, body, heading=heading).status_code == 200
    assert sorted(values_of(world, list_id)) == values


REFUSED = [
    pytest.param("text/csv", b"a\n,Ann\n", "line 2: empty", id="csv, first column empty"),
    pytest.param("text/csv", b"a\n\n" + b"x" * 1001, "line 3: 1,001 characters", id="too long"),
    pytest.param("text/csv", b"a\nb\xff\n", "line 2: not UTF-8", id="not UTF-8"),
    pytest.param("text/csv", b"a\nb\x00c\n", "line 2: holds a control character", id="NUL"),
    pytest.param("text/csv", "a\nb\n".encode("utf-16"), "line 1: not UTF-8", id="UTF-16"),
    pytest.param(
        "text/csv", "a\nb\n".encode("utf-16-le"), "line 1: holds a control character", id="UTF-16, no mark"
    ),
    pytest.param("text/csv", b'a\n"b\nc\n', "line 3: a quote is opened and not closed", id="open quote"),
    pytest.param("text/csv", b'a\n"b"c\n', "line 2: text follows a closing quote", id="after a quote"),
    pytest.param(
        "text/csv", b'a\n"b\nc",1\n', "line 3: holds a control character", id="a break within quotes"
    ),
    pytest.param(
        "text/csv", b"a\n" + b"y" * 70_000 + b"\nb\n", "line 2: over 65,536 bytes", id="line too long"
    ),
    pytest.param("text/csv", b"a\n" + b"y" * 5_000_000, "line 2: over 65,536 bytes", id="one endless line"),
    pytest.param(
        "text/csv", b'"' + b"y,\n" * 200_000, "a quote is opened and not closed", id="one endless quote"
    ),
    pytest.param("text/plain", b"a\nb\x7f\n", "line 2: holds a control character", id="text"),
    pytest.param("application/json", as_json(["a", ""]).encode(), "value 2: empty", id="json, empty"),
    pytest.param("application/json", as_json(["a", " \t "]).encode(), "value 2: empty", id="json, blank"),
    pytest.param(
        "application/json", as_json(["a", "b\nc"]).encode(), "value 2: holds a control", id="json, break"
    ),
    pytest.param(
        "application/json", as_json(["a", "x" * 1001]).encode(), "value 2: 1,001", id="json, too long"
    ),
]


@pytest.mark.parametrize(("kind", "body", "said"), REFUSED)
@pytest.mark.parametrize("how", ["add", "remove", "replace"])
def test_a_bad_line_refuses_the_whole_upload_and_is_named(
    world: World, make: Make, kind: str, body: bytes, said: str, how: str
) -> None:
    list_id = make()
    send(world, list_id, "a\nkept\n")
    answer = send(world, list_id, body, kind, how=how)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "values_refused"), answer.text
    assert any(said in error for error in problem["errors"]), problem
    assert values_of(world, list_id) == ["a", "kept"]


def test_the_first_ten_bad_lines_are_named(world: World, make: Make) -> None:
    list_id = make()
    lines = ["x" * 1001 if number % 2 else f"u{number}" for number in range(1, 100_001)]
    problem = send(world, list_id, "\n".join(lines)).json()
    assert [error.partition(":")[0] for error in problem["errors"]] == [
        f"line {number}" for number in range(1, 20, 2)
    ]
    assert values_of(world, list_id) == []


def test_a_bad_line_after_many_good_ones_leaves_nothing_behind(world: World, make: Make) -> None:
    list_id = make()
    body = "\n".join(f"u{number}" for number in range(2 * PIECE)) + "\n,x\n"
    assert send(world, list_id, body, how="replace").status_code == 422
    assert values_of(world, list_id) == []
    assert all(world.core.members.size(name) == 0 for name in world.core.members.sets(UPLOADS))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"values": 3}',
        '{"values": ["a" "b"]}',
        '{"values": ["a",]}',
        '{"values": ["a", 3]}',
        '{"values": ["a"], "more": 1}',
        '{"values": ["a"]} x',
        '{"values": ["a"',
        '{"values": ["a\\q"]}',
        '{"values": ["' + "\\u0041" * 5000 + '"]}',
        '{"values": [' + "[" * 5000,
        '{"values": ["\\ud800"]}',
    ],
)
def test_json_of_another_shape_is_refused_and_changes_nothing(world: World, make: Make, body: str) -> None:
    list_id = make()
    answer = send(world, list_id, body, "application/json")
    assert (answer.status_code, answer.json()["field"]) == (422, "values"), answer.text
    assert values_of(world, list_id) == []


@pytest.mark.parametrize(
    "kind", ["", "text/html", "multipart/form-data; boundary=x", "text/csv; charset=utf-16"]
)
def test_a_body_of_another_kind_is_refused(world: World, make: Make, kind: str) -> None:
    answer = send(world, make(), "a\n", kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong_media_type")


def test_a_body_that_announces_too_much_is_refused_before_it_comes(world: World, make: Make) -> None:
    answer = world.call(
        "POST",
        f"/lists/{make()}/values",
        params=HERE,
        content=iter([b"a\n"]),
        headers={"Content-Type": "text/csv", "Content-Length": str(MOST_BYTES + 1)},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")


@pytest.mark.parametrize("count", [10, PIECE, 2 * PIECE + 7], ids=["few", "one piece", "several pieces"])
def test_add_remove_and_replace_do_the_same_for_few_and_many(world: World, make: Make, count: int) -> None:
    list_id = make()
    first, second = range(count), range(count // 2, count + count // 2)

    def body(numbers: range) -> str:
        return "\n".join(f"user {number:07}" for number in numbers)

    def inside() -> list[str]:
        return [value for value, _ in world.core.members.values(list_set(list_id))]

    half = count // 2
    assert send(world, list_id, body(first)).json()["added"] == count
    since = dict(world.core.members.values(list_set(list_id)))
    replaced = send(world, list_id, body(second), how="replace").json()
    assert replaced == {"added": half, "removed": half, "size": count, "heading": ""}
    assert inside() == [f"user {number:07}" for number in second]
    kept = dict(world.core.members.values(list_set(list_id)))
    assert all(since[value] == kept[value] for value in since.keys() & kept.keys())
    assert send(world, list_id, body(first)).json()["added"] == half
    gone = send(world, list_id, body(second), how="remove").json()
    assert gone == {"added": 0, "removed": count, "size": half, "heading": ""}
    assert inside() == [f"user {number:07}" for number in range(half)]
    assert send(world, list_id, "", how="replace").json()["size"] == 0


def test_a_list_that_folds_case_finds_a_value_in_any_capitals(world: World, make: Make) -> None:
    exact, folding = make(), make(folds_case=True)
    for list_id in (exact, folding):
        send(world, list_id, "Ann@Shop.test\nSTRASSE\n")

    def is_in(list_id: str, value: str) -> bool:
        answer = world.call("GET", f"/lists/{list_id}/contains", params={**HERE, "value": value})
        return bool(answer.json()["is_in"])

    for value in ("ann@shop.TEST", "Straße"):
        assert is_in(folding, value) and not is_in(exact, value)
    assert is_in(exact, " Ann@Shop.test ") and not is_in(folding, "ben")
    assert send(world, folding, "ANN@SHOP.TEST\nstraße\n", how="remove").json()["size"] == 0
    assert send(world, exact, "ANN@SHOP.TEST\n", how="remove").json()["size"] == 2


def test_values_are_read_in_pages(world: World, make: Make) -> None:
    list_id = make()
    send(world, list_id, "\n".join(f"u{number:03}" for number in range(120)))
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = world.call("GET", f"/lists/{list_id}/values", params={**HERE, "after": after}).json()
        assert page["size"] == 120
        found, after = found + [item["value"] for item in page["values"]], page["next"]
    assert found == [f"u{number:03}" for number in range(120)]


def test_a_list_that_a_rule_asks_about_is_not_deleted_and_the_flag_is_named(world: World, make: Make) -> None:
    list_id = make()
    rules = f"/flags/{world.a.flag_key}/environments/production/rules"
    condition = {"type": "in_list", "attribute": "id", "list_id": list_id}
    rule = {"kind": "rollout", "key": "own", "allocations": [{"variation_id": 1}], "condition": condition}
    made = world.call("POST", rules, json=rule)
    assert made.status_code == 201, made.text
    (use,) = world.call("GET", f"/lists/{list_id}", params=HERE).json()["used_by"]
    assert (use["what"], use["key"]) == ("flag", world.a.flag_key)
    refused = world.call("DELETE", f"/lists/{list_id}", params=HERE)
    assert (refused.status_code, refused.json()["code"]) == (409, "list_in_use")
    assert world.a.flag_key in refused.json()["detail"]
    assert world.call("DELETE", f"{rules}/{made.json()['id']}").status_code == 204
    send(world, list_id, "a\n")
    assert world.call("DELETE", f"/lists/{list_id}", params=HERE).status_code == 204
    assert world.call("GET", f"/lists/{list_id}", params=HERE).status_code == 404
    assert values_of(world, list_id) == [], "its values are gone with it"


def test_a_change_of_values_is_published(world: World, make: Make) -> None:
    list_id = make()
    for how in ("add", "remove", "replace"):
        before = len(world.changed)
        send(world, list_id, "a\n", how=how)
        assert world.changed[before:] == [world.a.environment]


def test_names_are_one_lists_own_and_can_be_changed(world: World, make: Make) -> None:
    first, second = make(), make()
    name = world.call("GET", f"/lists/{first}", params=HERE).json()["name"]
    taken = world.call("PATCH", f"/lists/{second}", params=HERE, json={"name": name})
    assert (taken.status_code, taken.json()["code"]) == (409, "list_name_taken")
    assert world.call("POST", "/lists", params=HERE, json={"name": name}).status_code == 409
    for bad in ("", "x" * 101, "a\nb", "https://x.test"):
        assert world.call("PATCH", f"/lists/{second}", params=HERE, json={"name": bad}).status_code == 422
    renamed = world.call("PATCH", f"/lists/{second}", params=HERE, json={"name": f"{name} too"})
    assert renamed.json()["name"] == f"{name} too"
    assert (
        world.call("PATCH", f"/lists/{second}", params=HERE, json={"name": f"{name} too"}).status_code == 200
    )


@pytest.mark.parametrize("kind", ["segment", "heap"])
def test_lists_that_fill_themselves_are_shown_beside_but_not_changed_by_hand(
    world: World, make: Make, kind: str
) -> None:
    make()
    lists = world.call("GET", "/lists", params={**HERE, "limit": "200"}).json()["lists"]
    assert {known["kind"] for known in lists} == {"segment", "heap", "static"}
    path = next(known["id"] for known in lists if known["kind"] == kind)
    assert send(world, path, "a\n").status_code == 404
    assert world.call("DELETE", f"/lists/{path}", params=HERE).status_code == 404
    assert world.call("PATCH", f"/lists/{path}", params=HERE, json={"name": "x"}).status_code == 404


def test_a_viewer_uploads_nothing(world: World, make: Make) -> None:
    list_id = make()
    answer = world.call(
        "POST",
        f"/lists/{list_id}/values",
        params=HERE,
        content=b"a\n",
        headers={"Content-Type": "text/csv"},
        role=Role.VIEWER,
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "role_too_low")
