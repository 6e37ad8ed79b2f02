"""What a user may ask of you: to be told everything, and to be deleted. The user's page includes the buttons."""

from starlette.responses import Response, StreamingResponse

from cairn.app import privacy, users
from cairn.errors import InvalidInput
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb


def export(visit: Visit) -> Response:
    """Everything known of a user, as a file."""
    user = users.get_user(visit.call, visit.here, visit.number("user_id"))
    name = f'attachment; filename="user-{user.user_id}.json"'
    pieces = privacy.export_user(visit.call, visit.here, user)
    return StreamingResponse(pieces, media_type="application/json", headers={"Content-Disposition": name})


def delete(visit: Visit) -> Response:
    """Only with the box ticked that it is permanent."""
    user = users.get_user(visit.call, visit.here, visit.number("user_id"))
    if visit.form("sure") != "1":
        raise InvalidInput("sure: tick the box to say that you know it cannot be undone", field="sure")
    privacy.delete_user(visit.call, user)
    return visit.go(
        visit.url("/privacy#deletions"),
        "The user is being deleted, in every environment. The receipt follows here.",
    )


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/users/{user_id}/export", export),
    post("/env/{environment}/users/{user_id}/delete", delete, Verb.DELETE_USERS),
)
