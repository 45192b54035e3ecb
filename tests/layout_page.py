"""Write docs/data.md: make every layout small and ask `steelbench data check`."""

import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path

from layout_trees import REFUSED, TREES

from steelbench.cli.exit import main

HEAD = """# Data: the layouts that are known

`--data` takes a folder as it was downloaded, exported or copied. `steelbench data check DIR` says what it is read as,
by names and headers only, and the same stands in the first lines of `steelbench run` and `steelbench audit`.
`--layout NAME` says it where two layouts fit; `steelbench list datasets` names them all. A folder that holds nothing
but one folder is looked through. Folders of operating systems (`__MACOSX`) are passed over.

This page is made by `python tests/layout_page.py > docs/data.md`, which makes each folder small, runs the command and
writes down what it says; a test makes it again and compares.

## Recognised

`DIR` is the folder. Options of `data check` mean the same for `run` and `audit`.

| folder | looks like | command | layout | images | split | left out, notes |
|---|---|---|---|---|---|---|
"""
MIDDLE = """
Parts of a split may be called `train`, `training`; `val`, `valid`, `validation`, `dev`, `development`; `test`,
`testing`, `holdout`; with `_set`, `_images` or `_data` behind. `eval` is the test part, beside a `test` the part for
validation. Small and capital letters are the same.

## Refused

A folder that would train nonsense ends with exit code 2 and a sentence; `--layout` overrules it where it is wrong.

| folder | looks like | what is said |
|---|---|---|
"""


def checked(tree, root):
    """Run `steelbench data check` on a tree; returns exit code, its command, standard output and error."""
    data = tree.make(root)
    place = f"DIR/{data.relative_to(root)}" if data != "demo" and data != root else "demo" if data == "demo" else "DIR"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["data", "check", str(data), *tree.options])
    command = " ".join(["steelbench data check", place, *tree.options])
    return code, command, out.getvalue(), err.getvalue().replace(str(root.resolve()), "DIR")


def fields(printed):
    """What `data check` printed, by the word at the beginning of each line; lines without one belong to the last."""
    found, word = {}, ""
    for line in printed.splitlines():
        word = line[:11].strip() or word
        found.setdefault(word, []).append(line[11:])
    return found


def _row(*cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def page():
    """Return docs/data.md."""
    text = HEAD
    with tempfile.TemporaryDirectory() as temporary:
        for number, tree in enumerate((*TREES, *REFUSED)):
            root = Path(temporary).resolve() / str(number)
            root.mkdir()
            code, command, out, err = checked(tree, root)
            if not tree.reader:
                text += MIDDLE if tree is REFUSED[0] else ""
                text += _row(tree.title, f"`{tree.looks}`", err.removeprefix("steelbench: ").strip())
                continue
            told = fields(out)
            classes = ", ".join(re.sub(r" +(\d+)$", r" \1", line) for line in told["images"][1:])
            others = [line for line in told["left out"] + told.get("note", []) if line != "nothing"]
            layout = told["layout"][0].partition(":")[0]
            split = "drawn" if told["split"][0].startswith("none") else told["split"][0]
            counts = f"{told['images'][0]}: {classes}"
            text += _row(tree.title, f"`{tree.looks}`", f"`{command}`", layout, counts, split, "; ".join(others))
            if code:
                raise ValueError(f"{tree.title}: {err}")
    return text


if __name__ == "__main__":
    sys.stdout.write(page())
