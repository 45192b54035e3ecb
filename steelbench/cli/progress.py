"""Progress on standard error: bars with the time left on a terminal, a line for each step elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from steelbench.cli.terminal import say
from steelbench.printable import shown

# Step of a computation -> how it is shown, before the name of what is computed.
TITLES = {
    "list": "listing images below",
    "decode": "reading",
    "fetch": "fetching",
    "load": "building",
    "features": "images through",
    "tasks": "tasks on the Ray cluster",
    "heads": "training heads on",
    "unknown": "leaving out classes of",
    "saving": "saving",
    "verifying": "verifying",
    "timing": "timing",
    "maps": "computing maps of",
    "robustness": "corrupted images through",
    "track": "sending the numbers to",
    "audit": "looking for shared pixels in",
}
# Steps that are a line, also on a terminal, because they are no work to wait for.
SAID = {"damage": "damaged or missing, and made anew:", "cluster": ""}


class ProgressDisplay:
    """Shows reports of progress, a bar for each name; a `steelbench.progress.Progress` to use as a context."""

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
        """Show that `done` of `total` units are finished; `total` 0 means that it is not known."""
        if step in SAID:
            say(f"{SAID[step]} {name}".strip())
            return
        title = f"{TITLES.get(step, step)} {name}".strip()
        if self.titles.get(name) != title:
            self.titles[name] = title
            self._begin(name, title, total)
        if name in self.tasks:
            self.bar.update(self.tasks[name], completed=done, total=total or None, visible=not total or done < total)

    def _begin(self, name: str, title: str, total: int) -> None:
        """Replace the bar of `name` by one for its next step; print a line where there are no bars."""
        if not self.console.is_terminal:
            say(title + (f" ({total})" if total else ""))
            return
        if name in self.tasks:
            self.bar.remove_task(self.tasks[name])
        self.tasks[name] = self.bar.add_task(shown(title), total=total or None)
