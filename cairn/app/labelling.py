"""The sites of an environment that members label on, and links that open the labeller there."""

from msgspec import Struct

from cairn.analysis.sites import SeenPage, SitesSeen
from cairn.app.call import Call
from cairn.errors import NotAllowed
from cairn.workspace import label_grant, label_site
from cairn.workspace.environment import Environment
from cairn.workspace.label_site import LabelSite, origin_of
from cairn.workspace.member import Member


class Sites(Struct, frozen=True):
    named: list[LabelSite]  # by a person; labelling opens nowhere else
    seen: dict[str, list[SeenPage]]  # by host, as events report it, whichever client sent them


def read_sites(call: Call, environment: Environment) -> Sites:
    seen = call.ask(environment.id, SitesSeen(call.now))
    return Sites(list_sites(call, environment), seen)


def list_sites(call: Call, environment: Environment) -> list[LabelSite]:
    with call.reading() as connection:
        return label_site.list_sites(connection, environment.id)


def name_site(call: Call, environment: Environment, address: str, *, own: str = "") -> LabelSite:
    """Idempotent. `own`: Cairn's own origin, as the caller reaches it. Raises InvalidInput and LimitExceeded."""
    own = own or (origin_of(call.core.settings.public_url) if call.core.settings.public_url else "")
    with call.writing() as connection:
        return label_site.name_site(connection, environment.id, address, by=call.by, own=own, now=call.now)


def remove_site(call: Call, environment: Environment, site_id: int) -> None:
    """Open links to it end when they end. Raises LabelSiteNotFound."""
    with call.writing() as connection:
        label_site.remove_site(connection, environment.id, site_id)


def open_labeller(
    call: Call,
    environment: Environment,
    address: str,
    *,
    member: Member,
    session_hash: str,
    home: str,
    shop: str = "",
) -> str:
    """The code of a link to a page, which works once. `shop`: what the demo shop's pages begin with.

    Raises InvalidInput, and NotAllowed for a page of a site that nobody has named.
    """
    site = origin_of(address)
    with call.writing() as connection:
        if not is_labelled(address, label_site.list_sites(connection, environment.id), shop=shop):
            raise NotAllowed(
                f"{site} is not named as a site to label on in {environment.name}; name it first"
            )
        return label_grant.open_grant(
            connection,
            member,
            session_hash=session_hash,
            environment_id=environment.id,
            site=site,
            home=home,
            now=call.now,
        )


def is_labelled(address: str, named: list[LabelSite], *, shop: str = "") -> bool:
    is_shops = bool(shop) and address.startswith(shop)
    return is_shops or origin_of(address) in {site.origin for site in named}
