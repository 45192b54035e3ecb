"""The leaderboard against plain loops over `predictions.csv`, and its intervals against scipy's beta distribution."""

import csv
import json

import numpy as np
import pytest
from scipy import optimize, stats

from steelbench.csv_files import read_csv
from steelbench.errors import SteelbenchError
from steelbench.evaluation.leaderboard import COLUMNS, assemble
from steelbench.evaluation.outcome import RunOutcome
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import write_json
from steelbench.records import (
    Cost,
    DatasetSummary,
    Notice,
    RunKey,
    RunRecord,
    SplitSummary,
    UnknownRecord,
    cost_file,
    unknown_file,
)

CLASSES = ["=sum(1)", 'a,"b" <i>', "rißig"]
IMAGES = 45
DATASET = DatasetSummary(name="steel", images=IMAGES)


def split_of(seeds, folds):
    return SplitSummary(seeds=seeds, folds=folds)


def write_run(results, name, *, seed=0, fold=0, folds=1, wrong=0.2, validation=0.5, steps=None, **more):
    """A run whose test set is every `folds`-th image, off by one class for a share of them."""
    backbone, method, *variant = name.split("-")
    rng = np.random.default_rng([seed, fold, len(name)])
    test = [image for image in range(IMAGES) if (image + seed) % max(folds, 2) == fold]
    truth = [image % 3 for image in test]
    guess = [(label + (rng.random() < wrong)) % 3 for label in truth]
    probabilities = np.full((len(test), 3), 0.1, np.float32)
    probabilities[range(len(test)), guess] = 0.8
    fields = {
        "settings": {}, "fingerprint": "f", "classes": CLASSES, "n_train": 9, "n_validation": 9, "n_test": len(test),
        "image_size": 32, "weights": {"kind": "imagenet"}, "engine": "keras", "precision": "float32", "params": 7,
        "metrics": {
            **{part: {"accuracy": validation} for part in ("train", "validation")},
            "test": {"accuracy": float(np.mean(np.array(truth) == guess))},
        },
        "seconds": steps or {"fit": 1.0},
    } | more  # fmt: skip
    record = RunRecord(backbone=backbone, method=method, variant="".join(variant), seed=seed, fold=fold, **fields)
    folder = results / "runs" / record.run_name
    paths = [f"{CLASSES[image % 3]}/{image}.png" for image in test]
    write_predictions(folder / "predictions.csv", paths, [CLASSES[t] for t in truth], probabilities, CLASSES)
    write_json(folder / "result.json", record)
    return folder


def assembled(results, seeds=1, folds=1, failures=None, notices=()):
    weights = {"vgg19": "imagenet", "hub:x": "preset"}
    return assemble(results, RunOutcome(DATASET, split_of(seeds, folds), failures or {}, list(notices), weights))


def read_lines(results, name, seed=None):
    """(path, label, predicted) of every run of a row."""
    lines = []
    for folder in sorted((results / "runs").glob(f"{name}-s{'*' if seed is None else seed}-f*")):
        found = read_csv(folder / "predictions.csv")
        lines += [(line["path"], line["label"], line["predicted"]) for line in found]
    return lines


def f1_of(lines, name):
    hits = sum(label == guess == name for _, label, guess in lines)
    wanted = sum(label == name for _, label, _ in lines)
    named = sum(guess == name for _, _, guess in lines)
    return 2 * hits / (wanted + named) if wanted + named else 0.0


def limits(share, n):
    """The mid-P interval: half of the outcome seen and all beyond it have 2.5 %; `share * n` need not be whole."""
    hits = share * n

    def beyond(p):
        return (stats.beta.cdf(p, hits, n - hits + 1) + stats.beta.cdf(p, hits + 1, n - hits)) / 2

    return tuple(optimize.brentq(lambda p, tail=tail: beyond(p) - tail, 0, 1) for tail in (0.025, 0.975))


