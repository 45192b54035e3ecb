"""`steelbench enroll MODEL NEW_CLASS_DIR`: a copy of a model that knows one more class, from a few images."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.commands.predict import image_paths
from steelbench.cli.terminal import result, say
from steelbench.errors import SteelbenchError


def enroll_folder(model: Path, folder: Path, out: Path | None) -> int:
    """Write a model that also knows the class that a folder shows, and print its path.

    Args:
        model: of the `.h5` to extend.
        folder: images of the new class, which gets the folder's name.
        out: the new `.h5`; `MODEL-with-CLASS.h5` beside the old one if None.

    Returns:
        The exit code: 1 if an image could not be read.
    """
    if not folder.is_dir():
        raise SteelbenchError(f"{folder} is no folder; name one that holds images of the new class.")
    target = out or model.with_name(f"{model.stem}-with-{_slug(folder.name)}.h5")
    if target.suffix != ".h5":
        raise SteelbenchError(f"--out {target} does not end in .h5; that is what plain Keras opens.")
    if target.exists():
        raise SteelbenchError(f"{target} exists; name another file with --out, or delete it.")
    from steelbench.inference.enrollment import enroll_class

    count, unreadable = enroll_class(model, folder.name, list(image_paths([folder])), target)
    say(f"'{folder.name}' is the mean of {count} images")
    for path in unreadable:
        say(f"{path} cannot be read and was left out")
    print(result(str(target)))
    return 1 if unreadable else 0


def _slug(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:40] or "class"
