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
from cairn.routing import builtin_rules
from cairn.routing.destinations import heap_builtin
from cairn.wire.refusal import Rejected
from cairn.wire.segment_call import CheckedCall

# Nobody can switch a deleted source on again, but no other reason fits.
_DELETED = Reason.SOURCE_DISABLED

Route = tuple[int, ...] | Reason  # environments, or why nothing goes there


def send_to_environments(batch: Batch, resources: LoaderResources) -> None:
    """Send each event to the environments that its source's analytics connections name, or refuse it."""
    directory = resources.directory()
    routes, rules = _routes(directory), _rules(directory)
    for parsed in batch.parsed:
        route = _route_of(parsed.arrival, routes)
        by_environment = rules.get(parsed.arrival.source_id)
        own = route[0] if not isinstance(route, Reason) and len(route) == 1 else 0
        for number, event in enumerate(parsed.events):
            log_position = parsed.log_position + (number if number < MOST_EVENTS else MOST_EVENTS)
            if by_environment and isinstance(event, CheckedCall) and not isinstance(route, Reason):
                _send_by_rules(batch, event, route, by_environment, log_position)
                continue
            delivered = _delivered(event, route) if isinstance(event, CheckedCall) else event
            if isinstance(delivered, Draft) and delivered.environment_id == own:  # as nearly all are
                delivered.log_position = log_position
                batch.drafts.append(delivered)
            else:
                _send(batch, delivered, route, log_position)


def _send_by_rules(
    batch: Batch,
    call: CheckedCall,
    environments: tuple[int, ...],
    rules: Mapping[str, str],
    log_position: int,
) -> None:
    """Each connection decides for itself, so each environment may get something else."""
    for environment_id in environments:
        text = rules.get(str(environment_id))
        delivered = builtin_rules.deliver(call, text, log_position) if text else heap_builtin.deliver(call)
        _send(batch, delivered, (environment_id,), log_position)


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


def _rules(directory: Directory) -> dict[int, dict[str, str]]:
    """By source id, of those that have some: by environment, as JSON."""
    return {source.source_id: source.heap_rules for source in directory.sources.values() if source.heap_rules}
