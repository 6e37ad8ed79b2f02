"""Writing files to S3-compatible storage: each page of a task is an object of its own, written again by a repeat."""

import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq

from cairn.clock import Clock
from cairn.http_client import Session
from cairn.signing.s3 import Bucket, put_object
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import Deliver, Page
from cairn.sync.targets import Target


def deliver_to_files(target: Target, secret: str, session: Session, clock: Clock) -> Deliver:
    settings = target.settings
    bucket = Bucket(settings["url"], settings["bucket"], settings["region"], settings["access_key_id"])

    def deliver(page: Page) -> None:
        now = clock()
        ending, body = ("parquet", _parquet(page)) if settings["format"] == "parquet" else ("csv", _csv(page))
        name = f"{page.segment_key}/{page.task_id}/page-{page.number:06}-of-{page.total:06}.{ending}"
        call = put_object(bucket, secret, f"{settings['prefix'].strip('/')}/{name}", body, now)
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
