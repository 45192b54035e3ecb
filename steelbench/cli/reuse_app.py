"""The commands that judge what is finished: gate and diff of results folders, evaluate of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelbench.cli.options import (
    COMPARE,
    DATA,
    ENGINE,
    MODEL,
    PLAIN,
    RESULTS,
    USE,
    Boxes,
    IncludeNone,
    JoinLabels,
    KeepMasks,
    Layout,
    Margin,
    MinBox,
    Object,
    Square,
    given_fields,
    run_option,
)
from steelbench.experiment import DataOptions

reuse_app = typer.Typer(**PLAIN)


@reuse_app.command(rich_help_panel=COMPARE)
def gate(
    results: Annotated[Path, RESULTS],
    min_accuracy: Annotated[
        str | None, typer.Option(metavar="P", help="The lower 95 % bound must reach it: 0.97 or 97%.")
    ] = None,
    max_escape: Annotated[
        str | None, typer.Option(metavar="P", help="The upper 95 % bound must not exceed it: 0.005 or 0.5%.")
    ] = None,
    row: Annotated[str | None, typer.Option(metavar="NAME", help="A row; default the one the verdict names.")] = None,
) -> int:
    """Exit 0 only if a row is shown to be good enough, 3 if not."""
    from steelbench.cli.commands.gate import run_gate

    return run_gate(results, min_accuracy, max_escape, row)


@reuse_app.command(rich_help_panel=COMPARE)
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A results folder, or with --data a model's .h5.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    flips: Annotated[
        int, typer.Option(metavar="N", min=0, help="Most images to list for each row and direction.")
    ] = 10,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Labelled images that two models answer.")] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help=ENGINE)] = "auto",
) -> None:
    """Show what moved between two results folders, or two models."""
    from steelbench.cli.commands.diff import diff_models, diff_results, refuse_mixture

    refuse_mixture(first, second, data)
    if data is None:
        diff_results(first, second, flips)
    else:
        diff_models(first, second, DataOptions(data=data), engine, flips)


@reuse_app.command(rich_help_panel=USE)
def evaluate(
    model: Annotated[Path, MODEL],
    data: Annotated[str, DATA],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for evaluation.json, predictions.csv, a picture and a page."),
    ] = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out images whose pixels the model learned from.")
    ] = False,
    engine: Annotated[str, typer.Option(metavar="NAME", help=ENGINE)] = "auto",
    layout: Layout = None,
    object: Object = None,
    boxes: Boxes = None,
    margin: Margin = None,
    min_box: MinBox = None,
    square: Square = False,
    include_none: IncludeNone = False,
    keep_masks: KeepMasks = False,
    join_labels: JoinLabels = False,
    bit_depth: Annotated[
        int | None, run_option("bit_depth", "Used bits of 16-bit files", "N", "those that the model was trained on")
    ] = None,
) -> int:
    """Score a model on labelled images, with intervals."""
    given = locals()
    from steelbench.cli.commands.evaluate import evaluate_model

    return evaluate_model(model, DataOptions(**given_fields(given, DataOptions)), engine=engine, unseen=unseen, out=out)
