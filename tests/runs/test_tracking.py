"""`--track`: the records' numbers in the tracker's own files, each once, and a tracker that fails costs nothing."""

import importlib.util
import json
import struct

import pytest
from results_folder import hog_row, majority_row, model_row, summary, write_folder

from steelbench.cli.commands.run import execute
from steelbench.cli.exit import main
from steelbench.experiment import RunOptions
from steelbench.records import ShareScore, SoundScores
from steelbench.runs.tracking import track, tracked_runs

FOUND = SoundScores(name="none", escape=ShareScore(share=0.02, low=0.01, high=0.04, images=300, n_effective=250.0))


@pytest.fixture
def results(tmp_path):
    rows = [model_row("vgg19", "softmax", 0.95).model_copy(update={"sound": FOUND}), majority_row()]
    record = summary([*rows, hog_row()])
    write_folder(tmp_path / "r", record, stages=("embedding", "head"), epochs=4)
    return tmp_path / "r", record


def events(path):
    """(step, tag, value) of the scalars of an event file; the format is TFRecord."""
    from tensorboard.compat.proto.event_pb2 import Event

    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + 12 : at + 12 + length])
        found += [
            (event.step, own.tag, own.simple_value) for own in event.summary.value if not own.HasField("metadata")
        ]
        at += 16 + length
    return found


def test_a_row_and_its_runs_have_the_records_numbers(results):
    folder, record = results

    row, run, *others = tracked_runs(folder, record)

    assert (row.name, row.row, run.name, run.row) == ("vgg19-softmax", "", "vgg19-softmax-s0-f0", "vgg19-softmax")
    assert row.metrics["accuracy_low"] == record.rows[0].accuracy_low and row.metrics["escape_high"] == 0.04
    assert row.tags["model"] == "models/vgg19-softmax.h5" and row.tags["results"] == str(folder.resolve())
    assert run.params["seed"] == "0" and run.params["n_test"] == "360"
    stages = {(curve.stage, curve.name): curve.points for curve in run.curves}
    line = (folder / "runs" / run.name / "history.csv").read_text().splitlines()[2].split(",")
    assert stages["head", "val_accuracy"][1] == (2, float(line[4]))
    assert ("embedding", "accuracy") not in stages and len(stages["embedding", "loss"]) == 4
    assert [own.name for own in others] == ["none-majority", "none-hog", "none-hog-s0-f0"]


def test_a_damaged_history_leaves_no_curve_and_no_nan_is_sent(results):
    folder, record = results
    (folder / "runs" / "vgg19-softmax-s0-f0" / "history.csv").write_bytes(b"epoch,loss\n1,nan\n2,0.5\n3,\xff\n")
    (folder / "runs" / "vgg19-softmax-s0-f0" / "history-embedding.csv").write_text("epoch,loss\n1,nan\n2,inf\n3,0.5\n")

    run = list(tracked_runs(folder, record))[1]

    assert [(own.stage, own.points) for own in run.curves] == [("embedding", [(3, 0.5)])]


def test_tensorboard_gets_them_again_as_the_same_bytes(results):
    pytest.importorskip("tensorboard")
    folder, record = results
    live = folder / "tensorboard" / "vgg19-softmax-s0-f0" / "train" / "events.out.tfevents.1.live"
    live.parent.mkdir(parents=True)
    live.touch()

    assert track(folder, record, "tensorboard") is None

    first = {path: path.read_bytes() for path in (folder / "tensorboard").rglob("*.*")}
    assert live not in first and track(folder, record, "tensorboard") is None
    assert {path: path.read_bytes() for path in (folder / "tensorboard").rglob("*.*")} == first
    files = {path.parent.relative_to(folder / "tensorboard").as_posix(): path for path in first if path.is_file()}
    line = (folder / "runs" / "vgg19-softmax-s0-f0" / "history.csv").read_text().splitlines()[3].split(",")
    assert (3, "epoch_loss", pytest.approx(float(line[3]))) in events(files["vgg19-softmax-s0-f0/validation"])
    assert "vgg19-softmax-s0-f0/embedding/train" in files
    told = {tag: value for _, tag, value in events(files["vgg19-softmax"])}
    assert told["accuracy_high"] == pytest.approx(record.rows[0].accuracy_high)


@pytest.fixture
def few(results):
    """One row with one run: MLflow's files are slow."""
    folder, record = results
    return folder, record.model_copy(update={"rows": record.rows[:1]})


def runs_of(uri):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return client, {
        run.info.run_name: run for own in client.search_experiments() for run in client.search_runs([own.experiment_id])
    }


def test_mlflow_gets_each_run_once_and_what_changed_anew(few, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed (extra mlflow)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder, record = few

    assert track(folder, record, "mlflow") is None

    client, runs = runs_of((folder / "mlruns").as_uri())
    row, run = runs["vgg19-softmax"], runs["vgg19-softmax-s0-f0"]
    assert row.data.metrics["accuracy_low"] == pytest.approx(record.rows[0].accuracy_low)
    assert (
        run.data.tags["mlflow.parentRunId"] == row.info.run_id and row.data.tags["model"] == "models/vgg19-softmax.h5"
    )
    assert run.info.status == "FINISHED" and run.data.params["backbone"] == "vgg19"
    assert [own.step for own in client.get_metric_history(run.info.run_id, "embedding/loss")] == [1, 2, 3, 4]
    assert len(runs) == 2 and not list((folder / "mlruns").rglob("artifacts/*"))

    assert track(folder, record, "mlflow") is None
    again = runs_of((folder / "mlruns").as_uri())[1]
    assert {name: own.info.run_id for name, own in again.items()} == {n: own.info.run_id for n, own in runs.items()}

    better = [record.rows[0].model_copy(update={"accuracy_low": 0.5})]
    folder.rename(folder.with_name("moved"))
    assert track(folder.with_name("moved"), record.model_copy(update={"rows": better}), "mlflow") is None
    moved = runs_of((folder.with_name("moved") / "mlruns").as_uri())[1]
    assert len(moved) == 2 and moved["vgg19-softmax"].data.metrics["accuracy_low"] == 0.5


def test_mlflow_sends_no_telemetry(few, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed (extra mlflow)")
    from mlflow.telemetry.utils import is_telemetry_disabled

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track(*few, "mlflow")

    assert is_telemetry_disabled()


def test_a_server_that_is_not_there_is_told_in_a_sentence(few, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed (extra mlflow)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    told = track(*few, "mlflow")

    assert told.code == "SB601" and "The results are whole." in told.text and "\n" not in told.text


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_a_package_that_is_missing_is_told_before_anything_is_read(monkeypatch, capsys, tracker):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == tracker else object())

    assert main(["run", "--data", "nowhere", "--track", tracker, "--engine", "keras"]) == 2
    assert f"pip install 'steelbench[{tracker}]'" in capsys.readouterr().err


def test_a_tracker_that_fails_leaves_results_and_exit_code(tiny_images, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("steelbench.runs.track_tensorboard.send", fail)
    options = RunOptions(data=str(tiny_images(images=14)), results=tmp_path / "r", track="tensorboard")

    for _ in "the run", "a finished folder":
        assert execute(options, [], "steelbench run") == 0
        assert "not all sent to tensorboard: OSError: the disk is full" in capsys.readouterr().err
    assert json.loads((tmp_path / "r" / "results.json").read_text())["rows"][0]["status"] == "done"
    assert (tmp_path / "r" / "report.html").is_file()
