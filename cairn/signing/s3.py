"""How requests to S3-compatible storage are signed: AWS Signature Version 4 for S3, in a single chunk. Pure."""

import hashlib
import hmac
from datetime import datetime
from urllib.parse import quote

from msgspec import Struct

from cairn.http_client import Call, Secret, read_url

_UNSIGNED = "-._~"  # what URIs leave as it is, beside letters and digits


class Bucket(Struct, frozen=True):
    """Where objects go, and as whom."""

    url: str  # of the storage
    name: str
    region: str
    key_id: str


def put_object(bucket: Bucket, secret: str, name: str, body: bytes, now: datetime) -> Call:
    """`name`: with the folders it is in. A repeat overwrites the object."""
    path = "/".join(part for part in (bucket.name, name.strip("/")) if part)
    url = f"{bucket.url.rstrip('/')}/{quote(path, safe='/' + _UNSIGNED)}"
    headers = signed("PUT", url, body, now, region=bucket.region, key_id=bucket.key_id, secret=secret)
    return Call("PUT", url, body=body, secret=Secret(read_url(url).host, headers))


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
