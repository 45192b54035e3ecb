"""A process that sends one damaged input after another through a door, and says how each ended."""

import contextlib
import io
import json
import os
import re
import resource
import shutil
import sys
import time
import traceback
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hostile import doors
from played_folder import play

CODES = (0, 1, 2, 3)
PROGRESS = "\r"


def main(folder, seed, heavy, numbers):
    """Run the cases of these numbers; print a JSON line before and after each.

    Args:
        folder: with `seeds` and `guard`, whose files must not change; cases get folders below it.
        seed: of the corpus.
        heavy: whether the doors that need TensorFlow are meant.
        numbers: of the cases.
    """
    tell = os.fdopen(os.dup(1), "w", buffering=1)
    # What libraries written in C print goes where `steelbench` sends it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    table = doors.HEAVY if heavy else doors.LIGHT
    warm(folder, heavy)
    for number in numbers:
        rng = np.random.default_rng([seed, int(heavy), number])
        door = doors.drawn(rng, table)
        print(json.dumps({"number": number, "door": door.__name__}), file=tell)
        print(json.dumps(tried(door, rng, folder, number)), file=tell)
        if heavy:
            import keras

            keras.utils.clear_session()


def warm(folder, heavy):
    """Import what commands import, which is not the inputs' fault, and take the first measurements."""
    place = folder / f"warm-{os.getpid()}"
    place.mkdir()
    run(["audit", "--data", folder / "seeds" / "data", "--out", place / "audit"])
    shutil.copytree(folder / "seeds" / "results", place / "results")
    run(["report", place / "results"])
    if heavy:
        run(["predict", folder / "seeds" / "model" / "m.h5", folder / "seeds" / "data" / "rows", *doors.KERAS])
    shutil.rmtree(place)


def tried(door, rng, folder, number):
    """Make a case, run it and return its row."""
    place = folder / f"case-{'h' if door in doors.HEAVY else 'l'}-{number}"
    place.mkdir()
    before = contents(folder)
    try:
        case = door(rng, folder / "seeds", place)
    except (OSError, ValueError, UnicodeError) as error:
        # The file system has no such input.
        shutil.rmtree(place, ignore_errors=True)
        return {"number": number, "door": door.__name__, "skipped": f"{type(error).__name__}: {error}"}
    forget_peak()
    started, cpu = time.perf_counter(), used()
    with pytest.MonkeyPatch.context() as patch:
        if case.played:
            play(patch, models=True)
        code, out, err = run(case.words)
    row = {"number": number, "door": door.__name__, "code": code, "cpu": used() - cpu, "peak": peak()}
    row["wall"] = time.perf_counter() - started
    faults = list(complaints(case, code, out, err))
    if touched := set(contents(folder)) ^ set(before):
        faults.append(f"a file outside was touched: {sorted(touched)[0][0]}")
    if faults:
        row |= {"faults": faults, "words": list(map(repr, map(str, case.words))), "err": err[-1500:], "out": out[-300:]}
    shutil.rmtree(place, ignore_errors=True)
    return row


def run(words):
    """Return exit code, standard output and standard error of a command line."""
    from steelbench.cli.exit import main as steelbench

    out, err = (io.TextIOWrapper(io.BytesIO(), errors="backslashreplace", newline="") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = steelbench([str(word) for word in words])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            code = -1
            traceback.print_exc()
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(errors="replace"))
    return code, *texts


def complaints(case, code, out, err):
    """Yield what must not be in an answer."""
    if code not in CODES:
        yield f"exit code {code}"
    if "Traceback (most" in out + err:
        yield "traceback"
    if "fault in steelbench" in err:
        yield "fault"
    for text in [err] if case.bare else [out, err]:
        raw = [char for char in text if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl")]
        if raw:
            yield f"raw control character {raw[0]!r}"
    if code == 2 and not re.search(r"\S", err):
        yield "refused without a word"
    try:
        wrong = case.wrong(code, out, err)
    except Exception as error:
        wrong = f"unreadable answer ({type(error).__name__}: {error})"
    if wrong:
        yield f"wrong answer: {wrong}"


def contents(folder):
    """What must stay: path, size and time of all seeds, and of what lies in the home and working folder."""
    return [
        (str(path), found.st_size, found.st_mtime_ns)
        for name in ("seeds", "guard")
        for path in sorted((folder / name).rglob("*"))
        if not path.is_dir() and (found := path.lstat())
    ]


def used():
    """CPU seconds of this process and those that it started."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(own.ru_utime + own.ru_stime for own in spent)


def forget_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Largest resident memory since `forget_peak`, MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "heavy", json.loads(sys.argv[4]))
