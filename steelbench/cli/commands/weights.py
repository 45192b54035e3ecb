"""`steelbench weights list|download|verify`: for plants without internet, and for those with it."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.progress import Terminal
from steelbench.cli.tables import show
from steelbench.errors import SteelbenchError, choose
from steelbench.models.backbones import BACKBONES, WeightsFile
from steelbench.models.weight_files import download, find_file, search_folders, verify_file

KINDS = ("imagenet", "noisy-student")


def files(backbones: str | None) -> list[tuple[str, str, WeightsFile]]:
    """(backbone, kind, file) of every file that the named backbones can use."""
    given = [] if backbones is None else backbones.split(",")
    names = [choose("backbone", name.strip(), BACKBONES) for name in given] or list(BACKBONES)
    found = [
        (name, kind, file)
        for name in names
        for kind, file in (("imagenet", BACKBONES[name].imagenet), ("noisy-student", BACKBONES[name].noisy_student))
        if file is not None
    ]
    return found


def list_files(backbones: str | None, folder: Path | None) -> None:
    """Print file names, sizes, md5, where from, and whether they are here."""
    show(
        ("backbone", "kind", "file", "MB", "md5", "from", "here"),
        (
            (
                name, kind, file.name, f"{file.megabytes:.1f}", file.md5 or "not published", file.url,
                str(find_file(file, folder) or "no"),
            )
            for name, kind, file in files(backbones)
        ),
        right=("MB",),
    )  # fmt: skip
    print(f"\nPut the files into one of: {', '.join(map(str, search_folders(folder)))}")


def download_files(backbones: str | None, folder: Path | None, kind: str) -> None:
    """Fetch what is missing.

    Raises:
        SteelbenchError: for the first file that cannot be had.
    """
    wanted = [entry for entry in files(backbones) if entry[1] == choose("kind of weights", kind, KINDS)]
    if not wanted:
        raise SteelbenchError(f"there are no {kind} weights of {backbones}; see steelbench weights list.")
    with Terminal() as terminal:
        for name, _, file in wanted:
            path = find_file(file, folder) or download(file, folder, lambda n, d, t: terminal("fetch", n, d, t))
            verify_file(path, name, file)
            print(path)


def verify_files(backbones: str | None, folder: Path | None) -> int:
    """Check every file that is here; returns 2 if one is not what its name says, or none is here."""
    code, seen = 0, 0
    for name, _, file in files(backbones):
        path = find_file(file, folder)
        if path is None:
            continue
        seen += 1
        try:
            print(f"{path}: good, md5 {verify_file(path, name, file)}")
        except SteelbenchError as error:
            print(f"{path}: bad: {error}")
            code = 2
    if not seen:
        folders = ", ".join(map(str, search_folders(folder)))
        raise SteelbenchError(f"no file of weights was found in {folders}; steelbench weights list names them.")
    return code
