"""Write the command that runs one row again, from the records of its run, safe to paste into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from steelbench.errors import SteelbenchError
from steelbench.experiment import METHODS, RunOptions
from steelbench.records import Row, RunRecord, read_record

# Where the results go, what was measured besides, and what the row itself says better.
OTHERS = {"data", "results", "force", "weights_dir", "track", "timing", "with_", "verify", "image_size", "augment"}


def row_commands(results: Path, config: Mapping[str, JsonValue] | None, models: Sequence[Row]) -> dict[str, str]:
    """Return the command of each row with a network, by the row's name; a row whose records do not tell it lacks one.

    Args:
        results: the results folder.
        config: of `config.json`; None if it could not be read.
        models: the ranked rows.
    """
    found = {}
    for row in models:
        record = _record(results, row)
        command = row_command(config, record) if config and record else ""
        if command and row.backbone != "none":
            found[row.name] = command
    return found


def row_command(config: Mapping[str, JsonValue], record: RunRecord) -> str:
    """Return the command that runs every seed and fold of a row again; "" where it cannot be written.

    Options that have their default are left out. Characters that do not print are in no command: a terminal might
    act on them.
    """
    data = config.get("data")
    if not isinstance(data, str) or record.method not in METHODS:
        return ""
    words = ["steelbench", "run", *_option("data", data), *_option("backbones", record.backbone)]
    words += [*_option("methods", record.method), *_settings(record), *_options(config)]
    if record.augment != "none":
        words += _option("augment", record.augment)
    if record.variant or config.get("image_size") is not None:
        words += _option("image-size", str(record.image_size))
    words += _option("results", f"results/{record.name}")
    command = shlex.join(words)
    return command if command.isprintable() else ""


def _record(results: Path, row: Row) -> RunRecord | None:
    first = next((run for run in row.runs if run.endswith("-s0-f0")), None)
    if first is None:
        return None
    try:
        return read_record(results / "runs" / first / "result.json", RunRecord)
    except SteelbenchError:
        return None


def _settings(record: RunRecord) -> Iterator[str]:
    """Yield `--set METHOD.FIELD=VALUE` for each setting that is not the method's default."""
    usual = METHODS[record.method].settings().model_dump(mode="json")
    for name, value in record.settings.items():
        text = _text(value)
        if name in usual and value != usual[name] and text is not None:
            yield from _option("set", f"{record.method}.{name}={text}")


def _options(config: Mapping[str, JsonValue]) -> Iterator[str]:
    for name, field in RunOptions.model_fields.items():
        value = config.get(name)
        if name in OTHERS or value is None or value == field.default:
            continue
        option = name.rstrip("_").replace("_", "-")
        text = _text(value)
        if value is True:
            yield f"--{option}"
        elif text is not None and value is not False:
            yield from _option(option, text)


def _option(name: str, value: str) -> list[str]:
    # A value that begins with a dash would be taken for an option.
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]


def _text(value: JsonValue) -> str | None:
    """Return a value as the command line takes it; None for one that it does not take."""
    if isinstance(value, list):
        parts = [_text(part) for part in value]
        return ",".join(part for part in parts if part) if parts and None not in parts else None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None
