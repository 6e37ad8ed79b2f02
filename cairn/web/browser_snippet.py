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


def current(client: Client) -> Snippet:
    note = "A page that has Heap's snippet keeps it: only its host becomes this one."
    return Snippet("Into the head of every page", _filled(_CURRENT, client), note)


def neutral(client: Client) -> Snippet:
    note = "The same under a name and paths of our own, which block lists do not know and which leave Heap alone."
    return Snippet("Or under a neutral name", _filled(_NEUTRAL, client), note)


def _filled(text: str, client: Client) -> str:
    return text % {"url": client.url, "app_id": client.app_id}
