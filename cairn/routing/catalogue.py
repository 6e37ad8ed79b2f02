"""Every destination there is: each module of `routing/destinations/` that has a `DESTINATION`."""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from cairn.errors import NotFound
from cairn.routing import destinations
from cairn.routing.destination import Destination


class DestinationNotFound(NotFound):
    """No destination of the catalogue has this slug."""

    code = "destination_not_found"


@cache
def catalogue() -> tuple[Destination, ...]:
    """In the order of their names, capitals apart."""
    return destinations_of(destinations)


def destinations_of(package: ModuleType) -> tuple[Destination, ...]:
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    entries = [getattr(importlib.import_module(name), "DESTINATION", None) for name in names]
    # The built-in analytics have a name there, and are no entry.
    known = [entry for entry in entries if isinstance(entry, Destination)]
    return tuple(sorted(known, key=lambda destination: destination.name.lower()))


def destination(slug: str) -> Destination:
    """Raises DestinationNotFound."""
    try:
        return _by_slug()[slug]
    except KeyError:
        raise DestinationNotFound(f"there is no destination {slug[:100]!r}", field="destination") from None


@cache
def _by_slug() -> dict[str, Destination]:
    return {destination.slug: destination for destination in catalogue()}
