"""Whether a message names a user who was deleted. Pure."""

from msgspec import Struct

from cairn.ids import anonymous_user_id, identified_user_id
from cairn.routing.message import Message


class Erasure(Struct, frozen=True):
    """Users who were deleted: of what the log held then nothing of them is delivered any more."""

    environment_id: int
    names: frozenset[str]  # identities, anonymous ids, and raw user ids in digits
    until: int  # the log's entry then

    def is_meant(self, message: Message) -> bool:
        return names_anybody(self.names, self.environment_id, message.user_id, message.anonymous_id)


def names_anybody(names: frozenset[str], environment_id: int, user_id: str, anonymous_id: str) -> bool:
    """By the ids as sent, and by the raw ids that they stand for."""
    if user_id and (user_id in names or str(identified_user_id(environment_id, user_id)) in names):
        return True
    return bool(anonymous_id) and (anonymous_id in names or str(anonymous_user_id(anonymous_id)) in names)
