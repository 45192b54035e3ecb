"""The doors: each makes one damaged input, names the command that takes it, and judges the answer."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hostile import mutations as m
from hostile.seeds import CLASSES, ROW, RUN

ACCURACY = ["--min-accuracy", "0.3", "--row", "none-hog"]
SMALL = ["--backbones", "vgg19", "--weights", "random", "--image-size", "32"]
KERAS = ["--engine", "keras"]


@dataclass
class Case:
    """A command line and what its answer must be.

    Attributes:
        words: after `steelbench`.
        wrong: from exit code, standard output and standard error to what is wrong with the answer, or "".
        bare: whether standard output is for programs, which get names as they are.
        played: whether runs train nothing and are done at once.
    """

    words: list
    wrong: Callable = field(default=lambda code, out, err: "")
    bare: bool = False
    played: bool = False


def labelled(rng, seeds, place):
    """A folder of class folders with one to three damages, or a table of labels beside it."""
    data = m.copy(seeds / "data", place / "data")
    for _ in range(int(m.one(rng, (1, 1, 3)))):
        files = sorted(path for path in data.rglob("*") if path.is_file() and not path.is_symlink())
        kind = rng.random()
        if kind < 0.6:
            m.edit_image(m.one(rng, files), rng)
        elif kind < 0.8:
            m.rename(m.one(rng, sorted(path for path in data.iterdir() if path.is_dir())), rng)
        else:
            m.rename(m.one(rng, files), rng)
    if rng.random() < 0.3:
        table = m.copy(seeds / "labels.csv", data / "labels.csv")
        m.edit_csv(table, rng)
        return table if rng.random() < 0.9 else m.replace_by_node(table, rng)
    return data


def check(rng, seeds, place):
    return Case(["data", "check", labelled(rng, seeds, place)])


def audit(rng, seeds, place):
    return Case(["audit", "--data", labelled(rng, seeds, place), "--out", place / "out"])


def fresh(rng, seeds, place):
    """A run of data that holds damage: all but the training."""
    words = ["run", "--data", labelled(rng, seeds, place), "--results", place / "out", *SMALL]
    return Case(words, played=True)


def again(rng, seeds, place):
    """A finished run's folder is damaged, and the same command mends it: the numbers are those of before."""
    results, _ = damaged_results(rng, seeds, place)

    def wrong(code, out, err):
        tables = [shares(folder / "leaderboard.csv") for folder in (results, seeds / "results")]
        return "" if code or tables[0] == tables[1] else f"the leaderboard says {tables[0]}, said {tables[1]}"

    words = ["run", "--data", seeds / "data", "--results", results, "--seeds", "2", *SMALL]
    return Case(words, wrong, played=True)


