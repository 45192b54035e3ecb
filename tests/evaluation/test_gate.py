"""`steelbench gate`: exit codes by the bounds, against closed forms; how many images would show what is demanded."""

import re

import pytest
from results_folder import failed_row, hog_row, judged, majority_row, model_row, summary, trust, write_folder
from scipy.stats import binom

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.evaluation.gate import accuracy_check, chosen_row, escape_check
from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.models.model_card import Decision
from steelbench.records.summary import ShareScore, SoundScores


def rows():
    best = model_row("efficientnet_b0", "linear", 0.99)
    sure = proportion_interval(best.accuracy, best.n_effective)
    best = best.model_copy(update={"accuracy_low": sure.low, "accuracy_high": sure.high, "trust": trust()})
    return best, model_row("vgg19", "softmax", 0.95), hog_row(), majority_row(), failed_row()


@pytest.fixture
def folder(tmp_path):
    results = write_folder(tmp_path / "results", judged(summary(rows())))
    (results / "models").mkdir()
    card = '{"name": "m", "classes": ["a", "b"], "sha256": "0", "decision": null}'
    (results / "models" / "efficientnet_b0-linear.json").write_text(card, encoding="utf-8")
    return results


def gate(capsys, *arguments):
    code = main(["gate", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_lower_bound_decides_and_not_the_accuracy(folder, capsys):
    best = rows()[0]
    between = (best.accuracy_low + best.accuracy) / 2

    assert gate(capsys, folder, "--min-accuracy", best.accuracy_low - 1e-4)[:1] == (0,)
    code, out, _ = gate(capsys, folder, "--min-accuracy", f"{100 * between}%")

    assert code == 3 and out.startswith("FAIL efficientnet_b0-linear: accuracy") and out.count("\n") == 1
    assert re.search(r"some \d+ images like these would show it", out)
    code, out, _ = gate(capsys, folder, "--min-accuracy", best.accuracy + 0.005)
    assert code == 3 and "no number of images would show it" in out


def test_so_many_images_show_it_and_one_less_does_not():
    best = rows()[0].model_copy(update={"n_effective": 360.0, "n_test": 360})

    check = accuracy_check(best, 0.98)

    assert proportion_interval(best.accuracy, check.images_needed).low >= 0.98
    assert proportion_interval(best.accuracy, check.images_needed - 1).low < 0.98
    # Groups of images that are right or wrong together take as many more.
    halved = accuracy_check(best.model_copy(update={"n_effective": 180.0}), 0.98)
    assert halved.images_needed == 2 * check.images_needed


def test_without_an_error_the_bound_is_the_rule_of_three():
    sure = rows()[0].model_copy(update={"n_effective": 600.0, "n_test": 600})
    none = sure.trust.model_copy(update={"escaped": [0.0] * len(sure.trust.thresholds)})

    check = escape_check(sure.model_copy(update={"trust": none}), 0.004, None)

    # Half the probability of no escape among 600 is 2.5 % at the bound.
    assert binom.pmf(0, 600, check.bound) / 2 == pytest.approx(0.025, rel=1e-6)
    assert not check.holds and check.images_needed == 748


def test_with_a_class_of_sound_material_the_images_with_a_defect_count():
    best = rows()[0]
    trusted = best.trust.model_copy(update={"none_class": "ok", "escaped": [0.01] * len(best.trust.thresholds)})
    escape = ShareScore(share=0.01, low=0.0, high=0.05, images=200, n_effective=120.0)
    sound = best.model_copy(update={"trust": trusted, "sound": SoundScores(name="ok", escape=escape)})

    check = escape_check(sound, 0.02, None)

    assert (check.images, check.n_effective) == (200, 120.0) and "alone calls ok" in check.definition
    assert check.bound == proportion_interval(0.01, 120.0).high
    with pytest.raises(SteelbenchError, match="no image with a defect"):
        escape_check(best.model_copy(update={"trust": trusted}), 0.02, None)


def test_escapes_are_counted_at_the_threshold_of_the_card(folder, capsys):
    best = rows()[0]
    place = best.trust.thresholds.index(0.9)
    card = folder / "models" / "efficientnet_b0-linear.json"
    decision = Decision(threshold=0.9, escapes=0.01, confidence=0.95, referred=0.5)
    card.write_text(card.read_text().replace("null", decision.model_dump_json()), encoding="utf-8")
    upper = proportion_interval(best.trust.escaped[place], best.n_effective).high

    code, out, _ = gate(capsys, folder, "--max-escape", upper + 1e-6)
    assert code == 0 and "of answers from 0.9 on" in out and "decides alone, and wrongly" in out
    assert gate(capsys, folder, "--max-escape", upper - 1e-4)[0] == 3
    card.write_text(card.read_text().replace(decision.model_dump_json(), "null"), encoding="utf-8")
    code, out, _ = gate(capsys, folder, "--max-escape", upper)
    assert code == 3 and "no person looks at any" in out


def test_both_demands_must_hold(folder, capsys):
    code, out, _ = gate(capsys, folder, "--min-accuracy", "0.5", "--max-escape", "0.1%")

    assert code == 3 and [line[:4] for line in out.splitlines()] == ["PASS", "FAIL"]


def test_the_row_is_the_verdicts_or_the_one_that_is_named(folder, capsys):
    record = judged(summary(rows()))
    assert chosen_row(record, None).name == record.judgement.best
    assert "vgg19-softmax" in gate(capsys, folder, "--min-accuracy", "0.5", "--row", "vgg19-softmax")[1]
    code, out, _ = gate(capsys, folder, "--min-accuracy", "0.5", "--row", "inception_v3-softmax")
    assert code == 3 and "it failed (ResourceExhausted" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing is demanded"),
        (["--min-accuracy", "97"], "--min-accuracy 97 is no share"),
        (["--max-escape", "nan"], "--max-escape nan is no share"),
        (["--min-accuracy", "0.9", "--row", "vgg19-sofmax"], "did you mean 'vgg19-softmax'"),
        (["--max-escape", "1%", "--row", "none-hog"], "no confidence to judge escapes by"),
    ],
)
def test_mistakes_are_told(folder, capsys, words, told):
    code, out, err = gate(capsys, folder, *words)

    assert code == 2 and told in err and not out


def test_a_folder_that_is_none_is_told(tmp_path, capsys):
    assert gate(capsys, tmp_path, "--min-accuracy", "0.9")[0] == 2
