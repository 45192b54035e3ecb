"""The commands that use a saved model: names, options and help; `commands/` has what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelbench.cli.options import (
    DATA,
    ENGINE,
    MODEL,
    PLAIN,
    RESULTS,
    USE,
    WEIGHTS_DIR,
    AllowUnsafe,
    BitDepth,
    Boxes,
    Classes,
    IncludeNone,
    JoinLabels,
    KeepMasks,
    Layout,
    Margin,
    MinBox,
    Object,
    PixelRange,
    RayAddress,
    Square,
    given_fields,
    run_option,
)
from steelbench.experiment import DataOptions, RunOptions

model_app = typer.Typer(**PLAIN)


@model_app.command(rich_help_panel=USE)
def predict(
    model: Annotated[Path, MODEL],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, crops IMAGE#x,y,w,h, folders of images, their URLs, patterns in quotes, or - for a list on "
            "standard input.",
        ),
    ],
    bit_depth: Annotated[
        int | None, run_option("bit_depth", "Used bits of 16-bit files", "N", "those that the model was trained on")
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, max=10, help="Classes of each image, likeliest first.")] = 3,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", min=0, max=1, help="Below this probability uncertain; default the card's."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write a JSON object for each image.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to a file.")] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help=ENGINE)] = "auto",
    runner: Annotated[
        str, typer.Option(metavar="NAME", help="local (default) or ray, on all cores or nodes.")
    ] = "local",
    ray_address: RayAddress = None,
    classes: Classes = None,
    pixels: PixelRange = None,
    allow_unsafe: AllowUnsafe = False,
) -> int:
    """Print path, class and probability of images, as CSV or JSON."""
    from steelbench.cli.commands.predict import Wanted, predict_files
    from steelbench.cli.opening import opening_of

    wanted = Wanted(
        bit_depth=bit_depth,
        top=top,
        threshold=threshold,
        json=json,
        out=out,
        engine=engine,
        runner=runner,
        ray_address=ray_address,
    )
    return predict_files(model, paths, wanted, opening_of(classes, pixels, allow_unsafe))


@model_app.command(rich_help_panel=USE)
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
    classes: Classes = None,
    pixels: PixelRange = None,
    allow_unsafe: AllowUnsafe = False,
) -> int:
    """Score a model on labelled images, with intervals."""
    given = locals()
    from steelbench.cli.commands.evaluate import evaluate_model
    from steelbench.cli.opening import opening_of

    options = DataOptions(**given_fields(given, DataOptions))
    opening = opening_of(classes, pixels, allow_unsafe)
    return evaluate_model(model, options, opening, engine=engine, unseen=unseen, out=out)


@model_app.command(rich_help_panel=USE)
def export(
    model: Annotated[Path, MODEL],
    to: Annotated[
        str, typer.Option(metavar="A,B", help="onnx, openvino, litert, savedmodel, keras; separated by commas.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Gets a folder for each format; default MODEL-export.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images to compare each file on; default the demo's.")
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Labelled images; OpenVINO also in 8 bits, calibrated and measured on them."),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Accuracy that 8 bits may lose.")
    ] = 0.01,
    force: Annotated[bool, typer.Option("--force", help="Replace exports of another model.")] = False,
    allow_unsafe: AllowUnsafe = False,
) -> int:
    """Write a model for other runtimes, each file checked.

    A file that answers otherwise than the model is not kept. Beside each lies a predict.py that needs no steelbench.
    """
    from steelbench.cli.commands.export import export_files
    from steelbench.cli.opening import opening_of

    opening = opening_of(allow_unsafe=allow_unsafe)
    return export_files(model, to, out, images, int8, opening, max_drop=max_drop, force=force)


@model_app.command(rich_help_panel=USE)
def card(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An .h5 that steelbench or Keras saved as a whole.")],
    classes: Classes = None,
    pixels: PixelRange = None,
    allow_unsafe: AllowUnsafe = False,
) -> None:
    """Show a model's card, or write one for a model of other people's.

    With --classes and --pixels it is written beside the model; without, shown.
    """
    from steelbench.cli.commands.card import show_card, write_card
    from steelbench.cli.opening import opening_of

    if classes is None and pixels is None:
        show_card(model)
        return
    print(write_card(model, opening_of(classes, pixels, allow_unsafe)))


@model_app.command(rich_help_panel=USE)
def extract(
    data: Annotated[
        str, typer.Option("--data", metavar="DIR|URL", help="Folder of images, or the URL of one: s3://bucket/folder.")
    ],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="Name of a backbone, or hub:PRESET.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Local folder for the Parquet files.")],
    weights: Annotated[
        str | None, run_option("weights", "imagenet, noisy-student, random, auto or a file", "NAME|FILE")
    ] = None,
    weights_dir: Annotated[Path | None, WEIGHTS_DIR] = None,
    image_size: Annotated[
        int | None, run_option("image_size", "Side that the backbone sees, in pixels", "N", "its own")
    ] = None,
    engine: Annotated[str | None, run_option("engine", "Library that computes the features", "NAME")] = None,
    precision: Annotated[str | None, run_option("precision", "Arithmetic of the backbone", "NAME")] = None,
    bit_depth: BitDepth = None,
    ray_address: RayAddress = None,
) -> int:
    """Embed an archive of any size, into Parquet files.

    Needs pip install 'steelbench[cluster]'. The same command goes on where it stopped.
    """
    given = {name: value for name, value in locals().items() if name not in ("backbone", "out", "ray_address")}
    from steelbench.cli.commands.extract import extract_folder

    return extract_folder(RunOptions(**given_fields(given, RunOptions)), backbone, out, ray_address)


@model_app.command(rich_help_panel=USE)
def retrieve(
    model: Annotated[Path, MODEL],
    query: Annotated[Path, typer.Option(metavar="IMAGE", help="The image, or crop IMAGE#x,y,w,h, to compare with.")],
    index: Annotated[Path, typer.Option(metavar="DIR", help="A folder of images to search.")],
    top: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many images.")] = 20,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Where to draw them; default similar-to-<query>.png.")
    ] = None,
    allow_unsafe: AllowUnsafe = False,
) -> int:
    """List the most similar images as CSV; draw them side by side."""
    from steelbench.cli.commands.retrieve import retrieve_files
    from steelbench.cli.opening import opening_of

    return retrieve_files(model, query, index, top, sheet, opening_of(allow_unsafe=allow_unsafe))


@model_app.command(rich_help_panel=USE)
def enroll(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A triplet or arcface model's .h5, its card beside it.")
    ],
    new_class_dir: Annotated[
        list[Path],
        typer.Argument(
            metavar="NEW_CLASS_DIR",
            help="A folder of images of the new class, named like it; or images or crops IMAGE#x,y,w,h of one.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.h5", help="The new model; default MODEL-with-CLASS.h5 beside it.")
    ] = None,
    allow_unsafe: AllowUnsafe = False,
) -> int:
    """Add a class to a model from a few images, without training.

    Writes a new model; the old one stays as it is.
    """
    from steelbench.cli.commands.enroll import enroll_folder
    from steelbench.cli.opening import opening_of

    return enroll_folder(model, new_class_dir, out, opening_of(allow_unsafe=allow_unsafe))


@model_app.command(rich_help_panel=USE)
def stitch(
    results: Annotated[Path, RESULTS],
    run_name: Annotated[
        str, typer.Argument(metavar="RUN_NAME", help="A folder in RESULTS_DIR/runs, such as vgg19-softmax-s1-f3.")
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its test images are; default where they were.")
    ] = None,
) -> None:
    """Make the whole .h5 of a run that was kept as a head only.

    It is kept only if it says of test images what the run has recorded.
    """
    from steelbench.cli.commands.stitch import stitch_run

    print(stitch_run(results, run_name, data))
