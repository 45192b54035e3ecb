"""The report's look at embeddings: which rows it shows, that files from outside do no harm, what the figures hold."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from results_folder import majority_row, model_row, summary, write_folder

from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.projection import project
from steelbench.evaluation.embeddings.retrieval import pair_cosines
from steelbench.records import Row, RunNotes
from steelbench.report.figures import style
from steelbench.report.figures.embeddings import Sheet, distances, read_sheets, tsne
from steelbench.report.results_page import build_report


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
    for place, one in enumerate(rows):
        write(tmp_path, one.name, images(seed=place))

    assert [sheet.row.name for sheet in read_sheets(tmp_path, rows)] == [
        "vgg19-softmax", "vgg19-supcon", "vgg19-knn", "vgg19-arcface",
    ]  # fmt: skip


def test_rows_that_share_an_embedding_are_shown_once(tmp_path):
    for method, seed in (("knn", 1), ("softmax", 1), ("triplet", 2), ("linear", 1)):
        write(tmp_path, f"vgg19-{method}", images(seed=seed))
    sheets = read_sheets(tmp_path, [row("knn"), row("triplet"), row("linear"), row("softmax")])

    assert [sheet.row.method for sheet in sheets] == ["softmax", "triplet"]


def test_distances_of_all_panels_have_one_scale():
    spreads = (0.01, 1.0)
    with style.house_style():
        figure = distances([Sheet(row(f"m{spread}"), images(spread=spread)) for spread in spreads])

    limits = {axis.get_xlim() for axis in figure.axes}
    assert len(limits) == 1
    [(low, high)] = limits
    assert low == 0 and high == pytest.approx(max(1 - pair_cosines(images(spread=s))[0].min() for s in spreads))


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
    with style.house_style():
        figure = draw(sheets)
        style.save(figure, tmp_path / "figure.png")

    assert isinstance(figure, Figure)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [f"vgg19 + m{place}" for place in range(count)]
    assert plt.get_fignums() == []


def test_images_of_one_class_have_one_histogram(tmp_path):
    alone = images()
    sheet = Sheet(row("supcon"), Embedded(alone.vectors, np.zeros(30, np.int64), alone.groups))
    with style.house_style():
        style.save(distances([sheet]), tmp_path / "figure.png")

    assert (tmp_path / "figure.png").stat().st_size > 1000


def cells(folder, scores):
    """The line of the table of embeddings, of a record that has these scores."""
    shown = model_row("vgg19", "supcon", 0.9)
    shown = shown.model_copy(update={"detail": shown.detail.model_copy(update={"notes": RunNotes(embedding=scores)})})
    page = build_report(write_folder(folder, summary([shown, majority_row()]))).read_text(encoding="utf-8")
    section = page[page.index('id="embeddings"') :].partition("</table>")[0]
    names = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', section)
    values = re.findall(r"<t[dh](?: class=\"n\"| scope=\"row\")>(.*?)</t[dh]>", section.partition("<tbody>")[2])
    return dict(zip(names, values, strict=True))


def test_the_table_shows_what_few_images_are_worth(tmp_path):
    shown = cells(tmp_path, {"knn_accuracy": 0.5, "few_shot_1": 0.612, "few_shot_1_low": 0.6, "few_shot_5": None})

    assert (shown["k-NN"], shown["1-shot"], shown["5-shot"]) == ("50.0 %", "61.2 %", "–")


def test_a_record_from_before_few_images_were_asked_is_still_reported(tmp_path):
    shown = cells(tmp_path, {"knn_accuracy": 0.5, "recall_at_1": 0.75})

    assert (shown["Recall@1"], shown["1-shot"], shown["5-shot"]) == ("75.0 %", "–", "–")
