"""The command line: names, options and help of every command. `commands/` has what they do, imported when they run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from steelbench.cli.cache_app import cache_app
from steelbench.cli.data_app import data_app
from steelbench.cli.model_app import model_app
from steelbench.cli.options import (
    COMPARE,
    DATA,
    ENGINE,
    KEEP,
    LOOK,
    PLAIN,
    RESULTS,
    SILENCE,
    USE,
    WEIGHTS_DIR,
    BitDepth,
    Boxes,
    DropSmall,
    IncludeNone,
    JoinLabels,
    KeepMasks,
    Layout,
    Margin,
    MinBox,
    NoneClass,
    Object,
    Square,
    data_name,
    given_fields,
    run_option,
)
from steelbench.cli.terminal import say
from steelbench.cli.weights_app import weights_app
from steelbench.experiment import DataOptions, RunOptions


class CommandGroups(TyperGroup):
    """Lists the commands under the headings above, which typer does in its coloured help only."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading, in the order above."""
        commands = {name: self.commands[name] for name in self.list_commands(ctx)}
        width = max(map(len, commands))
        for heading in (COMPARE, LOOK, USE, KEEP):
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name.ljust(width), command.get_short_help_str(formatter.width - width - 6))
                        for name, command in commands.items()
                        if getattr(command, "rich_help_panel", None) == heading
                    ]
                )


app = typer.Typer(cls=CommandGroups, add_completion=False, pretty_exceptions_enable=False, **PLAIN)
# Not `add_typer`, which would make a group of them.
app.registered_commands += model_app.registered_commands
app.add_typer(data_app, name="data", rich_help_panel=LOOK, help="Say how a folder is read; write the demo images.")
app.add_typer(weights_app, name="weights", rich_help_panel=KEEP, help="List, download, verify pretrained weights.")
app.add_typer(cache_app, name="cache", rich_help_panel=KEEP, help="Show or clear the cached features.")


@app.callback()
def _main() -> None:
    """Compare ImageNet backbones on images of steel surfaces: leak-free numbers, a report, models to take away.

    \b
    To begin:
      steelbench run --data demo         try it on procedural images
      steelbench audit --data DIR        look for copies and wrong labels
      steelbench run --data DIR          compare backbones on your images
      steelbench predict MODEL IMAGES    use one of the models
    """


