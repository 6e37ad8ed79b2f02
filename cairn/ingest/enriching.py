"""The loader's steps that complete what a client sent, and leave out what nobody wants kept.

What the client itself said is never overwritten. After `drop_repeats`, so that only new events cost anything, and so
that a changed rule does not judge an event again that is stored already.
"""

import re
from collections.abc import Mapping

import msgspec

from cairn.event import Draft
from cairn.ingest.batch import Batch, LoaderResources
from cairn.ingest.channel import UTM, Landing, landing_facts
from cairn.ingest.controls import is_page_captured
from cairn.ingest.device import device_facts, is_bot
from cairn.outcomes import Reason

# Segment's `context.ip` and Wingify's `visitor_ip`; the second half may be cut off.
_ADDRESS = re.compile(r'("(?:ip|visitor_ip)"\s*:\s*")[^"]+')


def drop_bots(batch: Batch, resources: LoaderResources) -> None:
    bots = {draft.event_id for draft in batch.drafts if draft.user_agent and is_bot(draft.user_agent)}
    if bots:
        for draft in batch.drafts:
            if draft.event_id in bots:
                batch.refuse(draft, Reason.BOT, f"user agent: {draft.user_agent[:200]!r} declares a bot")
        batch.drafts = [draft for draft in batch.drafts if draft.event_id not in bots]


def drop_blocked_pages(batch: Batch, resources: LoaderResources) -> None:
    resources.controls.refresh()
    blocked = {draft.event_id for draft in batch.drafts if draft.facts and _is_blocked(draft, resources)}
    if blocked:
        for draft in batch.drafts:
            if draft.event_id in blocked:
                page = draft.facts.get("domain", "") + draft.facts.get("path", "")
                batch.refuse(draft, Reason.BLOCKED_PAGE, f"page: {page[:200]!r} is not to be captured")
        batch.drafts = [draft for draft in batch.drafts if draft.event_id not in blocked]


def add_device(batch: Batch, resources: LoaderResources) -> None:
    for draft in batch.drafts:
        if draft.user_agent:
            _add(draft, device_facts(draft.user_agent))


def add_landing(batch: Batch, resources: LoaderResources) -> None:
    """Search words, campaign and channel of the session, where there is one."""
    for draft in batch.drafts:
        facts = draft.facts
        if not facts or not draft.session_id:
            continue
        landing = Landing(
            facts.get("referrer", ""),
            facts.get("landing_domain") or facts.get("domain", ""),
            facts.get("landing_query") or ("" if "landing_path" in facts else facts.get("query", "")),
            tuple([facts.get(name, "") for name in UTM]),
            facts.get("search_keyword", ""),
        )
        _add(draft, landing_facts(landing))


def add_location(batch: Batch, resources: LoaderResources) -> None:
    for draft in batch.drafts:
        if draft.ip:
            _add(draft, resources.locate(draft.ip))


def keep_address(batch: Batch, resources: LoaderResources) -> None:
    """Only where the environment is set to. Must follow `add_location`."""
    for draft in batch.drafts:
        draft.facts.pop("ip", None)
        if draft.ip and resources.controls.of(draft.environment_id).keep_ip:
            draft.facts["ip"] = draft.ip


def hide_addresses(batch: Batch, resources: LoaderResources) -> None:
    """In what is shown of refused ones, as senders write addresses into payloads too. Must follow all that refuse."""
    for index, refused in enumerate(batch.refusals):
        if _ADDRESS.search(refused.payload) and not resources.controls.of(refused.environment_id).keep_ip:
            payload = _ADDRESS.sub(r"\1(left out)", refused.payload)
            batch.refusals[index] = msgspec.structs.replace(refused, payload=payload)


def _is_blocked(draft: Draft, resources: LoaderResources) -> bool:
    domain, path = draft.facts.get("domain", ""), draft.facts.get("path", "")
    if not domain and not path:
        return False  # not a page: an app, or a message about a user
    return not is_page_captured(resources.controls.of(draft.environment_id).capture, domain, path or "/")


def _add(draft: Draft, found: Mapping[str, str]) -> None:
    facts = draft.facts
    for name, value in found.items():
        if name not in facts:
            facts[name] = value
