"""The pages of attribute lists: made, filled by hand and by file, searched, downloaded, renamed and deleted."""

from typing import Any

import pytest

from cairn.lists.upload import PIECE
from cairn.members.sets import list_set
from tests.web.conftest import Browser, World
from tests.web.editing import HERE, form_of, make_flag, make_segment


def make(browser: Browser, name: str, **form: str) -> str:
    browser.get(f"{HERE}/lists")
    answer = browser.post(f"{HERE}/lists", {"name": name, **form})
    assert answer.status_code == 200, answer.text
    assert f"List {name} is made" in answer.text
    return str(answer.url.path.rpartition("/")[2])


def upload(browser: Browser, list_id: str, content: bytes, *, name: str = "ids.csv", **form: str) -> Any:
    browser.get(f"{HERE}/lists/{list_id}")
    fields = {"csrf": browser.csrf, "heading": "auto", "how": "add", **form}
    url = f"{HERE}/lists/{list_id}/upload"
    return browser.client.post(url, data=fields, files={"file": (name, content, "text/csv")})


def values_of(world: World, list_id: str) -> list[str]:
    return [value for value, _ in world.members.values(list_set(list_id))]


def test_values_are_typed_in_and_taken_out_by_hand(world: World, owner: Browser) -> None:
    list_id = make(owner, "By hand")
    assert "Nothing is in it yet" in owner.get(f"{HERE}/lists/{list_id}").text
    answer = owner.post(
        f"{HERE}/lists/{list_id}/values", {"values": "ann\r\n ben \r\n\r\nemail", "do": "add"}
    )
    assert "3 added, 0 removed; 3 values now" in answer.text
    assert values_of(world, list_id) == ["ann", "ben", "email"]
    answer = owner.post(f"{HERE}/lists/{list_id}/values", {"values": "ben\nnobody", "do": "remove"})
    assert "0 added, 1 removed; 2 values now" in answer.text


@pytest.mark.parametrize("values", ["", " \r\n ", "ann\r\n" + "x" * 1001])
def test_typed_values_that_cannot_be_are_refused_beside_what_was_typed(
    world: World, owner: Browser, values: str
) -> None:
    list_id = make(owner, f"Refused {len(values)}")
    answer = owner.post(f"{HERE}/lists/{list_id}/values", {"values": values, "do": "add"})
    assert answer.status_code == 422
    assert "data-refused" in answer.text
    assert len(values) < 10 or ("line 2: 1,001 characters" in answer.text and "x" * 1001 in answer.text)
    assert values_of(world, list_id) == []


@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        pytest.param("ids.csv", b"user_id,name\r\nann,Ann\r\nben,Ben\r\n", ["ann", "ben"], id="csv"),
        pytest.param("ids.TXT", b"ann,1\nben\n", ["ann,1", "ben"], id="text"),
        pytest.param("ids.json", b'{"values": ["ann", "ben"]}', ["ann", "ben"], id="json"),
        pytest.param("ids", "é\n".encode(), ["é"], id="no ending"),
    ],
)
def test_a_file_is_uploaded_by_an_ordinary_form(
    world: World, owner: Browser, name: str, content: bytes, values: list[str]
) -> None:
    list_id = make(owner, f"File {name}")
    answer = upload(owner, list_id, content, name=name)
    assert answer.status_code == 200, answer.text
    assert f"{len(values)} added, 0 removed" in answer.text
    assert values_of(world, list_id) == values
    assert ("“user_id”" in answer.text) == (b"user_id" in content), "what was taken for a heading is said"


def test_a_file_replaces_what_is_in_and_is_downloaded_as_it_can_be_uploaded(
    world: World, owner: Browser
) -> None:
    first, second = make(owner, "Round trip"), make(owner, "Round trip, back")
    values = sorted(
        [*(f"user {number:06}" for number in range(2 * PIECE)), 'say "hi"', "a,b", "email", "é;😀"]
    )
    upload(owner, first, b"gone\n")
    written = "\n".join(values).encode()
    assert upload(owner, first, written, name="ids.txt", how="replace").status_code == 200
    assert sorted(values_of(world, first)) == values
    taken = owner.get(f"{HERE}/lists/{first}/download")
    assert taken.headers["content-disposition"] == f'attachment; filename="{first}.csv"'
    assert upload(owner, second, taken.content).status_code == 200
    assert sorted(values_of(world, second)) == values


