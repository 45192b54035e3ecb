"""The worker measures what more images bring on the splits of seed 0, and not with an untrained network."""

from types import SimpleNamespace

import numpy as np
import pytest

from steelbench.data.splits import Split
from steelbench.records import read_label_efficiency
from steelbench.runs.label_efficiency import measure_label_efficiency

LABELS = np.arange(60) % 2


def job(results, kind="imagenet", homogenize="none", seed=0):
    """A job with three folds of two seeds, as far as the measurement looks at it."""
    parts = np.array_split(np.arange(60), 3)
    splits = [
        SimpleNamespace(
            seed=own, fold=fold, split=Split(np.setdiff1d(np.arange(60), part), np.empty(0, np.int64), part)
        )
        for own in (0, 1)
        for fold, part in enumerate(parts)
    ]
    data = SimpleNamespace(
        labels=LABELS, classes=["a", "b"], splits=splits, images=[SimpleNamespace(group=row) for row in range(60)]
    )
    return SimpleNamespace(
        backbone="net", image_size=64, results=str(results), homogenize=homogenize, data=data,
        parts=[SimpleNamespace(origin={"kind": kind})], own_split=splits[0].split,
        tasks=[SimpleNamespace(key=SimpleNamespace(seed=seed, fold=0))],
    )  # fmt: skip


@pytest.fixture
def features():
    return (np.eye(2, 4)[LABELS] + np.random.default_rng(0).normal(0, 0.4, (60, 4))).astype(np.float32)


def test_every_image_is_tested_once_by_the_folds_of_seed_0(tmp_path, features):
    measure_label_efficiency(job(tmp_path), features)

    (found,) = read_label_efficiency(tmp_path)
    assert (found.backbone, found.splits, [own.tested for own in found.classes]) == ("net", 3, [30, 30])


def test_homogenised_features_serve_the_split_that_they_are_of(tmp_path, features):
    measure_label_efficiency(job(tmp_path, homogenize="global"), features)
    (found,) = read_label_efficiency(tmp_path)
    assert (found.splits, found.draws) == (1, 3)

    measure_label_efficiency(job(tmp_path / "other", homogenize="global", seed=1), features)
    assert read_label_efficiency(tmp_path / "other") == []


@pytest.mark.parametrize("kind", ["random", "imagenet"])
def test_an_untrained_network_and_features_that_are_no_numbers_are_not_measured(tmp_path, features, kind):
    if kind == "imagenet":
        features[0] = np.nan
    measure_label_efficiency(job(tmp_path, kind=kind), features)

    assert read_label_efficiency(tmp_path) == []


def test_a_damaged_record_is_left_out(tmp_path, features):
    measure_label_efficiency(job(tmp_path), features)
    (tmp_path / "label_efficiency" / "a.json").write_text('{"backbone": 3}', encoding="utf-8")

    assert [own.backbone for own in read_label_efficiency(tmp_path)] == ["net"]
