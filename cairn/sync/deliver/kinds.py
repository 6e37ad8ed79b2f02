"""The kinds of targets: which module tells each of them."""

from collections.abc import Callable

import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.engine import reading
from cairn.http_client import Session
from cairn.sync.deliver.files import deliver_to_files
from cairn.sync.deliver.page import Deliver
from cairn.sync.deliver.partner import deliver_to_partner
from cairn.sync.deliver.traits import deliver_as_traits
from cairn.sync.deliver.webhook import deliver_to_webhook
from cairn.sync.targets import Target, TargetKind, secret_of
from cairn.workspace.sealed import Seal

_KINDS: dict[TargetKind, Callable[[Target, str, Session, Clock], Deliver]] = {
    "partner": deliver_to_partner,
    "webhook": deliver_to_webhook,
    "files": deliver_to_files,
    "traits": deliver_as_traits,
}


def open_delivery(engine: sa.Engine, seal: Seal, target: Target, session: Session, clock: Clock) -> Deliver:
    """Raises TargetNotFound when it was deleted meanwhile."""
    with reading(engine) as connection:
        secret = secret_of(connection, seal, target, clock())
    return _KINDS[target.kind](target, secret, session, clock)
