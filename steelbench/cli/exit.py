"""From what a program does or raises to one line on standard error and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence

from steelbench.errors import SteelbenchError

INTERRUPTED = 130
# What is wrong with a path that the user gave, not with steelbench.
UNUSABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code, as `exit_code`."""

    def typed() -> int:
        from steelbench.cli.app import app

        return app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)

    return exit_code(typed)


def exit_code(program: Callable[[], int | None]) -> int:
    """Run a program that may raise; what went wrong is told in one line. Returns the exit code.

    0 done; 1 something failed that is not the user's mistake; 2 the user's mistake.
    """
    try:
        code = int(program() or 0)
        # What a full disk or a closed pipe does to the last lines must come out here, not at the interpreter's end.
        sys.stdout.flush()
        return _interrupted() if code == INTERRUPTED else code
    except SteelbenchError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return _hush()
    except SystemExit as stop:
        # What typer and rich make of a broken pipe.
        if isinstance(stop.__context__, BrokenPipeError):
            return _hush()
        raise
    except Exception as error:
        return _explain(error)


def _interrupted() -> int:
    return _say("interrupted; the same command goes on where it stopped.", INTERRUPTED)


def _hush() -> int:
    """The reader of our output has gone, as in `| head`; nothing may be written to it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _explain(error: Exception) -> int:
    # The command line's own complaints; their classes live in other places in other versions of typer.
    if hasattr(error, "format_message"):
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            return 2
        return _say(error.format_message(), getattr(error, "exit_code", 2))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _drop_output()
        return _say(
            f"the disk is full ({error.filename or 'while writing'}). Make room; the same command goes on where it "
            "stopped.",
            1,
        )
    if isinstance(error, OSError) and error.errno in UNUSABLE:
        return _say(
            f"{error.filename} cannot be used ({error.strerror}); choose another place or change its rights.", 2
        )
    if os.environ.get("STEELBENCH_DEBUG"):
        raise error
    return _say(
        f"this is a fault in steelbench: {type(error).__name__}: {error}. What was finished is kept. "
        "STEELBENCH_DEBUG=1 shows where it happened; please report it.",
        1,
    )


def _drop_output() -> None:
    """What still waits for a full disk would fail once more, without a word of ours, when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str, code: int) -> int:
    # Names of files and classes may hold line ends and a terminal's commands; the message stays one line.
    line = "".join(char if char.isprintable() else " " if char.isspace() else repr(char)[1:-1] for char in text)
    print(f"steelbench: {line}", file=sys.stderr)
    return code
