"""Refuse folders that would be taken for classes and are something else; `--layout` overrules it."""

from __future__ import annotations

from pathlib import Path

from steelbench.data.layouts.folders import BESIDE_IMAGES, IMAGE_FOLDERS, content_words, contents, listed
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.samples import Dataset, visible_folders
from steelbench.errors import SteelbenchError

NO_CLASSES = IMAGE_FOLDERS | BESIDE_IMAGES


def refuse_nonsense(dataset: Dataset, name: str) -> None:
    """Refuse classes that are named like parts of a split, like folders of all images, or hold what classes are.

    Args:
        dataset: read by class folders.
        name: of the reader; below `split_folders` a class folder lies in the folder of its part.

    Raises:
        SteelbenchError: with what was seen, and the folder that was probably meant.
    """
    depth = 1 if name == "split_folders" else 0
    folders: dict[str, set[str]] = {}
    for sample in dataset.samples:
        parts = sample.path.split("/")
        if sample.split in ("", "train"):
            inner = parts[depth + 1] if len(parts) > depth + 2 else ""
            folders.setdefault("/".join(parts[: depth + 1]), set()).add(inner)
    _refuse_parts(dataset.root, folders)
    _refuse_containers(dataset.root, folders)
    _refuse_same_folders(dataset.root, folders, name)


def _refuse_parts(root: Path, folders: dict[str, set[str]]) -> None:
    parts = split_parts(folders)
    if not parts:
        return
    train = next((folder for folder, part in parts.items() if part == "train"), None)
    named = f"{listed(sorted(parts))} {'is a part' if len(parts) == 1 else 'are parts'} of a split by name, no class"
    if train is None or len(parts) < 2:
        others = listed(sorted(set(folders) - set(parts)))
        meant = f"beside {others}; move it out of the data folder" if others else "expected a folder for each class"
    else:
        meant = f"but {train} holds no class folders ({_seen(root / train)}); expected {train}/CLASS/*.jpg"
    raise SteelbenchError(f"{root}: {named}, {meant}. If it is meant so, add --layout class_folders.")


def _refuse_containers(root: Path, folders: dict[str, set[str]]) -> None:
    names = {folder.rpartition("/")[2].lower() for folder in folders}
    if not folders or not names <= NO_CLASSES:
        return
    first = min(folders)
    inner = visible_folders(root / first)
    meant = (
        f"Probably meant: --data {root / first}." if len(inner) > 1 else "Put the images of each class into a folder."
    )
    raise SteelbenchError(
        f"{root}: the only class{'' if len(folders) == 1 else 'es'} would be {listed(sorted(folders))}, which names no "
        f"defect; seen: {_seen(root)}. Expected a folder for each class, or names such as scratches_12.jpg. {meant}"
    )


def _refuse_same_folders(root: Path, folders: dict[str, set[str]], name: str) -> None:
    if len(folders) < 2 or any("" in inner for inner in folders.values()):
        return
    # `images/` and `masks/` in every class folder tell nothing about classes.
    named = [{folder for folder in inner if folder.lower() not in NO_CLASSES} for inner in folders.values()]
    same, all_of_them = set.intersection(*named), set.union(*named)
    if len(same) < 2 or 2 * len(same) < len(all_of_them):
        return
    first, inside = sorted(folders)[0], sorted(same)
    told = (
        f"{root}: its {len(folders)} folders ({listed(sorted(folders))}) all hold the same folders ({listed(inside)})"
    )
    if len(split_parts(inside)) == len(inside) and not any(visible_folders(root / first / part) for part in inside):
        raise SteelbenchError(
            f"{told}, parts of a split inside each class; expected {inside[-1]}/{first}/*.jpg. --layout {name} takes "
            "them together, and draws a split."
        )
    raise SteelbenchError(
        f"{told}, so they are hardly the classes. Probably meant: --data {root / first}, one of them. If they are the "
        f"classes, add --layout {name}."
    )


def _seen(folder: Path) -> str:
    inner = [f"{path.name}/ ({content_words(contents(path))})" for path in visible_folders(folder)[:5]]
    return listed(inner) if inner else content_words(contents(folder))
