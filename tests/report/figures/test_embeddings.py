"""Which embeddings the report draws, what the figures hold, and that a damaged file is left out."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from results_folder import majority_row, model_row, summary, write_folder

from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.embedding_file import write_embeddings
from steelbench.evaluation.embeddings.projection import Projection
from steelbench.evaluation.embeddings.retrieval import pair_cosines
from steelbench.records import Row, RunNotes
from steelbench.report.figures import embeddings, style
from steelbench.report.figures.embeddings import EmbeddedRow, distances, read_embedded_rows, tsne
from steelbench.report.results_page import build_report


def row(method, backbone="vgg19"):
    name = f"{backbone}-{method}"
    return Row(
        name=name,
        backbone=backbone,
        method=method,
        weights="imagenet",
        status="done",
        accuracy=0.9,
        runs=[f"{name}-s0-f0", f"{name}-s1-f0"],
    )


def images(n=30, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    vectors = np.eye(3, 8, dtype=np.float32)[labels] + spread * rng.standard_normal((n, 8)).astype(np.float32)
    return Embedded(vectors.astype(np.float32), labels, np.arange(n))


def write(results, name, found):
    folder = results / "runs" / f"{name}-s0-f0"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "embeddings.npz", vectors=found.vectors, labels=found.labels, groups=found.groups)


def test_rows_of_the_best_learned_embedding_s_backbone_come_with_cross_entropy_first(tmp_path):
    rows = [row("supcon"), row("softmax", "resnet50"), row("knn"), row("softmax"), row("arcface")]
    for place, one in enumerate(rows):
        write(tmp_path, one.name, images(seed=place))

    assert [embedded.row.name for embedded in read_embedded_rows(tmp_path, rows)] == [
        "vgg19-softmax",
        "vgg19-supcon",
        "vgg19-knn",
        "vgg19-arcface",
    ]


def test_rows_that_share_an_embedding_are_shown_once(tmp_path):
    for method, seed in (("knn", 1), ("softmax", 1), ("triplet", 2), ("linear", 1)):
        write(tmp_path, f"vgg19-{method}", images(seed=seed))
    rows = read_embedded_rows(tmp_path, [row("knn"), row("triplet"), row("linear"), row("softmax")])

    assert [embedded.row.method for embedded in rows] == ["softmax", "triplet"]


def test_distances_of_all_panels_have_one_scale():
    spreads = (0.01, 1.0)
    with style.figure_style():
        figure = distances([EmbeddedRow(row(f"m{spread}"), images(spread=spread)) for spread in spreads])

    limits = {axis.get_xlim() for axis in figure.axes}
    assert len(limits) == 1
    [(low, high)] = limits
    assert low == 0 and high == pytest.approx(max(1 - pair_cosines(images(spread=s))[0].min() for s in spreads))


def test_without_a_learned_embedding_nothing_is_shown(tmp_path):
    write(tmp_path, "vgg19-softmax", images())

    assert read_embedded_rows(tmp_path, [row("softmax"), row("knn")]) == []


def test_a_row_whose_file_is_missing_or_damaged_is_left_out(tmp_path):
    write(tmp_path, "vgg19-softmax", images())
    write(tmp_path, "vgg19-triplet", images(seed=1))
    (tmp_path / "runs" / "vgg19-triplet-s0-f0" / "embeddings.npz").write_text("no arrays")

    found = read_embedded_rows(tmp_path, [row("supcon"), row("triplet"), row("softmax")])
    assert [embedded.row.method for embedded in found] == ["softmax"]


def drawn(axis):
    """The points in a panel, as the classes are drawn one after another."""
    return np.concatenate([np.asarray(collection.get_offsets()) for collection in axis.collections])


def test_a_map_shows_the_points_that_the_run_stored_and_computes_none(monkeypatch):
    monkeypatch.setattr(embeddings, "project", lambda images: pytest.fail("computed"))
    points = np.float32([[0, 1], [2, 3], [4, 5], [6, 7]])
    # Of the 30 images of the classes 0, 1, 2, 0, 1, 2, ... these four.
    stored = Projection(points, np.array([1, 3, 4, 29]))
    with style.figure_style():
        figure = tsne([EmbeddedRow(row("supcon"), images(), stored)], ["a", "b", "c"])

    np.testing.assert_array_equal(drawn(figure.axes[0]), points[[1, 0, 2, 3]])


def test_a_map_of_a_run_that_stored_no_points_is_the_same(tmp_path):
    for method, with_projection in (("supcon", True), ("triplet", False)):
        folder = tmp_path / "runs" / f"vgg19-{method}-s0-f0"
        write_embeddings(folder, images(), with_projection=with_projection)
    rows = [read_embedded_rows(tmp_path, [row(method)])[0] for method in ("supcon", "triplet")]
    with style.figure_style():
        stored, computed = (drawn(tsne([own], ["a", "b", "c"]).axes[0]) for own in rows)

    assert rows[0].projection is not None and rows[1].projection is None
    np.testing.assert_array_equal(stored, computed)


@pytest.mark.parametrize("value", [0, 1])
def test_embeddings_that_are_all_the_same_have_panels_that_say_so(tmp_path, value):
    good = images()
    same = Embedded(np.full_like(good.vectors, value), good.labels, good.groups)
    shown = [model_row("vgg19", method, accuracy) for method, accuracy in (("supcon", 0.9), ("triplet", 0.8))]
    write_folder(tmp_path, summary(shown))
    for one, found in zip(shown, (same, good), strict=True):
        write(tmp_path, one.name, found)
    rows = read_embedded_rows(tmp_path, shown)
    with style.figure_style():
        maps = tsne(rows, ["a", "b", "c"])

    texts = [[text.get_text() for text in axis.texts] for axis in maps.axes]
    assert texts == [["no map: the embeddings\nare all the same"], []]
    assert [len(drawn(axis)) for axis in maps.axes] == [0, 30]
    assert [text.get_text() for text in maps.legends[0].get_texts()] == ["a", "b", "c"]
    build_report(tmp_path)
    assert {"embeddings-tsne", "embeddings-distances"} <= {path.stem for path in (tmp_path / "figures").iterdir()}


def test_distances_of_embeddings_that_are_all_the_same_have_an_axis(tmp_path):
    good = images()
    same = Embedded(np.ones_like(good.vectors), good.labels, good.groups)
    with style.figure_style():
        figure = distances([EmbeddedRow(row("supcon"), same)])
        style.save(figure, tmp_path / "figure.png")

    low, high = figure.axes[0].get_xlim()
    assert low == 0 < high < 0.01


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("draw", [lambda rows: tsne(rows, ["a", "b", "$x^2$"]), distances])
def test_each_row_has_its_panel(count, draw, tmp_path):
    rows = [EmbeddedRow(row(f"m{place}"), images(seed=place)) for place in range(count)]
    with style.figure_style():
        figure = draw(rows)
        style.save(figure, tmp_path / "figure.png")

    assert isinstance(figure, Figure)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [f"vgg19 + m{place}" for place in range(count)]
    assert plt.get_fignums() == []


def test_images_of_one_class_have_one_histogram():
    found = images()
    alone = EmbeddedRow(row("supcon"), Embedded(found.vectors, np.zeros(30, np.int64), found.groups))
    with style.figure_style():
        figure = distances([alone])

    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["same class"]
    (histogram,) = figure.axes[0].collections
    assert histogram.get_label() == "same class"


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
