"""The list of a report's figures: draw them into a folder, and delete those of earlier reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from steelbench.records import Row
from steelbench.report.conclusion import standings
from steelbench.report.confusion_table import class_names
from steelbench.report.figures import (
    comparison,
    confidence,
    cost,
    curves,
    embeddings,
    learning_curve,
    robustness,
    style,
)
from steelbench.report.figures.confusion import confusion
from steelbench.report.formatting import NOTHING, join, method_and_variant, percent, row_label
from steelbench.report.load import History, Records
from steelbench.report.next_steps import best_efficiency

# Only these may be deleted: other commands put their own pictures into the folder.
OURS = (
    *(
        "accuracy.png",
        "classes.png",
        "seconds.png",
        "reliability.png",
        "referrals.png",
        "cost.png",
        "label-efficiency.png",
    ),
    *("robustness.png", "robustness-examples.png"),
    *("curves-*.png", "confusion-*.png", "embeddings-*.png"),
)


@dataclass(frozen=True)
class FigureFile:
    """A figure on disk.

    Attributes:
        path: the PNG.
        title: its heading on the page.
        alt: the same content as text, for readers who cannot see it.
    """

    path: Path
    title: str
    alt: str


def draw_figures(records: Records, folder: Path) -> dict[str, FigureFile]:
    """Write every figure that the records allow as PNG, and delete figures that they no longer allow.

    Args:
        records: the contents of the results folder.
        folder: for the files.

    Returns:
        The figures by the stem of their files' names.
    """
    drawn: dict[str, FigureFile] = {}
    with style.figure_style():
        for stem, title, alt, figure in _figures(records):
            path = folder / f"{stem}.png"
            style.save(figure, path)
            drawn[stem] = FigureFile(path, title, alt)
    for pattern in OURS:
        for path in folder.glob(pattern):
            if path.stem not in drawn:
                path.unlink()
    return drawn


def confusion_stem(row: Row) -> str:
    """Return the stem of the file of a row's confusion matrix, `confusion-<row>`."""
    return _slug(f"confusion-{row.name}")


def _backbone_colours(records: Records) -> dict[str, str]:
    # Rows without a network are no backbone: gray.
    networks = style.colours(row.backbone for row in records.models if row.backbone != "none")
    return networks | {"none": style.QUIET}


def _line_colours(records: Records) -> dict[str, str]:
    """Return a colour for each row's name: its backbone's, or its own if all rows have one backbone."""
    colours = _backbone_colours(records)
    if len(colours) > 2:  # `none` is always one of them
        return {row.name: colours[row.backbone] for row in records.models}
    return style.colours(row.name for row in records.models)


def _method_colours(records: Records, histories: list[History]) -> dict[str, str]:
    """Return a colour for each `method_and_variant`; one has the same in all figures, if the colours suffice."""
    names = {method_and_variant(history.row) for history in records.histories}
    if len(names) > len(style.PALETTE):
        names = {method_and_variant(history.row) for history in histories[: curves.FOLLOWED]}
    return style.colours(names, first=6)


def _figures(records: Records) -> Iterator[tuple[str, str, str, Figure]]:
    models = records.models
    if models:
        marks = standings(models)
        alt = "; ".join(
            " ".join(filter(None, (row_label(row), percent(row.accuracy), marks.get(row.name)))) for row in models[:10]
        )
        yield (
            "accuracy",
            "Accuracy",
            f"Accuracy with intervals: {alt}",
            comparison.accuracy(models, records.majority, _backbone_colours(records), marks),
        )
    yield from _confidence(models, _line_colours(records))
    if paid := cost.pareto(models, _backbone_colours(records)):
        shown = join([row_label(row) for row in models if row.cost and row.cost.times])
        yield "cost", "Accuracy against time", f"Accuracy against milliseconds for one image, of {shown}", paid
    yield from _robustness(records)
    yield from _label_efficiency(records)
    yield from _curves(records)
    if records.embedded:
        names = list(dict.fromkeys(score.name for row in models for score in row.per_class))
        shown = join([row_label(own.row) for own in records.embedded])
        title = "Maps of the embeddings (t-SNE)"
        yield "embeddings-tsne", title, f"t-SNE of the test images by {shown}", embeddings.tsne(records.embedded, names)
        title = "Distances within and between classes"
        yield (
            "embeddings-distances",
            title,
            f"Histograms of distances by {shown}",
            embeddings.distances(records.embedded),
        )
    for row in models:
        if row.confusion and all(len(line) == len(row.confusion) for line in row.confusion):
            figure = confusion(row_label(row), class_names(row), row.confusion)
            yield confusion_stem(row), row_label(row), f"Confusion matrix of {row_label(row)}", figure
    counts = records.summary.dataset.classes
    if counts:
        alt = f"Images per class, {min(counts.values())} to {max(counts.values())}"
        yield "classes", "Images per class", alt, comparison.images_per_class(counts)
    spent = comparison.seconds(models)
    if spent:
        yield "seconds", "Seconds by step", "Seconds of each row by step, stacked bars", spent


