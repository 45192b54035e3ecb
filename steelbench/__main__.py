"""`python -m steelbench`, the same as `steelbench`."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from steelbench.errors import SteelbenchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code.

    0 done; 1 something failed that is not the user's mistake; 2 the user's mistake, said in one message.
    """
    from steelbench.cli import app

    try:
        return int(app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False) or 0)
    except SteelbenchError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on where it stopped.", 130)
    except BrokenPipeError:
        # The reader of our output has gone, as in `| head`; nothing may be written to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _explain(error)


def _explain(error: Exception) -> int:
    # The command line's own complaints; their classes live in other places in other versions of typer.
    if hasattr(error, "format_message"):
        return _say(error.format_message(), getattr(error, "exit_code", 2))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _say(
            f"the disk is full ({error.filename or 'while writing'}). Make room; the same command goes on where it "
            "stopped.",
            1,
        )
    if isinstance(error, PermissionError):
        return _say(f"{error.filename} may not be written or read; choose another folder or change its rights.", 2)
    if os.environ.get("STEELBENCH_DEBUG"):
        raise error
    return _say(
        f"this is a fault in steelbench: {type(error).__name__}: {error}. What was finished is kept. "
        "STEELBENCH_DEBUG=1 shows where it happened; please report it.",
        1,
    )


def _say(text: str, code: int) -> int:
    print(f"steelbench: {text}", file=sys.stderr)
    return code


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
