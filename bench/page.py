"""`make bench-page`: what capture costs a page: 1,000 clicks and 100 navigations on 5,000 nodes, in one Chromium.

Three pages take turns: bare, with our script, and with posthog-js. Each event is timed where it happens, from
dispatch until every listener has returned; what runs later (batching, encoding, sending) is in the page's whole
main-thread time, taken from Chromium and divided by the events. Added is with the script minus bare.
"""

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bench.figures import percentile, report
from bench.peers import Peer, build_ours, bundle, install
from tests.browser import snippets
from tests.browser.conftest import ready
from tests.browser.site import Site, serve
from tests.conftest import ARGUMENTS, CHROMIUM

POSTHOG = Peer("posthog-js", "1.449.2")
ROUNDS = 5
CLICKS = 1000
NAVIGATIONS = 100
NODES = 5000

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

RUN = """async ([clicks, navigations]) => {
  const targets = [...document.querySelectorAll('a, b, i')];
  const rest = () => new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(0);
  });
  const timed = async (count, act) => {
    const taken = [];
    for (let i = 0; i < count; i++) {
      const from = performance.now();
      act(i);
      taken.push((performance.now() - from) * 1000);
      await rest();
    }
    return taken;
  };
  const nodes = document.querySelectorAll('*').length;
  // Each on a spot of its own: three on one would be rage, which is another event.
  const how = { bubbles: true, composed: true, cancelable: true, detail: 1 };
  const click = await timed(clicks, (i) => targets[(i * 37) % targets.length].dispatchEvent(
    new MouseEvent('click', { ...how, clientX: i * 100, clientY: 1 })));
  const navigation = await timed(navigations, (i) => history.pushState({}, '', '/page/' + i));
  return { nodes, click, navigation };
}"""

SETTLE_MS = 4000  # posthog sends every three seconds; what a script still has to do belongs to it

Figures = dict[str, list[float]]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as name:
        folder = Path(name)
        build_ours(folder / "ours")
        install(folder, (POSTHOG,))
        site = Site()
        stop = serve(site, folder / "ours")
        _put_pages(site, bundle(START_POSTHOG, folder).decode())
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            measured: dict[str, Figures] = {kind: {} for kind in ("bare", "ours", "posthog")}
            nodes = 0
            for _ in range(ROUNDS):
                for kind, figures in measured.items():
                    nodes = _measure(browser, site, kind, figures)
            version = browser.version
            browser.close()
        sent = len(site.messages)
        posted = sum(1 for method, path in site.asked if method == "POST" and path.startswith("/ph/"))
        stop()
    assert sent >= ROUNDS * (CLICKS + NAVIGATIONS), f"our script sent {sent} events"
    assert posted, "posthog-js sent nothing, so there is nothing to compare with"
    report(
        "page",
        chromium=version,
        rounds=ROUNDS,
        nodes=nodes,
        clicks=CLICKS,
        navigations=NAVIGATIONS,
        events_received_from_ours=sent,
        requests_from_posthog=posted,
        bare=_summary(measured["bare"]),
        **{kind: _beside(measured[kind], measured["bare"]) for kind in ("ours", "posthog")},
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


def _measure(browser: Browser, site: Site, kind: str, figures: Figures) -> int:
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.url(f"/{kind}"))
    if kind == "ours":
        ready(page)
    elif kind == "posthog":
        page.wait_for_function("window.isReady")
    page.wait_for_timeout(1000)  # remote configuration, and everything that loads late
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    before = _thread_ms(session)
    answer = page.evaluate(RUN, [CLICKS, NAVIGATIONS])
    page.wait_for_timeout(SETTLE_MS)
    figures.setdefault("click", []).extend(answer["click"])
    figures.setdefault("navigation", []).extend(answer["navigation"])
    figures.setdefault("thread_ms", []).append(_thread_ms(session) - before)
    context.close()
    return int(answer["nodes"])


def _thread_ms(session: Any) -> float:
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1000


def _summary(figures: Figures) -> dict[str, float]:
    events = CLICKS + NAVIGATIONS
    return {
        "click_p50_us": round(percentile(figures["click"], 0.5), 1),
        "click_p95_us": round(percentile(figures["click"], 0.95), 1),
        "navigation_p50_us": round(percentile(figures["navigation"], 0.5), 1),
        "navigation_p95_us": round(percentile(figures["navigation"], 0.95), 1),
        # The median round: the machine is shared, and a round that was disturbed says nothing about the script.
        "thread_us_per_event": round(percentile(figures["thread_ms"], 0.5) * 1000 / events, 1),
    }


def _beside(figures: Figures, bare: Figures) -> dict[str, Any]:
    with_script, without = _summary(figures), _summary(bare)
    return {
        **with_script,
        "added": {key: round(value - without[key], 1) for key, value in with_script.items()},
    }


if __name__ == "__main__":
    main()
