"""Escape and overkill against loops over `predictions.csv`, and the class of sound material by its name."""

import csv

import numpy as np
import pytest
from scipy.stats import binom

from steelbench.errors import SteelbenchError
from steelbench.evaluation.leaderboard import assemble
from steelbench.evaluation.outcome import RunOutcome
from steelbench.evaluation.predictions import write_predictions
from steelbench.evaluation.sound_material import find_none_class
from steelbench.files import write_json
from steelbench.records import DatasetSummary, RunRecord, SplitSummary, Summary, read_record

CLASSES = ["ok", "pit", "scratch"]
IMAGES = 900
DATASET = DatasetSummary(name="steel", images=IMAGES)


def write_runs(results, seeds=1, group=1, seed=7):
    """Three classes; a third of the defects' errors are escapes; `group` images of a class share pixels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(IMAGES) // group % 3
    names = [f"{CLASSES[label]}/{image:04d}.png" for image, label in enumerate(truth)]
    for number in range(seeds):
        hard = rng.random(IMAGES // group + 1)[np.arange(IMAGES) // group] < 0.1
        wrong = rng.random(IMAGES) < np.where(hard, 0.5, 0.02)
        answer = np.where(wrong, (truth + rng.integers(1, 3, IMAGES)) % 3, truth)
        sure = np.where(wrong, rng.uniform(0.4, 0.9, IMAGES), rng.uniform(0.6, 1.0, IMAGES))
        shares = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1).astype(np.float32)
        shares[range(IMAGES), answer] = sure
        record = RunRecord(
            backbone="vgg19", method="softmax", seed=number, fold=0, settings={}, fingerprint="f", classes=CLASSES,
            n_train=9, n_validation=9, n_test=IMAGES, image_size=32, weights={"kind": "imagenet"}, engine="keras",
            precision="float32", params=7, seconds={"fit": 1.0},
            metrics={part: {"accuracy": float(np.mean(answer == truth))} for part in ("train", "validation", "test")},
        )  # fmt: skip
        folder = results / "runs" / record.run_name
        write_predictions(folder / "predictions.csv", names, [CLASSES[label] for label in truth], shares, CLASSES)
        write_json(folder / "result.json", record)
    (results / "audit").mkdir(exist_ok=True)
    lines = [
        f"{name},{CLASSES[label]}{image // group}" for image, (name, label) in enumerate(zip(names, truth, strict=True))
    ]
    (results / "audit" / "groups.csv").write_text("\n".join(["file,group", *lines]) + "\n")


def assembled(results, none_class="ok", seeds=1):
    return assemble(results, RunOutcome(DATASET, SplitSummary(seeds=seeds), none_class=none_class))


def answers_of(results):
    """(label, predicted, confidence, path) of every answer."""
    found = []
    for path in sorted(results.glob("runs/*/predictions.csv")):
        with path.open(newline="") as file:
            for line in csv.DictReader(file):
                found.append(
                    (line["label"], line["predicted"], max(float(line[f"p_{name}"]) for name in CLASSES), line["path"])
                )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    results = tmp_path_factory.mktemp("sound")
    write_runs(results, seeds=2)
    return results


def test_escape_overkill_and_misnamed_are_counted_by_hand(folder):
    sound = assembled(folder, seeds=2).rows[0].sound

    answers = answers_of(folder)
    defects = [(label, said) for label, said, _, _ in answers if label != "ok"]
    good = [said for label, said, _, _ in answers if label == "ok"]
    assert sound.name == "ok"
    assert sound.escape.share == pytest.approx(sum(said == "ok" for _, said in defects) / len(defects), abs=1e-12)
    assert sound.overkill.share == pytest.approx(sum(said != "ok" for said in good) / len(good), abs=1e-12)
    assert sound.misnamed.share == pytest.approx(
        sum(said not in (label, "ok") for label, said in defects) / len(defects)
    )
    assert (sound.escape.images, sound.overkill.images) == (600, 300)


def test_overkill_is_what_recall_of_the_sound_class_leaves_and_its_interval_too(folder):
    row = assembled(folder, seeds=2).rows[0]

    recall = row.per_class[0]
    assert row.sound.overkill.share == pytest.approx(1 - recall.recall)
    assert (row.sound.overkill.low, row.sound.overkill.high) == pytest.approx(
        (1 - recall.recall_high, 1 - recall.recall_low), abs=1e-6
    )


def test_the_interval_of_single_images_is_mid_p_and_groups_widen_it(tmp_path):
    write_runs(tmp_path / "alone")
    write_runs(tmp_path / "groups", group=5)

    alone, grouped = (assembled(tmp_path / name).rows[0].sound.escape for name in ("alone", "groups"))

    grid = np.linspace(0, 0.3, 300_001)
    hits = round(alone.share * 600)
    mid = binom.cdf(hits, 600, grid) - binom.pmf(hits, 600, grid) / 2
    assert alone.n_effective == pytest.approx(600)
    assert alone.low == pytest.approx(grid[np.argmin(np.abs(mid - 0.975))], abs=1e-5)
    assert alone.high == pytest.approx(grid[np.argmin(np.abs(mid - 0.025))], abs=1e-5)
    assert grouped.n_effective < 500


def test_a_promise_is_about_the_images_with_a_defect(folder):
    """Learn then test by hand: binomial tests from the highest threshold down, on one image of each group."""
    trust = assembled(folder, seeds=2).rows[0].trust
    answers = answers_of(folder)
    defects = [own for own in answers if own[0] != "ok"]

    assert trust.none_class == "ok"
    for threshold, escaped, overkilled, referred in zip(
        trust.thresholds, trust.escaped, trust.overkilled, trust.referred, strict=True
    ):
        alone = [(label, said) for label, said, sure, _ in answers if sure >= threshold]
        assert escaped == pytest.approx(sum(label != "ok" and said == "ok" for label, said in alone) / len(defects))
        assert overkilled == pytest.approx(sum(label == "ok" and said != "ok" for label, said in alone) / 600)
        assert referred == pytest.approx(1 - len(alone) / len(answers))
    two = next(own for own in trust.promises if own.escapes == 0.02)
    at = trust.thresholds.index(two.threshold)
    assert two.threshold > 0 and two.referred == pytest.approx(trust.referred[at])
    # 600 images of defects, one answer of each: at the promised threshold so few escapes have a chance below 5 %.
    assert binom.cdf(round(trust.escaped[at] * 600), 600, 0.02) < 0.2


def test_without_a_class_of_sound_material_everything_is_as_it_was(folder):
    with_class, without = assembled(folder, seeds=2), assembled(folder, "", seeds=2)

    row = without.rows[0]
    assert row.sound is None and row.trust.none_class == "" and without.none_class == ""
    wrong = [sure for label, said, sure, _ in answers_of(folder) if label != said]
    assert row.trust.escaped[0] == pytest.approx(len(wrong) / 1800)
    kept = {"sound", "trust"}
    assert with_class.rows[0].model_dump(exclude=kept) == row.model_dump(exclude=kept)


def test_a_record_of_before_is_read(folder, tmp_path):
    summary = assembled(folder, "", seeds=2).model_dump(mode="json")
    summary.pop("none_class")
    for row in summary["rows"]:
        row.pop("sound")
        for name in ("none_class", "overkilled"):
            row["trust"].pop(name)
    write_json(tmp_path / "results.json", summary)

    assert read_record(tmp_path / "results.json", Summary).none_class == ""


def test_the_table_has_the_shares_and_their_limits(folder):
    sound = assembled(folder, seeds=2).rows[0].sound

    with (folder / "leaderboard.csv").open(newline="") as file:
        line = next(csv.DictReader(file))
    assert float(line["escape"]) == pytest.approx(sound.escape.share, rel=1e-5)
    assert float(line["overkill_high"]) == pytest.approx(sound.overkill.high, rel=1e-5)


@pytest.mark.parametrize("name", ["none", "Good", "OK", "no_defect", "No Defect", "defect-free"])
def test_a_class_is_known_by_its_name(name):
    assert find_none_class(["pit", name, "scratch"]) == name


@pytest.mark.parametrize("classes", [["pit", "scratch"], ["good", "none", "pit"], ["goodness", "pit"]])
def test_no_or_several_such_names_are_no_class(classes):
    assert find_none_class(classes) == ""


def test_a_name_that_is_asked_for_wins_and_a_wrong_one_is_answered_with_the_closest():
    assert find_none_class(["good", "none", "pit"], "pit") == "pit"
    with pytest.raises(SteelbenchError, match=r"--none-class 'scrach' names no class.*did you mean 'scratch'\?"):
        find_none_class(["ok", "scratch"], "scrach")
