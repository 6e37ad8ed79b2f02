"""How much the public port gives to one connection, to one address and to all of them. Pure."""

import re
import resource

from msgspec import Struct

# The request line apart (request_line.py): flag SDKs put attribute values into it.
MOST_HEADER_BYTES = 16_384
# From the first byte of a request, or from the connection, to the end of its headers.
HEADER_S = 10.0
# Longer than the pools of common clients, so that they close first and never race us.
KEEP_ALIVE_S = 75.0
# A body may pause this long, and over longer times must come at the rate below, whole within the time after it.
BODY_PAUSE_S = 10.0
BODY_BYTES_PER_S = 4_096
BODY_S = 60.0
MOST_BODY_BYTES = 10 * 2**20
# Bodies that are files are passed on as they come, so they may be longer and take longer: 256 MB at 1.2 Mbit/s.
MOST_UPLOAD_BYTES = 257 * 2**20  # with what a form has around the file
UPLOAD_S = 1_800.0
_UPLOADS = re.compile(rb"/api/v1/lists/[^/]+/values(/remove)?|/env/[^/]+/lists/[^/]+/upload")
# Bytes between pieces of a body (chunk extensions, trailers) without any of the body.
MOST_DRY_BYTES = 16_384
# A client must take what is ready for it; buffers hold 64 KB, so this is 2 KB a second.
WRITE_S = 30.0
# Requests one connection may send before their answers.
MOST_PIPELINED = 16
# Bodies that are not whole yet, all together; beyond it the one that has taken longest is given up.
MOST_HELD_BYTES = 256 * 2**20
MOST_CONNECTIONS = 10_000
# Our own: the log, the members store, pipes.
_OWN_FILES = 64


class Limits(Struct, frozen=True):
    connections: int
    per_address: int  # not of trusted proxies, which speak for many
    # Requests at once that are not flag SDKs': the rest of the connections is kept for those.
    requests: int
    proxied: int  # at once; each takes one more file, towards the core
    proxied_per_address: int
    backlog: int  # connections that may wait, and come all at once
    held_bytes: int = MOST_HELD_BYTES


def is_upload(target: bytes) -> bool:
    """Whether the body sent to this address is a file. `target`: with or without the query."""
    return _UPLOADS.fullmatch(target.partition(b"?")[0]) is not None


def most_body_bytes(target: bytes) -> int:
    return MOST_UPLOAD_BYTES if is_upload(target) else MOST_BODY_BYTES


def limits_for(files: int) -> Limits:
    """Fit into so many open files: the backlog may become connections before they can be counted."""
    backlog = max(16, min(2_048, files // 4))
    available = max(64, files - _OWN_FILES - backlog)
    connections = min(MOST_CONNECTIONS, available * 2 // 3)
    proxied = min(1_000, available - connections)
    return Limits(
        connections=connections,
        per_address=max(16, min(512, connections // 4)),
        requests=connections - connections // 8,
        proxied=proxied,
        proxied_per_address=max(8, proxied // 4),
        backlog=backlog,
    )


def raise_file_limit() -> int:
    """Allow this process as many files as the system lets it; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = hard if hard != resource.RLIM_INFINITY else max(soft, 4 * MOST_CONNECTIONS)
    if soft != target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (OSError, ValueError):
            return soft
    return target
