"""The `cairn` command. Each subcommand translates options into settings and calls one function."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cairn import __version__
from cairn.errors import CairnError
from cairn.logs import set_up_logging
from cairn.private_files import set_private_umask
from cairn.redact import redacted
from cairn.settings import SETTINGS, Settings, load

if TYPE_CHECKING:
    import sqlalchemy as sa

ROLES = ("all", "edge", "core", "delivery")


def settings_options(command: Any) -> Any:  # Any: click decorates untyped callables
    """Every setting as an option; what is not given comes from environment, file or default."""
    for setting in reversed(SETTINGS):
        flag = f"--{setting.name.replace('_', '-')}"
        shown = f"{setting.help}{_default(setting.default)}"
        command = click.option(flag, setting.name, type=str, default=None, help=shown)(command)
    return command


def _default(value: Any) -> str:  # Any: each setting has its own type
    """The default as one would type it; nothing for "none"."""
    if value in ("", None):
        return ""
    return f" Default: {str(value).lower() if isinstance(value, bool) else value}."


def _settings(options: dict[str, Any]) -> Settings:
    """The settings of a command that works on the data directory. Whatever it makes there is private."""
    set_private_umask()
    set_up_logging()
    settings = load(options)
    return Settings(
        **{
            **{f: getattr(settings, f) for f in settings.__struct_fields__},
            "data_dir": Path(settings.data_dir).absolute(),
        }
    )


@click.group()
@click.version_option(__version__, prog_name="cairn")
def cli() -> None:
    """Cairn: capture what people do, decide who they are like, act on it, measure what changed."""


@cli.command()
@settings_options
@click.option("--role", type=click.Choice(ROLES), default="all", help="Run one process instead of all.")
@click.option("--demo", "with_demo", is_flag=True, help="Make the demo workspace if it is not there yet.")
@click.option("--json", "as_json", is_flag=True, help="Print the ready line as JSON.")
def serve(role: str, with_demo: bool, as_json: bool, **options: Any) -> None:
    """Run Cairn until it is stopped."""
    from cairn.supervise import serve as supervise

    settings = _settings(options)
    made = _make_demo(settings) if with_demo else None  # first, so that its keys stand beside the address
    if made and not as_json:
        click.echo(_described(made))
    sys.exit(supervise(settings, role=role, as_json=as_json))


@cli.command(hidden=True)
@settings_options
@click.option("--socket-fd", type=int, default=None)
@click.option("--ready-fd", type=int, default=None)
def edge(socket_fd: int | None, ready_fd: int | None, **options: Any) -> None:
    """The process that owns the public port."""
    from cairn.edge import run_edge

    run_edge(_settings(options), socket_fd=socket_fd, ready_fd=ready_fd)


@cli.command(hidden=True)
@settings_options
@click.option("--ready-fd", type=int, default=None)
def core(ready_fd: int | None, **options: Any) -> None:
    """The process that owns the event store."""
    import os

    from cairn.server import run_core

    def ready() -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    run_core(_settings(options), ready=ready)


@cli.command(hidden=True)
@settings_options
@click.option("--ready-fd", type=int, default=None)
def deliver(ready_fd: int | None, **options: Any) -> None:
    """The process that sends to destinations."""
    import os

    from cairn.deliver import run_delivery

    def ready() -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    run_delivery(_settings(options), ready=ready)


@cli.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--shell", "as_shell", is_flag=True, help='Print variables for a shell: eval "$(cairn demo --shell)".'
)
def demo(as_json: bool, as_shell: bool, **options: Any) -> None:
    """Make the demo workspace once and print its address, sign-in and keys."""
    made = _make_demo(_settings(options))
    if as_json:
        click.echo(json.dumps(made))
    elif as_shell:
        click.echo(_as_shell(made))
    else:
        click.echo(_described(made))


@cli.command("set-password")
@settings_options
@click.argument("email")
@click.password_option(help="The new password; asked for when it is not given.")
def set_member_password(email: str, password: str, **options: Any) -> None:
    """Give a member a new password and end their sessions."""
    from cairn.workspace.member import find_member, set_password

    with _metadata(_settings(options)) as engine, engine.begin() as connection:
        set_password(connection, find_member(connection, email), password)
    click.echo(f"{email} has a new password and is signed out everywhere.")


@cli.command("set-aside")
@settings_options
@click.option("--load", "position", default="", help="Load this request again, such as 12.0.")
def set_aside(position: str, **options: Any) -> None:
    """List the requests that stopped the core and were set aside, or load one again."""
    from cairn.ingest.set_aside import list_set_aside, load_again
    from cairn.paths import Paths
    from cairn.seams import open_log

    settings = _settings(options)
    paths = Paths(settings.data_dir)
    if position:
        log = open_log(settings)
        try:
            load_again(paths.set_aside, log, position)
        finally:
            log.close()
        click.echo(f"Request {position} is at the end of the log and is loaded next.")
        return
    for request in list_set_aside(paths.set_aside):
        click.echo(redacted(f"{request.position}: {request.reason}"))


@cli.command("settings")
@settings_options
def show_settings(**options: Any) -> None:
    """Print every setting with its effective value."""
    settings = _settings(options)
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        shown = "(set)" if setting.is_secret and value else value
        click.echo(f"{setting.name} = {shown!s:<24} # {setting.help}")


@cli.command(hidden=True)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def reference(folder: Path) -> None:
    """Write the generated documentation pages."""
    from cairn.cli.reference import pages

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(cli).items():
        (folder / name).write_text(text())


@contextmanager
def _metadata(settings: Settings) -> Iterator["sa.Engine"]:
    """The opened metadata database; a failure is reported in one line."""
    from cairn.db.failure import explained
    from cairn.seams import open_metadata

    engine = open_metadata(settings)
    try:
        with explained():
            yield engine
    finally:
        engine.dispose()


def _make_demo(settings: Settings) -> dict[str, Any]:
    from cairn.clock import utc_now
    from cairn.demo.workspace import ensure
    from cairn.seams import open_log
    from cairn.supervise import address_of
    from cairn.workspace.sealed import open_seal

    with _metadata(settings) as engine, closing(open_log(settings)) as log:
        made = ensure(engine, open_seal(settings.data_dir), log, now=utc_now())
    return {"url": address_of(settings), **made}


def _described(made: dict[str, Any]) -> str:
    production = made["environments"]["production"]
    url = "at the address below" if made["url"].endswith(":0") else made["url"]  # port 0: not chosen yet
    return "\n".join(
        (
            f"Demo workspace   {url}",
            f"Sign in          {made['email']}  password  {made['password']}",
            f"App id           {production['app_id']}   (Heap: production)",
            f"Write keys       {production['write_keys']['server']} (server)  {production['write_keys']['web']} (web)",
            f"Flag SDK         account {made['account_id']}  key {production['sdk_key']}",
            f"API token        {made['api_token']}",
        )
    )


def _as_shell(made: dict[str, Any]) -> str:
    production = made["environments"]["production"]
    variables = {
        "CAIRN": made["url"],
        "APP_ID": production["app_id"],
        "SDK_KEY": production["sdk_key"],
        "ACCOUNT_ID": made["account_id"],
        "WRITE_KEY": production["write_keys"]["server"],
        "TOKEN": made["api_token"],
    }
    return "\n".join(f"export {name}={shlex.quote(str(value))}" for name, value in variables.items())


def main() -> None:
    try:
        cli(standalone_mode=False)
    except CairnError as error:
        click.echo(redacted(f"cairn: {error}"), err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
