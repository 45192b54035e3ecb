"""From options and experiments to jobs: what is asked for, what is done already, what may not be mixed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steelbench.data.inspection import Inspection
from steelbench.data.split_plan import Division
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions, method_of
from steelbench.files import cache_folder
from steelbench.methods import views_of
from steelbench.models.backbones import find_backbone, parts_of
from steelbench.models.weight_files import Origin
from steelbench.records import RunRecord, read_record
from steelbench.runs.jobs import ImageRef, Job, Part, SplitRef, Task, Unlabelled, weights_record

# What must be the same for all runs of a results folder, with the words for it.
FIXED = {
    "data_digest": "data", "audit": "versions of the audit that ties images together", "split": "split (--split)",
    "folds": "folds (--folds)", "seeds": "seeds (--seeds)",
}  # fmt: skip


def refuse_other_results(results: Path, config: dict[str, Any]) -> None:
    """Refuse a folder that holds runs on other data, another split or other seeds.

    Raises:
        SteelbenchError: names what differs.
    """
    path = results / "config.json"
    if not path.is_file():
        if any((results / "runs").glob("*/result.json")):
            raise SteelbenchError(
                f"{results} holds runs, but no config.json that says on which data; name another folder with "
                "--results, or use --force to replace them."
            )
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in FIXED if key not in before]
    except (OSError, ValueError, TypeError, RecursionError):
        missing = list(FIXED)
    if missing or not isinstance(before, dict):
        raise SteelbenchError(f"{path} is damaged; use --force to replace the runs in {results}.")
    for key, words in FIXED.items():
        if before.get(key) != config[key]:
            raise SteelbenchError(
                f"{results} holds runs with other {words}: {_short(before.get(key))}, this command has "
                f"{_short(config[key])}. Name another folder with --results, or use --force to replace them."
            )


def clear(results: Path, config: dict[str, Any], experiments: Sequence[Experiment]) -> None:
    """Make room for `--force`: the named experiments go, and everything if it is on other data, splits or seeds."""
    try:
        refuse_other_results(results, config)
    except SteelbenchError:
        _remove(results / "runs", results / "models", results / "unfinished")
        return
    for experiment in experiments:
        _remove(*(results / name / experiment.run_name for name in ("runs", "unfinished")))
        for suffix in (".h5", ".json"):
            (results / "models" / f"{experiment.name}{suffix}").unlink(missing_ok=True)


def _remove(*folders: Path) -> None:
    for folder in folders:
        # First what marks a run as finished: one that is half deleted must not look like one.
        for path in folder.glob("**/result.json"):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 30 else f"digest {text[:12]}"


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
    pairs = [("weights", _words(record.weights), _words(parts["weights"]))]
    pairs += [(key, str(getattr(record, key)), str(parts[key])) for key in ALIKE]
    pairs.append(("confidence of pseudo-labels", _confidence(record.notes), _confidence(parts)))
    for key, old, new in pairs:
        if old != new:
            return f"{key} {old}, this experiment asks for {new}"
    return "other unlabelled images" if "pseudo_labels" in parts else "other data or another split"


def _words(weights: dict[str, Any]) -> str:
    own = [str(weights[key]) for key in ("kind", "file", "md5") if weights.get(key)]
    return " ".join([*own, *(f"({name}: {_words(part)})" for name, part in weights.get("parts", {}).items())])


def _confidence(found: dict[str, Any]) -> str:
    return f"{found['pseudo_labels']['confidence']:g}" if "pseudo_labels" in found else "none"


def is_complete(results: Path) -> bool:
    """Whether everything that is made from the runs was made after the last of them."""
    made = [results / name for name in ("results.json", "leaderboard.csv", "report.html")]
    runs = [path.stat().st_mtime for path in (results / "runs").glob("*/result.json")]
    return all(path.is_file() and path.stat().st_mtime >= max(runs) for path in made) if runs else False


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


def make_jobs(
    experiments: Sequence[Experiment],
    options: RunOptions,
    origins: dict[str, Origin],
    config: dict[str, Any],
    inspection: Inspection,
    root: Path,
    division: Division,
    unlabelled: Unlabelled | None = None,
) -> list[Job]:
    """One job for each backbone and image size; where brightness is homogenised, one for each split, too."""
    tasks: dict[tuple[str, tuple[int, ...], tuple[int, int]], list[Task]] = {}
    even = options.homogenize != "none"
    for experiment in experiments:
        parts = identity(experiment, options, origins, config)
        # The training images' mean brightness is another one for each split, so are all features.
        part = (experiment.seed, experiment.fold) if even else (0, 0)
        sizes = tuple(sizes_of(experiment, options).values())
        tasks.setdefault((experiment.backbone, sizes, part), []).append(
            Task(
                method=method_of(experiment.method),
                variant=experiment.variant,
                seed=experiment.seed,
                fold=experiment.fold,
                settings=parts["settings"],
                fingerprint=fingerprint(parts),
                name=experiment.name,
                run_name=experiment.run_name,
                offered=experiment.seed == 0 and experiment.fold == 0,
                augment=parts["augment"],
            )
        )
    number = {name: index for index, name in enumerate(inspection.classes)}
    images = [
        ImageRef(path=image.sample.path, label=number[image.sample.label], digest=image.bytes_digest, group=group)
        for image, group in zip(inspection.images, division.group_of.tolist(), strict=True)
    ]
    references = [SplitRef.of(split, seed, fold) for (seed, fold), split in division.splits.items()]
    naive = SplitRef.of(division.naive, 0, 0) if division.naive else None
    return [
        Job(
            results=str(options.results.resolve()), cache=str(cache_folder().resolve()), data_root=str(root),
            bit_depth=options.bit_depth, backbone=backbone, image_size=max(sizes),
            **_networks(backbone, sizes, origins),
            engine=options.engine, precision=options.precision, verify=options.verify,
            track=options.track == "tensorboard", classes=list(inspection.classes), images=images,
            splits=references, naive=None if even else naive, tasks=todo,
            homogenize=options.homogenize, unlabelled=unlabelled,
        )
        for (backbone, sizes, _), todo in tasks.items()
    ]  # fmt: skip


def _networks(backbone: str, sizes: tuple[int, ...], origins: dict[str, Origin]) -> dict[str, Any]:
    """The fields of a job that tell one network, or several."""
    names = parts_of(backbone)
    if len(names) == 1:
        return {"origin": vars(origins[backbone])}
    parts = [
        Part(backbone=name, image_size=size, origin=vars(origins[name]))
        for name, size in zip(names, sizes, strict=True)
    ]
    return {"origin": {"kind": weights_of(backbone, origins)["kind"]}, "ensemble": parts}
