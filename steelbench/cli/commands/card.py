"""`steelbench card MODEL`: show a model's card, or write one for a model that steelbench did not save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from steelbench.cli.terminal import result, say
from steelbench.errors import SteelbenchError

if TYPE_CHECKING:
    from steelbench.inference.model import Opening


def show_card(model: Path) -> None:
    """Print a model's card as JSON, after holding it against the file.

    Args:
        model: the `.h5`.
    """
    from steelbench.inference.model import read_card
    from steelbench.models.safe_load import inspect

    card = read_card(model)
    _, answers = inspect(model)
    _check_count(model, len(card.classes), answers)
    text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False)
    print("\n".join(map(result, text.split("\n"))))


def write_card(model: Path, opening: Opening) -> Path:
    """Write the card of a model that has none.

    Args:
        model: an `.h5` that Keras 2 or 3 saved as a whole.
        opening: its classes, and what pixels it was trained on.

    Returns:
        The path of the card.

    Raises:
        SteelbenchError: if it has a card, cannot be loaded, or has another number of answers than classes are named.
    """
    from steelbench.files import write_json
    from steelbench.inference.model import read_card
    from steelbench.models.model_card import contract
    from steelbench.models.safe_load import inspect, load

    card = read_card(model, opening)
    if opening.allow_unsafe:
        load(model, classes=len(card.classes), pixels=card.pixels, allow_unsafe=True)
        size = None
    else:
        graph, answers = inspect(model)
        _check_count(model, len(card.classes), answers)
        size = (graph.input_shape or (None,))[0]
    fields = card.model_dump(mode="json", include={"name", "classes", "sha256", "bit_depth", "pixels"})
    path = model.with_suffix(".json")
    told = {"input": contract(card.pixels, size), "image_size": size, "bytes": model.stat().st_size}
    write_json(path, fields | told)
    say(f"{model.name} gives {len(card.classes)} probabilities: {', '.join(card.classes[:10])}; pixels {card.pixels}")
    return path


def _check_count(model: Path, named: int, answers: int) -> None:
    if named != answers:
        raise SteelbenchError(
            f"{named} classes are named, {model} gives {answers} probabilities; name each once, in the order of the "
            "model's answers."
        )