def _confidence(models: list[Row], colours: dict[str, str]) -> Iterator[tuple[str, str, str, Figure]]:
    shown = join([row_label(row) for row in models if row.trust][: confidence.SHOWN] or [NOTHING])
    if reliable := confidence.reliability(models, colours):
        yield "reliability", "Is confidence what it says?", f"Accuracy against confidence of {shown}", reliable
    if referred := confidence.referrals(models, colours):
        yield "referrals", "Escapes against looks", f"Escapes against images sent to a person, of {shown}", referred


def _robustness(records: Records) -> Iterator[tuple[str, str, str, Figure]]:
    models = records.models
    shown = join([row_label(row) for row in models if row.robustness][: robustness.SHOWN] or [NOTHING])
    if measured := robustness.strengths(models, _line_colours(records)):
        yield "robustness", "Accuracy under mill conditions", f"Accuracy against strength of {shown}", measured
    if records.mill_examples and (images := robustness.examples(records.mill_examples, models)):
        yield "robustness-examples", "One image under each change", "A test image under each change", images


def _label_efficiency(records: Records) -> Iterator[tuple[str, str, str, Figure]]:
    best = best_efficiency(records)
    if best and len(best.levels) > 1:
        networks = style.colours(row.backbone for row in records.models if row.backbone != "none")
        shown = join([own.backbone for own in records.efficiencies])
        figure = learning_curve.growth(records.efficiencies, best, networks)
        yield "label-efficiency", "Accuracy against training images", f"Accuracy against images of {shown}", figure


def _curves(records: Records) -> Iterator[tuple[str, str, str, Figure]]:
    histories = records.histories
    last = [history for history in histories if history.last]
    if histories:
        backbones = list(dict.fromkeys(history.row.backbone for history in histories))[: curves.COLUMNS]
        shown = [history for history in histories if history.row.backbone in backbones]
        title = "Each backbone on the same axes" if len(backbones) > 1 else "All stages"
        if len({history.row.backbone for history in histories}) > len(backbones):
            title = f"The first {len(backbones)} backbones on the same axes"
        alt = f"Validation accuracy, losses and learning rate per epoch of {join(backbones)}"
        yield "curves-all", title, alt, curves.small_multiples(shown, _method_colours(records, shown))
    if len(last) > 1:
        names = join(list(dict.fromkeys(history.row.backbone for history in last)))
        alt = f"Validation accuracy and validation loss per epoch of {names}"
        yield "curves-together", "All rows together", alt, curves.compare(last, _line_colours(records))
    # The last stage is the one that classifies; it comes first and needs no name.
    keys = sorted({(h.row.backbone, not h.last, "" if h.last else h.stage) for h in histories})
    for backbone, earlier, stage in keys:
        here = [h for h in histories if h.row.backbone == backbone and h.last != earlier and stage in ("", h.stage)]
        title = f"{backbone}, stage {stage}" if stage else backbone
        alt = f"Training and validation accuracy and loss per epoch: {title}. {_kept(here)}"
        stem = _slug("-".join(filter(None, ("curves", backbone, stage))))
        yield stem, title, alt, curves.one_backbone(title, here, _method_colours(records, here))


def _kept(histories: list[History]) -> str:
    kept = (f"{row_label(h.row)} kept epoch {h.best_epoch} of {len(h.epochs) or NOTHING}" for h in histories)
    return "; ".join(kept)


def _slug(name: str) -> str:
    return re.sub(r"[^\w.=-]", "_", name)
