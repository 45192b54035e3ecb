"""`steelbench enroll MODEL NEW_CLASS_DIR`: a copy of a model that knows one more class, from a few images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steelbench.cli.terminal import result, say
from steelbench.data.label_names import refuse_names
from steelbench.errors import SteelbenchError
from steelbench.inference.image_paths import image_paths
from steelbench.runs.results_folder import refuse_unwritable_file

if TYPE_CHECKING:
    from steelbench.inference.model import Opening


def enroll_folder(model: Path, places: Sequence[Path], out: Path | None, opening: Opening | None = None) -> int:
    """Write a model that also knows the class that a folder shows, and print its path.

    Args:
        model: of the `.h5` to extend.
        places: a folder of images of the new class, which gets its name; or some images or crops `IMAGE#x,y,w,h` of
            such a folder.
        out: the new `.h5`; `MODEL-with-CLASS.h5` beside the old one if None.
        opening: what the user says of the model.

    Returns:
        The exit code: 1 if an image could not be read.

    Raises:
        SteelbenchError: for a name that no class may have, a file that is there or cannot be written; what
            `enroll_class` raises.
    """
    name = _class_name(places)
    # No card can hold another, and a model without its card cannot be opened.
    refuse_names([name])
    target = out or model.with_name(f"{model.stem}-with-{_slug(name)}.h5")
    if target.suffix != ".h5":
        raise SteelbenchError(f"--out {target} does not end in .h5; that is what plain Keras opens.")
    if target.exists():
        raise SteelbenchError(f"{target} exists; name another file with --out, or delete it.")
    refuse_unwritable_file("--out", target)
    from steelbench.inference.enrollment import enroll_class

    count, unreadable = enroll_class(model, name, list(image_paths(places)), target, opening)
    say(f"'{name}' is the mean of {count} images")
    for path in unreadable:
        say(f"{path} cannot be read and was left out")
    print(result(str(target)))
    return 1 if unreadable else 0


def _class_name(places: Sequence[Path]) -> str:
    """The name of the one folder that is given, or that all given images lie in."""
    from steelbench.data.crops import locate

    found = [(place, locate(place)[0]) for place in places]
    for place, file in found:
        if not place.is_dir() and not file.is_file():
            raise SteelbenchError(f"{place} is no folder; name one that holds images of the new class.")
    folders = {place if place.is_dir() else file.absolute().parent for place, file in found}
    if len(folders) > 1:
        raise SteelbenchError(
            f"{len(folders)} folders are named ({', '.join(sorted(map(str, folders)))}), but the one class gets the "
            "name of one folder; put its images together."
        )
    return folders.pop().name


def _slug(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:40] or "class"
