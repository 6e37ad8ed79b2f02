"""Integrations, Heap: the workspace's Heap account, and the audiences that its flags can ask for."""

from starlette.responses import Response

from cairn.app import heap_account, heap_audiences
from cairn.errors import CairnError
from cairn.sync.heap_account import Config, ForgedState
from cairn.sync.heap_client import HEAP
from cairn.web.guard import read_cookie
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb
from cairn.workspace.session import COOKIE

CHANGE = Verb.CHANGE_INTEGRATIONS
TABS = (("", "Audiences"), ("config", "Config"))
SAMPLE, HISTORY = 20, 50  # rows of an audience's page


def _public_url(visit: Visit) -> str:
    url = visit.request.url
    return (visit.core.settings.public_url or f"{url.scheme}://{url.netloc}").rstrip("/")


def heap_page(visit: Visit, error: CairnError | None = None) -> Response:
    shown = heap_account.look(visit.call, visit.here)
    account = shown.account
    tab = visit.ask("tab") or ("" if account and account.is_connected and not error else "config")
    targets = (account.host,) if account and not account.is_connected else ()
    is_here = account is not None and shown.elsewhere is None
    return visit.page(
        "heap.html",
        status=error.status if error else 200,
        error=error,
        shown=shown,
        account=account,
        tab=tab,
        tabs=TABS,
        heap=HEAP,
        may_change=visit.may(CHANGE),
        may_add=visit.may(Verb.DEFINE),
        form_targets=targets,
        audiences=portion(
            heap_audiences.list_added(visit.call, visit.here) if is_here else [], visit.ask("from")
        ),
        refusals=heap_audiences.list_refusals(visit.call, visit.here) if is_here else [],
        callback=_public_url(visit) + heap_account.CALLBACK,
        webhook=_public_url(visit) + heap_account.WEBHOOK,
    )


def enable(visit: Visit) -> Response:
    heap_account.enable(visit.call, visit.here)
    return visit.go(visit.url("/heap?tab=config"), "Heap is enabled. Now say what it is used for.")


def disable(visit: Visit) -> Response:
    heap_account.disable(visit.call, visit.here)
    return visit.go(visit.url("/heap"), "Heap is disabled.")


def configure(visit: Visit) -> Response:
    config = Config(
        targets_visitors=bool(visit.form("targets_visitors")),
        host=visit.form.line("host"),
        client_id=visit.form.line("client_id"),
        client_secret=visit.form.line("client_secret"),
        webhook_secret=visit.form.line("webhook_secret"),
    )
    try:
        heap_account.configure(visit.call, visit.here, config)
    except CairnError as error:
        if not error.field:
            raise
        return heap_page(visit, error)
    said = "Saved. Now authenticate Wingify on Heap." if config.targets_visitors else "Saved."
    return visit.go(visit.url("/heap?tab=config"), said)


def authenticate(visit: Visit) -> Response:
    """Opened in a window of its own, which redirects to the other side and back to `come_back`."""
    try:
        address = heap_account.authenticate(
            visit.call, visit.here, session=read_cookie(visit.request, COOKIE), public_url=_public_url(visit)
        )
    except CairnError as error:
        return visit.page(
            "heap_window.html", status=error.status, error=error, back=visit.url("/heap?tab=config")
        )
    return visit.go(address)


def come_back(visit: Visit) -> Response:
    try:
        environment = heap_account.come_back(
            visit.call,
            session=read_cookie(visit.request, COOKIE),
            state=visit.ask("state"),
            code=visit.ask("code", longest=2_000),
            error=visit.ask("error"),
        )
    except ForgedState:
        raise
    except CairnError as error:
        back = "/"
        if (own := heap_account.where(visit.call)) is not None:
            visit.environment, back = own, visit.url("/heap?tab=config", own)
        return visit.page("heap_window.html", status=error.status, error=error, back=back)
    return visit.go(
        visit.url("/heap", environment), "Connected. Enable the sync of a segment in Heap, and add it here."
    )


def disconnect(visit: Visit) -> Response:
    left = heap_account.disconnect(visit.call, visit.here)
    said = "Disconnected. The lists stay as they are until they are removed; nothing updates them any more."
    return visit.go(visit.url("/heap"), f"{said} {left}".strip())


def add_page(visit: Visit, error: CairnError | None = None) -> Response:
    offered, failure = heap_audiences.list_offered(visit.call, visit.here)
    text = visit.ask("q").lower()
    page = portion([segment for segment in offered if text in segment.name.lower()], visit.ask("from"))
    return visit.page(
        "heap_add.html",
        status=error.status if error else 200,
        error=error,
        page=page,
        text=visit.ask("q"),
        failure=failure,
        offered=len(offered),
        chosen={value for name, value in visit.form if name == "segment"},
    )


def add(visit: Visit) -> Response:
    chosen = [value for name, value in visit.form if name == "segment"]
    try:
        added = heap_audiences.add(visit.call, visit.here, chosen)
    except CairnError as error:
        if not error.field:
            raise
        return add_page(visit, error)
    what = f"{added[0].name} is" if len(added) == 1 else f"{len(added)} audiences are"
    return visit.go(visit.url("/heap"), f"{what} added. Rules can ask for it with “is in list” at once.")


def audience_page(visit: Visit) -> Response:
    shown = heap_audiences.get_added(visit.call, visit.here, visit.number("audience_id"))
    value = visit.request.query_params.get("value", "")[:1000]
    before = visit.ask("before")
    tasks = heap_audiences.history(
        visit.call,
        visit.here,
        shown.audience.id,
        limit=HISTORY + 1,
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 10 else None,
    )
    return visit.page(
        "heap_audience.html",
        shown=shown,
        audience=shown.audience,
        value=value,
        before=before,
        since=heap_audiences.member_since(visit.call, shown.audience, value) if value else None,
        sample=heap_audiences.members_of(
            visit.call, shown.audience, after=visit.ask("after", longest=1000), limit=SAMPLE
        ),
        tasks=tasks[:HISTORY],
        more=len(tasks) > HISTORY,
        may_change=visit.may(Verb.DEFINE),
    )


def remove(visit: Visit) -> Response:
    is_offered = heap_audiences.remove(visit.call, visit.here, visit.number("audience_id"))
    said = "Removed. It is still synced, and can be added again." if is_offered else "Removed, with its list."
    return visit.go(visit.url("/heap"), said)


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/heap", heap_page),
    post("/env/{environment}/heap/enable", enable, CHANGE),
    post("/env/{environment}/heap/disable", disable, CHANGE),
    post("/env/{environment}/heap/config", configure, CHANGE),
    post("/env/{environment}/heap/authenticate", authenticate, CHANGE),
    post("/env/{environment}/heap/disconnect", disconnect, CHANGE),
    get("/env/{environment}/heap/add", add_page),
    post("/env/{environment}/heap/add", add, Verb.DEFINE),
    get("/env/{environment}/heap/audiences/{audience_id}", audience_page),
    post("/env/{environment}/heap/audiences/{audience_id}/remove", remove, Verb.DEFINE),
    get(heap_account.CALLBACK, come_back, CHANGE),
)
