"""The one client for calls to addresses that people type in: webhooks, partners, destinations, other clusters.

It never reaches what only this machine or its network can: every address a name stands for is checked, and the
connection is made to an address that was checked, so a name that changes its mind meanwhile gains nothing. Addresses
that an operator allows (`outbound_networks`) are the exception. `HttpClient` waits; `AsyncHttpClient` is for an event
loop.
"""

from cairn.http_client.address import Resolve, is_public, resolve
from cairn.http_client.blocking import HttpClient, Session
from cairn.http_client.call import Answer, Call, CallFailed, CallRefused, Secret, Url, read_url
from cairn.http_client.concurrent import AsyncHttpClient, AsyncSession

__all__ = (
    "Answer",
    "AsyncHttpClient",
    "AsyncSession",
    "Call",
    "CallFailed",
    "CallRefused",
    "HttpClient",
    "Resolve",
    "Secret",
    "Session",
    "Url",
    "is_public",
    "read_url",
    "resolve",
)
