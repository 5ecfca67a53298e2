"""The ``safs`` command. Each command imports its dependencies when it runs, so ``safs --help`` is fast."""

import os
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli.commands import api_keys, backup, catalog, convert, demo, export, jobs, run, serve, submit, up, upkeep


def make_app() -> typer.Typer:
    """The command with all its subcommands, in the order in which a newcomer uses them."""
    app = typer.Typer(
        name="safs",
        cls=_Commands,
        epilog="`safs demo` demonstrates the service in a few minutes. `safs COMMAND --help` has examples.",
        no_args_is_help=True,
        rich_markup_mode=None,  # Rich takes 0.2 s to draw the help
        pretty_exceptions_enable=False,
    )
    for command in (
        demo.demo,
        up.up,
        catalog.catalog,
        submit.submit,
        jobs.jobs,
        jobs.show,
        jobs.watch,
        jobs.cancel,
        jobs.download,
        run.run,
        run.verify,
        convert.convert,
        export.export,
        serve.api,
        serve.worker,
        serve.migrate,
        upkeep.scrub,
        upkeep.collect,
        backup.backup,
        backup.restore,
    ):
        app.command()(command)
    app.add_typer(api_keys.keys, name="keys")
    app.callback()(_global_options)
    return app


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"safs {version('safs-service')}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Send a network and a sparsity; get the best sparse checkpoint back."""


class _Commands(TyperGroup):
    """Adds the invalid value to the error about an option or its environment variable."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            if isinstance(error.__cause__, ValidationError):
                from cli.errors import with_value

                error.message = "; ".join(map(with_value, error.__cause__.errors()))
            raise


def main() -> None:
    """Runs the command. An error is one red line and exit code 1; ``SAFS_DEBUG=1`` shows the traceback."""
    # Processes that this one starts (for estimates, data, Ray) import no numpy.py of the working directory.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # in a locale without UTF-8
    try:
        make_app()(prog_name="safs")  # also for `python -m cli`
    except Exception as error:
        if os.environ.get("SAFS_DEBUG") == "1":
            raise
        from cli.errors import explain
        from cli.terminal import stderr

        stderr().print(f"error: {explain(error)}", style="red", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
