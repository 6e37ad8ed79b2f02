"""The project's environments, each with data and keys of its own, and the time zone its days begin in."""

from starlette.responses import Response

from cairn.app import sources
from cairn.calendar import zone_names
from cairn.errors import CairnError
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb


def environments_page(visit: Visit, error: CairnError | None = None) -> Response:
    page = portion(visit.environments, visit.ask("from"))
    return visit.page(
        "environments.html",
        status=error.status if error else 200,
        error=error,
        zones=zone_names(),
        page=page,
        heard=sources.last_heard(visit.call, [environment for _, environment in page.items]),
        may_change=visit.may(Verb.CHANGE_SOURCES),
    )


def change_time_zone(visit: Visit) -> Response:
    time_zone = visit.form.line("time_zone")
    try:
        sources.set_time_zone(visit.call, visit.here.project_id, time_zone)
    except CairnError as error:
        return environments_page(visit, error)
    return visit.go(
        visit.url("/environments"), f"Days begin at midnight in {time_zone}, those of the past too."
    )


def add_environment(visit: Visit) -> Response:
    form = visit.form
    try:
        made = sources.add_environment(
            visit.call,
            visit.here.project_id,
            key=form.line("environment_key"),
            name=form.line("environment_name"),
            app_id=form.line("app_id"),
        )
    except CairnError as error:
        error.field = {"key": "environment_key", "name": "environment_name"}.get(error.field, error.field)
        return environments_page(visit, error)
    visit.environments.append(("", made))
    return visit.go(
        visit.url("/keys", made), f"Environment {made.name} is ready, with data and keys of its own."
    )


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/environments", environments_page),
    post("/env/{environment}/environments", add_environment, Verb.CHANGE_SOURCES),
    post("/env/{environment}/environments/time-zone", change_time_zone, Verb.CHANGE_SOURCES),
)
