"""One generated visit to the demo shop, as messages of the capture script. Elements are those that the shop has."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from cairn.clock import to_ms

Message = dict[str, Any]  # Any: JSON of the capture format, contracts/heap.md 5.3

CLICK, CHANGE, SUBMIT = 1, 3, 4  # builtin interactions on the wire
DOMAIN = "shop.example"
PRODUCTS = (  # those of the demo shop
    ("walking-boots", "Walking boots", 129.5),
    ("rain-jacket", "Rain jacket", 89.0),
    ("map-case", "Map case", 24.9),
    ("head-torch", "Head torch", 39.9),
    ("tent", "Tent", 319.0),
)
SOURCES = (  # (referrer, utm_source, utm_campaign)
    ("", "", ""),
    ("https://www.google.com/", "", ""),
    ("", "newsletter", "spring"),
    ("https://duckduckgo.com/", "", ""),
    ("https://forum.trails.example/", "", ""),
)
HEADER = "@header;.top;|@nav;[aria-label=Shop];|"


class Visit:
    """A person, on a device, from the start of a session to its last event."""

    def __init__(
        self,
        app_id: str,
        user_id: int,
        agent: str,
        identity: str,
        start: datetime,
        draw: random.Random,
        *,
        cart: str,
    ) -> None:
        """`cart`: the class of the link to the cart. Empty identity: nobody has signed in."""
        self._moment, self._draw, self._numbers, self._cart = start, draw, 0, cart
        self._id = f"{user_id}{int(start.timestamp()) % 10**7}"
        referrer, source, campaign = draw.choice(SOURCES)
        self._base: Message = {
            "env_id": app_id,
            "user_id": str(user_id),
            "base_library": {"name": "web", "version": "5.3", "platform": "web"},
            "source_library": {"name": "demo"},
            "device": {"user_agent": agent},
            "session_info": {
                "id": self._id,
                "time": to_ms(start),
                "referrer": referrer,
                "utm": {"source": source, "medium": "email" if source else "", "campaign": campaign},
                "initial_pageview_info": {"url": {"domain": DOMAIN, "path": "/"}},
            },
        }
        if identity:
            self._base["identity"] = identity
        self._page: Message = {}

    def walk(self) -> Iterator[Message]:
        draw = self._draw
        yield self._message({"session": {}}, page=False)
        yield self._view("/", "Everything for the trail")
        basket = 0.0
        for _ in range(draw.randint(1, 4)):
            key, name, price = draw.choice(PRODUCTS)
            yield self._click(
                f"@main;#main;|@div;.grid;|@a;.product;[data-product={key}];[href=/product/{key}];|",
                {
                    "node_name": "a",
                    "node_html_class": "product",
                    "node_text": f"{name} {price:.2f} €",
                    "href": f"/product/{key}",
                    "attributes": {"data-product": key},
                },
            )
            yield self._view(f"/product/{key}", name)
            yield self._custom("Product Viewed", {"product": name, "price": price})
            if draw.random() < 0.28:
                yield self._click(
                    f"@main;#main;|@div;.split;|@div;|@button;.add;[data-product={key}];[type=button];|",
                    {
                        "node_name": "button",
                        "node_html_class": "add",
                        "node_text": "Add to cart",
                        "attributes": {"data-product": key, "type": "button"},
                    },
                )
                yield self._custom("Added to Cart", {"product": name, "price": price})
                basket += price
        if basket and draw.random() < 0.75:
            yield from self._check_out(round(basket, 2))

    def _check_out(self, total: float) -> Iterator[Message]:
        cart = {"node_name": "a", "node_html_class": self._cart, "node_text": "Cart 1", "href": "/cart"}
        yield self._click(f"{HEADER}@a;.{self._cart};[href=/cart];|", cart)
        yield self._view("/cart", "Your cart")
        button = {
            "node_name": "a",
            "node_html_class": "button checkout",
            "node_text": "Check out",
            "href": "/checkout",
        }
        yield self._click("@main;#main;|@a;.button;.checkout;[href=/checkout];|", button)
        yield self._view("/checkout", "Check out")
        yield self._custom("Checkout Started", {"total": total})
        form = "@main;#main;|@form;.checkout;|"
        field = {"node_name": "input", "attributes": {"name": "address"}}
        yield self._interaction(CHANGE, f"{form}@label;|@input;[name=address];|", field)
        if self._draw.random() < 0.7:
            yield self._interaction(SUBMIT, form, {"node_name": "form", "node_html_class": "checkout"})
            yield self._custom("Order Completed", {"total": total})
            yield self._view("/thanks", "Thank you")

    def _view(self, path: str, title: str) -> Message:
        before = self._page.get("url", {}).get("path", "")
        self._page = {
            "id": f"{self._id}{self._numbers:02}",
            "time": to_ms(self._moment),
            "title": f"{title} · Trailhead",
            "url": {"domain": DOMAIN, "path": path},
            "previous_page": before,
        }
        return self._message({"pageview": {}})

    def _click(self, hierarchy: str, node: Message) -> Message:
        return self._interaction(CLICK, hierarchy, node)

    def _interaction(self, builtin: int, hierarchy: str, node: Message) -> Message:
        self._moment += timedelta(seconds=1 + self._draw.expovariate(1 / 30))
        return self._message(
            {"event": {"interaction": {"builtin": builtin, "hierarchy": hierarchy, "nodes": [node]}}}
        )

    def _custom(self, name: str, properties: Message) -> Message:
        return self._message({"event": {"custom": {"name": name, "properties": properties}}})

    def _message(self, kind: Message, *, page: bool = True) -> Message:
        self._numbers += 1
        self._moment += timedelta(milliseconds=40)  # so that no two share a moment
        own = {"id": f"{self._id}{self._numbers:03}", "time": to_ms(self._moment)}
        return {**self._base, **own, **({"pageview_info": self._page} if page else {}), **kind}