@pytest.mark.parametrize(("seeds", "folds"), [(1, 1), (3, 1), (1, 5), (2, 3)])
def test_scores_are_those_of_plain_loops_over_the_predictions(tmp_path, seeds, folds):
    for seed in range(seeds):
        for fold in range(folds):
            write_run(tmp_path, "vgg19-softmax", seed=seed, fold=fold, folds=folds)

    row = assembled(tmp_path, seeds, folds).rows[0]

    pooled = [read_lines(tmp_path, "vgg19-softmax", seed) for seed in range(seeds)]
    everything = [line for lines in pooled for line in lines]
    shares = [sum(label == guess for _, label, guess in lines) / len(lines) for lines in pooled]
    assert row.accuracy == pytest.approx(sum(shares) / seeds)
    assert row.macro_f1 == pytest.approx(sum(f1_of(lines, name) for lines in pooled for name in CLASSES) / seeds / 3)
    assert row.n_test == len({path for path, _, _ in everything})
    assert (row.accuracy_low, row.accuracy_high) == pytest.approx(limits(row.accuracy, row.n_test))
    counted = [[sum((a, b) == (label, guess) for _, label, guess in everything) for b in CLASSES] for a in CLASSES]
    assert row.confusion == counted
    for index, score in enumerate(row.per_class):
        named = sum(line[index] for line in counted)
        assert score.name == CLASSES[index] and score.support == sum(counted[index])
        assert score.recall == pytest.approx(counted[index][index] / score.support)
        assert score.precision == pytest.approx(counted[index][index] / named)
        assert score.f1 == pytest.approx(f1_of(everything, score.name))


def test_every_image_of_cross_validation_counts_once_however_many_seeds(tmp_path):
    for seed in range(2):
        for fold in range(3):
            write_run(tmp_path, "vgg19-softmax", seed=seed, fold=fold, folds=3)

    assert assembled(tmp_path, 2, 3).rows[0].n_test == IMAGES


