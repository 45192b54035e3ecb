"""Send thousands of damaged inputs through the commands, and count what must not happen.

    python tests/hostile_corpus.py --cases 10000 --seed 0 --out hostile_corpus.json

Every third case goes through doors that need TensorFlow. An input is made of its number and the seed alone, so that
`--only light:123` shows one again. Linux.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from hostile import doors, seeds, worker

CPU_LIMIT, WALL_LIMIT, MEMORY_LIMIT = 5, 60, 1500
# Cases of a process; TensorFlow keeps a little of every network.
CASES_OF_A_PROCESS = {"light": 500, "heavy": 150}


def prepared(folder, *, networks):
    """Write the seeds, and the home and working folder that no command may write to."""
    (folder / "guard" / "home").mkdir(parents=True)
    (folder / "guard" / "sentinel").write_text("as it was")
    (folder / "seeds").mkdir()
    seeds.build(folder / "seeds", networks=networks)
    doors.remember(folder / "seeds", worker.run)


def environment(folder):
    """Of the processes: a home and a cache of their own, and the package of this checkout."""
    tests = Path(__file__).parent
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (tests, tests.parent))),
        "HOME": str(folder / "guard" / "home"),
        "STEELBENCH_CACHE": str(folder / "cache"),
        "KERAS_HOME": str(folder / "cache"),
        "STEELBENCH_TIMING": "off",
        "MPLCONFIGDIR": str(folder / "cache"),
        "HOSTILE_SENTINEL": str(folder / "guard" / "sentinel"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def tried(folder, seed, kind, numbers, tell=lambda row: None):
    """Run cases in processes, one after another; yield a row for each, also for those that end or hang one."""
    rows, left = [], list(numbers)
    while left:
        found = one_process(folder, seed, kind, left[: CASES_OF_A_PROCESS[kind]], tell)
        if not found:
            raise RuntimeError(f"no case of {kind} ran; {folder / 'errors.txt'} says why")
        rows += found
        left = left[len(found) :]
    return rows


def one_process(folder, seed, kind, numbers, tell):
    """Run cases in one process until they are done, or it ends, or one takes too long."""
    command = [sys.executable, "-m", "hostile.worker", str(folder), str(seed), kind, json.dumps(numbers)]
    with (folder / "errors.txt").open("a") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment(folder),
            cwd=folder / "guard", text=True,
        )  # fmt: skip
    lines = queue.Queue()
    threading.Thread(target=lambda: [*map(lines.put, process.stdout), lines.put("")], daemon=True).start()
    rows, begun, hangs = [], None, False
    while True:
        try:
            # The first line comes when everything is imported.
            line = lines.get(timeout=WALL_LIMIT if begun else 300)
        except queue.Empty:
            line, hangs = "", True
        if not line:
            break
        row = json.loads(line)
        begun = None if begun else row
        if not begun:
            tell(row)
            rows.append(row)
    if hangs:
        process.kill()
    code = process.wait(timeout=60)
    if begun:
        said = (folder / "errors.txt").read_text(errors="replace")[-600:]
        fault = f"no end within {WALL_LIMIT} s" if hangs else f"the process ended with {code}: {said}"
        rows.append({**begun, "code": code, "cpu": 0, "peak": 0, "faults": [fault]})
        tell(rows[-1])
    return rows


def ill(row):
    """What is wrong with a case."""
    found = list(row.get("faults", ()))
    if row.get("cpu", 0) > CPU_LIMIT:
        found.append(f"{row['cpu']:.1f} CPU seconds")
    if row.get("peak", 0) > MEMORY_LIMIT:
        found.append(f"{row['peak']:.0f} MB")
    return found


def summary(rows):
    """Figures by door, and of all."""
    rows = [row for row in rows if "skipped" not in row]
    names = sorted({row["door"] for row in rows})
    return {name: figures([row for row in rows if name in (row["door"], "all")]) for name in [*names, "all"]}


def figures(rows):
    faults = Counter(kind_of(fault) for row in rows for fault in ill(row))
    kinds = ("tracebacks", "faults", "hangs", "control", "outside", "wrong", "memory", "other")
    return {
        "cases": len(rows),
        "refused": sum(row["code"] in (1, 2) for row in rows),
        "answered": sum(row["code"] in (0, 3) for row in rows),
        **{kind: faults[kind] for kind in kinds},
        "cpu_seconds": round(max(row["cpu"] for row in rows), 2),
        "peak_mb": round(max(row["peak"] for row in rows)),
    }


def kind_of(fault):
    starts = {
        "traceback": "tracebacks", "fault": "faults", "raw control": "control", "a file outside": "outside",
        "wrong answer": "wrong", "no end": "hangs",
    }  # fmt: skip
    ends = {"CPU seconds": "hangs", "MB": "memory"}
    by_start = (kind for start, kind in starts.items() if fault.startswith(start))
    return next(by_start, next((kind for end, kind in ends.items() if fault.endswith(end)), "other"))


def table(found):
    heads = ["door", *found["all"]]
    lines = [[name, *map(str, own.values())] for name, own in found.items()]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in [heads, *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="light:NUMBER or heavy:NUMBER")
    parser.add_argument("--light", action="store_true", help="none that need TensorFlow")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    heavy = 0 if given.light else given.cases // 3
    plan = {"light": range(given.cases - heavy), "heavy": range(heavy)}
    if given.only:
        kind, number = given.only.split(":")
        plan = {kind: [int(number)]}
    rows = []

    def tell(row):
        if ill(row):
            print(json.dumps({**row, "faults": ill(row)}), flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepared(folder, networks=bool(plan.get("heavy")))
        for kind, numbers in plan.items():
            rows += tried(folder, given.seed, kind, numbers, tell)
    found = summary(rows)
    print(table(found))
    if given.out:
        given.out.write_text(json.dumps({"cases": given.cases, "seed": given.seed, "doors": found}, indent=1) + "\n")
    return int(any(ill(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
