"""The sites of an environment that its members label on, each named once by a person.

What hosts events come from proves nothing: anyone with the app id can send any.
"""

from datetime import datetime
from urllib.parse import urlsplit

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import label_sites
from cairn.errors import InvalidInput, LimitExceeded, NotFound

MOST_SITES = 50  # of an environment
LONGEST_SITE = 255  # characters


class LabelSite(Struct, frozen=True):
    id: int
    origin: str  # https://shop.example, with the port where it is not the scheme's own
    named_by: str
    named_at: datetime


class LabelSiteNotFound(NotFound):
    """The environment has no such site to label on."""

    code = "label_site_not_found"


def origin_of(address: str) -> str:
    """The origin of an address, as browsers write it. Raises InvalidInput."""
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError as error:
        raise _refused(f"cannot be read: {error}") from error
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise _refused("give scheme and host, for example https://shop.example")
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise _refused("the host is not one") from error
    if ":" in host:
        host = f"[{host}]"
    own = {"http": 80, "https": 443}[parts.scheme]
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, own) else "")
    if len(origin) > LONGEST_SITE or any(ord(character) <= 32 for character in origin):
        raise _refused(f"expected up to {LONGEST_SITE} characters without spaces")
    return origin


def list_sites(connection: sa.Connection, environment_id: int) -> list[LabelSite]:
    query = (
        sa.select(label_sites)
        .where(label_sites.c.environment_id == environment_id)
        .order_by(label_sites.c.origin)
    )
    return [LabelSite(row.id, row.origin, row.named_by, row.named_at) for row in connection.execute(query)]


def name_site(
    connection: sa.Connection, environment_id: int, address: str, *, by: str, own: str, now: datetime
) -> LabelSite:
    """Idempotent. `own`: Cairn's own origin, where nobody labels. Raises InvalidInput and LimitExceeded."""
    origin = origin_of(address)
    if origin == own:
        raise _refused("this is Cairn's own address; give your site's")
    sites = list_sites(connection, environment_id)
    if existing := next((site for site in sites if site.origin == origin), None):
        return existing
    if len(sites) >= MOST_SITES:
        raise LimitExceeded(f"an environment has at most {MOST_SITES} sites to label on; remove one")
    row = connection.execute(
        sa.insert(label_sites)
        .values(environment_id=environment_id, origin=origin, named_by=by, named_at=now)
        .returning(*label_sites.c)
    ).one()
    return LabelSite(row.id, row.origin, row.named_by, row.named_at)


def remove_site(connection: sa.Connection, environment_id: int, site_id: int) -> None:
    """Open links to it end when they end. Raises LabelSiteNotFound."""
    removed = connection.execute(
        sa.delete(label_sites).where(
            label_sites.c.environment_id == environment_id, label_sites.c.id == site_id
        )
    )
    if removed.rowcount != 1:
        raise LabelSiteNotFound(f"no site {site_id} in this environment")


def _refused(what: str) -> InvalidInput:
    return InvalidInput(f"address: {what}", field="address")