def shares(path):
    """Accuracies by row."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["backbone"] + row["method"]: row["accuracy"] for row in csv.DictReader(file)}


TEXTS = ("results.json", "config.json", "environment.json", "digests.json", "runs/*/result.json", "runs/*/*.csv")
LESS = ("*.csv", "models/*.json", "audit/*", "thumbnails/*", "errors/*", "runs/*/*.npz", "*.html")


def damaged_results(rng, seeds, place, source="results"):
    """A copy of the results folder with one damage; the folder and the file."""
    results = m.copy(seeds / source, place / "results")
    patterns = TEXTS if rng.random() < 0.8 else LESS
    found = [path for path in sorted(results.glob(m.one(rng, patterns))) if path.is_file()]
    path = m.one(rng, found or [results / "results.json"])
    if rng.random() < 0.1:
        m.replace_by_node(path, rng)
    elif path.suffix in (".json", ".csv", ".npz"):
        {".json": m.edit_json, ".csv": m.edit_csv, ".npz": m.edit_npz}[path.suffix](path, rng)
    else:
        m.edit_bytes(path, rng)
    return results, path.relative_to(results)


def known_lines(seeds, file, starts):
    """Hold that lines which begin so stand in the answer to the whole folder."""
    whole = set((seeds / file).read_text().splitlines())

    def wrong(code, out, err):
        other = [line for line in out.splitlines() if line.startswith(starts) and line not in whole]
        return f"another number: {other[0]}" if code in (0, 3) and other else ""

    return wrong


def gate(rng, seeds, place):
    results, _ = damaged_results(rng, seeds, place)
    return Case(["gate", results, *ACCURACY], known_lines(seeds, "gate.txt", ("PASS", "FAIL")))


def diff(rng, seeds, place):
    results, _ = damaged_results(rng, seeds, place)
    pair = [seeds / "results", results] if rng.random() < 0.5 else [results, seeds / "results"]
    return Case(["diff", *pair], known_lines(seeds, "diff.txt", ("none-hog ", "vgg19-softmax ")))


def report(rng, seeds, place):
    sealed = rng.random() < 0.5
    results, name = damaged_results(rng, seeds, place, "results" if sealed else "drawn")
    # The numbers of the page are those of this file.
    before = (seeds / "results" / name).read_bytes() if sealed and name.name == "results.json" else b""

    def wrong(code, out, err):
        # A link or a folder was refused, or is said as well.
        if code or not before or not (results / name).is_file() or (results / name).read_bytes() == before:
            return ""
        page = (results / "report.html").read_text(encoding="utf-8")
        said = any(word in text for text in (err, page) for word in ("changed since", "damaged", "other than when"))
        return "" if said else f"{name} was changed, and the page says nothing"

    return Case(["report", results], wrong)


def sheet(rng, seeds, place):
    results, name = damaged_results(rng, seeds, place)
    if name.name == "digests.json":
        return Case(["report", results, "--sheet", ROW])

    def wrong(code, out, err):
        page = results / f"sheet-{ROW}.html"
        if code or not page.is_file():
            return ""
        text, whole = page.read_text(encoding="utf-8"), (seeds / "sheet.html").read_text(encoding="utf-8")
        return "" if "50.0 %" in text or "50.0 %" not in whole else "the sheet says another accuracy"

    return Case(["report", results, "--sheet", ROW], wrong)


def listed(rng, seeds, place):
    return Case(["list", str(m.one(rng, [name for name in m.NAMES if isinstance(name, str)]))])


def answers(count=None, classes=CLASSES, *, cut=frozenset()):
    """Hold that predict's rows are classes of the model with probabilities, and as many as images."""

    def wrong(code, out, err):
        if code not in (0, 1) or (code == 1 and not out):
            return ""
        rows = list(csv.DictReader(io.StringIO(out, newline="")))
        if count is not None and len(rows) != count:
            return f"{len(rows)} rows for {count} images"
        for row in rows:
            if row["reason"]:
                continue
            keys = ("probability", "second_probability", "third_probability")
            values = np.array([float(row[key]) for key in keys if row[key]])
            if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() <= 1.00001):
                return f"probabilities {values}"
            if classes and row["class"].lstrip("'") not in {name.lstrip("'") for name in classes}:
                return f"class {row['class']!r}"
            if row["path"] in cut:
                return "an image whose data end early was answered"
        return ""

    return wrong


def predict_image(rng, seeds, place):
    """A good model, one damaged image between two good ones."""
    data = m.copy(seeds / "data", place / "data")
    good = [seeds / "data" / "rows" / "0.png", seeds / "data" / "checks" / "1.jpg"]
    path, cut = m.one(rng, sorted(data.rglob("*.*"))), frozenset()
    if rng.random() < 0.2:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * (0.2 + 0.6 * rng.random()))])
        cut = {str(path)}
    elif rng.random() < 0.2:
        path = m.rename(path, rng)
    else:
        path = m.edit_image(path, rng)
    words = ["predict", seeds / "model" / "m.h5", good[0], path, good[1], *KERAS]
    return Case(words, answers(None if path.is_dir() else 3, cut=cut), bare=True)


def copied_model(seeds, place):
    return m.copy(seeds / "model", place / "model") / "m.h5"


def ways(rng, model, seeds, place, image):
    """One of the commands that open a model."""
    command = m.one(rng, ("predict", "predict", "predict", "card", "evaluate", "retrieve", "enroll"))
    more = {
        "predict": [image, *KERAS],
        "card": [],
        "evaluate": ["--data", seeds / "data", "--out", place / "out", *KERAS],
        "retrieve": ["--query", image, "--index", seeds / "data" / "rows", "--sheet", place / "sheet.png"],
        "enroll": [m.copy(seeds / "data" / "rows", place / "new"), "--out", place / "more.h5"],
    }
    return command, [command, model, *more[command]]


def network(rng, seeds, place):
    """A damaged network; its card is sealed anew more often than not."""
    model = copied_model(seeds, place)
    before = model.read_bytes()
    m.edit_h5(model, rng)
    other, sealed = model.read_bytes() != before, rng.random() < 0.75
    if sealed:
        seal(model)
    command, words = ways(rng, model, seeds, place, seeds / "data" / "rows" / "0.png")
    held = answers(1) if command == "predict" else Case([]).wrong

    def wrong(code, out, err):
        if other and not sealed and code == 0 and command != "card":
            return "a file that is not the card's was used"
        return held(code, out, err)

    return Case(words, wrong, bare=True)


