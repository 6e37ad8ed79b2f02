"""Code to paste: each client with the address and keys of one environment already in it. Pure.

Source: how each unmodified client is pointed elsewhere, contracts/heap.md section 3, segment.md section 2 and
wingify.md section 2. tests/web runs what it can of them.
"""

import json

from msgspec import Struct


class Client(Struct, frozen=True):
    """Where a client sends to, and who it is there."""

    url: str  # without a slash at the end
    app_id: str = ""
    write_key: str = ""
    sdk_key: str = ""
    account_id: int = 0


class Snippet(Struct, frozen=True):
    title: str
    code: str
    note: str = ""


def curl_track(client: Client) -> Snippet:
    body = _body({"app_id": client.app_id, "identity": "ann@shop.test", "event": "Hello Cairn"})
    return Snippet(
        "Heap server API, curl",
        _curl(client, "/api/track", body),
    )


def curl_properties(client: Client) -> Snippet:
    body = _body({"app_id": client.app_id, "identity": "ann@shop.test", "properties": {"plan": "premium"}})
    return Snippet(
        "Set a user property, curl",
        _curl(client, "/api/add_user_properties", body),
    )


def _curl(client: Client, path: str, body: str) -> str:
    return f"curl {client.url}{path} \\\n  -H 'content-type: application/json' -d '{body}'"


def heap_node(client: Client) -> Snippet:
    code = f"""const request = require('request')
const heap = require('heap-api')({_text(client.app_id)}, {{
  _request: (options, done) => request({{
    ...options, uri: undefined,
    url: {_text(client.url)} + new URL(options.url || options.uri).pathname,
  }}, done),
}})
heap.track('Hello Cairn', 'ann@shop.test')"""
    return Snippet("heap-api for Node", code, "heap-api has its address built in; this hands it another one.")


def segment_node(client: Client) -> Snippet:
    code = f"""const {{ Analytics }} = require('@segment/analytics-node')
const analytics = new Analytics({{
  writeKey: {_text(client.write_key)},
  host: {_text(client.url)},
}})
const userId = 'ann@shop.test'
analytics.identify({{ userId, traits: {{ plan: 'premium' }} }})
analytics.track({{ userId, event: 'Hello Cairn' }})"""
    return Snippet("@segment/analytics-node", code)


def segment_python(client: Client) -> Snippet:
    code = f"""import segment.analytics as analytics

analytics.write_key = {_text(client.write_key)}
analytics.host = {_text(client.url)}
analytics.identify("ann@shop.test", {{"plan": "premium"}})
analytics.track("ann@shop.test", "Hello Cairn")
analytics.flush()"""
    return Snippet("segment-analytics-python", code)


def flags_node(client: Client, flag: str = "my-flag", variable: str = "", identifier: str = "") -> Snippet:
    context = "{ id: userId }"
    if identifier:
        context = f"""{{
  id: userId,
  customVariables: {{
    {_text(identifier)}: heapIdentifiedUserId,
  }},
}}"""
    used = f"\nconst value = flag.getVariable({_text(variable)}, null)" if variable else ""
    code = f"""const {{ init }} = require('vwo-fme-node-sdk')
const client = await init({{
  accountId: {client.account_id},
  sdkKey: {_text(client.sdk_key)},
  gatewayService: {{ url: {_text(client.url)} }},
}})
const flag = await client.getFlag({_text(flag)}, {context})
if (flag.isEnabled()) {{ /* … */ }}{used}"""
    return Snippet("vwo-fme-node-sdk", code)


def flags_python(client: Client, flag: str = "my-flag", variable: str = "", identifier: str = "") -> Snippet:
    context = '{"id": user_id}'
    if identifier:
        context = f"""{{
    "id": user_id,
    "customVariables": {{
        {_text(identifier)}: heap_identified_user_id,
    }},
}}"""
    used = f"\nvalue = flag.get_variable({_text(variable)}, None)" if variable else ""
    code = f"""from vwo import init

client = init({{
    "account_id": {client.account_id},
    "sdk_key": {_text(client.sdk_key)},
    "gateway_service": {{"url": {_text(client.url)}}},
    "poll_interval": 30000,
}})
flag = client.get_flag({_text(flag)}, {context})
if flag.is_enabled():
    ...{used}"""
    note = "This SDK cannot ask for list members. Cairn writes them into its settings; changes arrive at its next poll."
    return Snippet("vwo-fme-python-sdk", code, note)


def _body(values: dict[str, object]) -> str:
    return "{\n" + ",\n".join(f"  {_text(key)}: {json.dumps(value)}" for key, value in values.items()) + "\n}"


def _text(value: str) -> str:
    """A string literal that JavaScript and Python read alike."""
    return json.dumps(value)
