"""Lines for the user on standard error; standard output carries results only."""

from __future__ import annotations

import os
import sys

from steelbench.printable import shown


def say(text: str) -> None:
    """Print `steelbench: TEXT` as one line on standard error.

    Names of files and classes may hold line ends and commands of a terminal; they are printed as plain text.
    """
    line = "".join(" " if char.isspace() else char for char in text)
    print(f"steelbench: {shown(line)}", file=sys.stderr, flush=True)


def mute_libraries() -> None:
    """Send what libraries written in C print to nowhere; Python's standard error goes on to the terminal.

    libpng and libjpeg write their warnings to descriptor 2 themselves, in the middle of a progress bar; what they mean
    for an image stands in `skipped_images.csv`. With STEELBENCH_DEBUG set they are shown.
    """
    if os.environ.get("STEELBENCH_DEBUG"):
        return
    try:
        sys.stderr.flush()
        own, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
    except (OSError, AttributeError):
        # There is no standard error.
        return
    os.close(nowhere)
    sys.stderr = os.fdopen(own, "w", encoding=sys.stderr.encoding, errors="backslashreplace", buffering=1)


def result(text: str) -> str:
    """Return a path or a cell for standard output: `shown` on a terminal, as it is where a program or a file reads it.

    Sentences and tables for people are `shown` everywhere: a log is read on a terminal later.
    """
    return shown(text) if sys.stdout.isatty() else text
