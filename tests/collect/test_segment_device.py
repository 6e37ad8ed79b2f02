"""Heap in device mode: what our bundles call on it, what keeps events from it, and that it runs once on a page.

Source: contracts/segment.md 3.3, 3.6, 5.2 and 5.4.
"""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from cairn.published.source_settings import document_name, encode
from cairn.routing.rules import read_rules
from tests.browser import snippets
from tests.collect.edges import edge, site
from tests.collect.segment_pages import (
    APP_ID,
    CAIRN_HOST,
    NOTHING,
    SITE,
    Settings,
    Visit,
    device,
    found_in,
    refused_in,
    snippet,
    visiting,
)
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

CALLS = "JSON.stringify(Array.from(heap))"


def test_the_classic_bundle_calls_on_heap_what_the_vendors_calls(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    """contracts/segment.md 5.2, to the byte and in this order."""
    with visiting(chromium, tmp_path / "data", script_folder, device(), library=NOTHING) as visit:
        visit.open(is_heap=False)
        visit.run("""
            analytics.track('Ev1', {n: 1, b: true, nul: null, date: '2024-01-02T03:04:05.000Z',
              o: {x: {y: 1}, arr: [1, {z: 2}], empty: {}}, arr: ['a', 2]})
        """)
        visit.page.wait_for_function("window.heap && heap.length === 1", timeout=PATIENCE_S * 1000)
        visit.run(
            "analytics.identify('u1', {email: 'a@b.c', name: 'Al', created: '2024-01-02', o: {k: [1, 2]}})"
        )
        visit.page.wait_for_function("heap.length === 3", timeout=PATIENCE_S * 1000)
        visit.run(
            "analytics.reset(); analytics.identify({plan: 'pro'}); analytics.page('Home'); analytics.group('g')"
        )
        visit.page.wait_for_function("heap.length === 4", timeout=PATIENCE_S * 1000)
        calls = json.loads(visit.run(CALLS))
        stubs = visit.run("Object.keys(heap).filter((name) => typeof heap[name] === 'function')")
        chosen = visit.run("[heap.appid, heap.config === undefined]")
    expected = [
        [
            "track",
            "Ev1",
            {
                "n": 1,
                "b": True,
                "date": "2024-01-02T03:04:05.000Z",
                "o.x.y": 1,
                "o.arr": '[1,{"z":2}]',
                "o.empty": {},
                "arr": '["a",2]',
            },
        ],
        ["identify", "u1"],
        [
            "addUserProperties",
            {
                "name": "Al",
                "created": "2024-01-02T00:00:00.000Z",
                "o.k": "[1,2]",
                "id": "u1",
                "_email": "a@b.c",
            },
        ],
        ["addUserProperties", {"plan": "pro"}],
    ]
    assert json.dumps(calls) == json.dumps(expected)  # the order of keys counts
    assert chosen == [APP_ID, True]
    assert sorted(stubs) == sorted(["load", *snippets.CLASSIC_METHODS])


RECORDER = """
  window.calls = [];
  for (const name of ['track', 'identify', 'addUserProperties'])
    heap[name] = (...given) => { calls.push([name, ...given]) };
  heap.loaded = true;
"""


def test_the_actions_plugin_calls_on_heap_what_the_vendors_calls(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    """contracts/segment.md 5.4."""
    settings = device(variant="actions", browserArrayLimit=3, disableTextCapture=True)
    with visiting(chromium, tmp_path / "data", script_folder, settings, library=RECORDER) as visit:
        visit.open(is_heap=False)
        visit.run("analytics.identify('u1', {email: 'a@b.c', age: 3, o: {k: [1]}})")
        visit.page.wait_for_function("window.calls && calls.length === 2", timeout=PATIENCE_S * 1000)
        visit.run("""
            analytics.track('Bought', {total: 9.5, ok: true, nul: null, a: {b: 1}, list: [{sku: 'x', n: 1}, {sku: 'y'}],
              more: [{z: 1}, {z: 2}]}, {context: {traits: {plan: 'pro', deep: {n: 1}}}})
        """)
        visit.page.wait_for_function("calls.length === 7", timeout=PATIENCE_S * 1000)
        calls, anonymous_id = visit.run("calls"), visit.run("analytics.user().anonymousId()")
        event = visit.wait_for("Bought")
        config, env = visit.run("heap.clientConfig"), visit.run("heap.envId")
    ours = {"segment_library": "browser-destination"}
    assert calls == [
        ["addUserProperties", {"email": "a@b.c", "age": 3, "o": {"k": [1]}}],
        ["identify", "u1"],
        ["addUserProperties", {"anonymous_id": anonymous_id, "plan": "pro", "deep.n": "1"}],
        ["track", "Bought list item", {"sku": "x", "n": "1", **ours}],
        ["track", "Bought list item", {"sku": "y", **ours}],
        ["track", "Bought more item", {"z": "1", **ours}],
        [
            "track",
            "Bought",
            {
                "total": "9.5",
                "ok": "true",
                "nul": None,
                "a.b": "1",
                "list": '[{"sku":"x","n":1},{"sku":"y"}]',
                "more": '[{"z":1},{"z":2}]',
                **ours,
            },
        ],
    ]
    assert env == APP_ID
    assert config == {"disableTextCapture": True, "secureCookie": False, "shouldFetchServerConfig": False}
    assert event["_metadata"]["bundled"] == ["Heap Web (Actions)", "Segment.io"]


PLAN = {"Debug Click": {"enabled": False, "integrations": {}}}
# What reaches heap, and what the tracking API is told of integrations.
CHOICES: list[tuple[str, str, bool, Settings]] = [
    ("disabled by the plan", "track('Debug Click')", False, {"All": False, "Segment.io": True}),
    ("switched off for Heap", "track('Salary Viewed')", False, {"Heap": False}),
    ("dropped by a rule", "track('Internal Ping')", False, {}),
    ("named by the call", "track('Told', {}, {integrations: {Heap: false}})", False, {"Heap": False}),
    ("nobody", "track('Nobody', {}, {integrations: {All: false}})", False, {"All": False}),
    ("all else", "track('Paid')", True, {}),
]


def test_plan_rules_and_the_integrations_object_keep_events_from_heap_and_not_from_us(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    rules = read_rules(
        {"events": {"Salary Viewed": False}, "filters": [{"condition": 'event = "Internal Ping"'}]}
    )
    settings = device(rules)
    settings["plan"]["track"] |= PLAN
    with visiting(chromium, tmp_path / "data", script_folder, settings, library=NOTHING) as visit:
        visit.open(is_heap=False)
        visit.run("analytics.track('First')")
        visit.page.wait_for_function("window.heap && heap.length", timeout=PATIENCE_S * 1000)
        told = {}
        for what, call, _, _ in CHOICES:
            visit.run(f"analytics.{call}")
            told[what] = visit.wait_for(call.split("'")[1])["integrations"]
        visit.run("analytics.track('Ours alone', {}, {integrations: {'Segment.io': false}})")
        visit.run("analytics.track('Last')")
        visit.wait_for("Last")
        reached = [name for _, name, *_ in json.loads(visit.run(CALLS))]
        sent = [call.get("event") for call in visit.sent]
    assert told == {what: expected for what, _, _, expected in CHOICES}
    assert reached == ["First", "Paid", "Ours alone", "Last"] and "Ours alone" not in sent


DIRECT = snippets.classic(host="{url}")
LATE = """
  setTimeout(() => {
    const tag = document.createElement('script'); tag.text = %s; document.head.append(tag);
  }, 1500);
"""
SCRIPT_TWICE = """
  const again = document.createElement('script');
  again.src = '{url}/analytics.js/v1/wk_web/analytics.min.js';
  again.onload = () => setTimeout(() => { window.isAgain = true }, 300);
  document.head.append(again);
"""
TWO: dict[str, Settings] = {
    "the direct snippet before Segment": {"before": DIRECT},
    "the direct snippet after Segment": {"after": DIRECT},
    "a tag manager brings the direct snippet late": {"after": LATE % json.dumps(DIRECT)},
    "Heap Web (Actions) beside the direct snippet": {
        "before": snippets.v5(host="{url}"),
        "variant": "actions",
    },
    "analytics.js twice": {"after": SCRIPT_TWICE},
}


@pytest.mark.parametrize("what", TWO)
def test_heap_runs_exactly_once_on_a_page_and_members_hear_of_the_second(
    chromium: Browser, tmp_path: Path, script_folder: Path, what: str
) -> None:
    data = tmp_path / "data"
    options = dict(TWO[what])
    settings = device(variant=options.pop("variant", "classic"))
    with visiting(chromium, data, script_folder, settings, **options) as visit:
        visit.open()
        visit.wait_for_capture("Heap loaded twice")
        visit.run("analytics.track('End')")
        visit.wait_for_capture("End")
        visit.page.click("button")
        visit.wait_for_capture("interaction")
        assert len([text for text in visit.said if "only once" in text]) == 1, visit.said
        assert visit.hosts == {"shop.test", CAIRN_HOST}
    counts = [len(found_in(data, kind)) for kind in ("pageview", "session", "click", "End")]
    assert counts == [1, 1, 1, 1]
    assert refused_in(data).count("loaded_twice") == 1


def test_segments_snippet_twice_is_one_library(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    data = tmp_path / "data"
    with edge(data, script_folder, {document_name(SITE): encode(device())}) as address:
        url = address.replace("localhost", CAIRN_HOST)
        twice = f"<!doctype html><script>{snippet(url)}</script><script>{snippet(url)}</script><body>"
        with site(twice) as port:
            context = chromium.new_context()
            visit = Visit(context, port).open()
            visit.run("analytics.track('End')")
            visit.wait_for_capture("End")
            visit.wait_for("End")
            assert "Segment snippet included twice." in visit.said
            context.close()
    assert [len(found_in(data, kind)) for kind in ("pageview", "End")] == [1, 1]
