"""Export a model of each backbone to every format, and compare each file in its own runtime with the `.h5`.

Run:      python benchmarks/exports_agree.py --data NEU [--weights-dir DIR] [--backbones a,b] [--images N]
              [--int8 NEU,X-SDD] [--out FILE.json]
Takes:    1 to 5 minutes for a backbone on 2 cores, 3 more for each data set of --int8; a row that stands in --out with
          as many images is not measured again.
Expect:   no probability differs by more than 1e-4, no class changes. 8-bit mobilenet_v2 changes few classes.
Models:   as `steelbench run --methods linear` writes them after 120 images; backbones whose ImageNet weights are not
          found get fresh weights whose BatchNorm statistics are calibrated. For --int8 after all images of the set,
          measured on the test images of that run, calibrated on others.
Needs:    pip install 'steelbench[onnx,litert,int8]'
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BACKBONES = (
    "mobilenet_v2_035,mobilenet_v2,efficientnet_lite0,efficientnet_b0,efficientnet_v2_b0,densenet121,inception_v3,"
    "efficientnet_b3,resnet50,xception,vgg19"
)
FORMATS = "onnx,openvino,litert,savedmodel"
OF_CLASS = 20


def run(data: Path, backbone: str, results: Path, weights_dir: Path | None) -> tuple[Path, str]:
    """Train a linear head in a process of its own; return the model's path and the origin of its weights."""
    own = ["--weights-dir", str(weights_dir)] if weights_dir else []
    command = [sys.executable, "-m", "steelbench", "run", "--data", str(data), "--backbones", backbone]
    command += ["--methods", "linear", "--weights", "auto", "--results", str(results), *own]
    done = subprocess.run(command, env={**os.environ, "STEELBENCH_TIMING": "off"}, capture_output=True, text=True)
    path = results / "models" / f"{backbone}-linear.h5"
    if not path.is_file():
        raise RuntimeError(f"{backbone}: {' '.join(done.stderr.splitlines()[-2:])}")
    return path, json.loads(path.with_suffix(".json").read_text("utf-8"))["weights"]["kind"]


def few(data: Path, folder: Path) -> Path:
    """Link the first `OF_CLASS` images of each class folder into a data set of their own."""
    for place in sorted(path for path in data.iterdir() if path.is_dir()):
        (folder / place.name).mkdir(parents=True)
        for path in sorted(place.iterdir())[:OF_CLASS]:
            (folder / place.name / path.name).symlink_to(path.resolve())
    return folder


def exported(model: Path, out: Path, images: list[Path], labelled: Path | None = None) -> list[dict]:
    """Export a model to every format; return a row for each."""
    from steelbench.inference.export import Request, export_model
    from steelbench.inference.exports.formats import choose_formats

    wanted = choose_formats(FORMATS if labelled is None else "openvino")
    rows, start = [], time.perf_counter()
    for found in export_model(Request(model, wanted, out, images, labelled)):
        record = found.record
        row = {"format": found.format, "seconds": time.perf_counter() - start, "reason": found.reason}
        if record is not None:
            size = sum(path.stat().st_size for path in found.path.parent.rglob("*") if path.is_file())
            row |= {"bytes": size, "versions": record.versions}
            row |= record.agreement.model_dump() if record.agreement else {}
        row |= {"int8": found.int8.model_dump()} if found.int8 else {}
        rows.append(row)
        start = time.perf_counter()
    return rows


