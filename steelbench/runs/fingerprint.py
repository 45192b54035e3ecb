"""What identifies an experiment, and which ones a results folder holds already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions
from steelbench.methods import views_of
from steelbench.models.backbones import find_backbone, parts_of
from steelbench.models.weight_files import Origin
from steelbench.records import RunRecord, read_record


def fingerprint(parts: dict[str, Any]) -> str:
    """Digest of everything that decides what comes out of a run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def identity(
    experiment: Experiment, options: RunOptions, origins: dict[str, Origin], config: dict[str, Any]
) -> dict[str, Any]:
    """What an experiment's fingerprint covers, in the words that a refusal uses.

    What only some runs have, several networks or pseudo-labels, is a part of theirs alone.
    """
    sizes, more = sizes_of(experiment, options), dict[str, Any]()
    if len(sizes) > 1:
        more["image_sizes"] = list(sizes.values())
    if options.unlabelled:
        more["pseudo_labels"] = {"confidence": options.confidence, "unlabelled": config["unlabelled_digest"]}
    return {
        **more,
        "settings": json.loads(experiment.method.model_dump_json()),
        "image_size": max(sizes.values()),
        "weights": weights_of(experiment.backbone, origins),
        "precision": options.precision,
        "homogenize": options.homogenize,
        "augment": options.augment if experiment.method.on_images or views_of(experiment.method) > 1 else "none",
        "data": config["data_digest"],
        "split": config["split"],
        "audit": config["audit"],
        "folds": config["folds"],
        "seed": experiment.seed,
        "fold": experiment.fold,
    }


def sizes_of(experiment: Experiment, options: RunOptions) -> dict[str, int]:
    """Side of the square that each network sees: the experiment's, the command's, or its own."""
    given = experiment.image_size or options.image_size
    return {part: given or find_backbone(part).image_size for part in parts_of(experiment.backbone)}


def weights_of(backbone: str, origins: dict[str, Origin]) -> dict[str, Any]:
    """Where the weights come from, as `weights_record`."""
    return weights_record({part: origins[part].record for part in parts_of(backbone)})


def is_done(experiment: Experiment, options: RunOptions, parts: dict[str, Any]) -> bool:
    """Whether the results folder holds this very experiment.

    Raises:
        SteelbenchError: if it holds another one under the same name; says what differs.
    """
    path = options.results / "runs" / experiment.run_name / "result.json"
    if options.force or not path.is_file():
        return False
    record = read_record(path, RunRecord)
    engine = record.engine if options.engine == "auto" else options.engine
    if record.fingerprint == fingerprint(parts) and record.engine == engine:
        return True
    difference = _difference(record, {**parts, "engine": engine})
    raise SteelbenchError(
        f"{path.parent} holds a run with {difference}. Use --force to replace it, or --results to keep both."
    )


ALIKE = ("image_size", "precision", "engine", "augment", "homogenize")


def _difference(record: RunRecord, parts: dict[str, Any]) -> str:
    for key, value in parts["settings"].items():
        if record.settings.get(key) != value:
            return f"{key}={record.settings.get(key)}, this experiment asks for {key}={value}"
    pairs = [("weights", _words(record.weights.model_dump()), _words(parts["weights"]))]
    pairs += [(key, str(getattr(record, key)), str(parts[key])) for key in ALIKE]
    pairs.append(("confidence of pseudo-labels", _confidence(record.notes.model_dump()), _confidence(parts)))
    for key, old, new in pairs:
        if old != new:
            return f"{key} {old}, this experiment asks for {new}"
    return "other unlabelled images" if "pseudo_labels" in parts else "other data or another split"


def _words(weights: dict[str, Any]) -> str:
    own = [str(weights[key]) for key in ("kind", "file", "md5") if weights.get(key)]
    return " ".join([*own, *(f"({name}: {_words(part)})" for name, part in weights.get("parts", {}).items())])


def _confidence(found: dict[str, Any]) -> str:
    return f"{found['pseudo_labels']['confidence']:g}" if "pseudo_labels" in found else "none"


def unfinished(
    experiments: Sequence[Experiment], options: RunOptions, origins: dict[str, Origin], config: dict[str, Any]
) -> list[Experiment]:
    """The experiments that the results folder does not hold yet.

    Raises:
        SteelbenchError: if it holds another one under the same name.
    """
    return [
        experiment
        for experiment in experiments
        if not is_done(experiment, options, identity(experiment, options, origins, config))
    ]


def weights_record(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Where weights come from: the record of the only part, or those of all, by name, and their kind or "mixed"."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    kinds = {part["kind"] for part in parts.values()}
    return {"kind": kinds.pop() if len(kinds) == 1 else "mixed", "parts": parts}
