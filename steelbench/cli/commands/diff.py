"""`steelbench diff A B`: which rows moved between two results folders, which images flipped, what else differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steelbench.cli.tables import show
from steelbench.errors import SteelbenchError
from steelbench.evaluation.results_diff import (
    Flip,
    Paired,
    changed,
    common_groups,
    compare_answers,
    data_of,
    row_answers,
    settings_of,
)
from steelbench.experiment import DataOptions
from steelbench.files import read_json
from steelbench.printable import shown
from steelbench.records import Row, Summary, read_record
from steelbench.report.formatting import p_value, percent
from steelbench.runs.results_folder import refuse_no_folder

COLUMNS = ("row", "A", "B", "B - A", "95 % interval", "p", "gained", "lost", "answers")


def diff_results(first: Path, second: Path, most: int) -> None:
    """Print what differs between two results folders.

    Args:
        first: a results folder, A.
        second: another, B.
        most: images that are listed for each row, of those that flipped.

    Raises:
        SteelbenchError: if one is no results folder, or its records are damaged.
    """
    folders = (first, second)
    for folder in folders:
        refuse_no_folder(folder)
    summaries = [read_record(folder / "results.json", Summary) for folder in folders]
    _tell("data", changed(data_of(summaries[0]), data_of(summaries[1])))
    if summaries[0].dataset.digest != summaries[1].dataset.digest:
        print("The data differ; images are compared by their paths.")
    _tell_file("settings", "config.json", folders)
    _tell_file("machine and versions", "environment.json", folders)
    rows = [{row.name: row for row in summary.rows} for summary in summaries]
    both = [name for name, row in rows[0].items() if name in rows[1] and row.method != "majority"]
    _tell_missing("A", [name for name in rows[0] if name not in rows[1]])
    _tell_missing("B", [name for name in rows[1] if name not in rows[0]])
    groups, compared = common_groups(folders), []
    for name in both:
        own = [found[name] for found in rows]
        if any(row.status != "done" for row in own):
            print(shown(f"{name}: {_failed(own)}"))
            continue
        (before, record), (after, other) = (row_answers(*pair) for pair in zip(folders, own, strict=True))
        differences = changed(settings_of(record), settings_of(other))
        if differences:
            _tell(f"settings of {name}", differences)
        compared.append((name, compare_answers(before, after, groups)))
    print_comparisons(compared, most)


def print_comparisons(compared: Sequence[tuple[str, Paired | None]], most: int) -> None:
    """Print a table with a line for each pair, then the images that flipped.

    Args:
        compared: the name of a pair, and its comparison; None without a common image.
        most: images that are listed for each pair and direction.
    """
    if not compared:
        print("No row is finished in both.")
        return
    show(COLUMNS, [_line(name, paired) for name, paired in compared], right=COLUMNS[1:])
    print("p: both equally accurate on images like the common ones, for each row by itself.")
    for name, paired in compared:
        if paired is None:
            continue
        if paired.relabelled:
            print(shown(f"{name}: {paired.relabelled} tests have another label in B and are left out."))
        if paired.only_before or paired.only_after:
            print(shown(f"{name}: {paired.only_before} tests are in A only, {paired.only_after} in B only."))
        _list_flips(f"{name}: right in A, wrong in B", paired.lost, most, lambda flip: flip.after)
        _list_flips(f"{name}: wrong in A, right in B", paired.gained, most, lambda flip: flip.before)


def _line(name: str, paired: Paired | None) -> tuple[str, ...]:
    if paired is None:
        return (name, *["-"] * (len(COLUMNS) - 2), "0")
    low, high = (f"{100 * own:+.1f}" for own in (paired.interval.low, paired.interval.high))
    return (
        name, percent(paired.before), percent(paired.after), f"{100 * paired.interval.value:+.2f} points",
        f"{low} to {high}", p_value(paired.p_value), str(len(paired.gained)), str(len(paired.lost)),
        str(paired.tests),
    )  # fmt: skip


def _list_flips(title: str, flips: Sequence[Flip], most: int, answered: Callable[[Flip], str]) -> None:
    if not flips or not most:
        return
    print(shown(f"{title} ({len(flips)}):"))
    for flip in flips[:most]:
        print(shown(f"  {flip.path}: {flip.label}, answered {answered(flip)}"))
    if len(flips) > most:
        print(f"  and {len(flips) - most} more; --flips {len(flips)} lists them")


def _tell(what: str, differences: Sequence[tuple[str, str, str]]) -> None:
    if not differences:
        print(shown(f"{what}: the same"))
        return
    print(shown(f"{what}:"))
    for name, old, new in differences:
        print(shown(f"  {name}: {old} -> {new}"))


def _tell_missing(side: str, names: Sequence[str]) -> None:
    if names:
        print(shown(f"rows of {side} only: {', '.join(names)}"))


def _failed(rows: Sequence[Row]) -> str:
    sides = [f"failed in {side} ({row.reason})" for side, row in zip("AB", rows, strict=True) if row.status != "done"]
    return ", ".join(sides)


def _tell_file(what: str, name: str, folders: Sequence[Path]) -> None:
    found = [_plain(folder / name) for folder in folders]
    unread = [side for side, own in zip("AB", found, strict=True) if own is None]
    if unread:
        print(f"{what}: not compared, {name} of {' and '.join(unread)} is missing or damaged")
        return
    before, after = (own or {} for own in found)
    _tell(what, changed(before, after))


def _plain(path: Path) -> dict[str, Any] | None:
    """Return a JSON object of a results folder that no record describes; None where it is missing or damaged."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_model(path: Path) -> bool:
    """Return whether a path names a saved model."""
    return path.suffix.lower() in (".h5", ".keras")


def refuse_mixture(first: Path, second: Path, data: str | None) -> None:
    """Refuse a model beside a folder, models without data, and data beside folders.

    Raises:
        SteelbenchError: with what was expected.
    """
    if is_model(first) != is_model(second):
        raise SteelbenchError(f"{first} and {second} are not of one kind; name two results folders or two models.")
    if is_model(first) and data is None:
        raise SteelbenchError("two models are compared on labelled images; add --data DIR.")
    if not is_model(first) and data is not None:
        raise SteelbenchError("--data belongs to two models; two results folders have their own images.")


def diff_models(first: Path, second: Path, options: DataOptions, engine: str, most: int) -> None:
    """Print how the answers of two models to labelled images differ.

    Args:
        first: a model's `.h5`, A.
        second: another, B.
        options: how the images are read.
        engine: `auto`, `keras` or `openvino`.
        most: images that are listed for each direction, of those that flipped.

    Raises:
        SteelbenchError: if a model or the data cannot be read.
    """
    from steelbench.inference.evaluation import answered, labelled_images

    images = labelled_images(options)
    before, after = (answered(path, images, engine) for path in (first, second))
    print_comparisons([(f"{first.name} -> {second.name}", compare_answers(before, after, images.groups))], most)
