"""What a user may ask of you: to be told everything, and to be deleted. The user's page includes the buttons."""

from starlette.responses import Response, StreamingResponse

from cairn.analysis.users import User, one_user
from cairn.errors import InvalidInput, NotFound
from cairn.privacy.export import export_user
from cairn.privacy.request import LeavingUser, ask_deletion
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb


def export(visit: Visit) -> Response:
    """Everything known of a user, as a file."""
    user = _user(visit)
    pieces = export_user(
        visit.core.engine, visit.core.store, visit.core.members, visit.here.id, visit.here.name, user.user_id
    )
    name = f'attachment; filename="user-{user.user_id}.json"'
    return StreamingResponse(pieces, media_type="application/json", headers={"Content-Disposition": name})


def delete(visit: Visit) -> Response:
    """Only with the box ticked that says it is for ever."""
    user = _user(visit)
    if visit.form("sure") != "1":
        raise InvalidInput("sure: tick the box to say that you know it cannot be undone", field="sure")
    whom = LeavingUser(identity=user.identity) if user.identity else LeavingUser(user_id=user.user_id)
    with visit.core.writing() as connection:
        ask_deletion(connection, visit.workspace_id, [whom], by=visit.signed_in.member.email, now=visit.now)
    return visit.go(
        visit.url("/privacy#deletions"), "The user is being deleted, in every environment. The receipt follows here."
    )  # fmt: skip


def _user(visit: Visit) -> User:
    """Raises NotFound."""
    wanted = visit.number("user_id")
    with visit.reading() as connection:
        user = one_user(visit.core.store, connection, visit.here.id, wanted, now=visit.now)
    if user is None:
        raise NotFound(f"nothing is known of a user {wanted} in {visit.here.name}")
    return user


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/users/{user_id}/export", export),
    post("/env/{environment}/users/{user_id}/delete", delete, Verb.DELETE_USERS),
)
