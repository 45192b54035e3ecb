"""Splits: training, validation and test indices, stratified by class, each group on one side.

More than scikit-learn's StratifiedGroupKFold, which draws the folds: validation and test are both drawn by groups, a
split that the data brings is honoured and completed, every class stands in every part where that is possible, and
what is impossible is refused with the class and the largest number of folds.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups, Labels, RowIndices
from steelbench.errors import SteelbenchError

# Draws tried until every class stands in every part; the greedy folds of scikit-learn can miss a small class.
DRAWS = 20


@dataclass(frozen=True)
class Split:
    """Rows of the images of each part.

    Attributes:
        train: int64 [A], ascending.
        validation: int64 [B], ascending, disjoint from the others.
        test: int64 [C], ascending, disjoint from the others.
    """

    train: RowIndices
    validation: RowIndices
    test: RowIndices


def make_splits(
    labels: Labels,
    groups: Groups,
    fixed: Sequence[str],
    *,
    folds: int,
    seed: int,
    classes: Sequence[str],
) -> list[Split]:
    """Draw the splits of one seed, one for each fold.

    One fold is 64/16/20 % training/validation/test. With K folds each is the test set once and a fifth of the rest
    is validation. Where the data brings its own split, that is honoured and only missing parts are drawn.

    Args:
        labels: int64 [N], class numbers.
        groups: int64 [N]; images of one number stay on one side.
        fixed: for each image "train", "validation", "test" or "".
        folds: K, 1 or more.
        seed: redraws the folds.
        classes: names, for messages.

    Raises:
        SteelbenchError: if a fixed split meets folds > 1 or leaves a class without training images, or a class has
            fewer groups than K.
    """
    refuse_impossible(labels, groups, fixed, folds, classes)
    if any(fixed):
        return [_fixed_split(labels, groups, np.array(fixed), seed, classes)]
    everything = np.arange(len(labels))
    if folds == 1:
        rest, test = _draw(labels, groups, everything, seed)
        return [Split(*_draw(labels, groups, rest, seed), test)]
    parts = _fold_parts(labels, groups, everything, folds, seed)
    rests = [np.setdiff1d(everything, test) for test in parts]
    return [
        Split(*_draw(labels, groups, rest, seed + fold), test)
        for fold, (rest, test) in enumerate(zip(rests, parts, strict=True))
    ]


def refuse_impossible(labels: Labels, groups: Groups, fixed: Sequence[str], folds: int, classes: Sequence[str]) -> None:
    """Refuse splits that cannot be drawn; arguments and errors as for `make_splits`."""
    if not any(fixed):
        _refuse_few_groups(labels, groups, folds, classes)
    elif folds > 1:
        raise SteelbenchError(
            f"the data brings its own split, so --folds {folds} has no meaning; leave --folds out, "
            "or add --split regroup, which ignores that split, to cross-validate."
        )


def _refuse_few_groups(labels: Labels, groups: Groups, folds: int, classes: Sequence[str]) -> None:
    found = Counter(label for label, _ in set(zip(labels.tolist(), groups.tolist(), strict=True)))
    label, fewest = min(found.items(), key=lambda item: (item[1], item[0]))
    needed = max(3, folds)
    if fewest < needed:
        mend = f"Add images of that class, or leave out such classes with --drop-small {needed}."
        if fewest >= 3:
            mend = f"The largest --folds is {fewest}; lower it, or add images of that class."
        raise SteelbenchError(
            f"class '{classes[label]}' has {fewest} group{'' if fewest == 1 else 's'} of images that share nothing "
            f"with each other, --folds {folds} needs at least {needed}. {mend}"
        )


def _fixed_split(labels: Labels, groups: Groups, fixed: NDArray[np.str_], seed: int, classes: Sequence[str]) -> Split:
    train, validation, test = (np.flatnonzero(fixed == part) for part in ("train", "validation", "test"))
    train = np.union1d(train, np.flatnonzero(fixed == ""))
    _refuse_untrained(labels[train], classes)
    if not len(test):
        train, test = _draw(labels, groups, train, seed)
    if not len(validation):
        train, validation = _draw(labels, groups, train, seed)
    if not (len(train) and len(validation) and len(test)):
        raise SteelbenchError(
            f"the data's own split leaves {len(train)} training, {len(validation)} validation and {len(test)} test "
            "images; every part needs some. Add images that share nothing with the others, or --split regroup to "
            "ignore that split."
        )
    return Split(train, validation, test)


def _refuse_untrained(labels: Labels, classes: Sequence[str]) -> None:
    gone = [repr(name) for label, name in enumerate(classes) if label not in labels]
    if gone:
        raise SteelbenchError(
            f"the data's own split has no training image of {', '.join(gone)}; "
            "every class must be trained. Check the spelling of the class in each part, or add --split regroup, "
            "which ignores that split."
        )


def _draw(labels: Labels, groups: Groups, pool: RowIndices, seed: int) -> tuple[RowIndices, RowIndices]:
    """Draw four fifths and one fifth of the pool, every class in both where that is possible."""
    fewest, best = 3 * len(pool), pool
    # Classes of fewer than five images leave less than four fifths.
    folds = min(5, len(np.unique(groups[pool])), int(np.unique(labels[pool], return_counts=True)[1].max()))
    for draw in range(DRAWS if folds > 1 else 0):
        for part in _parts(labels, groups, pool, folds, seed * DRAWS + draw):
            missing = 2 * len(set(labels[pool])) - len(set(labels[part])) - len(set(labels[np.setdiff1d(pool, part)]))
            if missing < fewest:
                fewest, best = missing, part
            if missing == 0:
                return np.setdiff1d(pool, part), part
    return _complete(labels, groups, pool, best)


def _complete(labels: Labels, groups: Groups, pool: RowIndices, part: RowIndices) -> tuple[RowIndices, RowIndices]:
    """Move whole groups between the part and the rest until each holds every class; the rest is filled first."""
    rest = np.setdiff1d(pool, part)
    for label in np.unique(labels[pool]):
        if label not in labels[rest]:
            part, rest = _move(labels, groups, label, part, rest, strip=True)
    for label in np.unique(labels[pool]):
        if label not in labels[part]:
            rest, part = _move(labels, groups, label, rest, part, strip=False)
    return rest, part


def _move(
    labels: Labels, groups: Groups, label: int, source: RowIndices, target: RowIndices, *, strip: bool
) -> tuple[RowIndices, RowIndices]:
    """Move the smallest group with the label.

    Without `strip` only a group is moved that leaves the source an image of each of its classes.
    """
    sizes = Counter(groups[source].tolist())
    for group in sorted(set(groups[source[labels[source] == label]].tolist()), key=lambda g: (sizes[g], g)):
        moved = source[groups[source] == group]
        left = np.setdiff1d(source, moved)
        if strip or set(labels[moved]) <= set(labels[left]):
            return left, np.union1d(target, moved)
    return source, target


def _fold_parts(labels: Labels, groups: Groups, pool: RowIndices, folds: int, seed: int) -> list[RowIndices]:
    fewest, best = len(pool) * folds + 1, [pool]
    for draw in range(DRAWS):
        parts = list(_parts(labels, groups, pool, folds, seed * DRAWS + draw))
        missing = sum(len(set(labels[pool])) - len(set(labels[part])) for part in parts)
        if missing < fewest:
            fewest, best = missing, parts
        if missing == 0:
            break
    return best


def _parts(labels: Labels, groups: Groups, pool: RowIndices, folds: int, seed: int) -> Iterator[RowIndices]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # The grouped folds are found greedily, one group after another; where every group is one image the plain ones
    # are exact and faster. They put a class smaller than K into the same folds whatever the seed, so not for those.
    smallest = np.unique(labels[pool], return_counts=True)[1].min()
    single = len(np.unique(groups[pool])) == len(pool) and smallest >= folds
    folder = (StratifiedKFold if single else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A warning about a class smaller than the number of folds: `_draw` and `_fold_parts` draw again.
        warnings.simplefilter("ignore", UserWarning)
        for _, part in folder.split(pool, labels[pool], groups[pool]):
            yield pool[np.sort(part)]
