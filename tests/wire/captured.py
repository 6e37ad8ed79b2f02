"""Messages of the capture clients for tests, and the same as protobuf."""

from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cairn.wire import capture_pb2

APP_ID = "1234567890"
CLICK: dict[str, Any] = {  # contracts/heap.md 5.3
    "id": "4400112233445566",
    "env_id": APP_ID,
    "user_id": "2203344556677889",
    "time": 1770113472000,
    "base_library": {"name": "web", "version": "5.3", "platform": "web"},
    "device": {
        "user_agent": "Mozilla/5.0 ...",
        "uach": {"model": "", "platform_version": "15.2.0", "browser_version": "131.0.0.1"},
    },
    "session_info": {
        "id": "7711223344556677",
        "time": 1770113400000,
        "referrer": "https://search.example/",
        "search_keyword": "",
        "utm": {"source": "news", "medium": "email", "term": "", "content": "", "campaign": "feb"},
        "initial_pageview_info": {
            "id": "8001002003004005",
            "time": 1770113400000,
            "title": "Home",
            "url": {"domain": "app.example.com", "path": "/", "query": "?utm_source=news", "hash": ""},
            "source_properties": {"screen_height": 879, "screen_width": 1262},
        },
    },
    "pageview_info": {
        "id": "8001002003004005",
        "time": 1770113400000,
        "title": "Pricing",
        "url": {"domain": "app.example.com", "path": "/pricing", "query": "", "hash": ""},
        "previous_page": "/",
    },
    "properties": {"theme": "dark"},
    "event": {
        "interaction": {
            "builtin": 1,
            "hierarchy": "@div;#root;|@a;.btn;.btn-primary;[href=/signup];|",
            "nodes": [
                {
                    "node_name": "a",
                    "node_html_class": "btn btn-primary",
                    "node_text": "Start free",
                    "href": "/signup",
                }
            ],
        }
    },
}
WITHOUT_KIND = {key: value for key, value in CLICK.items() if key != "event"}


def message(**kind: Any) -> dict[str, Any]:
    """The click's surroundings around something else that happened."""
    return {**WITHOUT_KIND, **kind}


def protobuf(
    value: dict[str, Any], kind: Any = capture_pb2.Message
) -> Any:  # Any: a protobuf class, made at run time
    """The JSON form as the protobuf class; times in milliseconds, values as text."""
    made: Message = kind()
    for name, given in value.items():
        field = kind.DESCRIPTOR.fields_by_name[name]
        inner = field.message_type
        if inner is None:
            setattr(made, name, given.encode() if field.type == field.TYPE_BYTES else given)
        elif inner.full_name == "google.protobuf.Timestamp":
            getattr(made, name).FromMilliseconds(given)
        elif inner.full_name == "google.protobuf.UInt64Value":
            getattr(made, name).value = given
        elif inner.GetOptions().map_entry:
            for key, one in given.items():
                getattr(made, name)[key].string = str(one)
        elif field.is_repeated:
            getattr(made, name).extend(protobuf(one, GetMessageClass(inner)) for one in given)
        else:
            getattr(made, name).CopyFrom(protobuf(given, GetMessageClass(inner)))
    return made


def batch(*values: dict[str, Any], kind: Any = capture_pb2.Message) -> bytes:
    """A MessageBatch, of either client: both keep their messages in field 1."""
    closed = [protobuf(value, kind).SerializeToString() for value in values]
    return bytes(capture_pb2.ClosedBatch(events=closed).SerializeToString())
