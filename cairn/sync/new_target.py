"""Setting up targets that need no partner app: what each kind must be told, checked before it is kept."""

import base64
import secrets
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import sync_targets
from cairn.errors import Conflict, InvalidInput
from cairn.signing.webhook import PREFIX, check_secret
from cairn.sync.addresses import AddressRules, clean_webhook
from cairn.sync.targets import Target, get_target
from cairn.workspace.naming import clean_name
from cairn.workspace.sealed import Seal

MOST_TARGETS = 200  # of an environment
_MOST_TEXT = 1_000


class NewTarget(Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook, files or Segment traits. `secret`: of files the secret access key, of traits the write key."""

    kind: Literal["webhook", "files", "traits"]
    name: str
    url: str  # where the webhook goes; of files the storage's address; of traits the API's
    secret: str = ""  # of a webhook: empty makes one
    trait: str = ""  # empty: the segment's key
    bucket: str = ""
    prefix: str = ""
    region: str = "us-east-1"
    access_key_id: str = ""
    format: Literal["csv", "parquet"] = "csv"


class TargetNameTaken(Conflict):
    """The environment has a target of this name. Choose another one."""

    code = "sync_target_name_taken"


class TooManyTargets(Conflict):
    """The environment has as many targets as it can have. Delete one that is not used."""

    code = "too_many_sync_targets"


def create_target(
    connection: sa.Connection,
    seal: Seal,
    environment_id: int,
    new: NewTarget,
    rules: AddressRules,
    now: datetime,
) -> tuple[Target, str]:
    """The target, and its secret, to be shown once. Raises InvalidInput naming the field, and TargetNameTaken."""
    name, secret = clean_name(new.name), _checked_secret(new)
    query = sa.select(sync_targets.c.name).where(sync_targets.c.environment_id == environment_id)
    names = list(connection.execute(query).scalars())
    if name.casefold() in {other.casefold() for other in names}:
        raise TargetNameTaken(f"the environment has a target {name!r}; choose another name", field="name")
    if len(names) >= MOST_TARGETS:
        raise TooManyTargets(f"an environment has at most {MOST_TARGETS} targets; delete one", field="name")
    row = {
        "environment_id": environment_id,
        "kind": new.kind,
        "name": name,
        "settings": _settings(new, rules),
        "secret_sealed": seal.close(secret),
        "created_at": now,
        "updated_at": now,
    }
    target_id = connection.execute(
        sa.insert(sync_targets).values(**row).returning(sync_targets.c.id)
    ).scalar_one()
    return get_target(connection, environment_id, target_id), secret


def delete_target(connection: sa.Connection, environment_id: int, target_id: int) -> None:
    """With its syncs and their history; what it holds stays there. Raises TargetNotFound."""
    get_target(connection, environment_id, target_id)
    connection.execute(sa.delete(sync_targets).where(sync_targets.c.id == target_id))


def _settings(new: NewTarget, rules: AddressRules) -> dict[str, str]:
    settings = {"url": clean_webhook(new.url, rules, field="url")}
    if new.kind == "traits":
        settings["trait"] = _checked_text("trait", new.trait)
    if new.kind == "files":
        for field in ("bucket", "region", "access_key_id"):
            settings[field] = _checked_text(field, getattr(new, field), is_needed=True)
        if "/" in settings["bucket"]:
            raise InvalidInput("bucket: the name only; folders belong into prefix", field="bucket")
        settings |= {"prefix": _checked_text("prefix", new.prefix), "format": new.format}
    return settings


def _checked_text(field: str, text: str, *, is_needed: bool = False) -> str:
    clean = text.strip()
    if (is_needed and not clean) or len(clean) > _MOST_TEXT or not clean.isprintable():
        raise InvalidInput(f"{field}: expected up to {_MOST_TEXT} characters on one line", field=field)
    return clean


def _checked_secret(new: NewTarget) -> str:
    secret = _checked_text("secret", new.secret, is_needed=new.kind != "webhook")
    if new.kind != "webhook":
        return secret
    if not secret:
        return f"{PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}"
    try:
        check_secret(secret)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; leave it empty to have one made", field="secret") from error
    return secret
