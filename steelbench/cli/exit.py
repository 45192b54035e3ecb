"""Turn how a program ends into an exit code and at most one line on standard error."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
from collections.abc import Callable, Sequence

from steelbench.cli.terminal import say
from steelbench.errors import SteelbenchError
from steelbench.files import disk_full_sentence, is_disk_full

INTERRUPTED = 130
# Options whose value is a list of names, separated by commas.
LISTS = ("--backbones", "--methods", "--with")
# Options whose value is a path; an empty one would be taken for the current folder. `--data` says so itself.
PLACES = (
    *("--out", "--results", "--index", "--query", "--sheet", "--images", "--int8", "--suite", "--weights-dir"),
    "--unlabelled",
)
# What the system says of a disk or a network drive that fails.
BROKEN = {getattr(errno, name) for name in ("EIO", "ENXIO", "ESTALE", "EREMOTEIO") if hasattr(errno, name)}
MEND = "Look at the disk or the network drive; the same command goes on where it stopped."
# The user named a path that cannot be used; steelbench is not at fault.
UNUSABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}
# What `Path.resolve` raises for `ELOOP` up to Python 3.12.
LOOP = "Symlink loop"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code, as `exit_code` does.

    Args:
        arguments: the words after `steelbench`; None for those of this process.
    """

    def command() -> int:
        from steelbench.cli.app import app

        words = list(sys.argv[1:] if arguments is None else arguments)
        _refuse_spaced_lists(words)
        _refuse_empty_places(words)
        try:
            return app(words, standalone_mode=False)
        except Exception as error:
            _name_value(error, words)
            raise

    return exit_code(command)


def _refuse_spaced_lists(words: Sequence[str]) -> None:
    """Say what is wrong with `--backbones a, b`; the command line would complain about an argument `b`."""
    for place, word in enumerate(words):
        option, joined, value = word.partition("=")
        if option not in LISTS:
            continue
        rest = itertools.takewhile(lambda other: not other.startswith("-"), words[place + 1 :])
        parts = [*([value] if joined else []), *rest]
        # Commas that end one word or begin the next join the two.
        end = next((i for i, (a, b) in enumerate(itertools.pairwise(parts)) if not _is_broken(a, b)), len(parts) - 1)
        if end > 0:
            typed, meant = " ".join(parts[: end + 1]), "".join(parts[: end + 1])
            raise SteelbenchError(
                f"{option} {typed}: a space ends the list; remove the space after the comma: {option} {meant}."
            )


def _is_broken(first: str, second: str) -> bool:
    return first.endswith(",") or second.startswith(",")


def _refuse_empty_places(words: Sequence[str]) -> None:
    """Refuse an empty word in place of a path, alone or as an option's value."""
    for before, word in itertools.pairwise(("", *words)):
        option = word.removesuffix("=") if word else before
        if (not word and not before.startswith("-")) or (option in PLACES and word in ("", f"{option}=")):
            place = f"the value of {option}" if option in PLACES else f"the word after '{before}'"
            raise SteelbenchError(f"{place} is empty, as from an unset shell variable; name a file or folder.")


def _name_value(error: Exception, words: Sequence[str]) -> None:
    """Put what was typed into a message about a value of another kind; pydantic's, which typer shows, leaves it out."""
    message = str(getattr(error, "message", ""))
    options = getattr(getattr(error, "param", None), "opts", ())
    if not message.startswith("Input should"):
        return
    for before, word in itertools.pairwise(("", *words)):
        option, joined, value = word.partition("=")
        if before in options or (joined and option in options):
            error.message = f"{(word if before in options else value)!r}: {message}."  # type: ignore[attr-defined]


def exit_code(program: Callable[[], int | None]) -> int:
    """Run a program and return its exit code; whatever it raises becomes one line on standard error.

    Args:
        program: returns an exit code, or None for 0.

    Returns:
        0 done; 1 something failed that is not the user's mistake; 2 the user's mistake; 130 interrupted.

    Raises:
        Exception: an unexpected one, only if STEELBENCH_DEBUG is set.
    """
    try:
        code = int(program() or 0)
        # A full disk or a closed pipe fails here, where it can be reported, and not when the interpreter ends.
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as stop:
        # Typer and rich exit by themselves when a pipe is closed.
        if not _reader_has_ended(stop.__context__):
            raise
        code = _discard_output()
    except Exception as error:
        code = _discard_output() if _reader_has_ended(error) else _report(error)
    if code == INTERRUPTED:
        say("interrupted; the same command goes on where it stopped.")
    return code


def _reader_has_ended(error: BaseException | None) -> bool:
    """Return whether the program that reads our output has ended, as in `| head`."""
    if isinstance(error, BrokenPipeError):
        return True
    # What Windows calls a closed pipe.
    return os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None


def _discard_output() -> int:
    """Send what is left of standard output to nowhere, as it would fail again when the interpreter ends. Returns 0."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _report(error: Exception) -> int:
    """Print what went wrong; returns the exit code."""
    if isinstance(error, SteelbenchError):
        say(str(error))
        return 2
    # Errors of the command line itself; their classes live in other places in other versions of typer.
    if hasattr(error, "format_message"):
        return _report_usage(error.format_message(), error)
    if is_disk_full(error):
        _discard_output()
        say(disk_full_sentence(str(getattr(error, "filename", None) or "while writing")))
        return 1
    if isinstance(error, OSError) and error.errno in BROKEN:
        say(f"{error.filename2 or error.filename or 'a file'} could not be read or written ({error.strerror}). {MEND}")
        return 1
    if isinstance(error, OSError) and error.errno in UNUSABLE:
        say(_unusable(error))
        return 2
    if isinstance(error, RuntimeError) and str(error).startswith(LOOP):
        say(f"a path cannot be used ({error}: links that lead in a circle); name another, or mend the link.")
        return 2
    if os.environ.get("STEELBENCH_DEBUG"):
        raise error
    say(
        f"this is a fault in steelbench: {type(error).__name__}: {error}. What was finished is kept. "
        "STEELBENCH_DEBUG=1 shows where it happened; please report it."
    )
    return 1


def _report_usage(message: str, error: Exception) -> int:
    """Print a mistake on the command line, or the help for a command line without a command."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return 2
    say(message)
    return int(getattr(error, "exit_code", 2))


def _unusable(error: OSError) -> str:
    # Of a rename the second name is the user's, the first a temporary one.
    path = error.filename2 or error.filename
    # Windows does not replace a file that another program, such as a spreadsheet, has open.
    close = ", or close the program that has it open" if getattr(error, "winerror", None) else ""
    return f"{path} cannot be used ({error.strerror}); choose another place or change its rights{close}."
