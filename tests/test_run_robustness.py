"""`steelbench run --with robustness` on real images and genuine weights."""

import hashlib
import json
import shutil

import pytest

import steelbench
from steelbench.cli.exit import main
from steelbench.data.corruptions import CORRUPTIONS, corrupt
from steelbench.data.images import read_image
from steelbench.records import Robustness, read_record

pytestmark = pytest.mark.slow

ROW = "mobilenet_v2_035-linear"


@pytest.fixture(scope="module")
def some_of_neu(data_folder, tmp_path_factory):
    """Every tenth image of three classes of NEU."""
    root = tmp_path_factory.mktemp("neu")
    for name in ("crazing", "inclusion", "scratches"):
        (root / name).mkdir()
        for path in sorted((data_folder / "NEU" / name).iterdir())[::10]:
            shutil.copy(path, root / name / path.name)
    return root


def digests(folder, *patterns):
    files = [path for pattern in patterns for path in folder.glob(pattern)]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def test_a_finished_folder_is_measured_without_training_and_then_left_alone(
    some_of_neu, weights_folder, tmp_path, monkeypatch
):
    command = ["run", "--data", str(some_of_neu), "--backbones", "mobilenet_v2_035", "--methods", "linear"]
    command += ["--weights-dir", str(weights_folder), "--engine", "keras", "--results", str(tmp_path)]
    assert main(command) == 0
    before = digests(tmp_path, "models/*", "runs/*/*")
    assert "--with robustness" in (tmp_path / "report.html").read_text(encoding="utf-8")

    assert main([*command, "--with", "robustness"]) == 0

    assert digests(tmp_path, "models/*", "runs/*/*") == before
    record = read_record(tmp_path / "robustness" / f"{ROW}.json", Robustness)
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]
    (row,) = [own for own in rows if own["name"] == ROW]
    assert Robustness(**row["robustness"]) == record
    assert record.images == 18 and record.clean_differences == 0
    assert [own.corruption for own in record.results] == list(CORRUPTIONS)
    assert record.of("defocus_blur").at(5).accuracy < record.clean_accuracy
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Accuracy under mill conditions" in page and "Not measured here" not in page
    assert not (tmp_path / "unfinished").exists()
    _compare_with_the_model(some_of_neu, tmp_path, record)

    after = digests(tmp_path, "**/*")
    monkeypatch.setattr("steelbench.runs.robustness._run", lambda *_: pytest.fail("a process was started"))
    assert main([*command, "--with", "robustness"]) == 0
    assert digests(tmp_path, "**/*") == after


def _compare_with_the_model(data, results, record):
    """The same accuracy by the `.h5` on corrupted raw images, over all test images, as these are no more than 18."""
    model = steelbench.load_model(results / "models" / f"{ROW}.h5")
    table = (results / "runs" / f"{ROW}-s0-f0" / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    paths = [line.split(",")[0] for line in table]
    keys = [hashlib.sha256((data / path).read_bytes()).hexdigest() for path in paths]
    for name, strength in (("motion_blur", 3), ("sensor_noise", 5), ("oil_spots", 3)):
        changed = [corrupt(name, read_image(data / path), strength, key) for path, key in zip(paths, keys, strict=True)]
        answers = [model.classes[own] for own in model.predict(changed).argmax(axis=1)]
        right = sum(answer == path.split("/")[0] for answer, path in zip(answers, paths, strict=True))
        assert record.of(name).at(strength).accuracy == pytest.approx(right / len(paths))
