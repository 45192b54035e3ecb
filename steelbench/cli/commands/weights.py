"""`steelbench weights`: list, download and verify the files of pretrained weights."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.tables import show
from steelbench.errors import SteelbenchError, choose
from steelbench.models.backbones import BACKBONES, WeightsFile
from steelbench.models.weight_files import download, find_file, search_folders, verify_file

KINDS = ("imagenet", "noisy-student")


def files(backbones: str | None) -> list[tuple[str, str, WeightsFile]]:
    """Return (backbone, kind, file) of every file that backbones can use.

    Args:
        backbones: names, separated by commas; None for all.

    Raises:
        SteelbenchError: for an unknown backbone.
    """
    given = [] if backbones is None else backbones.split(",")
    names = [choose("backbone", name.strip(), BACKBONES) for name in given] or list(BACKBONES)
    return [
        (name, kind, file)
        for name in names
        for kind, file in (("imagenet", BACKBONES[name].imagenet), ("noisy-student", BACKBONES[name].noisy_student))
        if file is not None
    ]


def list_files(backbones: str | None, folder: Path | None) -> None:
    """Print names, sizes, md5 and origins of the files, and where they were found."""
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
    """Fetch the files that are missing, verify all, print their paths.

    Args:
        backbones: names, separated by commas; None for all.
        folder: looked into first, and written to; None for the usual ones.
        kind: "imagenet" or "noisy-student".

    Raises:
        SteelbenchError: for the first file that cannot be fetched or verified.
    """
    wanted = [entry for entry in files(backbones) if entry[1] == choose("kind of weights", kind, KINDS)]
    if not wanted:
        raise SteelbenchError(f"there are no {kind} weights of {backbones}; see steelbench weights list.")
    with ProgressDisplay() as terminal:
        for name, _, file in wanted:
            path = find_file(file, folder) or download(file, folder, lambda n, d, t: terminal("fetch", n, d, t))
            verify_file(path, name, file)
            print(path)


def verify_files(backbones: str | None, folder: Path | None) -> int:
    """Verify every file that is found, and print the verdict.

    Returns:
        The exit code: 2 if a file is not what its name says.

    Raises:
        SteelbenchError: if no file is found.
    """
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
