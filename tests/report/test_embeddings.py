"""The report's look at embeddings: which rows it shows, that files from outside do no harm, what the figures hold."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from steelbench.evaluation.retrieval import Embedded
from steelbench.report import canvas
from steelbench.report.embeddings import Sheet, distances, project, read_sheets, tsne
from steelbench.results import Row


def row(method, backbone="vgg19"):
    name = f"{backbone}-{method}"
    return Row(
        name=name, backbone=backbone, method=method, weights="imagenet", status="done", accuracy=0.9,
        runs=[f"{name}-s0-f0", f"{name}-s1-f0"],
    )  # fmt: skip


def images(n=30, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    vectors = np.eye(3, 8, dtype=np.float32)[labels] + spread * rng.standard_normal((n, 8)).astype(np.float32)
    return Embedded(vectors.astype(np.float32), labels, np.arange(n))


def write(results, name, found):
    folder = results / "runs" / f"{name}-s0-f0"
    folder.mkdir(parents=True)
    np.savez(folder / "embeddings.npz", vectors=found.vectors, labels=found.labels, groups=found.groups)


def test_rows_of_the_best_learned_embedding_s_backbone_come_with_cross_entropy_first(tmp_path):
    rows = [row("supcon"), row("softmax", "resnet50"), row("knn"), row("softmax"), row("arcface")]
    for one in rows:
        write(tmp_path, one.name, images())

    assert [sheet.row.name for sheet in read_sheets(tmp_path, rows)] == [
        "vgg19-softmax", "vgg19-supcon", "vgg19-knn", "vgg19-arcface",
    ]  # fmt: skip


def test_without_a_learned_embedding_nothing_is_shown(tmp_path):
    write(tmp_path, "vgg19-softmax", images())

    assert read_sheets(tmp_path, [row("softmax"), row("knn")]) == []


@pytest.mark.parametrize("damage", ["missing", "text", "pickle", "nan", "lengths", "no vectors"])
def test_damaged_files_are_left_out(tmp_path, damage):
    good = images()
    write(tmp_path, "vgg19-softmax", good)
    path = tmp_path / "runs" / "vgg19-supcon-s0-f0" / "embeddings.npz"
    path.parent.mkdir()
    if damage == "text":
        path.write_text("no arrays")
    elif damage == "pickle":
        np.savez(path, vectors=np.array([{}], object), labels=good.labels, groups=good.groups)
    elif damage == "nan":
        np.savez(path, vectors=good.vectors * np.nan, labels=good.labels, groups=good.groups)
    elif damage == "lengths":
        np.savez(path, vectors=good.vectors[:-1], labels=good.labels, groups=good.groups)
    elif damage == "no vectors":
        np.savez(path, labels=good.labels, groups=good.groups)

    assert [sheet.row.method for sheet in read_sheets(tmp_path, [row("supcon"), row("softmax")])] == ["softmax"]


def test_classes_that_lie_apart_lie_apart_on_the_map():
    points, labels = project(images(60, spread=0.02))
    centres = np.stack([points[labels == label].mean(axis=0) for label in range(3)])
    within = max(np.linalg.norm(points[labels == label] - centres[label], axis=1).mean() for label in range(3))
    between = min(np.linalg.norm(centres[a] - centres[b]) for a in range(3) for b in range(a))

    assert between > 2 * within
    assert np.array_equal(points, project(images(60, spread=0.02))[0])


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("draw", [lambda sheets: tsne(sheets, ["a", "b", "$x^2$"]), distances])
def test_each_sheet_has_its_panel(count, draw, tmp_path):
    sheets = [Sheet(row(f"m{place}"), images(seed=place)) for place in range(count)]
    with canvas.house_style():
        figure = draw(sheets)
        canvas.save(figure, tmp_path / "figure.png")

    assert isinstance(figure, Figure)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [f"vgg19 + m{place}" for place in range(count)]
    assert plt.get_fignums() == []


def test_images_of_one_class_have_one_histogram(tmp_path):
    alone = images()
    sheet = Sheet(row("supcon"), Embedded(alone.vectors, np.zeros(30, np.int64), alone.groups))
    with canvas.house_style():
        canvas.save(distances([sheet]), tmp_path / "figure.png")

    assert (tmp_path / "figure.png").stat().st_size > 1000
