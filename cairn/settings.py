"""Every setting, once: command line, environment, file and documentation derive from this tuple.

Precedence: command line, then environment (`CAIRN_<NAME>`), then the file named by `CAIRN_CONFIG`
(TOML), then the default. Loaded once into a frozen `Settings` and passed down.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from cairn.client_address import TrustedProxies
from cairn.errors import Misconfigured


class Setting(Struct, frozen=True):
    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    unit: str = ""
    since: str = "0.1"
    is_secret: bool = False  # neither printed nor named on a command line of ours


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError("a port from 0 to 65535")
    return port


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError("a whole number above 0")
    return number


def _switch(text: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.strip().lower() not in known:
        raise ValueError("true or false")
    return known[text.strip().lower()]


def _database_url(text: str) -> str:
    """With the driver that we bring: SQLAlchemy would take another one for a plain `postgresql://`."""
    address = text.strip()
    scheme, _, rest = address.partition("://")
    if not address:
        return ""
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not rest:
        raise ValueError("postgresql://user:password@host/database")
    return f"postgresql+psycopg://{rest}"


def _path_or_none(text: str) -> Path | None:
    return Path(text) if text.strip() else None


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(address.strip().lower() for address in text.split(",") if address.strip())


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "data_dir",
        Path,
        Path("data"),
        "Where everything is kept. Back up this folder, and you have backed up Cairn.",
    ),
    Setting(
        "database_url",
        _database_url,
        "",
        "A PostgreSQL database for what people define: postgresql://user:password@host/database. Empty: SQLite in the "
        "data directory.",
        is_secret=True,
    ),
    Setting("host", str, "127.0.0.1", "Address to listen on. Use 0.0.0.0 behind a TLS-terminating proxy."),
    Setting("port", _port, 8300, "Port to listen on; 0 picks a free one."),
    Setting(
        "public_url",
        str,
        "",
        "The address people and SDKs use, when a proxy is in front. Shown in snippets.",
    ),
    Setting(
        "trusted_proxies",
        TrustedProxies,
        TrustedProxies("127.0.0.0/8, ::1"),
        "Addresses and networks of the proxies in front, separated by commas. Their X-Forwarded-For and "
        "X-Forwarded-Proto are believed, and nobody else's.",
    ),
    Setting(
        "unknown_key_status",
        _positive,
        401,
        "HTTP status for an unknown Segment write key: 401, or 200 as Segment does.",
    ),
    Setting("poll_interval_ms", _positive, 30_000, "How often flag SDKs fetch settings again.", unit="ms"),
    Setting(
        "inline_limit",
        _positive,
        5_000,
        "Longest attribute list that is inlined for SDKs that cannot ask the gateway. Python's client takes 60 ms for "
        "every 1,000 values, in the call after each change.",
    ),
    Setting(
        "recount_interval_s",
        _positive,
        600,
        "How often each segment is counted in full to prove nothing drifted.",
        unit="s",
    ),
    Setting(
        "log_retention_days",
        _positive,
        7,
        "How long received requests stay in the event log after they were loaded.",
        unit="d",
    ),
    Setting(
        "rate_limits",
        _switch,
        True,
        "Heap's documented rate limits on the server API (contracts: 30 requests per 30 s per identity).",
    ),
    Setting(
        "location_file",
        _path_or_none,
        None,
        "A file in MaxMind's .mmdb format (city); without it, country, region and city stay empty.",
    ),
    Setting(
        "operators",
        _addresses,
        (),
        "E-mail addresses, comma separated, of members who run this machine: they see requests that came with an"
        " unknown key, which may be anybody's. While there is one workspace its owners see them too.",
    ),
    Setting(
        "outbound_networks",
        TrustedProxies,
        TrustedProxies(""),
        "Addresses and networks, separated by commas, that Cairn may call although they are not public.",
    ),
    Setting(
        "store_memory_mb", _positive, 2048, "Most memory one question to the event store may use.", unit="MB"
    ),
)


class Settings(Struct, frozen=True):
    data_dir: Path
    database_url: str
    host: str
    port: int
    public_url: str
    trusted_proxies: TrustedProxies
    unknown_key_status: int
    poll_interval_ms: int
    inline_limit: int
    recount_interval_s: int
    log_retention_days: int
    rate_limits: bool
    location_file: Path | None
    operators: tuple[str, ...]
    outbound_networks: TrustedProxies
    store_memory_mb: int


def load(options: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises Misconfigured naming key, value, source and accepted form."""
    from_file: dict[str, Any] = {}
    if path := environ.get("CAIRN_CONFIG"):
        try:
            from_file = tomllib.loads(Path(path).read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise Misconfigured(
                f"CAIRN_CONFIG={path!r} cannot be read: {error}", field="CAIRN_CONFIG"
            ) from error
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        values[setting.name] = _effective(setting, options or {}, environ, from_file)
    return Settings(**values)


def _effective(
    setting: Setting, options: Mapping[str, Any], environ: Mapping[str, str], from_file: Mapping[str, Any]
) -> Any:  # Any: each setting has its own type
    variable = f"CAIRN_{setting.name.upper()}"
    for source, value in (
        (f"--{setting.name.replace('_', '-')}", options.get(setting.name)),
        (variable, environ.get(variable)),
        ("the settings file", from_file.get(setting.name)),
    ):
        if value is None:
            continue
        if isinstance(value, list):  # TOML's own way to write several
            value = ",".join(map(str, value))
        try:
            return setting.parse(str(value))
        except ValueError as error:
            shown = "(not shown)" if setting.is_secret else repr(value)
            raise Misconfigured(
                f"{setting.name}={shown} (from {source}) is not accepted: {error}", field=setting.name
            ) from error
    return setting.default
