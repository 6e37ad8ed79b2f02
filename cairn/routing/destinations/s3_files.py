"""S3-compatible storage: an object of JSON lines or Parquet for every batch.

An object's name is made of the first message's arrival and position, so a batch that is sent again overwrites it.
"""

import gzip
from collections.abc import Callable, Sequence
from datetime import datetime

from cairn.http_client import Answer
from cairn.http_client.retry import said
from cairn.routing.answer import judge
from cairn.routing.columns import NAMES, Row, row_of
from cairn.routing.destination import Batch, Configuration, Destination, Request, Setting, Verdict
from cairn.routing.message import Message
from cairn.signing.s3 import Bucket, put_object
from cairn.wire.times import iso_text

# To write more at once would keep other connections waiting.
_MOST_MESSAGES = 1_000
_MOST_BYTES = 4_000_000
_PACKING = 5  # of 9, which take three times as long for a few percent
_LONGEST_PREFIX = 500  # characters

_SETTINGS = (
    Setting(
        "url",
        "Storage address",
        "https://s3.eu-central-1.amazonaws.com for Amazon's Frankfurt region; your own for MinIO and others.",
        kind="url",
        is_required=True,
    ),
    Setting("bucket", "Bucket", "It must exist.", is_required=True),
    Setting(
        "prefix",
        "Folder",
        "Objects are written below it. Give every connection a folder of its own.",
        is_required=True,
        default="events",
    ),
    Setting("region", "Region", "As the storage names it.", is_required=True, default="us-east-1"),
    Setting("access_key_id", "Access key id", "Of a key that may write objects.", is_required=True),
    Setting(
        "secret_access_key",
        "Secret access key",
        "Shown when the key was made.",
        kind="secret",
        is_required=True,
    ),
    Setting(
        "format",
        "Format",
        "JSON lines hold each call as it is; Parquet has columns for what is asked most.",
        kind="choice",
        default="jsonl",
        choices=(("jsonl", "JSON lines, packed (.jsonl.gz)"), ("parquet", "Parquet")),
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    ending, write = _FORMATS[configuration.settings["format"]]
    body = write([row_of(message) for message in messages])
    first = messages[0]
    day = iso_text(first.received_ms)[:10]
    name = f"date={day}/source-{first.source_id}-{first.position:020}.{ending}"
    return [_put(name, body, tuple(message.position for message in messages), configuration, now)]


def _put(
    name: str, body: bytes, positions: tuple[int, ...], configuration: Configuration, now: datetime
) -> Request:
    settings = configuration.settings
    bucket = Bucket(
        settings["url"], settings["bucket"].strip("/"), settings["region"], settings["access_key_id"]
    )
    whole = f"{settings['prefix'].strip('/')}/{name}"
    return Request(
        put_object(bucket, configuration.secrets["secret_access_key"], whole, body, now), positions
    )


def _json_lines(rows: Sequence[Row]) -> bytes:
    """Without the time of packing, so that the same messages give the same object."""
    return gzip.compress("".join(f"{row.body}\n" for row in rows).encode(), compresslevel=_PACKING, mtime=0)


def _parquet(rows: Sequence[Row]) -> bytes:
    # Imported here: it takes longer to load than all else that the catalogue needs.
    import pyarrow as pa
    import pyarrow.parquet as pq

    moment = pa.timestamp("ms", "UTC")
    types = {"timestamp": moment, "received_at": moment}
    columns = {
        name: pa.array([getattr(row, name) for row in rows], types.get(name, pa.string())) for name in NAMES
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return bytes(sink.getvalue())


_FORMATS: dict[str, tuple[str, Callable[[Sequence[Row]], bytes]]] = {
    "jsonl": ("jsonl.gz", _json_lines),
    "parquet": ("parquet", _parquet),
}


def _judge(answer: Answer, now: datetime) -> Verdict:
    """A key without rights or a missing bucket is no fault of the messages: they wait until it is put right."""
    if answer.status in (401, 403, 404):
        return Verdict(detail=said(answer))
    return judge(answer, now)


def _check(configuration: Configuration) -> dict[str, str]:
    settings, problems = configuration.settings, {}
    if "?" in settings["url"] or "#" in settings["url"]:
        problems["url"] = "expected an address without ? and #"
    for key in ("bucket", "region", "access_key_id"):
        if not (settings[key].isascii() and settings[key].isprintable()) or set(settings[key]) & set(" /,"):
            problems[key] = "expected letters, digits and hyphens, without blanks or slashes"
    parts = settings["prefix"].strip("/").split("/")
    if len(settings["prefix"]) > _LONGEST_PREFIX or not settings["prefix"].isprintable():
        problems["prefix"] = f"expected up to {_LONGEST_PREFIX} characters that can be shown"
    elif any(part in ("", ".", "..") for part in parts):
        problems["prefix"] = "expected names between slashes, as events/shop"
    return problems


def _trial(configuration: Configuration, now: datetime) -> Request:
    return _put("cairn-connection-test.txt", b"Cairn can write here.\n", (), configuration, now)


DESTINATION = Destination(
    slug="s3_files",
    name="S3-compatible files",
    summary="Writes calls of every type to objects in S3-compatible storage, as JSON lines or Parquet.",
    settings=_SETTINGS,
    prepare=_prepare,
    batch=Batch(_MOST_MESSAGES, _MOST_BYTES),
    judge=_judge,
    check=_check,
    trial=_trial,
    is_storage=True,
)
