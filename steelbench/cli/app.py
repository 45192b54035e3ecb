"""The command line: names, options and help. What a command does stands in `commands/`, imported when it runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
weights_app = typer.Typer(no_args_is_help=True, help="Files of pretrained weights: list, download, verify.")
cache_app = typer.Typer(no_args_is_help=True, help="Cached features: info, clear.")
data_app = typer.Typer(no_args_is_help=True, help="Data sets: write the demo images to disk.")
app.add_typer(weights_app, name="weights")
app.add_typer(cache_app, name="cache")
app.add_typer(data_app, name="data")

DATA = typer.Option("--data", help="Folder of images, CSV file, or the word demo.")
RESULTS = typer.Argument(metavar="RESULTS_DIR", help="Folder that `steelbench run --results` wrote.")
FOLDER = typer.Option("--weights-dir", help="Looked through first; else STEELBENCH_WEIGHTS_DIR.")
BACKBONES = typer.Option("--backbones", help="Names, separated by commas.")
ENSEMBLES = typer.Option("--backbones", help="Names, separated by commas; a+b joins the features of both.")


@app.callback()
def _main() -> None:
    """Compare ImageNet backbones on images of steel surfaces: leak-free numbers, a report, models to take away."""


@app.command()
def run(
    data: Annotated[str, DATA],
    suite: Annotated[Path | None, typer.Option(help="Python file with a list EXPERIMENTS.")] = None,
    backbones: Annotated[str | None, ENSEMBLES] = None,
    methods: Annotated[str | None, typer.Option(help="Names, separated by commas; default softmax.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="METHOD.FIELD=VALUE")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder for everything; default results/<data>.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="imagenet (default), noisy-student, random, auto, or a file.")
    ] = None,
    weights_dir: Annotated[Path | None, FOLDER] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="For every method that has epochs.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Repetitions; each redraws the split.")] = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Cross-validation; 1 is 64/16/20 %.")] = None,
    split: Annotated[str | None, typer.Option(help="grouped (default) or random.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto (default), keras or openvino.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 (default), bfloat16 or float16.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side that the backbone sees; default its own.")] = None,
    augment: Annotated[str | None, typer.Option(help="none (default), light or heavy; for training on images.")] = None,
    homogenize: Annotated[str | None, typer.Option(help="Brightness: none (default), global or image.")] = None,
    verify: Annotated[str | None, typer.Option(help="sample (default) or full: test images for the .h5.")] = None,
    include_none: Annotated[bool, typer.Option("--include-none", help="Severstal: images without a defect.")] = False,
    bit_depth: Annotated[int | None, typer.Option(help="Used bits of 16-bit files, e.g. 12.")] = None,
    track: Annotated[str | None, typer.Option(help="off (default) or tensorboard.")] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Folder of images without labels to learn from.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Least probability of their labels; default 0.9.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it takes.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the runs in the results folder.")] = False,
) -> int:
    """Run experiments on a data set and write a report and models."""
    from steelbench.cli.commands.run import Request, execute, foresee, load_suite, make_experiments
    from steelbench.experiment import RunOptions

    experiments, preset = load_suite(suite) if suite else (None, {})
    preset = preset if data == "demo" else {}
    if preset:
        words = ", ".join(f"{key}={value}" for key, value in preset.items())
        print(f"steelbench: demo preset of {suite}: {words}", file=sys.stderr)
    given: dict[str, Any] = {
        "weights": weights, "weights_dir": weights_dir, "seeds": seeds, "folds": folds, "split": split,
        "engine": engine, "precision": precision, "image_size": image_size, "verify": verify, "track": track,
        "augment": augment, "homogenize": homogenize, "unlabelled": unlabelled, "confidence": confidence,
        "bit_depth": bit_depth, "results": results or Path("results") / (Path(data).resolve().stem or "run"),
    }  # fmt: skip
    fields = {key: value for key, value in preset.items() if key in RunOptions.model_fields}
    fields |= {key: value for key, value in given.items() if value is not None}
    options = RunOptions(data=data, include_none=include_none, force=force, **fields)
    request = Request(suite=suite, backbones=backbones, methods=methods, assignments=set_ or [], epochs=epochs)
    program = Path(sys.argv[0]).name
    command = shlex.join(["steelbench" if program == "__main__.py" else program, *sys.argv[1:]])
    chosen = make_experiments(request, preset, experiments)
    return foresee(options, chosen) if dry_run else execute(options, chosen, command)


@app.command()
def report(results: Annotated[Path, RESULTS]) -> None:
    """Draw the report of a results folder again."""
    from steelbench.errors import SteelbenchError
    from steelbench.report.results_page import build_report

    if results.exists() and not results.is_dir():
        raise SteelbenchError(f"{results} is a file; expected the folder that `steelbench run --results` wrote.")
    print(build_report(results))


@app.command()
def audit(
    data: Annotated[str, DATA],
    out: Annotated[Path | None, typer.Option(help="Folder for the findings; default results/<data>-audit.")] = None,
    include_none: Annotated[bool, typer.Option("--include-none", help="Severstal: images without a defect.")] = False,
    bit_depth: Annotated[int | None, typer.Option(min=8, max=16, help="Used bits of 16-bit files.")] = None,
) -> None:
    """Find images that share pixels, wrong labels, shortcuts; write audit.json, pairs.csv, groups.csv, audit.html."""
    from steelbench.cli.commands.audit import run_audit

    run_audit(data, out or Path("results") / f"{Path(data).resolve().stem}-audit", include_none, bit_depth)


@app.command()
def stitch(
    results: Annotated[Path, RESULTS],
    run_name: Annotated[str, typer.Argument(help="A folder in RESULTS_DIR/runs, such as vgg19-softmax-s1-f3.")],
) -> None:
    """Make the whole .h5 of a run that was kept as a head only."""
    from steelbench.cli.commands.stitch import stitch_run

    print(stitch_run(results, run_name))


@app.command("list")
def list_(what: Annotated[str | None, typer.Argument(help="backbones, methods, datasets or metrics")] = None) -> None:
    """Say what can be run."""
    from steelbench.cli.tables import print_lists

    print_lists(what)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model's .h5, its card beside it.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, or folders of images.")],
) -> int:
    """Print path, class, probability for images, as CSV."""
    from steelbench.cli.commands.predict import predict_files

    return predict_files(model, paths)


@app.command()
def retrieve(
    model: Annotated[Path, typer.Argument(help="A model's .h5, its card beside it.")],
    query: Annotated[Path, typer.Option(help="The image to compare with.")],
    index: Annotated[Path, typer.Option(help="A folder of images to search.")],
    top: Annotated[int, typer.Option(min=1, max=500, help="How many images.")] = 20,
    sheet: Annotated[Path | None, typer.Option(help="PNG to draw; default similar-to-<query>.png.")] = None,
) -> int:
    """List the most similar images as CSV, and draw them side by side."""
    from steelbench.cli.commands.retrieve import retrieve_files

    return retrieve_files(model, query, index, top, sheet)


@app.command()
def enroll(
    model: Annotated[Path, typer.Argument(help="A triplet or arcface model's .h5, its card beside it.")],
    new_class_dir: Annotated[Path, typer.Argument(help="A folder with images of the new class, which it is named by.")],
    out: Annotated[Path | None, typer.Option(help="The new .h5; default MODEL-with-CLASS.h5 beside it.")] = None,
) -> int:
    """Add a class to a model from a few images, without training; writes a new model."""
    from steelbench.cli.commands.enroll import enroll_folder

    return enroll_folder(model, new_class_dir, out)


@weights_app.command("list")
def weights_list(
    backbones: Annotated[str | None, BACKBONES] = None, weights_dir: Annotated[Path | None, FOLDER] = None
) -> None:
    """File names, sizes, md5, where from, where to put them."""
    from steelbench.cli.commands.weights import list_files

    list_files(backbones, weights_dir)


@weights_app.command("download")
def weights_download(
    backbones: Annotated[str | None, BACKBONES] = None,
    weights_dir: Annotated[Path | None, FOLDER] = None,
    kind: Annotated[str, typer.Option(help="imagenet or noisy-student.")] = "imagenet",
) -> None:
    """Fetch the files that are missing."""
    from steelbench.cli.commands.weights import download_files

    download_files(backbones, weights_dir, kind)


@weights_app.command("verify")
def weights_verify(
    backbones: Annotated[str | None, BACKBONES] = None, weights_dir: Annotated[Path | None, FOLDER] = None
) -> int:
    """Check the files that are here against their md5 and architecture."""
    from steelbench.cli.commands.weights import verify_files

    return verify_files(backbones, weights_dir)


@cache_app.command("info")
def cache_info() -> None:
    """Where the cache is, and how much each backbone keeps in it."""
    from steelbench.cli.commands.cache import info

    info()


@cache_app.command("clear")
def cache_clear(
    backbone: Annotated[str | None, typer.Option(help="Only this backbone's features.")] = None,
    older_than: Annotated[float, typer.Option(min=0, help="Only what was not written to for so many days.")] = 0.0,
) -> None:
    """Delete cached features; they are computed again when needed."""
    from steelbench.cli.commands.cache import clear_cache

    clear_cache(backbone, older_than)


@data_app.command("demo")
def data_demo(
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR")],
    images: Annotated[int, typer.Option(help="Number of images, planted copies included.")] = 360,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write the demo data set: six procedural steel textures, and what was planted in truth.json."""
    from steelbench.data.demo import write_demo

    print(write_demo(out, images, seed))
