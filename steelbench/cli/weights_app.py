"""`steelbench weights`: names, options and help of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelbench.cli.options import BACKBONES, PLAIN, WEIGHTS_DIR

weights_app = typer.Typer(**PLAIN)


@weights_app.command("list")
def weights_list(
    backbones: Annotated[str | None, BACKBONES] = None, weights_dir: Annotated[Path | None, WEIGHTS_DIR] = None
) -> None:
    """List the files: names, sizes, md5, where they come from and where to put them."""
    from steelbench.cli.commands.weights import list_files

    list_files(backbones, weights_dir)


@weights_app.command("download")
def weights_download(
    backbones: Annotated[str | None, BACKBONES] = None,
    weights_dir: Annotated[Path | None, WEIGHTS_DIR] = None,
    kind: Annotated[str, typer.Option(metavar="NAME", help="imagenet or noisy-student.")] = "imagenet",
) -> None:
    """Fetch the files that are missing."""
    from steelbench.cli.commands.weights import download_files

    download_files(backbones, weights_dir, kind)


@weights_app.command("verify")
def weights_verify(
    backbones: Annotated[str | None, BACKBONES] = None, weights_dir: Annotated[Path | None, WEIGHTS_DIR] = None
) -> int:
    """Check the files that are here against their md5 and architecture."""
    from steelbench.cli.commands.weights import verify_files

    return verify_files(backbones, weights_dir)
