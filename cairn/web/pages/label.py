"""Where the labeller starts: the sites a person has named, and links to their pages for this member and session."""

from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from cairn.analysis.sites import SeenPage
from cairn.app import labelling
from cairn.errors import CairnError, InvalidInput, NotAllowed
from cairn.ids import key_hash
from cairn.web.guard import came_from_elsewhere, read_cookie
from cairn.web.label_link import is_public, label_link, page_address
from cairn.web.visit import Page, Visit, client_of, get, post
from cairn.workspace.label_site import LabelSite, origin_of
from cairn.workspace.permission import Verb
from cairn.workspace.session import COOKIE

SHOWN = 8  # pages of one site, and sites that are not named yet
PLAIN = "/%:@!$&'()*+,;=~"  # what stands in a path as it is


class Offer(Struct, frozen=True):
    """A page with the labeller over it."""

    address: str
    link: str
    views: int = 0  # in the last 30 days


class Site(Struct, frozen=True):
    origin: str
    id: int  # 0: the demo shop, which nobody needs to name
    named_by: str
    offers: list[Offer]


class Suggestion(Struct, frozen=True):
    """A host that events came from. Anybody can send any, so a person decides."""

    origin: str
    users: int


def label_page(visit: Visit, error: CairnError | None = None, typed: str = "") -> Response:
    typed = typed or visit.ask("address")
    known = labelling.read_sites(visit.call, visit.here)
    named, seen = known.named, known.seen
    sites = [*_demo_shop(visit), *(_site(visit, site, seen.get(_host(site.origin), [])) for site in named)]
    chosen, unnamed = None, ""
    if typed and error is None:
        try:
            address = page_address(typed)
            origin = origin_of(address)
            is_labelled = labelling.is_labelled(address, named, shop=_shop(visit))
            chosen = Offer(address, _open_link(visit, address)) if is_labelled else None
            unnamed = "" if chosen else origin
        except InvalidInput as refused:
            error = refused
    return visit.page(
        "label.html",
        typed=typed,
        chosen=chosen,
        unnamed=unnamed,
        error=error,
        sites=sites,
        suggestions=_suggestions(visit, named, seen),
        status=error.status if error else 200,
    )


def open_labeller(visit: Visit) -> Response:
    """Leads to the page with a code that works once. A link, so that the browser follows it to another site."""
    if came_from_elsewhere(visit.request):
        raise NotAllowed("open the labeller from Events in Cairn")
    address = page_address(visit.ask("address"))
    code = labelling.open_labeller(
        visit.call,
        visit.here,
        address,
        member=visit.signed_in.member,
        session_hash=key_hash(read_cookie(visit.request, COOKIE)),
        home=client_of(visit).url,
        shop=_shop(visit),
    )
    headers = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    return RedirectResponse(label_link(address, code), 303, headers)


def add_site(visit: Visit) -> Response:
    address = visit.form("address").strip()
    try:
        site = labelling.name_site(visit.call, visit.here, address, own=origin_of(client_of(visit).url))
    except CairnError as error:
        return label_page(visit, error, address)
    page = visit.form("page")
    follow = f"?{urlencode({'address': page})}" if page else ""
    return visit.leave(visit.url(f"/events/label{follow}"), f"{site.origin} is a site to label on now.")


def delete_site(visit: Visit) -> Response:
    labelling.remove_site(visit.call, visit.here, visit.number("site_id"))
    return visit.leave(visit.url("/events/label"), "Nobody labels on this site any more.")


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""


def _shop(visit: Visit) -> str:
    """The demo shop's address; empty outside of the demo workspace."""
    is_demo = visit.workspace is not None and visit.workspace.is_demo
    return f"{client_of(visit).url}/demo/shop/{visit.here.app_id}/" if is_demo else ""


def _open_link(visit: Visit, address: str) -> str:
    return f"{visit.url('/events/label/open')}?{urlencode({'address': address})}"


def _demo_shop(visit: Visit) -> list[Site]:
    shop = _shop(visit)
    if not shop:
        return []
    offers = [Offer(address, _open_link(visit, address)) for address in (shop, f"{shop}product/tent")]
    return [Site(shop, 0, "", offers)]


def _site(visit: Visit, site: LabelSite, pages: list[SeenPage]) -> Site:
    addresses = [(site.origin + quote(page.path or "/", safe=PLAIN), page.views) for page in pages[:SHOWN]]
    offers = [Offer(address, _open_link(visit, address), views) for address, views in addresses]
    first = f"{site.origin}/"
    return Site(site.origin, site.id, site.named_by, offers or [Offer(first, _open_link(visit, first))])


def _suggestions(visit: Visit, named: list[LabelSite], seen: dict[str, list[SeenPage]]) -> list[Suggestion]:
    hosts = {_host(site.origin) for site in named} | {_host(client_of(visit).url)}
    return [
        Suggestion(f"https://{host}", max(page.users for page in pages))
        for host, pages in seen.items()
        if host not in hosts and is_public(host)
    ][:SHOWN]


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/events/label", label_page, Verb.DEFINE),
    get("/env/{environment}/events/label/open", open_labeller, Verb.DEFINE),
    post("/env/{environment}/events/label/sites", add_site),
    post("/env/{environment}/events/label/sites/{site_id}/delete", delete_site),
)