def one(backbone: str, options: argparse.Namespace) -> list[dict]:
    """Return the rows of a backbone."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model, weights = run(few(options.data, place / "few"), backbone, place / "results", options.weights_dir)
        files = sorted(options.data.glob("*/*"))
        images = [files[int(number * len(files) / options.images)] for number in range(options.images)]
        rows = exported(model, place / "out", images)
    return [{"backbone": backbone, "weights": weights, "asked": options.images, **row} for row in rows]


def one_int8(data: Path, options: argparse.Namespace) -> list[dict]:
    """Return the 8-bit row of mobilenet_v2 after all images of a data set."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model, weights = run(data, "mobilenet_v2", place / "results", options.weights_dir)
        table = next((place / "results" / "runs").glob("*/predictions.csv"))
        with table.open(encoding="utf-8", newline="") as file:
            test = {row["path"] for row in csv.DictReader(file)}
        copy = place / data.name
        shutil.copytree(data, copy)
        with (copy / "images.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "split"])
            for path in sorted(copy.glob("*/*")):
                name = path.relative_to(copy).as_posix()
                writer.writerow([name, path.parent.name, "test" if name in test else "train"])
        images = [copy / name for name in sorted(test)[:: max(1, len(test) // 40)]]
        rows = exported(model, place / "out", images, copy / "images.csv")
    told = {"backbone": "mobilenet_v2", "weights": weights, "data": data.name}
    return [{**told, **row} for row in rows if row["format"] == "openvino-int8"]


def markdown(rows: list[dict]) -> str:
    """Return the rows as Markdown tables."""
    lines = ["| backbone | weights | images | " + " | ".join(FORMATS.split(",")) + " |"]
    lines += ["|---" * (3 + len(FORMATS.split(","))) + "|"]
    plain = [row for row in rows if "data" not in row]
    for backbone in dict.fromkeys(row["backbone"] for row in plain):
        own = {row["format"]: row for row in plain if row["backbone"] == backbone}
        first = next(iter(own.values()))
        cells = [_cell(own[name]) for name in FORMATS.split(",")]
        lines.append(f"| `{backbone}` | {first['weights']} | {first['asked']} | {' | '.join(cells)} |")
    rows8 = [row for row in rows if "data" in row]
    if rows8:
        lines += ["", "| 8 bits | accuracy in float32 | in 8 bits | classes changed | images/s float32 | 8 bits |"]
        lines += ["|---|---|---|---|---|---|"]
    for row in rows8:
        lines.append(f"| `{row['backbone']}`, {row['data']} | {_int8_cells(row)} |")
    return "\n".join(lines)


def _cell(row: dict) -> str:
    if row["reason"]:
        return f"**not kept**: {row['reason']}"
    changed = f", {row['classes_changed']} changed" if row["classes_changed"] else ""
    return f"{row['largest_difference']:.1e}{changed}"


def _int8_cells(row: dict) -> str:
    found = row.get("int8")
    if found is None:
        return f"**not kept**: {row['reason']} | | | |"
    told = [
        f"{own['value']:.2%} [{own['low']:.1%}, {own['high']:.1%}]".replace("%", " %")
        for own in (found["before"], found["after"])
    ]
    changed = f"{found['classes_changed']} of {found['images']} ({found['lost']} lost, {found['gained']} gained)"
    speeds = f"{found['images_per_second_before']:.0f} | {found['images_per_second_after']:.0f}"
    kept = ", **not kept**" if row["reason"] else ""
    return f"{told[0]} | {told[1]}{kept} | {changed} | {speeds}"


def main() -> None:
    """Measure what is not there yet, write JSON after each backbone, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="class folders")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--images", type=int, default=200, help="that each file is compared on")
    parser.add_argument("--int8", default="", help="folders of class folders, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("results/exports.json"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for folder in (options.data, *map(Path, filter(None, options.int8.split(",")))):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder; expected one of class folders.")
    if options.one:
        kind, name = options.one
        found = one(name, options) if kind == "backbone" else one_int8(Path(name), options)
        print("ROWS", json.dumps(found))
        return
    from steelbench.files import write_json
    from steelbench.machine import environment

    before = json.loads(options.out.read_text("utf-8"))["rows"] if options.out.is_file() else []
    rows = [row for row in before if "data" in row or row["asked"] >= options.images]
    known = {row.get("data") or row["backbone"] for row in rows}
    jobs = [("backbone", name) for name in filter(None, options.backbones.split(",")) if name not in known]
    jobs += [("int8", name) for name in filter(None, options.int8.split(",")) if Path(name).name not in known]
    for job in jobs:
        # In a process of its own: TensorFlow keeps memory.
        command = [sys.executable, __file__, *sys.argv[1:], "--one", *job]
        done = subprocess.run(command, capture_output=True, text=True)
        found = [line for line in done.stdout.splitlines() if line.startswith("ROWS ")]
        if not found:
            print(f"{job[1]}: {' '.join(done.stderr.splitlines()[-1:])}", file=sys.stderr, flush=True)
            continue
        rows += json.loads(found[0].removeprefix("ROWS "))
        write_json(options.out, {"rows": rows, "machine": environment()})
        print(f"{job[1]} done", file=sys.stderr, flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