def test_a_file_with_bad_lines_changes_nothing_and_they_are_named(world: World, owner: Browser) -> None:
    list_id = make(owner, "Bad file")
    answer = upload(owner, list_id, b"ann\n,Ben\nx\xff\n", how="replace")
    assert answer.status_code == 422
    assert "line 2: empty" in answer.text and "line 3: not UTF-8" in answer.text
    assert values_of(world, list_id) == []


def test_a_form_without_a_file_or_token_or_right_changes_nothing(
    world: World, owner: Browser, browse: Any
) -> None:
    list_id = make(owner, "Guarded")
    url = f"{HERE}/lists/{list_id}/upload"
    none = owner.client.post(url, data={"csrf": owner.csrf}, files={"file": ("", b"")})
    assert (none.status_code, "choose a file" in none.text) == (422, True)
    forged = owner.client.post(url, data={"csrf": "x"}, files={"file": ("a.csv", b"a\n")})
    assert forged.status_code == 403
    plain = owner.post(url, {"how": "add"})
    assert plain.status_code == 422
    rival = browse().enter(world.core, world.b.email())
    foreign = rival.client.post(url, data={"csrf": rival.csrf}, files={"file": ("a.csv", b"a\n")})
    assert foreign.status_code == 404
    broken = owner.client.post(
        url, content=b"--x\r\nbroken", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code in (403, 422)
    assert values_of(world, list_id) == []


def test_an_id_is_asked_for_as_a_rule_would(world: World, owner: Browser) -> None:
    exact, folding = make(owner, "Exact"), make(owner, "Folding", folds_case="1")
    for list_id in (exact, folding):
        upload(owner, list_id, b"Ann@Shop.test\n")
    asked = {"value": "ann@shop.TEST"}
    assert "is not in it" in owner.get(f"{HERE}/lists/{exact}", params=asked).text
    assert "is in it, since" in owner.get(f"{HERE}/lists/{folding}", params=asked).text
    assert "is in it, since" in owner.get(f"{HERE}/lists/{exact}", params={"value": " Ann@Shop.test"}).text


def test_a_rule_asks_about_an_own_list_which_then_is_not_deleted(world: World, owner: Browser) -> None:
    list_id = make(owner, "Asked about")
    upload(owner, list_id, b"ann\nben\n")
    make_flag(owner, "asks-own")
    rule = f"{HERE}/flags/asks-own/rules/new"
    form = form_of(owner.get(rule).text)
    assert "Asked about (own list)" in owner.get(rule).text
    saved = owner.post(rule, {**form, "r0.name": "id", "r0.segment": list_id, "name": "R", "do": "save"})
    assert saved.status_code == 200, saved.text
    assert "Asked about" in saved.text and "2 members" in saved.text
    shown = owner.get(f"{HERE}/lists/{list_id}").text
    assert "It is still used" in shown and "/flags/asks-own" in shown
    refused = owner.post(f"{HERE}/lists/{list_id}/delete")
    assert refused.status_code == 409
    assert "asks-own" in refused.text
    assert "/flags/asks-own" in owner.get(f"{HERE}/lists").text


def test_a_list_is_renamed_and_deleted(world: World, owner: Browser) -> None:
    list_id, other = make(owner, "First name"), make(owner, "Other name")
    taken = owner.post(f"{HERE}/lists/{list_id}/rename", {"name": "Other name"})
    assert (taken.status_code, "choose another" in taken.text) == (409, True)
    assert "Second name" in owner.post(f"{HERE}/lists/{list_id}/rename", {"name": "Second name"}).text
    gone = owner.post(f"{HERE}/lists/{list_id}/delete")
    assert gone.url.path == f"{HERE}/lists" and "Second name" not in gone.text
    assert owner.get(f"{HERE}/lists/{list_id}").status_code == 404
    assert owner.get(f"{HERE}/lists/{other}").status_code == 200


def test_lists_of_every_kind_are_in_one_table(world: World, owner: Browser) -> None:
    segment = make_segment(owner, "in_the_table")
    list_id = make(owner, "In the table too")
    text = owner.get(f"{HERE}/lists", params={"q": "in"}).text
    assert f"/segments/{segment}" in text and "of a segment" in text
    assert f"/lists/{list_id}" in text and "your own" in text
    assert "No list is called that" in owner.get(f"{HERE}/lists", params={"q": "zzzz"}).text
