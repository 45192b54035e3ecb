"""A results folder of the command line whose workers are played: every task is done at once, nothing trains."""

import numpy as np

from steelbench.cli.exit import main
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import file_digest, write_json
from steelbench.records import RunRecord

SMALL = ("--weights", "random", "--image-size", "32")


def play(patch, models=False):
    """Let workers finish every task at once, half of the answers right; the run names that they are asked for."""
    asked = []

    def run_jobs(jobs, results, on_event):
        for job in jobs:
            for task in job.tasks:
                asked.append(task.key.run_name)
                finish(job, task, results, models)
        return {}

    patch.setattr("steelbench.runs.run.run_jobs", run_jobs)
    return asked


def finish(job, task, results, models=False):
    key, data = task.key, job.data
    test = data.split_of(key).test
    labels = data.labels[test]
    probabilities = np.full((len(test), len(data.classes)), 0.01, np.float32)
    probabilities[range(len(test)), [(label + row % 2) % len(data.classes) for row, label in enumerate(labels)]] = 0.98
    folder = results / "runs" / key.run_name
    paths = [data.images[row].path for row in test]
    write_predictions(
        folder / "predictions.csv", paths, [data.classes[label] for label in labels], probabilities, data.classes
    )
    # Every other answer is right, the first one, too.
    part = {"accuracy": (len(test) + 1) // 2 / len(test), "macro_f1": 0.5, "loss": 1.0}
    if task.offered:
        (results / "models").mkdir(exist_ok=True)
        for suffix in (".h5", ".json"):
            (results / "models" / f"{key.name}{suffix}").write_text(task.fingerprint)
    more = {}
    if models and task.offered:
        path = results / "models" / f"{key.name}.h5"
        card = {"name": key.name, "classes": data.classes, "sha256": file_digest(path), "fingerprint": task.fingerprint}
        write_json(path.with_suffix(".json"), card)
        (folder / "head.npz").write_bytes(b"head")
        more = {"model": f"models/{path.name}", "model_bytes": 1}
    digests = {"predictions.csv": file_digest(folder / "predictions.csv")}
    if more:
        digests |= {"head.npz": file_digest(folder / "head.npz"), more["model"]: file_digest(path)}
    write_json(
        folder / "result.json",
        RunRecord(
            **key.model_dump(), settings=task.settings, fingerprint=task.fingerprint, classes=data.classes, n_train=1,
            n_validation=1, n_test=len(test), image_size=job.image_size,
            weights={"kind": job.parts[0].origin["kind"], "digest": "d"},
            engine="keras", precision=job.precision, params=1, seconds={"fit": 1.0},
            metrics={"train": part, "validation": part, "test": part}, digests=digests, **more,
        ),
    )  # fmt: skip


def run(steel, results, *more, backbones="vgg19"):
    arguments = ["run", "--data", steel, "--results", results, *SMALL, "--backbones", backbones, *more]
    return main([str(argument) for argument in arguments])


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
