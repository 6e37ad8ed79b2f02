"""Install snippets, written to the contract (heap.md 4.1, 4.3; segment.md 5.2, 5.4).

They load from the test's own server, and are otherwise what a site pastes.
"""

import json

ENVIRONMENT = "1234567890"

V5_METHODS = [
    "init",
    "startTracking",
    "stopTracking",
    "track",
    "resetIdentity",
    "identify",
    "identifyHashed",
    "getSessionId",
    "getUserId",
    "getIdentity",
    "addUserProperties",
    "addEventProperties",
    "removeEventProperty",
    "clearEventProperties",
    "addAccountProperties",
    "addAdapter",
    "addTransformer",
    "addTransformerFn",
    "onReady",
    "addPageviewProperties",
    "removePageviewProperty",
    "clearPageviewProperties",
    "trackPageview",
]

CLASSIC_METHODS = [
    "addEventProperties",
    "addUserProperties",
    "clearEventProperties",
    "identify",
    "resetIdentity",
    "removeEventProperty",
    "setEventProperties",
    "track",
    "unsetEventProperty",
]

_INSERT = """
    var script = document.createElement('script'); script.async = true; script.src = source;
    var first = document.getElementsByTagName('script')[0]; first.parentNode.insertBefore(script, first);
"""


def v5(options: dict[str, object] | None = None, *, host: str = "", start: str = "window.heap || []") -> str:
    """The current snippet: an array with stubs that queue {name, fn} on heapReadyCb."""
    return f"""
  window.heapReadyCb = window.heapReadyCb || [];
  window.heap = {start};
  heap.load = function (envId, clientConfig) {{
    window.heap.envId = envId;
    window.heap.clientConfig = clientConfig = clientConfig || {{}};
    window.heap.clientConfig.shouldFetchServerConfig = false;
    var source = '{host}/config/' + envId + '/heap_config.js';
    {_INSERT}
    function stub(name) {{
      return function () {{
        var given = Array.prototype.slice.call(arguments, 0);
        window.heapReadyCb.push({{ name: name, fn: function () {{ heap[name] && heap[name].apply(heap, given); }} }});
      }};
    }}
    var methods = {json.dumps(V5_METHODS)};
    for (var i = 0; i < methods.length; i++) heap[methods[i]] = stub(methods[i]);
  }};
  heap.load('{ENVIRONMENT}', {json.dumps(options or {})});
"""


def classic(
    options: dict[str, object] | None = None, *, host: str = "", start: str = "window.heap || []"
) -> str:
    """The classic snippet: an array of [method, ...arguments] tuples."""
    return f"""
  window.heap = {start};
  heap.load = function (id, config) {{
    window.heap.appid = id;
    window.heap.config = config = config || {{}};
    var source = '{host}/js/heap-' + id + '.js';
    {_INSERT}
    function stub(name) {{
      return function () {{ heap.push([name].concat(Array.prototype.slice.call(arguments, 0))); }};
    }}
    var methods = {json.dumps(CLASSIC_METHODS)};
    for (var i = 0; i < methods.length; i++) heap[methods[i]] = stub(methods[i]);
  }};
  heap.load('{ENVIRONMENT}', {json.dumps(options or {})});
"""


def neutral(options: dict[str, object] | None = None, *, host: str = "") -> str:
    """Our own: a queue under our own name, by a path no block list knows."""
    return f"""
  window.cairn = window.cairn || [];
  window.cairn.config = {json.dumps(options or {})};
  var source = '{host}/k/{ENVIRONMENT}.js';
  {_INSERT}
"""


def segment_classic() -> str:
    """What Segment's classic device mode does when it starts: its own stubs, its own script tag."""
    return classic(host="").replace("heap.load('", "window.segmentHeap = true; heap.load('")


def segment_web() -> str:
    """Segment's Heap Web (Actions): reuses window.heap when there is one, else an object with 23 stubs."""
    return f"if (!window.heap) {{ {v5(start='{}')} }}"
