"""`steelbench evaluate MODEL --data DIR`: scores of a saved model on a labelled folder, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.tables import show
from steelbench.cli.terminal import say
from steelbench.data.label_names import spellings
from steelbench.evaluation.predictions import write_predictions
from steelbench.experiment import DataOptions
from steelbench.files import write_json
from steelbench.inference.evaluation import Answers, LabelledImages, answer_images, evaluate, labelled_images, scored
from steelbench.inference.model import Opening
from steelbench.printable import shown
from steelbench.records.evaluation import Evaluation
from steelbench.report.evaluation_page import SHOWN, WrongImage, sentences, write_evaluation_page
from steelbench.report.formatting import limits, percent
from steelbench.runs.results_folder import refuse_unwritable

# A table of more classes is too wide for a terminal; the picture in `--out` has them all.
TABULATED = 12
# Wrong answers that are printed.
LISTED = 10


def evaluate_model(
    path: Path, options: DataOptions, opening: Opening | None = None, *, engine: str, unseen: bool, out: Path | None
) -> int:
    """Print the scores, and write them with the answers and a page into a folder, if one is named.

    Args:
        path: of the `.h5`.
        options: how the labelled folder is read.
        opening: what the user says of the model.
        engine: `auto`, `keras` or `openvino`.
        unseen: whether images that the model learned from are left out.
        out: folder for evaluation.json, predictions.csv, confusion.png and evaluation.html.

    Returns:
        The exit code: 1 if an image could not be read.

    Raises:
        SteelbenchError: if the model or the data cannot be read, or have no class in common, or `out` cannot be
            written to.
    """
    if out is not None:
        refuse_unwritable("--out", out)
    images = labelled_images(options)
    with ProgressDisplay() as progress:
        answers = answer_images(path, images, engine, opening=opening, tell=say, progress=progress)
        found = evaluate(answers, images, unseen=unseen, progress=progress)
    chosen = scored(answers, unseen=unseen)
    wrong = wrong_images(chosen)
    print_evaluation(found, wrong)
    if out is not None:
        _write(out, found, chosen, wrong, images)
    return int(bool(found.unreadable))


def wrong_images(answers: Answers) -> list[WrongImage]:
    """Return the wrong answers to images of classes that the model knows, the surest first."""
    known = set(answers.network.card.classes)
    rows = zip(answers.images, answers.named, answers.probabilities.max(axis=1).tolist(), strict=True)
    found = [
        WrongImage(image.sample.path, image.sample.label, named, probability)
        for image, named, probability in rows
        if named != image.sample.label and image.sample.label in known
    ]
    return sorted(found, key=lambda own: (-own.probability, own.path))


def print_evaluation(found: Evaluation, wrong: Sequence[WrongImage]) -> None:
    """Print what was found: sentences, a line for each class, the confusion matrix, the surest wrong answers."""
    for sentence in sentences(found):
        print(shown(sentence))
    for unknown in found.unknown_classes:
        close = [name for name in found.classes if spellings({name: 1, unknown: 1})]
        if close:
            print(shown(f"'{unknown}' may be the model's '{close[0]}'; rename the folder if so."))
    if found.per_class:
        print()
        show(
            ("class", "images", "recall", "95 % interval", "precision", "F1"),
            [
                (own.name, str(own.support), percent(own.recall), limits(own.recall_low, own.recall_high),
                 percent(own.precision), percent(own.f1))
                if own.support else (own.name, "0", "-", "", "-", "-")
                for own in found.per_class
            ],
            right=("images", "recall", "precision", "F1"),
        )  # fmt: skip
        if len(found.classes) <= TABULATED:
            print()
            lines = zip(found.classes, found.confusion, strict=True)
            columns = ("true \\ named", *found.classes)
            show(columns, [(name, *map(str, line)) for name, line in lines], right=columns[1:])
    if wrong:
        print(f"\n{len(wrong)} wrong, the surest first:")
        for own in wrong[:LISTED]:
            print(shown(f"  {own.path}: {own.label}, named {own.named} ({percent(own.probability)})"))


def _write(out: Path, found: Evaluation, answers: Answers, wrong: Sequence[WrongImage], images: LabelledImages) -> None:
    from steelbench.audit.thumbnails import draw_files

    out.mkdir(parents=True, exist_ok=True)
    order = sorted(range(len(answers.images)), key=lambda row: answers.images[row].sample.path)
    samples = [answers.images[row].sample for row in order]
    write_predictions(
        out / "predictions.csv",
        [sample.path for sample in samples],
        [sample.label for sample in samples],
        answers.probabilities[order],
        found.classes,
    )
    depth = images.options.bit_depth or answers.network.card.bit_depth
    pictures = draw_files(images.root, [own.path for own in wrong[:SHOWN]], depth)
    page = write_evaluation_page(out, found, wrong, pictures)
    write_json(out / "evaluation.json", found)
    say(f"written: {page}")
