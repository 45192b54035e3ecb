"""Say at the end of a run what to look at and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from steelbench.records import OWN_SPLIT, Summary
from steelbench.report.formatting import is_untrained, row_label

# Readers of data that has a split of its own, which older records do not tell.
SPLIT_READERS = ("split_folders",)


def next_steps(results: Path, data: str, summary: Summary) -> list[str]:
    """Return three lines: the report, a model with the command that uses it, and the next command.

    Args:
        results: the results folder.
        data: the option `--data`.
        summary: of the run.
    """
    return [f"look at {results / 'report.html'}", _use(results, summary), _next(results, data, summary)]


def _use(results: Path, summary: Summary) -> str:
    # The rows are sorted, best first.
    usable = [row for row in summary.rows if row.status == "done" and row.model and not is_untrained(row)]
    if not usable:
        return "no model is worth using: no network was trained; steelbench weights list says how to get weights"
    best = usable[0]
    others = sum(bool(row.tied) for row in usable) - bool(best.tied)
    tied = f" (tied for best with {others} other{'' if others == 1 else 's'})" if others else ""
    return f"model to take, {row_label(best)}{tied}: steelbench predict {_quoted(results / str(best.model))} IMAGES"


def _next(results: Path, data: str, summary: Summary) -> str:
    if data == "demo":
        return "next, your own images, a folder for each class: steelbench run --data DIR"
    split = summary.split
    own = split.kind == OWN_SPLIT or (split.kind != "regroup" and summary.dataset.reader in SPLIT_READERS)
    if split.folds == 1 and not own:
        wider = results.with_name(f"{results.name}-5x3")
        command = f"the same command with --folds 5 --seeds 3 --results {_quoted(wider)}"
        return f"next, narrower intervals, and how sure an answer must be: {command}"
    return f"next, copies and wrong labels in your images: steelbench audit --data {shlex.quote(data)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
