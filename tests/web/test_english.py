import pytest

from cairn.event import Element
from cairn.web.english import element_words, plain

LINK = "@main;|@a;.card;[href=/product/tent];[nth=5];|"


@pytest.mark.parametrize(
    ("element", "words"),
    [
        pytest.param(Element(tag="button", text="Add to cart"), "button Add to cart", id="text"),
        pytest.param(
            Element(LINK, "a", href="/product/tent", classes="card"), "link .card", id="a link itself"
        ),
        pytest.param(Element(LINK + "@svg;|@path;|", "path"), "picture in link /product/tent", id="drawn"),
        pytest.param(Element(LINK + "@i;.icon;|", "i", classes="icon"), "i in link /product/tent", id="icon"),
        pytest.param(Element(LINK + "@b;|", "b", text="Tent"), "Tent", id="text in a link"),
        pytest.param(
            Element("@a;[href=/x];|@button;[aria-label=Close];|@svg;|", "svg"),
            "picture in button Close",
            id="the nearest",
        ),
        pytest.param(Element("@label;#size;|@img;|", "img"), "picture in label #size", id="by its id"),
        pytest.param(Element("@main;|@svg;|@path;|", "path"), "picture path", id="in nothing"),
    ],
)
def test_elements_as_people_call_them(element: Element, words: str) -> None:
    assert plain(element_words(element)) == words
