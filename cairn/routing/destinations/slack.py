"""A message in a channel for each event: Slack's incoming webhooks, which Mattermost, Rocket.Chat and others also take.

Source: docs.slack.dev, "Sending messages using incoming webhooks" and "Formatting message text" (escaping).
"""

from collections.abc import Sequence
from datetime import datetime

from cairn.http_client import Call, CallRefused, read_url
from cairn.routing.destination import Configuration, Destination, NotForDestination, Request, Setting
from cairn.routing.directives import render
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.payload import post_json, rejected, with_secret

_LONGEST_TEXT = 3_000  # characters of a message; Slack shows no more of one without folding it
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

_SETTINGS = (
    Setting(
        "webhook_url",
        "Webhook address",
        "Slack shows it under Incoming Webhooks. Whoever knows it can post, so it is kept as a secret.",
        kind="secret",
        is_required=True,
    ),
    Setting(
        "templates",
        "Messages",
        "One a line, as Order Completed = {{userId}} ordered for {{properties.total}}. \\n begins a new line. "
        "Other calls go by their type: identify = {{traits.email}} signed up",
        kind="lines",
    ),
    Setting(
        "other",
        "Message for all other events",
        "For track calls without a line above. Empty: they are not sent.",
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    return [
        Request(_post(_text(message, configuration), configuration), (message.position,))
        for message in messages
    ]


def _text(message: Message, configuration: Configuration) -> str:
    """Raises NotForDestination."""
    templates = dict(_named(line) for line in configuration.settings["templates"] or ())
    name = message.event if message.kind == "track" else message.kind
    template = templates.get(name) or (configuration.settings["other"] if message.kind == "track" else "")
    if not template:
        raise NotForDestination(Discard.NO_MATCHING_MAPPING, f"messages: none is set for {name[:100]!r}")
    text = render(template.replace("\\n", "\n"), message.body, _escaped).strip()
    if not text:
        raise rejected(f"messages: the one for {name[:100]!r} is empty; it names nothing that the event has")
    return text[:_LONGEST_TEXT]


def _named(line: str) -> tuple[str, str]:
    name, _, template = line.partition("=")
    return name.strip(), template.strip()


def _escaped(value: str) -> str:
    """So that a value is text and nothing else: no link, no mention of a channel."""
    return value[:_LONGEST_TEXT].translate(_ESCAPES)


def _post(text: str, configuration: Configuration) -> Call:
    # Values may hold addresses of others' pages: nobody fetches previews of them.
    document = {"text": text, "unfurl_links": False, "unfurl_media": False}
    return with_secret(post_json(configuration.secrets["webhook_url"], document), {})


def _check(configuration: Configuration) -> dict[str, str]:
    problems = {}
    if not _is_address(configuration.secrets.get("webhook_url", "")):
        problems["webhook_url"] = "expected an address that begins with https://"
    lines = configuration.settings["templates"] or ()
    for number, line in enumerate(lines, start=1):
        if not all(_named(line)):
            problems["templates"] = f"line {number}: expected a name, = and a message"
    if not lines and not configuration.settings["other"]:
        problems["templates"] = "expected a message, here or for all other events"
    return problems


def _is_address(text: str) -> bool:
    try:
        url = read_url(text)
    except CallRefused:
        return False
    return url.scheme in ("http", "https") and bool(url.host) and not url.names_user


def _trial(configuration: Configuration, now: datetime) -> Request:
    return Request(_post("Cairn can post here. This is its connection test.", configuration), ())


DESTINATION = Destination(
    slug="slack",
    name="Slack",
    summary="Posts a message to a channel for each event that has a text.",
    settings=_SETTINGS,
    prepare=_prepare,
    kinds=frozenset(("track", "identify", "page", "screen", "group")),
    check=_check,
    trial=_trial,
    # A channel is no place to be told of last year.
    can_be_replayed=False,
)
