"""Write `evaluation.html` and `confusion.png`: a saved model's scores on a labelled folder, and its wrong answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelbench.files import write_text
from steelbench.records.evaluation import Evaluation
from steelbench.report.formatting import count, limits, percent
from steelbench.report.page_template import data_uri, render

SHOWN = 60


@dataclass(frozen=True)
class WrongImage:
    """A wrong answer: the image's path, its label, and the class that the model named, with its probability."""

    path: str
    label: str
    named: str
    probability: float


def sentences(found: Evaluation) -> list[str]:
    """Return what was found, a sentence for each thing that a reader must know, most important first."""
    told = []
    if found.accuracy is not None:
        known = found.images - sum(found.unknown_classes.values())
        told.append(
            f"{percent(found.accuracy)} {limits(found.accuracy_low, found.accuracy_high)} of {known} images are named "
            f"right; macro-F1 {percent(found.macro_f1)} {limits(found.macro_f1_low, found.macro_f1_high)}."
        )
    else:
        told.append("No image is of a class that the model knows, so nothing is scored.")
    if found.unknown_classes:
        told.append(
            f"The model does not know {_counted(found.unknown_classes)}; it cannot name them right, and named them "
            f"{_counted(found.named_as)}. With them {percent(found.accuracy_all)} of {found.images} images are right."
        )
    if found.missing_classes:
        told.append(f"No image is of a class that the model knows besides: {', '.join(found.missing_classes)}.")
    told.append(_learned(found))
    if found.unreadable:
        told.append(f"{count(sum(found.unreadable.values()), 'image')} cannot be read: {_counted(found.unreadable)}.")
    if found.audited:
        told.append(f"Images that share pixels count as one of {found.groups} groups in the intervals.")
    else:
        told.append(
            "Only images of equal pixels count as one in the intervals; where others overlap, the intervals are too "
            "narrow. `steelbench audit` looks for those."
        )
    return told


def _learned(found: Evaluation) -> str:
    if found.learned is None:
        return "The model's card does not say which images it learned from, so some of these may be among them."
    if found.left_out:
        return f"{found.left_out} images whose pixels the model learned from are left out."
    if found.learned:
        return (
            f"{found.learned} of the images have the pixels of one that the model learned from, so the scores are too "
            "high; `--unseen` leaves them out."
        )
    return "No image has the pixels of one that the model learned from."


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in counts.items())


def write_evaluation_page(
    out: Path, found: Evaluation, wrong: Sequence[WrongImage], pictures: Mapping[str, bytes]
) -> Path:
    """Write the page and the picture of its confusion matrix into `out`, and return the page's path.

    Args:
        out: folder.
        found: the scores.
        wrong: answers, in the order to show them.
        pictures: JPEG bytes by path; one may be missing.
    """
    from steelbench.report.figures.confusion import confusion
    from steelbench.report.figures.style import figure_style, save

    picture = None
    if found.confusion:
        with figure_style():
            save(confusion(found.model, found.classes, found.confusion), out / "confusion.png")
        picture = data_uri("png", (out / "confusion.png").read_bytes())
    context = {
        "found": found,
        "sentences": sentences(found),
        "wrong": wrong[:SHOWN],
        "more": max(0, len(wrong) - SHOWN),
        "pictures": pictures,
        "confusion": picture,
    }
    page = out / "evaluation.html"
    # A file name may hold half a surrogate pair; it must not stop the page.
    write_text(page, render("evaluation.html.j2", context).encode("utf-8", "replace").decode("utf-8"))
    return page
