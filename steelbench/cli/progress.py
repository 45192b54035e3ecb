"""Progress on standard error: a bar with the time left on a terminal, a line per step elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

WORDS = {
    "decode": "reading",
    "fetch": "fetching",
    "load": "building",
    "features": "images through",
    "heads": "training heads on",
    "saving": "saving",
    "verifying": "verifying",
    "audit": "looking for shared pixels in",
}


class Terminal:
    """Shows (step, name, done, total), a bar for each name; use as a context."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.titles: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, step: str, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` is reached; `total` 0 means that it is not known."""
        title = f"{WORDS.get(step, step)} {name}".strip()
        if not self.console.is_terminal:
            if self.titles.get(name) != title:
                print(f"steelbench: {title}" + (f" ({total})" if total else ""), file=sys.stderr, flush=True)
        elif self.titles.get(name) != title:
            if name in self.tasks:
                self.bar.remove_task(self.tasks[name])
            self.tasks[name] = self.bar.add_task(title, total=total or None)
        self.titles[name] = title
        if name in self.tasks:
            self.bar.update(self.tasks[name], completed=done, total=total or None, visible=not total or done < total)
