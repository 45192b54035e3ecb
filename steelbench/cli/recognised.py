"""Say how a data folder was read: layout, classes, split, what was left out, and the options that change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from steelbench.cli.terminal import say
from steelbench.data.readers import DATASETS, fitting, read_dataset
from steelbench.data.samples import Dataset
from steelbench.experiment import DataOptions
from steelbench.printable import shown

# Classes that are listed: all up to the first number, else as many as the second.
ALL_CLASSES, FIRST_CLASSES = 40, 20
# On the first lines of a run.
SHORT_CLASSES = 10
MOST_NOTES, MOST_CHARACTERS = 10, 60
DRAWN = "64 % training, 16 % validation, 20 % test; images that share pixels stay together"


def say_recognised(options: DataOptions) -> None:
    """Read a data folder and say on standard error, in a few lines, what was recognised.

    Raises:
        SteelbenchError: if it cannot be read.
    """
    # Of the options of a run only.
    redrawn = getattr(options, "split", None) == "regroup"
    for line in short_lines(*read_dataset(options), redrawn=redrawn):
        say(line)


def short_lines(name: str, dataset: Dataset, *, redrawn: bool = False) -> list[str]:
    """Return the first lines of a run: data and classes, its own split, what was left out, notes.

    Args:
        name: of the layout.
        dataset: as it was read.
        redrawn: whether the split that the data brings is not used.
    """
    counts = Counter(sample.label for sample in dataset.samples)
    names = sorted(counts)
    few = names if len(names) <= SHORT_CLASSES else names[: SHORT_CLASSES // 2]
    classes = ", ".join(f"{_short(label)} {counts[label]}" for label in few)
    more = f" and {len(names) - len(few)} more" if len(names) > len(few) else ""
    told = [f"read as {name}, {_counted(dataset, counts)}{': ' if names else ''}{classes}{more}"]
    if any(sample.split for sample in dataset.samples):
        told.append("split: the data's own is not used" if redrawn else f"split: {split_words(dataset)}")
    if dataset.left_out:
        told.append(f"left out: {'; '.join(_left_out(dataset))}")
    return [f"data: {line}" for line in (*told, *_first(dataset.notes))]


def long_lines(name: str, dataset: Dataset, options: DataOptions) -> Iterator[str]:
    """Yield what `steelbench data check` prints: a word and a text on each line, plain text throughout."""
    counts = Counter(sample.label for sample in dataset.samples)
    given = Path(options.data).expanduser().resolve()
    below = f" (in {given})" if dataset.root != given and dataset.root.is_relative_to(given) else ""
    yield _line("data", f"{dataset.root}{below}")
    yield _line("layout", DATASETS[name].layout if name == "demo" else f"{name}: {DATASETS[name].layout}")
    yield _line("images", _counted(dataset, counts))
    names = sorted(counts)
    few = names if len(names) <= ALL_CLASSES else names[:FIRST_CLASSES]
    width = max((len(shown(_short(label))) for label in few), default=0)
    for label in few:
        yield _line("", f"{shown(_short(label)).ljust(width)}  {counts[label]}")
    if len(names) > len(few):
        yield _line("", f"and {len(names) - len(few)} more classes")
    yield _line("split", split_words(dataset))
    for number, reason in enumerate(_left_out(dataset) or ["nothing"]):
        yield _line("" if number else "left out", reason)
    for number, note in enumerate(_first(dataset.notes)):
        yield _line("" if number else "note", note)
    for number, change in enumerate(_changes(name, dataset, options)):
        yield _line("" if number else "to change", change)


def split_words(dataset: Dataset) -> str:
    """Return which part each image belongs to, and which parts are drawn."""
    counts = Counter(sample.split for sample in dataset.samples)
    if not set(counts) - {""}:
        return f"none in the data, so one is drawn: {DRAWN}"
    told = [f"{counts[part]} {part}" for part in ("train", "validation", "test") if counts[part]]
    if counts[""]:
        told.append(f"{counts['']} of no part, taken for train")
    missing = [part for part in ("validation", "test") if not counts[part]]
    drawn = f"; {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} drawn from train" if missing else ""
    return f"the data's own: {', '.join(told)}{drawn}"


def _changes(name: str, dataset: Dataset, options: DataOptions) -> Iterator[str]:
    """Yield the options that read the same folder another way."""
    # Nearly every folder has class folders; the demo has them alone.
    others = [other for other in fitting(dataset.root) if other not in (name, "class_folders")]
    if options.boxes is None and any(DATASETS[other].boxes for other in others):
        yield "--boxes crop makes every box a sample, --boxes image labels each image by its boxes"
    for other in others:
        if not DATASETS[other].boxes:
            yield f"--layout {other} reads it as {DATASETS[other].layout}"
    if any(sample.split for sample in dataset.samples):
        yield "steelbench run --split regroup draws a split over all parts; what shares pixels stays together"


def _counted(dataset: Dataset, counts: Counter[str]) -> str:
    total, classes = len(dataset.samples), len(counts)
    return f"{total} image{'' if total == 1 else 's'} in {classes} class{'' if classes == 1 else 'es'}"


def _left_out(dataset: Dataset) -> list[str]:
    ordered = sorted(dataset.left_out.items(), key=lambda item: (-item[1], item[0]))
    more = len(ordered) - MOST_NOTES
    told = [f"{count} {reason}" for reason, count in ordered[:MOST_NOTES]]
    return told + ([f"{sum(count for _, count in ordered[MOST_NOTES:])} for {more} other reasons"] if more > 0 else [])


def _first(notes: Sequence[str]) -> list[str]:
    more = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], *([f"and {more} more of this kind"] if more > 0 else [])]


def _short(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 3]}..."


def _line(word: str, text: str) -> str:
    return f"{word:<11}{shown(text)}"
