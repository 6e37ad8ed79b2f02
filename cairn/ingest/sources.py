"""The loader's step that sends what a source sent to the environments whose analytics it feeds.

It is the only place where one event becomes several: the collector writes each request once.
"""

from collections.abc import Mapping

import msgspec

from cairn.event import Arrival, Draft, Refused
from cairn.ingest.batch import Batch, LoaderResources
from cairn.log_position import MOST_EVENTS
from cairn.outcomes import Reason
from cairn.published.directory import Directory
from cairn.routing.destinations import heap_builtin
from cairn.wire.refusal import Rejected
from cairn.wire.segment_call import CheckedCall

# Nobody can switch a deleted source on again, but no other reason fits.
_DELETED = Reason.SOURCE_DISABLED

Route = tuple[int, ...] | Reason  # environments, or why nothing goes there


def send_to_environments(batch: Batch, resources: LoaderResources) -> None:
    """Send each event to the environments that its source's analytics connections name, or refuse it."""
    routes = _routes(resources.directory())
    for parsed in batch.parsed:
        route = _route_of(parsed.arrival, routes)
        own = route[0] if not isinstance(route, Reason) and len(route) == 1 else 0
        for number, event in enumerate(parsed.events):
            delivered = _delivered(event, route) if isinstance(event, CheckedCall) else event
            log_position = parsed.log_position + (number if number < MOST_EVENTS else MOST_EVENTS)
            if isinstance(delivered, Draft) and delivered.environment_id == own:  # as nearly all are
                delivered.log_position = log_position
                batch.drafts.append(delivered)
            else:
                _send(batch, delivered, route, log_position)


def _delivered(call: CheckedCall, route: Route) -> Draft | Refused:
    return call.refused(Rejected(route, "")) if isinstance(route, Reason) else heap_builtin.deliver(call)


def _send(batch: Batch, event: Draft | Refused, route: Route, log_position: int) -> None:
    environments = (event.environment_id,) if isinstance(route, Reason) else route
    if isinstance(event, Refused):
        for environment_id in environments:
            copy = msgspec.structs.replace(event, environment_id=environment_id, log_position=log_position)
            batch.refusals.append(copy)
        return
    event.log_position = log_position
    if isinstance(route, Reason):
        batch.refuse(event, route, f"source {event.source!r}")
    else:
        batch.drafts.extend(_copy(event, environment_id) for environment_id in environments)


def _copy(draft: Draft, environment_id: int) -> Draft:
    """With facts and properties of its own: later steps complete them by each environment's rules."""
    return msgspec.structs.replace(
        draft,
        environment_id=environment_id,
        properties=dict(draft.properties),
        facts=dict(draft.facts),
        user_properties=dict(draft.user_properties),
    )


def _route_of(arrival: Arrival, routes: Mapping[int, Route]) -> Route:
    if not arrival.source_id:
        return (arrival.environment_id,)
    if arrival.parser == "segment" and "environments" not in arrival.extra:
        # Of a log that an earlier collector wrote: one arrival for each environment, or with a reason for all.
        reason = arrival.extra.get("refuse")
        return Reason(reason) if reason else (arrival.environment_id,)
    return routes.get(arrival.source_id, _DELETED)


def _routes(directory: Directory) -> dict[int, Route]:
    """By source id."""
    return {
        source.source_id: Reason.SOURCE_DISABLED
        if not source.is_enabled
        else source.heap_environments or Reason.NOT_CONNECTED
        for source in directory.sources.values()
    }
