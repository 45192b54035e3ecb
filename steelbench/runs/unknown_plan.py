"""Which rows of a run are still to be tested with unknown defects, and which cannot be. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

from steelbench.experiment import Experiment
from steelbench.files import write_json
from steelbench.records import UnknownRecord, read_unknown, unknown_file
from steelbench.runs.fingerprint import fingerprint, identity
from steelbench.runs.preparation import RunInputs

# A class can be left out only if two are left to learn.
FEWEST = 3


def untested(inputs: RunInputs) -> list[Experiment]:
    """Return the experiments of seed 0, fold 0, whose rows lack a record; none without `--with unknown`."""
    if "unknown" not in inputs.options.with_:
        return []
    first = [own for own in inputs.experiments if own.seed == 0 and own.fold == 0]
    results = inputs.options.results
    return [own for own in first if read_unknown(results, own.name, _fingerprint(own, inputs)) is None]


def pass_over(waiting: Sequence[Experiment], inputs: RunInputs) -> list[Experiment]:
    """Write for each row that cannot be tested a record that says why; return the others.

    Args:
        waiting: of `untested`.
        inputs: of the command.
    """
    able = []
    for experiment in waiting:
        reason = _obstacle(experiment, len(inputs.inspection.classes))
        if not reason:
            able.append(experiment)
            continue
        record = UnknownRecord(name=experiment.name, fingerprint=_fingerprint(experiment, inputs), reason=reason)
        write_json(unknown_file(inputs.options.results, experiment.name), record)
    return able


def testable(waiting: Sequence[Experiment], inputs: RunInputs) -> list[Experiment]:
    """Return those of `untested` that can be tested; nothing is written."""
    return [own for own in waiting if not _obstacle(own, len(inputs.inspection.classes))]


def _obstacle(experiment: Experiment, classes: int) -> str:
    if experiment.method.on_images:
        return "it trains the backbone, which would have to be trained again without each class"
    return f"it has {classes} classes; to leave one out takes {FEWEST}" if classes < FEWEST else ""


def _fingerprint(experiment: Experiment, inputs: RunInputs) -> str:
    return fingerprint(identity(experiment, inputs.options, inputs.origins, inputs.config))
