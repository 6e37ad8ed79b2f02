"""Who may do what: a closed table from verb to the least role that may. Pages and API ask only here."""

from enum import StrEnum

from cairn.errors import NotAllowed


class Role(StrEnum):
    """What a member or token is in a workspace, most powerful first."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


class Verb(StrEnum):
    """What somebody wants to do."""

    SEE = "see"  # segments, flags, users, events, reports, sources; never a key
    SEE_KEYS = "see_keys"  # SDK keys and write keys, to put them into code
    DEFINE = "define"  # segments, flags, rules, saved reports
    CORRECT_USERS = "correct_users"  # take a merge back
    DELETE_USERS = "delete_users"  # for ever, with everything known of them
    CHANGE_PRIVACY = "change_privacy"  # what capture leaves out, and snapshots
    CHANGE_SOURCES = "change_sources"  # sources, connections, environments
    # Partner apps, who may have segments, where segments can be synced to, the Heap account.
    CHANGE_INTEGRATIONS = "change_integrations"
    CHANGE_KEYS = "change_keys"
    CHANGE_MEMBERS = "change_members"
    CHANGE_TOKENS = "change_tokens"
    OWN = "own"  # the workspace itself


LEAST_ROLE: dict[Verb, Role] = {
    Verb.SEE: Role.VIEWER,
    Verb.SEE_KEYS: Role.EDITOR,
    Verb.DEFINE: Role.EDITOR,
    Verb.CORRECT_USERS: Role.EDITOR,
    Verb.DELETE_USERS: Role.ADMIN,
    Verb.CHANGE_PRIVACY: Role.ADMIN,
    Verb.CHANGE_SOURCES: Role.ADMIN,
    Verb.CHANGE_INTEGRATIONS: Role.ADMIN,
    Verb.CHANGE_KEYS: Role.ADMIN,
    Verb.CHANGE_MEMBERS: Role.ADMIN,
    Verb.CHANGE_TOKENS: Role.ADMIN,
    Verb.OWN: Role.OWNER,
}

_POWER = {role: len(Role) - rank for rank, role in enumerate(Role)}


class RoleTooLow(NotAllowed):
    """The member or token may not do this. Ask an admin of the workspace for a higher role."""

    code = "role_too_low"


def may(role: Role, verb: Verb) -> bool:
    return _POWER[role] >= _POWER[LEAST_ROLE[verb]]


def require(role: Role, verb: Verb) -> None:
    """Raises RoleTooLow, naming the role that is needed."""
    if not may(role, verb):
        raise RoleTooLow(
            f"role {role.value!r} may not {verb.value}; it takes {LEAST_ROLE[verb].value!r} or higher"
        )


def require_grant(by: Role, role: Role) -> None:
    """Nobody hands out, changes or takes away a role above their own. Raises RoleTooLow."""
    if _POWER[role] > _POWER[by]:
        raise RoleTooLow(f"role {by.value!r} may not give or change role {role.value!r}", field="role")