def seal(model):
    """Let the card be of the file that is there."""
    from steelbench.files import file_digest

    card = json.loads(model.with_suffix(".json").read_text())
    model.with_suffix(".json").write_text(json.dumps({**card, "sha256": file_digest(model)}))


def card(rng, seeds, place):
    model = copied_model(seeds, place)
    path = model.with_suffix(".json")
    if rng.random() < 0.1:
        m.replace_by_node(path, rng)
    else:
        m.edit_json(path, rng)
    command, words = ways(rng, model, seeds, place, seeds / "data" / "rows" / "0.png")
    return Case(words, answers(1, None) if command == "predict" else Case([]).wrong, bare=True)


def arrays(rng, seeds, place):
    """The file of what unfamiliar images are told by; the answers need nothing of it."""
    model = copied_model(seeds, place)
    path = model.with_suffix(".unfamiliar.npz")
    before = path.read_bytes()
    m.edit_npz(path, rng)
    if (other := path.read_bytes() != before) and (sealed := rng.random() < 0.5):
        from steelbench.files import file_digest

        fields = json.loads(model.with_suffix(".json").read_text())
        fields["unfamiliar"]["sha256"] = file_digest(path)
        model.with_suffix(".json").write_text(json.dumps(fields))
    held = answers(1)

    def wrong(code, out, err):
        if other and not sealed and "stays empty" not in err:
            return "a file that is not the card's was used"
        return held(code, out, err)

    return Case(["predict", model, seeds / "data" / "rows" / "0.png", *KERAS], wrong, bare=True)


def evaluate(rng, seeds, place):
    data, out = labelled(rng, seeds, place), place / "out"

    def wrong(code, printed, err):
        if code not in (0, 1) or not (out / "evaluation.json").is_file():
            return ""
        found = json.loads((out / "evaluation.json").read_text())
        with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["label"].lstrip("'") in CLASSES]
        hits = sum(row["label"] == row["predicted"] for row in rows)
        accuracy = found.get("accuracy")
        same = accuracy is None or not rows or abs(accuracy - hits / len(rows)) < 1e-3
        return "" if same else f"accuracy {accuracy} of {hits} right among {len(rows)}"

    return Case(["evaluate", seeds / "model" / "m.h5", "--data", data, "--out", out, *KERAS], wrong)


def stitch(rng, seeds, place):
    """A damaged head, record, card, source or table of predictions; what is kept has the head that was trained."""
    results = m.copy(seeds / "stitch", place / "results")
    names = ("head.npz", "head.npz", "result.json", "predictions.csv", ".json", ".h5")
    name = m.one(rng, names)
    path = results / "models" / f"{ROW}{name}" if name.startswith(".") else results / "runs" / RUN / name
    edit = {".npz": m.edit_npz, ".json": m.edit_json, ".csv": m.edit_csv, ".h5": m.edit_h5}[path.suffix]
    m.replace_by_node(path, rng) if rng.random() < 0.05 else edit(path, rng)
    if path.suffix == ".h5" and rng.random() < 0.7:
        seal(path)
    made = results / "models" / f"{RUN}.h5"

    def wrong(code, out, err):
        if code:
            return "a model of a refused run was left" if made.exists() else ""
        import h5py

        with np.load(seeds / "stitch" / "runs" / RUN / "head.npz") as whole, h5py.File(made) as file:
            kernel = file["model_weights/probabilities"]
            sets = []
            kernel.visititems(lambda _, item: sets.append(item[()]) if hasattr(item, "shape") else None)
            trained = [whole[key] for key in whole.files if whole[key].dtype.kind == "f"]
        known = all(any(np.allclose(own, other, atol=0.01) for other in trained) for own in sets)
        return "" if known else "the stitched head is not the trained one"

    return Case(["stitch", results, RUN], wrong)


LIGHT = {check: 34, audit: 3, fresh: 2, again: 2, gate: 26, diff: 18, report: 2, sheet: 6, listed: 2}
HEAVY = {predict_image: 25, network: 30, card: 20, arrays: 8, evaluate: 8, stitch: 9}


def drawn(rng, doors):
    """One of the doors, by weight."""
    names = list(doors)
    weights = np.array([doors[name] for name in names], float)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def remember(seeds, run):
    """Keep what the commands say of the whole results folder; `run` returns code, output and errors of words."""
    (seeds / "gate.txt").write_text(run(["gate", seeds / "results", *ACCURACY])[1])
    (seeds / "diff.txt").write_text(run(["diff", seeds / "results", seeds / "results"])[1])
    whole = Path(shutil.copytree(seeds / "results", seeds / "for-sheet"))
    run(["report", whole, "--sheet", ROW])
    shutil.move(whole / f"sheet-{ROW}.html", seeds / "sheet.html")
    shutil.rmtree(whole)
