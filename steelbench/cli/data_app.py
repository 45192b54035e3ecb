"""`steelbench data`: names, options and help of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelbench.cli.options import (
    PLAIN,
    BitDepth,
    Boxes,
    DropSmall,
    IncludeNone,
    JoinLabels,
    KeepMasks,
    Layout,
    Margin,
    MinBox,
    Object,
    Square,
    given_fields,
)
from steelbench.experiment import DataOptions

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
    from steelbench.runs.results_folder import refuse_unwritable

    refuse_unwritable("OUT_DIR", out)
    print(write_demo(out, images, seed, difficulty))


@data_app.command("check")
def data_check(
    data: Annotated[str, typer.Argument(metavar="DIR|CSV|demo", help="Folder of images, CSV file, or the word demo.")],
    layout: Layout = None,
    object: Object = None,
    boxes: Boxes = None,
    margin: Margin = None,
    min_box: MinBox = None,
    square: Square = False,
    include_none: IncludeNone = False,
    keep_masks: KeepMasks = False,
    join_labels: JoinLabels = False,
    drop_small: DropSmall = None,
    bit_depth: BitDepth = None,
) -> None:
    """Say how a folder is read: layout, classes, split, what is left out, and which options change it."""
    given = locals()
    from steelbench.cli.commands.data_check import check_data

    check_data(DataOptions(**given_fields(given, DataOptions)))
