"""What a page pastes to load the capture script. Pure.

Source: contracts/heap.md 4.1: an array until the script is there, and stubs that queue on heapReadyCb.
"""

from cairn.web.snippets import Client, Snippet

_CURRENT = """<script>
  window.heapReadyCb = window.heapReadyCb || [];
  window.heap = window.heap || [];
  heap.load = function (envId, clientConfig) {
    heap.envId = envId;
    heap.clientConfig = clientConfig = clientConfig || {};
    clientConfig.shouldFetchServerConfig = false;
    var script = document.createElement('script');
    script.async = true;
    script.src = '%(url)s/config/' + envId + '/heap_config.js';
    var first = document.getElementsByTagName('script')[0];
    first.parentNode.insertBefore(script, first);
    ('init startTracking stopTracking track resetIdentity identify identifyHashed getSessionId getUserId ' +
     'getIdentity addUserProperties addEventProperties removeEventProperty clearEventProperties ' +
     'addAccountProperties addAdapter addTransformer addTransformerFn onReady addPageviewProperties ' +
     'removePageviewProperty clearPageviewProperties trackPageview').split(' ').forEach(function (name) {
      heap[name] = function () {
        var given = arguments;
        heapReadyCb.push({ name: name, fn: function () { heap[name] && heap[name].apply(heap, given); } });
      };
    });
  };
  heap.load('%(app_id)s');
</script>"""

_NEUTRAL = """<script>
  window.cairn = window.cairn || [];
  cairn.config = {};
</script>
<script async src="%(url)s/k/%(app_id)s.js"></script>"""

_SEGMENT = """<script>
  !function () {
    var analytics = window.analytics = window.analytics || [];
    if (analytics.initialize) return;
    if (analytics.invoked) return window.console && console.error('Segment snippet included twice.');
    analytics.invoked = true;
    analytics.factory = function (name) {
      return function () {
        if (window.analytics.initialized) return window.analytics[name].apply(window.analytics, arguments);
        analytics.push([name].concat([].slice.call(arguments)));
        return analytics;
      };
    };
    ('trackSubmit trackClick trackLink trackForm pageview identify reset group track ready alias debug page screen ' +
     'once off on addSourceMiddleware addIntegrationMiddleware setAnonymousId addDestinationMiddleware register')
      .split(' ').forEach(function (name) { analytics[name] = analytics.factory(name); });
    analytics.load = function (key, options) {
      var script = document.createElement('script');
      script.async = true;
      script.src = '%(url)s/analytics.js/v1/' + key + '/analytics.min.js';
      var first = document.getElementsByTagName('script')[0];
      first.parentNode.insertBefore(script, first);
      analytics._loadOptions = options;
    };
    analytics._writeKey = '%(write_key)s';%(cdn)s
    analytics.load('%(write_key)s');
    analytics.page();
  }();
</script>"""


def current(client: Client) -> Snippet:
    note = "A page that has Heap's snippet keeps it: only its host becomes this one."
    return Snippet("Into the head of every page", _filled(_CURRENT, client), note)


def neutral(client: Client) -> Snippet:
    note = "The same under a name and paths of our own, which block lists do not know and which leave Heap alone."
    return Snippet("Or under a neutral name", _filled(_NEUTRAL, client), note)


def segment(client: Client) -> Snippet:
    """analytics.js finds by itself where it came from, but only over https. contracts/segment.md fact 6"""
    note = "A page that has Segment's snippet keeps it: only cdn.segment.com becomes this host, and events follow."
    if client.url.startswith("http://"):
        note += " Over plain http a page also says analytics._cdn, as above."
    return Snippet("analytics.js, from here", _filled(_SEGMENT, client), note)


def _filled(text: str, client: Client) -> str:
    cdn = "" if client.url.startswith("https://") else f"\n    analytics._cdn = '{client.url}';"
    return text % {"url": client.url, "app_id": client.app_id, "write_key": client.write_key, "cdn": cdn}
