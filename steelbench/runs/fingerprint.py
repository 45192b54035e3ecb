"""Identity of an experiment: what decides its outcome, and which experiments a results folder holds already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions
from steelbench.methods import views_of
from steelbench.models.backbones import find_backbone
from steelbench.models.weight_files import Origin
from steelbench.records import RunRecord, read_record
from steelbench.runs.intact import damaged


def fingerprint(parts: dict[str, Any]) -> str:
    """Return the digest of everything that decides the outcome of a run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def identity(
    experiment: Experiment, options: RunOptions, origins: dict[str, Origin], config: dict[str, Any]
) -> dict[str, Any]:
    """Return every value that changes the result of an experiment. The fingerprint is their hash.

    `image_sizes` is there only for ensembles, `pseudo_labels` only with `--unlabelled`: experiments without them keep
    the fingerprints that they had before these existed.

    Args:
        experiment: with its seed and fold.
        options: of the command.
        origins: where the weights of each network come from.
        config: the contents of `config.json`.
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
        "weights": weights_of(experiment.networks, origins),
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
    """Return the side of the square that each network sees, pixels: the experiment's, the command's, or its own."""
    given = experiment.image_size or options.image_size
    return {name: given or find_backbone(name).image_size for name in experiment.networks}


def weights_of(networks: Sequence[str], origins: dict[str, Origin]) -> dict[str, Any]:
    """Return the `weights_record` of an experiment's networks."""
    return weights_record({name: origins[name].record for name in networks})


def is_done(
    experiment: Experiment, options: RunOptions, parts: dict[str, Any], tell: Callable[[str], object] = str
) -> bool:
    """Return whether the results folder holds a run of this experiment with the same outcome, and none is damaged.

    Args:
        experiment: with its seed and fold.
        options: of the command.
        parts: of `identity`.
        tell: called with the path, below the results folder, of each file of the run that is damaged or missing.

    Raises:
        SteelbenchError: if it holds a run of that name with another outcome; says what differs.
    """
    path = options.results / "runs" / experiment.run_name / "result.json"
    if options.force or not path.exists():
        return False
    try:
        record = read_record(path, RunRecord)
    except SteelbenchError:
        tell(path.relative_to(options.results).as_posix())
        return False
    engine = record.engine if options.engine == "auto" else options.engine
    if record.fingerprint == fingerprint(parts) and record.engine == engine:
        broken = damaged(options.results, record, model=True)
        for name in broken:
            tell(name)
        return not broken
    difference = _difference(record, {**parts, "engine": engine})
    raise SteelbenchError(
        f"{path.parent} holds a run with {difference}. Use --force to replace it, or --results to keep both."
    )


# Fields of a `RunRecord` that identity holds under the same name.
ALIKE = ("image_size", "precision", "engine", "augment", "homogenize")


def _difference(record: RunRecord, parts: dict[str, Any]) -> str:
    for key, value in parts["settings"].items():
        if record.settings.get(key) != value:
            return f"{key}={record.settings.get(key)}, this experiment asks for {key}={value}"
    pairs = [("weights", _weights_text(record.weights.model_dump()), _weights_text(parts["weights"]))]
    pairs += [(key, str(getattr(record, key)), str(parts[key])) for key in ALIKE]
    pairs.append(("confidence of pseudo-labels", _confidence(record.notes.model_dump()), _confidence(parts)))
    for key, old, new in pairs:
        if old != new:
            return f"{key} {old}, this experiment asks for {new}"
    return "other unlabelled images" if "pseudo_labels" in parts else "other data or another split"


def _weights_text(weights: dict[str, Any]) -> str:
    own = [str(weights[key]) for key in ("kind", "file", "md5") if weights.get(key)]
    parts = [f"({name}: {_weights_text(part)})" for name, part in weights.get("parts", {}).items()]
    return " ".join([*own, *parts])


def _confidence(found: dict[str, Any]) -> str:
    return f"{found['pseudo_labels']['confidence']:g}" if "pseudo_labels" in found else "none"


def unfinished(
    experiments: Sequence[Experiment],
    options: RunOptions,
    origins: dict[str, Origin],
    config: dict[str, Any],
    tell: Callable[[str], object] = str,
) -> list[Experiment]:
    """Return the experiments that the results folder does not hold yet, or not whole.

    The arguments are those of `identity`; `tell` is that of `is_done`.

    Raises:
        SteelbenchError: if it holds another one under the same name.
    """
    return [
        experiment
        for experiment in experiments
        if not is_done(experiment, options, identity(experiment, options, origins, config), tell)
    ]


def weights_record(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return where weights come from, for a record.

    Args:
        parts: the record of each network, by its name.

    Returns:
        The record of a single network; for an ensemble `kind` ("mixed" if kinds differ) and `parts`.
    """
    if len(parts) == 1:
        return next(iter(parts.values()))
    kinds = {part["kind"] for part in parts.values()}
    return {"kind": kinds.pop() if len(kinds) == 1 else "mixed", "parts": parts}
