"""What a command line says of a model file, as every command that opens one takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steelbench.cli.terminal import say
from steelbench.errors import SteelbenchError

if TYPE_CHECKING:
    from steelbench.inference.model import Opening

MAX_BYTES = 1 << 20


def opening_of(classes: str | None = None, pixels: str | None = None, allow_unsafe: bool = False) -> Opening:
    """Return what the user says of a model file, and say what is unsafe about it.

    Args:
        classes: names separated by commas, or the path of a text file with a name on each line.
        pixels: what the model was trained on.
        allow_unsafe: leave out the list of layers and the bounds of size.

    Raises:
        SteelbenchError: for a file of names that cannot be read.
    """
    from steelbench.inference.model import Opening
    from steelbench.models.safe_load import UNSAFE

    if allow_unsafe:
        say(UNSAFE)
    return Opening(class_names(classes) if classes is not None else (), pixels, allow_unsafe)


def class_names(text: str) -> tuple[str, ...]:
    """Return the names in a list or a file.

    Args:
        text: names separated by commas, or the path of a text file with a name on each line.

    Raises:
        SteelbenchError: if the file cannot be read, or there is no name.
    """
    try:
        path = Path(text)
        if path.is_file():
            if path.stat().st_size > MAX_BYTES:
                raise SteelbenchError(
                    f"--classes {path} has more than {MAX_BYTES} bytes; expected a name on each line."
                )
            found = path.read_text(encoding="utf-8-sig").splitlines()
        else:
            found = text.split(",")
    except (OSError, ValueError) as error:
        raise SteelbenchError(
            f"--classes {text[:80]} cannot be read ({error}); expected A,B,C or a text file."
        ) from None
    names = tuple(name.strip() for name in found if name.strip())
    if not names:
        raise SteelbenchError("--classes names no class; expected A,B,C or a text file with a name on each line.")
    return names
