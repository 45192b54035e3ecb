"""`steelbench cache`: names, options and help of its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from steelbench.cli.options import PLAIN

cache_app = typer.Typer(**PLAIN)


@cache_app.command("info")
def cache_info() -> None:
    """Show the cache's folder and the size of each backbone's features."""
    from steelbench.cli.commands.cache import info

    info()


@cache_app.command("clear")
def cache_clear(
    backbone: Annotated[str | None, typer.Option(metavar="NAME", help="Only this backbone's features.")] = None,
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0, help="Only features that are older than so many days.")
    ] = 0.0,
) -> None:
    """Delete cached features; they are computed again when needed."""
    from steelbench.cli.commands.cache import clear_cache

    clear_cache(backbone, older_than)
