"""Names and values as Google Analytics 4 takes them. Pure.

Source: developers.google.com, Measurement Protocol for Google Analytics 4, "Reference" (reserved names) and "Send
events" (limits), and "Recommended events" (commerce, items); support.google.com, "Event naming rules".
"""

import re
from math import isfinite
from typing import Any

from cairn.routing.body import JsonObject, object_at, text_at
from cairn.routing.payload import rejected

LONGEST_NAME = 40  # characters, of events and parameters
MOST_PARAMETERS = 25  # of an event
MOST_ITEMS = 200
_LONGEST_VALUE = 100  # characters
_LONGER_VALUES = {"page_location": 1_000, "page_referrer": 420, "page_title": 300}
_LONGEST_USER_NAME, _LONGEST_USER_VALUE, _MOST_USER_PROPERTIES = 24, 36, 25
_RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag")
_RESERVED_EVENTS = frozenset(
    (
        "ad_activeview",
        "ad_click",
        "ad_exposure",
        "ad_query",
        "ad_reward",
        "adunit_exposure",
        "app_background",
        "app_clear_data",
        "app_exception",
        "app_install",
        "app_remove",
        "app_store_refund",
        "app_store_subscription_cancel",
        "app_store_subscription_convert",
        "app_store_subscription_renew",
        "app_update",
        "app_upgrade",
        "dynamic_link_app_open",
        "dynamic_link_app_update",
        "dynamic_link_first_open",
        "error",
        "firebase_campaign",
        "first_open",
        "first_visit",
        "in_app_purchase",
        "notification_dismiss",
        "notification_foreground",
        "notification_open",
        "notification_receive",
        "notification_send",
        "os_update",
        "session_start",
        "session_start_with_rollout",
        "user_engagement",
    )
)
_RESERVED_USER_NAMES = frozenset(
    ("first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id", "first_open_after_install")
)
_NOT_IN_NAMES = re.compile(r"\W+")  # letters of any language are allowed

# Segment's e-commerce events under their names in GA4, whose reports ask for these.
_EVENTS = {
    "product viewed": "view_item",
    "product list viewed": "view_item_list",
    "product clicked": "select_item",
    "product added": "add_to_cart",
    "product removed": "remove_from_cart",
    "product added to wishlist": "add_to_wishlist",
    "products searched": "search",
    "cart viewed": "view_cart",
    "checkout started": "begin_checkout",
    "payment info entered": "add_payment_info",
    "order completed": "purchase",
    "order refunded": "refund",
    "promotion viewed": "view_promotion",
    "promotion clicked": "select_promotion",
    "signed up": "sign_up",
    "signed in": "login",
}
_PARAMETERS = {"order_id": "transaction_id", "total": "value", "revenue": "value", "query": "search_term"}
_ITEM_PARAMETERS = {
    "product_id": "item_id",
    "sku": "item_id",
    "id": "item_id",
    "name": "item_name",
    "brand": "item_brand",
    "category": "item_category",
    "variant": "item_variant",
    "position": "index",
}


def event_name(name: str) -> str:
    """Raises NotForDestination for names that Google keeps for itself."""
    if known := _EVENTS.get(name.strip().lower()):
        return known
    cleaned = _cleaned(name.strip().lower(), LONGEST_NAME)
    if not cleaned:
        raise rejected(f"event: {name[:100]!r} has no letter; Google Analytics needs names like sign_up")
    if cleaned in _RESERVED_EVENTS or cleaned.startswith(_RESERVED_PREFIXES):
        raise rejected(f"event: Google Analytics keeps {cleaned!r} for itself; rename it in a transformation")
    return cleaned


def parameters(properties: JsonObject) -> JsonObject:
    """Flat, within the limits: what is left over is left out. Products become items."""
    sent: JsonObject = {}
    for key, value in _flat(properties):
        name = _PARAMETERS.get(key) or _cleaned(key, LONGEST_NAME)
        kept = _value(value, _LONGER_VALUES.get(name, _LONGEST_VALUE))
        if (
            name
            and not name.startswith(_RESERVED_PREFIXES)
            and kept is not None
            and len(sent) < MOST_PARAMETERS
        ):
            sent.setdefault(name, kept)
    if items := _items(properties):
        sent["items"] = items
    return sent


def user_properties(traits: JsonObject, names: list[str]) -> JsonObject:
    """Those traits whose names are listed, as Google forbids what identifies a person."""
    sent: JsonObject = {}
    for key in names[:_MOST_USER_PROPERTIES]:
        name = _cleaned(key, _LONGEST_USER_NAME)
        value = _value(traits.get(key), _LONGEST_USER_VALUE)
        is_free = name not in _RESERVED_USER_NAMES and not name.startswith(_RESERVED_PREFIXES)
        if name and is_free and value is not None:
            sent[name] = {"value": value}
    return sent


def _cleaned(name: str, longest: int) -> str:
    """Letters, digits and underscores, beginning with a letter; empty where nothing is left."""
    return _NOT_IN_NAMES.sub("_", name[: longest * 4]).lstrip("_0123456789").rstrip("_")[:longest]


def _flat(properties: JsonObject) -> list[tuple[str, Any]]:
    """With the members of objects under names of their own; two levels are more than 25 parameters hold."""
    pairs: list[tuple[str, Any]] = []
    for key, value in properties.items():
        if isinstance(value, dict):
            pairs += [(f"{key}_{inner}", member) for inner, member in value.items()]
        else:
            pairs.append((key, value))
    return pairs


def _value(value: Any, longest: int) -> str | int | float | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    return value if isinstance(value, float) and isfinite(value) else None


def _items(properties: JsonObject) -> list[JsonObject]:
    products = properties.get("products")
    if not isinstance(products, list):
        is_product = any(text_at(properties, key) for key in ("product_id", "sku"))
        products = [properties] if is_product else []
    return [_item(product) for product in products[:MOST_ITEMS] if isinstance(product, dict)]


def _item(product: JsonObject) -> JsonObject:
    item: JsonObject = {}
    for key, value in product.items():
        name = _ITEM_PARAMETERS.get(key) or _cleaned(key, LONGEST_NAME)
        kept = _value(value, _LONGEST_VALUE)
        if name and kept is not None and len(item) < MOST_PARAMETERS:
            item.setdefault(name, kept)
    return item


def page_parameters(body: JsonObject) -> JsonObject:
    """Of a page call: where it was, from its properties or its context."""
    page = {**object_at(object_at(body, "context"), "page"), **object_at(body, "properties")}
    named = {"page_location": "url", "page_referrer": "referrer", "page_title": "title"}
    return {name: page[key] for name, key in named.items() if isinstance(page.get(key), str) and page[key]}
