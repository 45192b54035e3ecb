"""`steelbench data`: names, options and help of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelbench.cli.options import PLAIN

data_app = typer.Typer(**PLAIN)


@data_app.command("demo")
def data_demo(
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="A new folder.")],
    images: Annotated[int, typer.Option(metavar="N", help="Number of images, planted copies included.")] = 360,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another seed draws other images.")] = 0,
    difficulty: Annotated[
        float,
        typer.Option(metavar="0..1", help="At 0 the classes are plain to see, at 1 nothing tells them apart."),
    ] = 0.5,
) -> None:
    """Write the demo images: seven procedural steel textures, and the truth about them in truth.json."""
    from steelbench.data.demo import write_demo

    print(write_demo(out, images, seed, difficulty))
