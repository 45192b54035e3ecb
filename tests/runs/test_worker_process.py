"""Workers that die, talk nonsense or stay silent, played by small scripts in the place of Python."""

import csv
import json
import os
import stat
import subprocess
import sys

import pytest

from steelbench.cli.exit import main
from steelbench.models.keras_hub import Preset
from steelbench.models.weight_files import Origin
from steelbench.records import Summary, read_record


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Puts a shell script where the worker's Python would be; `$4` is the job."""

    def play(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))

    return play


ORIGINS = {"vgg19": Origin("random"), "hub:tiny_x": Origin("preset", "tiny_x.h5", "", "/x")}


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=6)


def run(steel, results, backbones="vgg19"):
    arguments = ["--weights", "random", "--backbones", backbones, "--methods", "softmax,linear"]
    return main(["run", "--data", str(steel), "--results", str(results), *arguments])


def reasons(results):
    return {
        row.name: row.reason for row in read_record(results / "results.json", Summary).rows if row.backbone != "none"
    }


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -9 $$", "ended by signal 9; the system ends a process that asks for too much memory"),
        ("kill -11 $$", "ended by signal 11"),
        ("echo warning >&2; echo 'MemoryError: too much' >&2; exit 3", "ended with 3: MemoryError: too much"),
        (
            "echo 'OSError: [Errno 28] Can not close' >&2; echo more >&2; exit 3",
            "the disk is full (while writing)",
        ),
        ("exit 4", "ended with 4: no message"),
        ("printf '\\377\\376 not text' >&2; exit 5", "not text"),
        ("echo '{\"kind\": \"done\"'; echo nonsense; echo '[1]'; printf '\\000\\377\\n'; exit 6", "ended with 6"),
        ("exit 0", "ended with 0: no message"),
    ],
)
def test_every_task_of_a_worker_that_ends_early_fails_with_the_reason(steel, tmp_path, worker, script, reason):
    worker(script)

    assert run(steel, tmp_path / "results") == 1

    found = reasons(tmp_path / "results")
    assert set(found) == {"vgg19-softmax", "vgg19-linear"}
    assert all(reason in text for text in found.values()), found


def test_a_workers_own_words_about_a_task_are_the_reason_and_the_others_get_its_end(steel, tmp_path, worker):
    event = json.dumps({"kind": "failed", "run": "vgg19-softmax-s0-f0", "text": "the loss became nan"})
    worker(f"echo '{event}'; exit 7")

    run(steel, tmp_path / "results")

    found = reasons(tmp_path / "results")
    assert found["vgg19-softmax"] == "the loss became nan" and "ended with 7" in found["vgg19-linear"]


def test_one_dead_worker_does_not_stop_the_next_and_its_log_is_kept(steel, tmp_path, worker):
    worker("echo oh dear >&2; exit 8")

    assert run(steel, tmp_path / "results", "vgg19,xception,resnet50") == 1

    assert len(reasons(tmp_path / "results")) == 6
    logs = sorted((tmp_path / "results" / "unfinished").glob("*.log"))
    assert [path.read_text() for path in logs] == ["oh dear\n"] * 3
    assert not list((tmp_path / "results" / "unfinished").glob("*.job.json"))


def test_a_failed_row_of_a_hub_preset_keeps_its_backbone_and_its_weights(steel, tmp_path, worker, monkeypatch):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))
    preset = Preset(image_size=224, feature_dim=8, params=9, scale=[1.0] * 3, offset=[0.0] * 3)
    monkeypatch.setattr("steelbench.models.keras_hub.fetch", lambda *_: "")
    monkeypatch.setattr("steelbench.models.keras_hub.describe", lambda name: preset)
    worker("exit 4")
    options = ["--backbones", "hub:tiny_x,vgg19+hub:tiny_x", "--methods", "knn", "--weights", "auto", "--image-size"]
    monkeypatch.setattr("steelbench.runs.preparation.resolve", lambda name, *_: ORIGINS[name])

    assert main(["run", "--data", str(steel), "--results", str(tmp_path / "results"), *options, "64"]) == 1

    with (tmp_path / "results" / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        failed = [line for line in csv.DictReader(file) if line["status"] == "failed"]
    assert [(line["backbone"], line["method"], line["weights"]) for line in failed] == [
        ("hub:tiny_x", "knn", "preset"),
        ("vgg19+hub:tiny_x", "knn", "mixed"),
    ]


def test_images_and_splits_are_written_once_for_all_jobs(steel, tmp_path, worker):
    seen = tmp_path / "seen"
    worker(f'ls "${{4%/*}}" >> {seen}.names; cat "$4" >> {seen}.jobs; cat "${{4%/*}}"/*.json > {seen}.$$.all; exit 9')

    run(steel, tmp_path / "results", "vgg19,xception,resnet50")

    jobs = (tmp_path / "seen.jobs").read_text()
    assert jobs.count('"backbone": "vgg19"') == 3, "its network, and its two runs"
    assert "000.png" not in jobs and '"train"' not in jobs
    snapshots = [path.read_text() for path in tmp_path.glob("seen.*.all")]
    assert len(snapshots) == 3
    for text in snapshots:
        assert text.count('"rows/000.png"') == text.count('"splits"') == 1
    assert "data.json" in (tmp_path / "seen.names").read_text()
    assert not (tmp_path / "results" / "unfinished" / "data.json").exists()


def test_a_worker_sees_only_its_own_modules_not_those_where_the_user_stands(steel, tmp_path, worker, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('hostile')")
    monkeypatch.chdir(tmp_path)
    python, code = (
        sys.executable,
        "import os, random, steelbench, sys; sys.exit(os.environ['PYTHONHASHSEED'] + ' well')",
    )
    # The worker's interpreter and first option, but with a program that says what it sees.
    worker(f'exec {python} "$1" -c "{code}"')

    run(steel, tmp_path / "results")

    assert "0 well" in reasons(tmp_path / "results")["vgg19-softmax"]


def test_the_users_environment_wins_over_ours(steel, tmp_path, worker, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    worker('echo "$PYTHONHASHSEED $TF_CPP_MIN_LOG_LEVEL" >&2; exit 1')

    run(steel, tmp_path / "results")

    assert f"7 {os.environ.get('TF_CPP_MIN_LOG_LEVEL', '3')}" in reasons(tmp_path / "results")["vgg19-softmax"]


def test_a_traceback_in_a_workers_log_is_plain_text_whatever_names_it_tells():
    code = """
from steelbench.runs.parent import open_events
emit = open_events()
raise ValueError("class \x1b[31mred\u202e of a\tfolder, Größe")
"""
    log = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).stderr.decode()

    assert log.splitlines()[0] == "Traceback (most recent call last):"
    assert log.splitlines()[-1] == "ValueError: class \\x1b[31mred\\u202e of a\tfolder, Größe"
