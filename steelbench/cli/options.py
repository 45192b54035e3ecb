"""Options of the command line that several commands share, or that set a field of `RunOptions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

import typer

from steelbench.experiment import RunOptions

DATA = typer.Option("--data", metavar="DIR|CSV|demo", help="Folder of images, CSV file, or the word demo.")
RESULTS = typer.Argument(metavar="RESULTS_DIR", help="Folder that `steelbench run --results` wrote.")
MODEL = typer.Argument(metavar="MODEL", help="A model's .h5, its card beside it.")
WEIGHTS_DIR = typer.Option("--weights-dir", metavar="DIR", help="Looked into first; else STEELBENCH_WEIGHTS_DIR.")
BACKBONES = typer.Option("--backbones", metavar="A,B", help="Names of backbones, separated by commas; default all.")
SILENCE = typer.Option("--silence", metavar="CODE", help="Code of a notice to leave out; may be given again.")


def run_option(field: str, help: str, metavar: str | None = None) -> Any:
    """Return the option that sets a field of `RunOptions`.

    Choices, limits and default come from the field, so that they are written once.

    Args:
        field: its name; the option is called like it.
        help: what it means, without choices, default and full stop.
        metavar: what stands for the value in the help; None for a flag.
    """
    info = RunOptions.model_fields[field]
    if get_origin(info.annotation) is Literal:
        help += f": {_listed(get_args(info.annotation), info.default)}"
    elif isinstance(info.default, int | float | str) and not isinstance(info.default, bool):
        help += f"; default {info.default}"
    limits = {name: getattr(limit, name) for limit in info.metadata for name in ("ge", "le") if hasattr(limit, name)}
    return typer.Option(
        f"--{field.replace('_', '-')}", metavar=metavar, help=f"{help}.", min=limits.get("ge"), max=limits.get("le")
    )


def _listed(choices: Sequence[str], default: str) -> str:
    named = [f"{name} (default)" if name == default else name for name in choices]
    return f"{', '.join(named[:-1])} or {named[-1]}"
