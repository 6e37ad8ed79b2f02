"""Webhooks of one environment: who hears that settings changed, and that a sync fails."""

from starlette.responses import Response

from cairn.app import hooks
from cairn.errors import CairnError
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

KINDS = (
    ("settings", "Settings changed: flags, rules or lists that SDKs read"),
    ("notices", "Notices: a sync fails for five minutes, or is well again"),
)
_SHOWN = 20  # messages of a hook


def hooks_page(visit: Visit, error: CairnError | None = None) -> Response:
    known = hooks.list_hooks(visit.call, visit.here)
    shown = next((hook for hook in known if str(hook.id) == visit.ask("hook")), None)
    return visit.page(
        "hooks.html",
        status=error.status if error else 200,
        error=error,
        hooks=portion(known, visit.ask("from")),
        kinds=KINDS,
        titles=dict(KINDS),
        shown=shown,
        messages=hooks.list_messages(visit.call, visit.here, shown.id, limit=_SHOWN) if shown else [],
        secret=visit.once.take(visit.ask("made"), visit.csrf, visit.now),
        may_change=visit.may(Verb.CHANGE_INTEGRATIONS),
    )


def add_hook(visit: Visit) -> Response:
    try:
        hook, secret = hooks.create_hook(visit.call, visit.here, visit.form("kind"), visit.form.line("url"))
    except CairnError as error:
        return hooks_page(visit, error)
    made = visit.once.keep(secret, visit.csrf, visit.now)
    return visit.go(visit.url(f"/webhooks?hook={hook.id}&made={made}"), "The webhook is added.")


def drop_hook(visit: Visit) -> Response:
    hooks.delete_hook(visit.call, visit.here, visit.number("hook_id"))
    return visit.go(visit.url("/webhooks"), "The webhook is deleted.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/webhooks", hooks_page),
    post("/env/{environment}/webhooks", add_hook, Verb.CHANGE_INTEGRATIONS),
    post("/env/{environment}/webhooks/{hook_id}/delete", drop_hook, Verb.CHANGE_INTEGRATIONS),
)