@pytest.mark.parametrize(("wrong", "accuracy"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_interval_of_perfect_and_of_hopeless_rows_holds_the_value_and_stays_within_0_and_1(
    tmp_path, wrong, accuracy
):
    write_run(tmp_path, "vgg19-softmax", wrong=wrong)

    row = assembled(tmp_path).rows[0]

    assert row.accuracy == accuracy
    assert 0 <= row.accuracy_low <= row.accuracy <= row.accuracy_high <= 1


def test_a_class_without_test_images_is_left_out_and_not_counted_as_zero(tmp_path):
    folder = write_run(tmp_path, "vgg19-softmax", wrong=0.0)
    lines = [line for line in read_lines(tmp_path, "vgg19-softmax") if line[1] != CLASSES[2]]
    probabilities = np.float32([[line[1] == name for name in CLASSES] for line in lines])
    write_predictions(folder / "predictions.csv", [a for a, _, _ in lines], [b for _, b, _ in lines], probabilities, CLASSES)  # noqa: E501 # fmt: skip
    record = json.loads((folder / "result.json").read_text())
    write_json(folder / "result.json", record | {"n_test": len(lines)})

    row = assembled(tmp_path).rows[0]

    assert row.macro_f1 == 1 and row.per_class[2].support == 0


def test_rows_are_sorted_best_first_and_failed_ones_last_with_their_reason(tmp_path):
    write_run(tmp_path, "vgg19-softmax", wrong=0.5)
    write_run(tmp_path, "xception-softmax", wrong=0.0)
    write_run(tmp_path, "none-majority", wrong=0.7)
    write_run(tmp_path, "resnet50-softmax", wrong=0.0)
    failures = {
        RunKey(backbone="resnet50", method="softmax"): 'OSError: a, "b"\nand more',
        RunKey(backbone="vgg19", method="linear", variant="c.s=2"): "it died",
    }

    summary = assembled(tmp_path, failures=failures)

    names = [row.name for row in summary.rows]
    assert names == ["xception-softmax", "vgg19-softmax", "none-majority", "resnet50-softmax", "vgg19-linear-c.s=2"]
    lost = summary.rows[-1]
    assert (lost.backbone, lost.method, lost.variant, lost.status) == ("vgg19", "linear", "c.s=2", "failed")
    assert lost.reason == "it died" and lost.weights == "imagenet" and lost.accuracy is None
    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [f"{line['backbone']}-{line['method']}" for line in lines] == [name[: name.rindex("-c")] if "-c" in name else name for name in names]  # noqa: E501 # fmt: skip
    assert lines[3]["reason"] == 'OSError: a, "b"\nand more' and lines[3]["accuracy"] == ""


def test_a_row_with_missing_runs_is_failed_and_says_how_many(tmp_path):
    for fold in (0, 2):
        write_run(tmp_path, "vgg19-softmax", fold=fold, folds=3)

    row = assembled(tmp_path, folds=3).rows[0]

    assert (row.status, row.reason, row.accuracy) == ("failed", "unfinished: 2 of 3 runs", None)


def test_several_failures_of_a_row_are_counted_and_the_first_is_told(tmp_path):
    failures = {RunKey(backbone="vgg19", method="softmax", fold=fold): f"reason {fold}" for fold in range(3)}

    row = assembled(tmp_path, folds=3, failures=failures).rows[0]

    assert row.reason == "3 runs failed, vgg19-softmax-s0-f0: reason 0"


def test_a_row_that_failed_keeps_the_backbone_as_the_user_named_it_and_its_weights(tmp_path):
    row = assembled(tmp_path, failures={RunKey(backbone="hub:x", method="knn", variant="k-s9"): "it died"}).rows[0]

    assert (row.name, row.backbone, row.method, row.variant) == ("hub_x-knn-k-s9", "hub:x", "knn", "k-s9")
    assert row.weights == "preset"


def test_what_runs_of_a_backbone_share_is_counted_once_and_the_rest_added(tmp_path):
    for fold in range(3):
        write_run(tmp_path, "vgg19-softmax", fold=fold, folds=3, steps={"load": 5.0, "features": 7.0, "fit": 2.0})

    assert assembled(tmp_path, folds=3).rows[0].seconds == pytest.approx(5 + 7 + 3 * 2)


def test_the_csv_has_the_promised_columns_and_the_json_no_nan(tmp_path):
    write_run(tmp_path, "none-majority", validation=None)

    assembled(tmp_path, notices=[Notice(level="note", text="a word")])

    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        header, line = list(csv.reader(file))
    assert tuple(header) == COLUMNS and len(line) == len(COLUMNS)
    summary = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert summary["warnings"][0]["text"] == "a word" and summary["rows"][0]["validation_accuracy"] is None


def write_groups(results, size):
    """`size` images after one another share pixels."""
    (results / "audit").mkdir()
    lines = [f'"{CLASSES[image % 3]}/{image}.png",{image // size}' for image in range(IMAGES)]
    lines = [line.replace('a,"b"', 'a,""b""') for line in lines]
    (results / "audit" / "groups.csv").write_text("\n".join(["file,group", *lines]), encoding="utf-8")


def test_images_that_share_pixels_widen_the_intervals_and_leave_the_numbers(tmp_path):
    for fold in range(5):
        write_run(tmp_path, "vgg19-softmax", fold=fold, folds=5)
    alone = assembled(tmp_path, folds=5).rows[0]

    write_groups(tmp_path, 9)
    grouped = assembled(tmp_path, folds=5).rows[0]

    assert (grouped.accuracy, grouped.macro_f1, grouped.n_test) == (alone.accuracy, alone.macro_f1, alone.n_test)
    assert grouped.n_effective < alone.n_effective == IMAGES
    assert grouped.accuracy_low < alone.accuracy_low < alone.accuracy < alone.accuracy_high < grouped.accuracy_high
    assert grouped.macro_f1_low < alone.macro_f1_low < alone.macro_f1 < alone.macro_f1_high < grouped.macro_f1_high
    assert all(a.recall_low <= b.recall_low for a, b in zip(grouped.per_class, alone.per_class, strict=True))


def test_rows_are_held_against_the_best_one_the_majority_class_is_not(tmp_path):
    write_run(tmp_path, "vgg19-softmax", wrong=0.0)
    write_run(tmp_path, "xception-softmax", wrong=0.1)
    write_run(tmp_path, "none-hog", wrong=0.9)
    write_run(tmp_path, "none-majority", wrong=0.7)

    summary = assembled(tmp_path, failures={RunKey(backbone="resnet50", method="softmax"): "it died"})

    assert {row.name: row.tied for row in summary.rows} == {
        "vgg19-softmax": True, "xception-softmax": True, "none-hog": False, "none-majority": None,
        "resnet50-softmax": None,
    }  # fmt: skip
    hog = next(row for row in summary.rows if row.method == "hog")
    errors = round(hog.n_test * (1 - hog.accuracy))
    assert hog.p_value == pytest.approx(2 * stats.binomtest(errors, errors, 0.5).pvalue)
    assert summary.judgement.best == "vgg19-softmax"
    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        told = {line["method"] + line["backbone"]: line for line in csv.DictReader(file)}
    assert [told[key]["tied"] for key in ("softmaxvgg19", "hognone", "majoritynone")] == ["true", "false", ""]
    assert float(told["hognone"]["p_value"]) == pytest.approx(hog.p_value, rel=1e-4)


def test_the_naive_split_is_told_beside_the_accuracy(tmp_path):
    parts = {part: {"accuracy": 0.5} for part in ("train", "validation")}
    naive = {"accuracy": 0.9, "macro_f1": 0.8, "loss": 0.1, "images": 40.0}
    write_run(tmp_path, "vgg19-softmax", metrics=parts | {"naive": naive})
    write_run(tmp_path, "none-hog", wrong=0.9)

    rows = assembled(tmp_path).rows

    assert [row.naive_accuracy for row in rows] == [0.9, None]
    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        assert [line["naive_accuracy"] for line in csv.DictReader(file)] == ["0.9", ""]


def cut(path):
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-3]), encoding="utf-8")


