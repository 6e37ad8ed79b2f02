"""Where the labeller starts: links to the customer's own pages, signed for this member and environment."""

from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from msgspec import Struct
from starlette.responses import Response

from cairn.analysis import pulse
from cairn.clock import to_ms
from cairn.errors import InvalidInput
from cairn.web.label_link import is_public, label_link, page_address
from cairn.web.visit import Page, Visit, get, place_of
from cairn.workspace.label_grant import LIFETIME, PURPOSE, LabelGrant, sign_grant
from cairn.workspace.permission import Verb

SHOWN = 8  # pages offered
PLAIN = "/%:@!$&'()*+,;=~"  # what stands in a path as it is


class Offer(Struct, frozen=True):
    """A page with the labeller over it."""

    address: str
    link: str
    views: int = 0  # in the last 30 days


def label_page(visit: Visit) -> Response:
    home = place_of(visit).url
    until = visit.now + LIFETIME
    member = visit.signed_in.member
    grant = LabelGrant(member.workspace_id, visit.here.id, member.id, to_ms(until), home)
    token = sign_grant(visit.core.seal.key_for(PURPOSE), grant)
    chosen, error = None, None
    if typed := visit.ask("address"):
        try:
            address = page_address(typed)
            chosen = Offer(address, label_link(address, token))
        except InvalidInput as refused:
            error = refused
    seen = pulse.pages_seen(visit.core.store, visit.here.id, now=visit.now)
    return visit.page(
        "label.html", typed=typed, chosen=chosen, error=error, until=until, status=422 if error else 200,
        offers=_offers(seen, home, token),
    )  # fmt: skip


def _offers(seen: Iterable[pulse.Seen], home: str, token: str) -> list[Offer]:
    """Those whose whole address is known: events name the host, and not the port beside it."""
    found = []
    for each in seen:
        own = each.domain == urlsplit(home).hostname
        if own or is_public(each.domain):
            site = home if own else f"https://{each.domain}"
            address = site + quote(each.path, safe=PLAIN)
            found.append(Offer(address, label_link(address, token), each.views))
    return found[:SHOWN]


PAGES: tuple[Page, ...] = (get("/env/{environment}/events/label", label_page, Verb.DEFINE),)
