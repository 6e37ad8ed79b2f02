"""What a connection decides about its messages, typed: its `rules` column. Pure.

Source: contracts/segment.md section 4, step 6.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cairn.errors import InvalidInput
from cairn.routing.destination import Destination
from cairn.routing.filters import MOST_FILTERS, Filter
from cairn.routing.mappings import MOST_MAPPINGS, Mapping, check_fields
from cairn.routing.transformations import MOST_TRANSFORMATIONS, AnyTransformation
from cairn.routing.typed_texts import decoded, to_json

# Of a connection's rules as JSON.
MOST_BYTES = 200_000


class RulesRefused(InvalidInput):
    """A connection's rules are not of the accepted form."""

    code = "rules_refused"


class Rules(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Nothing: every message that the destination takes is sent as it is."""

    # Names of track calls that are switched off (false) or on.
    events: dict[str, bool] = {}
    # Consent categories that the connection needs, all of them.
    consent: tuple[str, ...] = ()
    filters: Annotated[tuple[Filter, ...], Meta(max_length=MOST_FILTERS)] = ()
    # None: a destination's presets, or the message as it is.
    mappings: Annotated[tuple[Mapping, ...], Meta(max_length=MOST_MAPPINGS)] = ()
    transformations: Annotated[tuple[AnyTransformation, ...], Meta(max_length=MOST_TRANSFORMATIONS)] = ()


def read_rules(data: Any) -> Rules:  # Any: foreign JSON
    """Raises RulesRefused, naming the field."""
    try:
        size = len(msgspec.json.encode(data))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RulesRefused("rules: are not JSON, or nested too deep") from error
    if size > MOST_BYTES:
        raise RulesRefused(f"rules: have {size} bytes as JSON, at most {MOST_BYTES} are accepted")
    try:
        return msgspec.convert(data, Rules, dec_hook=decoded)
    except msgspec.ValidationError as error:
        said, _, path = (
            str(error).rpartition(" - at `$") if " - at `$" in str(error) else (str(error), "", "")
        )
        field = path.strip("`").lstrip(".")
        raise RulesRefused(f"{field or 'rules'}: {said[:1].lower()}{said[1:]}", field=field) from error


def check_rules(rules: Rules, destination: Destination) -> None:
    """Raises RulesRefused for what a destination does not have, naming the field."""
    for number, mapping in enumerate(rules.mappings):
        if complaint := check_fields(mapping, destination):
            field = f"mappings[{number}].fields"
            raise RulesRefused(f"{field}: {complaint}", field=field)


def rules_json(rules: Rules) -> dict[str, Any]:
    """As it is stored; `read_rules` gives the same rules again."""
    return dict(to_json(rules))
