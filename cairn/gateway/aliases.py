"""Aliases: another id under which an application knows a user. One set per alias, holding the one user id.

A set of the members store is durable when written and readable by every process at once; a published document would
move the change count and make every gateway look at its settings files again.
"""

from urllib.parse import unquote_to_bytes

import msgspec

from cairn.gateway.list_check import text_of
from cairn.members.sets import Members, alias_set

LONGEST_ID = 255  # characters, as everywhere else
MOST_ASKED = 1_000  # ids in one question


def set_alias(members: Members, environment_id: int, *, user_id: str, alias_id: str, now_ms: int) -> None:
    """From now on `alias_id` stands for `user_id`; the last call wins."""
    members.replace(alias_set(environment_id, alias_id), {user_id: now_ms})


def get_aliases(members: Members, environment_id: int, alias_ids: list[str]) -> dict[str, str]:
    """The user behind each alias that is known."""
    users_by_alias: dict[str, str] = {}
    for alias_id in alias_ids:
        users = members.values(alias_set(environment_id, alias_id), limit=1)
        if users:
            users_by_alias[alias_id] = users[0][0]
    return users_by_alias


def answer_of(alias_ids: list[str], users_by_alias: dict[str, str]) -> list[dict[str, str]]:
    """An id nobody set as an alias stands for itself.

    Python takes an empty list for an error and switches the flag off (1.65); this reads the same to every SDK.
    """
    return [{"aliasId": alias_id, "userId": users_by_alias.get(alias_id, alias_id)} for alias_id in alias_ids]


def asked_ids(query: bytes) -> list[str]:
    """The ids in `userId`: a JSON array, written raw by Node (so it may hold `&` and `+`) and escaped by Python."""
    _, separator, rest = query.partition(b"userId=")
    if not separator:
        return []
    for written in (rest, rest.split(b"&", 1)[0]):
        for reading in (written, unquote_to_bytes(written)):
            if (ids := _ids(text_of(reading))) is not None:
                return ids
    return []


def _ids(text: str) -> list[str] | None:
    try:
        ids = msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        return None
    return [item for item in ids if 0 < len(item) <= LONGEST_ID][:MOST_ASKED]


def is_id(text: str) -> bool:
    return 0 < len(text) <= LONGEST_ID


def alias_body(body: bytes | None) -> dict[str, str]:
    """The texts of a JSON body; empty for any other body."""
    try:
        document = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}