def relabel(path):
    path.write_text(path.read_text(encoding="utf-8").replace("rißig,", "rissig,"), encoding="utf-8")


@pytest.mark.parametrize(
    "spoil", [cut, relabel, lambda path: path.unlink(), lambda path: path.write_bytes(b"\xff\xfe\0")]
)
def test_predictions_that_were_tampered_with_are_refused_and_named(tmp_path, spoil):
    folder = write_run(tmp_path, "vgg19-softmax")
    spoil(folder / "predictions.csv")

    with pytest.raises(SteelbenchError, match=r"predictions\.csv .*--force"):
        assembled(tmp_path)


def test_a_cost_belongs_to_one_run_and_a_damaged_one_is_left_out(tmp_path):
    for name in ("vgg19-softmax", "vgg19-linear", "vgg19-knn", "vgg19-supcon"):
        write_run(tmp_path, name)
    cost = Cost(fingerprint="f", multiply_adds=7)
    write_json(cost_file(tmp_path, "vgg19-softmax"), cost)
    write_json(cost_file(tmp_path, "vgg19-linear"), cost.model_copy(update={"fingerprint": "of an older run"}))
    cost_file(tmp_path, "vgg19-knn").write_text("{", encoding="utf-8")

    found = {row.method: row.cost for row in assembled(tmp_path).rows}

    assert found == {"softmax": cost, "linear": None, "knn": None, "supcon": None}


def test_the_test_with_unknown_defects_belongs_to_a_row_only_if_it_is_of_the_same_run(tmp_path):
    for name in ("vgg19-softmax", "vgg19-linear", "vgg19-knn"):
        write_run(tmp_path, name)
    for name, own in (("vgg19-softmax", "f"), ("vgg19-linear", "g")):
        write_json(unknown_file(tmp_path, name), UnknownRecord(name=name, fingerprint=own, reason="why"))

    rows = {row.name: row.unknown for row in assembled(tmp_path).rows}

    assert rows["vgg19-softmax"].reason == "why" and rows["vgg19-linear"] is rows["vgg19-knn"] is None
