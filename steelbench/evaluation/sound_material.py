"""Which class is sound material, and how often defects escape as it and it is called a defect, with intervals."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from steelbench.arrays import AnyArray
from steelbench.errors import SteelbenchError
from steelbench.evaluation.predictions import RowPredictions, groups_of_paths
from steelbench.evaluation.statistics.dependence import Dependence
from steelbench.evaluation.statistics.intervals import share_interval
from steelbench.records import ShareScore, SoundScores

# Names of a class of sound material, without case, spaces, `_` and `-`.
SOUND_NAMES = ("none", "good", "ok", "nodefect", "defectfree")


def sound_classes(classes: Sequence[str]) -> list[str]:
    """Return the classes whose name says that they are sound material."""
    return [name for name in classes if re.sub(r"[\s_-]+", "", name.lower()) in SOUND_NAMES]


def find_none_class(classes: Sequence[str], asked: str | None = None) -> str:
    """Return the class of sound material.

    Args:
        classes: their names.
        asked: `--none-class`; None for the only class whose name says it.

    Returns:
        "" if no name was asked for, and none or several of the classes are called so.

    Raises:
        SteelbenchError: if no class has the name that was asked for; names the closest.
    """
    if asked is None:
        found = sound_classes(classes)
        return found[0] if len(found) == 1 else ""
    if asked in classes:
        return asked
    close = difflib.get_close_matches(asked, classes, n=1) or [
        name for name in classes if name.lower() == asked.lower()
    ]
    hint = f"did you mean '{close[0]}'? The classes are" if close else "the classes are"
    raise SteelbenchError(f"--none-class '{asked}' names no class of this data; {hint} {', '.join(sorted(classes))}.")


def sound_scores(
    answers: RowPredictions, classes: Sequence[str], groups: Mapping[str, str], dependence: Dependence, none_class: str
) -> SoundScores | None:
    """Return how often a row lets defects escape, calls sound material a defect, and misnames a defect.

    Each is a share of the answers of all seeds, with an interval as a class's recall has.

    Args:
        answers: of the row.
        classes: C names.
        groups: by path; images of one group share pixels. A path that it lacks is its own group.
        dependence: of the row, from `learn_dependences`.
        none_class: the class of sound material; "" or another data set's for none.
    """
    if none_class not in classes:
        return None
    number = list(classes).index(none_class)
    y_true, y_pred, image = answers.table()
    shared = groups_of_paths(answers.paths, groups)[image]
    sound = y_true == number

    def share(hits: AnyArray, own: AnyArray) -> ShareScore | None:
        if not own.any():
            return None
        found = share_interval(hits, own, shared, dependence, images=image)
        distinct = int(np.unique(image[own]).size)
        return ShareScore(
            share=found.value, low=found.low, high=found.high, images=distinct, n_effective=found.n_effective
        )

    return SoundScores(
        name=none_class,
        escape=share(y_pred == number, ~sound),
        overkill=share(y_pred != number, sound),
        misnamed=share((y_pred != number) & (y_pred != y_true), ~sound),
    )
