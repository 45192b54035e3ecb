"""Options of the command line that several commands share, or that set a field of `RunOptions`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from steelbench.experiment import DataOptions, RunOptions

# Of every group of commands.
PLAIN: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
COMPARE, LOOK, USE, KEEP = "Compare", "Look at the data", "Use a model", "Housekeeping"
ENGINE = "auto, keras or openvino; auto is OpenVINO where it is installed and there is no GPU."
DATA = typer.Option("--data", metavar="DIR|CSV|demo", help="Folder of images, CSV file, or the word demo.")
RESULTS = typer.Argument(metavar="RESULTS_DIR", help="Folder that `steelbench run --results` wrote.")
MODEL = typer.Argument(metavar="MODEL", help="A model's .h5, its card beside it.")
WEIGHTS_DIR = typer.Option("--weights-dir", metavar="DIR", help="Looked into first; else STEELBENCH_WEIGHTS_DIR.")
BACKBONES = typer.Option("--backbones", metavar="A,B", help="Names of backbones, separated by commas; default all.")
SILENCE = typer.Option("--silence", metavar="CODE", help="Code of a notice to leave out; may be given again.")


def run_option(
    field: str, help: str, metavar: str | None = None, default: str = "", variable: str | None = None
) -> Any:
    """Return the option that sets a field of `RunOptions`.

    Choices, limits and default come from the field, so that they are written once.

    Args:
        field: its name; the option is called like it, without an underscore at its end.
        help: what it means, without choices, limits, default and full stop.
        metavar: what stands for the value in the help; None for a flag.
        default: what None stands for, where that is the field's default.
        variable: of the environment, which sets the option where it is not given.
    """
    info = RunOptions.model_fields[field]
    # A field that would be a word of Python has an underscore at its end.
    name = f"--{field.rstrip('_').replace('_', '-')}"
    choices = _choices(info.annotation)
    if choices:
        return typer.Option(name, metavar=metavar, help=f"{help}: {_listed(choices, info.default)}.", envvar=variable)
    limits = _limits(info.metadata)
    if not default and not isinstance(info.default, bool) and isinstance(info.default, int | float | str):
        default = str(info.default)
    notes = [f"{limits[0]} to {limits[1]}" if limits else "", f"default {default}" if default else ""]
    told = ", ".join(filter(None, notes))
    return typer.Option(
        name,
        metavar=metavar,
        help=f"{help}; {told}." if told else f"{help}.",
        callback=_refuse_outside(*limits) if limits else None,
    )


def given_fields(arguments: dict[str, Any], kind: type[DataOptions]) -> dict[str, Any]:
    """Return the arguments of a command that are fields and were given: one that was not is None, a flag False."""
    return {
        name: value
        for name, value in arguments.items()
        if name in kind.model_fields and value is not None and value is not False
    }


def data_name(data: str) -> str:
    """Return the name of a data folder, for folders that are called after it; links are followed."""
    # Not `Path.resolve`, which raises RuntimeError for links in a circle.
    return Path(os.path.realpath(data)).stem


def _choices(annotation: Any) -> Sequence[str]:
    """Return the words that a field takes, () if it takes others; `None` is none of them."""
    kinds = (annotation, *get_args(annotation))
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def _listed(choices: Sequence[str], default: str | None) -> str:
    named = [f"{name} (default)" if name == default else name for name in choices]
    return f"{', '.join(named[:-1])} or {named[-1]}"


def _limits(metadata: Sequence[Any]) -> tuple[float, float] | None:
    """Return the smallest and the largest value that a field takes, or None for a field without limits."""
    found = {side: getattr(limit, side) for limit in metadata for side in ("ge", "le") if hasattr(limit, side)}
    return (found["ge"], found["le"]) if found else None


def _refuse_outside(low: float, high: float) -> Callable[[Any], Any]:
    """Return the check of an option's value. Typer's own check (`min`, `max`) does not say what was typed."""

    def check(value: Any) -> Any:
        if value is not None and not low <= value <= high:
            raise typer.BadParameter(f"{value} is not in the range {low} to {high}.")
        return value

    return check


# How a data folder is read, the same for `run`, `audit` and `data check`.
Layout = Annotated[str | None, run_option("layout", "How the folder is laid out, where two layouts fit", "NAME")]
Object = Annotated[str | None, run_option("object", "One of several objects below the folder", "NAME")]
Boxes = Annotated[str | None, run_option("boxes", "What boxes are for: samples of their own, or the label", "NAME")]
Margin = Annotated[float | None, run_option("margin", "Around a cropped box, as a share of its sides", "SHARE")]
MinBox = Annotated[int | None, run_option("min_box", "Smallest side of a box that is cropped, in pixels", "N")]
Square = Annotated[bool, run_option("square", "Widen crops to squares")]
IncludeNone = Annotated[bool, run_option("include_none", "Take images without a defect, too, as the class none")]
NoneClass = Annotated[
    str | None,
    run_option(
        "none_class", "The class of sound material, for escapes and overkill", "NAME", "the one called none, good or ok"
    ),
]
KeepMasks = Annotated[bool, run_option("keep_masks", "Take pictures that look like masks, too")]
JoinLabels = Annotated[bool, run_option("join_labels", "Join classes whose names differ by case or spaces only")]
DropSmall = Annotated[int | None, run_option("drop_small", "Leave out classes of fewer images or groups", "N")]
BitDepth = Annotated[int | None, run_option("bit_depth", "Used bits of 16-bit files", "N", "16")]

# What the user says of a model file from outside, the same for every command that opens one.
AllowUnsafe = Annotated[
    bool,
    typer.Option("--allow-unsafe", help="Open a model with unknown layers and without bounds of size; no code runs."),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="A,B|FILE", help="Of a model without a card: its classes in order, or a file of one per line."
    ),
]
PixelRange = Annotated[
    str | None,
    typer.Option("--pixels", metavar="RANGE", help="Of a model without a card: 0..255, 0..1, -1..1 or caffe."),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", metavar="ADDR", help="Of a Ray cluster, HOST:PORT or auto; default a local one."),
]
