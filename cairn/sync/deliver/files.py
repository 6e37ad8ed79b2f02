"""Writing files to S3-compatible storage: each page of a task is an object of its own, written again by a repeat."""

import csv
import hashlib
import hmac
import io
from datetime import datetime
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from cairn.clock import Clock
from cairn.http_client import Call, Secret, Session, read_url
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import Deliver, Page
from cairn.sync.targets import Target

_UNSIGNED = "-._~"  # what URIs leave as it is, beside letters and digits


def deliver_to_files(target: Target, secret: str, session: Session, clock: Clock) -> Deliver:
    settings = target.settings

    def deliver(page: Page) -> None:
        now = clock()
        ending, body = ("parquet", _parquet(page)) if settings["format"] == "parquet" else ("csv", _csv(page))
        name = f"{page.segment_key}/{page.task_id}/page-{page.number:06}-of-{page.total:06}.{ending}"
        path = "/".join(part for part in (settings["bucket"], settings["prefix"].strip("/"), name) if part)
        url = f"{settings['url'].rstrip('/')}/{quote(path, safe='/' + _UNSIGNED)}"
        headers = signed(
            "PUT", url, body, now, region=settings["region"], key_id=settings["access_key_id"], secret=secret
        )
        call = Call("PUT", url, body=body, secret=Secret(read_url(url).host, headers))
        check_accepted(session.send(call), now)

    return deliver


def _rows(page: Page) -> list[tuple[str, str]]:
    return [*((value, "remove") for value in page.remove), *((value, "add") for value in page.add)]


def _csv(page: Page) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "change"))
    writer.writerows(_rows(page))
    return text.getvalue().encode("utf-8", "surrogatepass")


def _parquet(page: Page) -> bytes:
    ids = [value.encode("utf-8", "replace").decode() for value, _ in _rows(page)]
    table = pa.table({"id": pa.array(ids, pa.string()), "change": [change for _, change in _rows(page)]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def signed(
    method: str, url: str, body: bytes, now: datetime, *, region: str, key_id: str, secret: str
) -> dict[str, str]:
    """The headers of a signed request. Source: AWS Signature Version 4 for S3, single chunk."""
    address = read_url(url)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    host = address.netloc
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(headers)
    named = [f"{name}:{value}" for name, value in headers.items()]
    request = "\n".join((method, address.path, "", *named, "", names, digest))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    del headers["host"]
    return headers
