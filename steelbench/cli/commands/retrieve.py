"""`steelbench retrieve MODEL --query IMG --index DIR`: the most similar images, as CSV and as a contact sheet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from steelbench.cli.terminal import result, say
from steelbench.csv_files import csv_line, escaped
from steelbench.errors import SteelbenchError
from steelbench.inference.image_paths import image_paths
from steelbench.runs.results_folder import refuse_unwritable_file

if TYPE_CHECKING:
    from steelbench.inference.model import Opening


def retrieve_files(
    model_path: Path, query: Path, index: Path, top: int, sheet: Path | None, opening: Opening | None = None
) -> int:
    """Print rank, path and cosine of the most similar images, and draw them on a contact sheet.

    Args:
        model_path: of the `.h5`.
        query: image to compare with, or a crop `IMAGE#x,y,w,h`.
        index: folder of images to search.
        top: number of images.
        sheet: PNG to draw; `similar-to-<query>.png` if None.
        opening: what the user says of the model.

    Returns:
        The exit code: 1 if an image of the index could not be read.

    Raises:
        SteelbenchError: if the query, the folder or the model cannot be read, or the sheet cannot be written.
    """
    from steelbench.data.images import image_exists

    if not image_exists(query):
        raise SteelbenchError(f"--query {query} is no file; name an image.")
    target = sheet or Path(f"similar-to-{query.stem}.png")
    # Another name may be that of the user's own file, which would be replaced.
    if target.suffix.lower() != ".png":
        raise SteelbenchError(f"--sheet {target} does not end in .png; that is what is drawn.")
    refuse_unwritable_file("--sheet", target)
    files = list(image_paths([index]))
    if target.exists() and target.resolve() in {path.resolve() for path in (query, *files)}:
        raise SteelbenchError(f"--sheet {target} is one of the images, and would be replaced; name another file.")
    from steelbench.inference.image_search import draw_sheet, most_similar
    from steelbench.inference.model import load_model

    model = load_model(model_path, opening)
    found, unreadable = most_similar(model, query, files, top)
    sys.stdout.write(csv_line(["rank", "path", "cosine"]))
    for rank, item in enumerate(found, start=1):
        sys.stdout.write(csv_line([rank, result(escaped(str(item.path))), f"{item.cosine:.6f}"]))
    draw_sheet(query, found, target, model.bit_depth, lambda path: path.parent.name)
    say(f"{target} shows them side by side")
    for path in unreadable:
        say(f"{path} cannot be read and was left out")
    return 1 if unreadable else 0
