"""`make bench-page`: what capture costs a page: 1,000 clicks and 100 navigations on 5,000 nodes, in one Chromium.

Three pages take turns: bare, with our script, and with posthog-js. An event is one act and the 20 ms after it, so that
the sending of a batch belongs to the event it falls on. What it costs is the main thread's processor time in that
while, as Chromium counts it; added is that minus what the same act costs on the bare page. The time until every
listener has returned is beside it: what a person may wait for.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec import Struct
from playwright.sync_api import Browser, sync_playwright

from bench.figures import against, percentile, report, spread
from bench.peers import Peer, build_ours, bundle, install
from tests.browser import snippets
from tests.browser.conftest import ready
from tests.browser.site import Site, serve
from tests.conftest import ARGUMENTS, CHROMIUM

POSTHOG = Peer("posthog-js", "1.449.2")
ROUNDS = 3  # or the first argument
LIMIT_MS = 1.0  # added main-thread time per event, p95
CLICKS = 1000
NAVIGATIONS = 100
KINDS = ("click", "navigation")

# Isolated pages get a clock of 5 microseconds instead of 100.
ISOLATED = {"cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp"}

START_POSTHOG = """
import posthog from 'posthog-js'
posthog.init('phc_bench', {
  api_host: location.origin + '/ph', opt_out_useragent_filter: true, capture_pageview: 'history_change',
  disable_session_recording: true, disable_surveys: true, disable_external_dependency_loading: true,
  loaded: () => { window.isReady = true },
})
"""

POSTHOG_ANSWERS = {
    "/ph/array/phc_bench/config": '{"autocapture_opt_out": false, "hasFeatureFlags": false}',
    "/ph/flags/": '{"flags": {}}',
    "/ph/e/": '{"status": 1}',
    "/ph/i/v0/e/": '{"status": 1}',
}

BODY = """<main id=root></main><script>
const rows = [];
for (let section = 0; section < 50; section++) {
  rows.push(`<section class="panel wide s${section}" data-testid="section-${section}"><ul>`);
  for (let row = 0; row < 24; row++) {
    rows.push(`<li class="row item"><a class="link" href="/item/${row}"><b>Item</b> <i>${row}</i></a></li>`);
  }
  rows.push('</ul></section>');
}
root.innerHTML = rows.join('');
addEventListener('click', (event) => event.preventDefault());
</script>"""

ACTS = """
  const targets = [...document.querySelectorAll('a, b, i')];
  // Each on a spot of its own: three on one would be rage, which is another event.
  const how = { bubbles: true, composed: true, cancelable: true, detail: 1 };
  const acts = {
    click: (i) => targets[(i * 37) % targets.length].dispatchEvent(
      new MouseEvent('click', { ...how, clientX: i * 100, clientY: 1 })),
    navigation: (i) => history.pushState({}, '', '/page/' + i),
  };
  window.act = (name, i) => {
    const from = performance.now();
    acts[name](i);
    return (performance.now() - from) * 1000;
  };
  document.querySelectorAll('*').length"""

PAUSE_S = 0.02  # between two events: what a script puts off by a moment is counted with its event
SETTLE_MS = 4000  # posthog sends every three seconds; what a script still has to do belongs to it

EVENTS = [
    (name, place)
    for place in range(NAVIGATIONS)
    for name in ("navigation", *("click",) * (CLICKS // NAVIGATIONS))
]


class Run(Struct):
    """One visit: for each of EVENTS microseconds of main thread and of waiting, and the thread's ms in all."""

    thread_us: list[float]
    waited_us: list[float]
    thread_ms: float
    nodes: int


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as name:
        folder = Path(name)
        build_ours(folder / "ours")
        install(folder, (POSTHOG,))
        site = Site()
        stop = serve(site, folder / "ours")
        _put_pages(site, bundle(START_POSTHOG, folder).decode())
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            runs: dict[str, list[Run]] = {kind: [] for kind in ("bare", "ours", "posthog")}
            for _ in range(rounds):
                for kind, done in runs.items():
                    done.append(_visit(browser, site, kind))
            version = browser.version
            browser.close()
        sent = len(site.messages)
        posted = sum(1 for method, path in site.asked if method == "POST" and path.startswith("/ph/"))
        stop()
    assert sent >= rounds * (CLICKS + NAVIGATIONS), f"our script sent {sent} events"
    assert posted, "posthog-js sent nothing, so there is nothing to compare with"
    report(
        "page",
        chromium=version,
        rounds=rounds,
        nodes=runs["bare"][0].nodes,
        clicks=CLICKS,
        navigations=NAVIGATIONS,
        events_received_from_ours=sent,
        requests_from_posthog=posted,
        added_by_ours=against(_added(runs, "ours")["p95_ms"], LIMIT_MS, "ms of main thread per event, p95"),
        bare={**_costs(runs["bare"]), "against_itself": _added(runs, "bare")},  # the machine's noise
        ours={**_costs(runs["ours"]), "added": _added(runs, "ours")},
        posthog={**_costs(runs["posthog"]), "added": _added(runs, "posthog")},
    )