@app.command(rich_help_panel=COMPARE)
def run(
    data: Annotated[str, DATA],
    suite: Annotated[Path | None, typer.Option(metavar="FILE.py", help="File with a list EXPERIMENTS.")] = None,
    backbones: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Names, separated by commas; a+b joins the features of both; default auto: the main ones that have "
            "weights.",
        ),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names, separated by commas; default softmax.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="METHOD.FIELD=VALUE", help="A setting of a method; may be given again."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for everything; default results/<data>.")
    ] = None,
    weights: Annotated[
        str | None, run_option("weights", "imagenet, noisy-student, random, auto or a file", "NAME|FILE")
    ] = None,
    weights_dir: Annotated[Path | None, WEIGHTS_DIR] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Epochs of every method that has epochs.")
    ] = None,
    seeds: Annotated[int | None, run_option("seeds", "Repetitions; each redraws the split", "N")] = None,
    folds: Annotated[int | None, run_option("folds", "Cross-validation; 1 is 64/16/20 %", "N")] = None,
    split: Annotated[
        str | None,
        run_option(
            "split", "Keep images that share pixels together, or not; regroup also ignores the data's own split", "NAME"
        ),
    ] = None,
    engine: Annotated[str | None, run_option("engine", "Library that computes the features", "NAME")] = None,
    precision: Annotated[str | None, run_option("precision", "Arithmetic of the backbone", "NAME")] = None,
    image_size: Annotated[
        int | None, run_option("image_size", "Side that the backbone sees, in pixels", "N", "its own")
    ] = None,
    augment: Annotated[
        str | None, run_option("augment", "Random changes, for methods that train on images", "NAME")
    ] = None,
    homogenize: Annotated[str | None, run_option("homogenize", "Even out the brightness", "NAME")] = None,
    verify: Annotated[str | None, run_option("verify", "Test images to check the saved model on", "NAME")] = None,
    timing: Annotated[
        str | None,
        run_option("timing", "Engines to time each saved model on", "NAME", variable="STEELBENCH_TIMING"),
    ] = None,
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
    none_class: NoneClass = None,
    with_: Annotated[str | None, run_option("with_", "What else to measure, separated by commas", "A,B")] = None,
    track: Annotated[str | None, run_option("track", "Send the numbers to a tracker, too", "NAME")] = None,
    unlabelled: Annotated[Path | None, run_option("unlabelled", "Images without labels to learn from", "DIR")] = None,
    confidence: Annotated[float | None, run_option("confidence", "Least probability of their labels", "P")] = None,
    runner: Annotated[str | None, run_option("runner", "Where the work is done", "NAME")] = None,
    ray_address: Annotated[
        str | None, run_option("ray_address", "Of a running Ray cluster; without it a local Ray starts", "HOST:PORT")
    ] = None,
    silence: Annotated[list[str] | None, SILENCE] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run and how long it takes.")] = False,
    force: Annotated[bool, run_option("force", "Replace the runs in the results folder")] = False,
) -> int:
    """Run experiments; write a report and models."""
    # Every option by its name; those of `RunOptions` are called like its fields.
    given = locals()
    from steelbench.cli.commands.run import execute, foresee
    from steelbench.cli.requested import Request, make_experiments
    from steelbench.cli.suites import Suite, load_suite

    found = load_suite(suite) if suite else Suite()
    preset = found.demo if data == "demo" else {}
    if preset:
        say(f"demo preset of {suite}: {', '.join(f'{key}={value}' for key, value in preset.items())}")
    given |= {"results": results or Path("results") / (data_name(data) or "run")}
    known = {name: value for name, value in preset.items() if name in RunOptions.model_fields}
    options = RunOptions(**(known | given_fields(given, RunOptions)))
    request = Request(
        suite=suite,
        backbones=backbones,
        methods=methods,
        assignments=set_ or [],
        epochs=epochs,
        silence=tuple(silence or ()),
    )
    todo = make_experiments(request, preset, found)
    if dry_run:
        from steelbench.notices import known_codes
        from steelbench.runs.results_folder import refuse_unwritable

        # A dry run, too, says what the run would refuse.
        known_codes(request.silence)
        refuse_unwritable("--results", options.results)
        return foresee(options, todo, request.auto, found.fallbacks)
    return execute(options, todo, _command_line(), request.silence, request.auto, found.fallbacks)


def _command_line() -> str:
    """Return the command as typed, for the record."""
    program = Path(sys.argv[0]).name
    return shlex.join(["steelbench" if program == "__main__.py" else program, *sys.argv[1:]])


@app.command(rich_help_panel=COMPARE)
def report(
    results: Annotated[Path, RESULTS],
    sheet: Annotated[
        str | None, typer.Option(metavar="ROW", help="Write only the acceptance sheet of a row, one page to print.")
    ] = None,
    silence: Annotated[list[str] | None, SILENCE] = None,
) -> None:
    """Draw the report of a results folder again."""
    from steelbench.report.acceptance_sheet import write_sheet
    from steelbench.report.results_page import build_report
    from steelbench.runs.results_folder import refuse_no_folder

    refuse_no_folder(results)
    if sheet is not None:
        print(write_sheet(results, sheet))
        return
    more = {"silence": tuple(silence)} if silence else {}
    print(build_report(results, **more))


@app.command(rich_help_panel=COMPARE)
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


@app.command(rich_help_panel=COMPARE)
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


@app.command("list", rich_help_panel=COMPARE)
def list_(what: Annotated[str | None, typer.Argument(help="backbones, methods, datasets or metrics")] = None) -> None:
    """List backbones, methods, layouts of data and metrics."""
    from steelbench.cli.tables import print_lists

    print_lists(what)


@app.command(rich_help_panel=LOOK)
def audit(
    data: Annotated[str, DATA],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the findings; default results/<data>-audit.")
    ] = None,
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
    """Find images that share pixels, wrong labels and shortcuts.

    Writes audit.json, pairs.csv, groups.csv and audit.html.
    """
    given = locals()
    from steelbench.cli.commands.audit import run_audit

    run_audit(DataOptions(**given_fields(given, DataOptions)), out or Path("results") / f"{data_name(data)}-audit")


@app.command(rich_help_panel=KEEP)
def doctor(
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DIR|CSV|demo", help="Also say how this is read, and how long a run takes."),
    ] = None,
    weights_dir: Annotated[Path | None, WEIGHTS_DIR] = None,
) -> int:
    """Say what this machine and installation can do, and test them."""
    from steelbench.cli.commands.doctor import examine

    return examine(data, weights_dir)
