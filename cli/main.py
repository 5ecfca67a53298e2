"""The ``safs`` command. Each command imports what it needs when it runs: ``safs --help`` loads none of it."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from cli.commands import api_keys, backup, catalog, demo, jobs, run, serve, submit, up, upkeep


def make_app() -> typer.Typer:
    """The command with all its subcommands, in the order in which a newcomer meets them."""
    app = typer.Typer(
        name="safs",
        cls=_Commands,
        help="Send a network and a sparsity; get the best sparse checkpoint back.",
        epilog="New here? `safs demo` shows all of it in a few minutes. `safs COMMAND --help` has examples.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # Rich takes 0.2 s to draw boxes around the help
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
    return app


class _Commands(TyperGroup):
    """Adds the value to what is said of a wrong flag, or of the variable in its place."""

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
    """Runs the command; an error is one red line and exit code 1 (``SAFS_DEBUG=1`` shows the traceback)."""
    # The working directory may hold a numpy.py of the user's, which no child may import: no DataLoader's, no Ray's.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    try:
        make_app()()
    except Exception as error:
        if os.environ.get("SAFS_DEBUG") == "1":
            raise
        from cli.errors import explain
        from cli.terminal import stderr

        stderr().print(f"error: {explain(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