def _put_pages(site: Site, posthog: str) -> None:
    def page(script: str) -> tuple[str, dict[str, str]]:
        head = f"<!doctype html><meta charset=utf-8><title>Bench</title>{script}<body>"
        return head + BODY, ISOLATED

    site.pages["/bare"] = page("")
    site.pages["/ours"] = page(f"<script>{site.fill(snippets.v5())}</script>")
    site.pages["/posthog"] = page("<script async src=/posthog.js></script>")
    site.pages["/posthog.js"] = (posthog, {})
    for path, answer in POSTHOG_ANSWERS.items():
        site.pages[path] = (answer, {})


def _visit(browser: Browser, site: Site, kind: str) -> Run:
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.url(f"/{kind}"))
    if kind == "ours":
        ready(page)
    elif kind == "posthog":
        page.wait_for_function("window.isReady")
    page.wait_for_timeout(1000)  # remote configuration, and everything that loads late
    nodes = int(page.evaluate(ACTS))
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    started = before = _thread_us(session)
    run = Run([], [], 0, nodes)
    for number, (name, _) in enumerate(EVENTS):
        call = {"expression": f"act({name!r}, {number})"}
        run.waited_us.append(float(session.send("Runtime.evaluate", call)["result"]["value"]))
        time.sleep(PAUSE_S)
        after = _thread_us(session)
        run.thread_us.append(after - before)
        before = after
    page.wait_for_timeout(SETTLE_MS)
    run.thread_ms = (_thread_us(session) - started) / 1000
    context.close()
    return run


def _thread_us(session: Any) -> float:
    """Processor time of the tasks of the page's main thread until now."""
    metrics = {
        metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]
    }
    return float(metrics["TaskDuration"]) * 1e6


def _costs(runs: list[Run]) -> dict[str, Any]:
    waited = [(name, us) for run in runs for (name, _), us in zip(EVENTS, run.waited_us, strict=True)]
    return {
        "waited_us": {kind: spread([us for name, us in waited if name == kind]) for kind in KINDS},
        # The median round: a round that was disturbed says nothing about the script.
        "thread_ms_in_all": round(percentile([run.thread_ms for run in runs], 0.5), 1),
    }


def _added(runs: dict[str, list[Run]], kind: str) -> dict[str, float]:
    """Milliseconds of main thread per event over the median of the same event on the bare page."""
    bare = [percentile(each, 0.5) for each in zip(*(run.thread_us for run in runs["bare"]), strict=True)]
    added = [
        (name, (us - without) / 1000)
        for run in runs[kind]
        for (name, _), us, without in zip(EVENTS, run.thread_us, bare, strict=True)
    ]
    every = [ms for _, ms in added]
    in_all = percentile([run.thread_ms for run in runs[kind]], 0.5)
    without = percentile([run.thread_ms for run in runs["bare"]], 0.5)
    return {
        "p50_ms": round(percentile(every, 0.5), 3),
        "p95_ms": round(percentile(every, 0.95), 3),
        "p99_ms": round(percentile(every, 0.99), 3),
        **{
            f"{one}_p95_ms": round(percentile([ms for name, ms in added if name == one], 0.95), 3)
            for one in KINDS
        },
        "mean_ms_with_all_that_follows": round((in_all - without) / len(EVENTS), 3),
    }


if __name__ == "__main__":
    main()
