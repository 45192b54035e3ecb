"""The class names of a YOLO data set: `names` of its YAML file, or a text file with one name a line.

Only the two keys `names` and `nc` are read, in the forms that tools write: a list in brackets or a line for each name,
or numbered names in braces or lines. That needs no YAML library, and no file can ask for more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from steelbench.data.annotations import AnnotationError, check_label
from steelbench.data.layouts.decoding import decoded
from steelbench.errors import SteelbenchError
from steelbench.files import open_file, read_file

NAME_FILES = ("classes.txt", "obj.names", "classes.names")
MAX_BYTES = 1024 * 1024
MAX_CLASSES = 10_000
_KEY = re.compile(r"(?m)^names[ \t]*:(.*(?:\n(?:[ \t]+.*|[ \t]*-.*|[ \t]*[\]}].*|[ \t]*))*)")
_COUNT = re.compile(r"(?m)^nc[ \t]*:[ \t]*(\d{1,6})[ \t]*(?:#.*)?$")
_QUOTED = r"'(?:[^'\n]|'')*'|\"[^\"\n]*\""
_ITEM = re.compile(rf"\s*(?:(\d{{1,6}})\s*:\s*)?({_QUOTED}|[^,\n'\"\[\]{{}}]+?)\s*(?:,|$)")
# A quote within a word is a letter of it, and so is a number sign.
_COMMENT = re.compile(rf"(?<![^\s,\[{{:])({_QUOTED})|(?<!\S)#.*")
_LINE = re.compile(rf"\s*(?:-\s+|(\d{{1,6}})\s*:\s+)({_QUOTED}|[^#\n]*?)\s*(?:\s#.*)?$")


def names_file(root: Path) -> Path | None:
    """Return the file with the class names: a YAML file with `names`, `data.yaml` first, else one of `NAME_FILES`."""
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.is_file())
    yaml = [path for path in found if _KEY.search(_beginning(path))]
    lists = [path for folder in (root, root / "labels") for name in NAME_FILES if (path := folder / name).is_file()]
    first = sorted(yaml, key=lambda path: path.stem != "data")
    return next(iter([*first, *lists]), None)


def read_names(path: Path) -> list[str]:
    """Return the class names in the order of their numbers.

    Raises:
        SteelbenchError: if they cannot be read, are numbered with gaps, or are not as many as `nc` says.
    """
    try:
        text = decoded(read_file(path, MAX_BYTES)).replace("\r\n", "\n")
        if path.name in NAME_FILES:
            return _checked([line for line in text.split("\n") if line.strip()])
        names = _checked(_yaml_names(text))
    except AnnotationError as error:
        raise SteelbenchError(
            f"{path}: the class names cannot be read ({error}); expected a line names: ['first', 'second'], or one "
            "line for each name below names:."
        ) from None
    except OSError as error:
        raise SteelbenchError(
            f"{path}: the class names cannot be read ({error.strerror or error}); expected a text file. Keep nothing "
            "but the names in it, and the right to read it."
        ) from None
    except ValueError as error:
        raise SteelbenchError(f"{path}: the class names cannot be read ({error}); save it as text in UTF-8.") from None
    for count in _COUNT.findall(text):
        if int(count) != len(names):
            raise SteelbenchError(f"{path}: nc is {count}, but names holds {len(names)}; make them agree.")
    return names


def _beginning(path: Path) -> str:
    """The text that tells whether a file names classes; "" for one that cannot be opened."""
    try:
        with open_file(path) as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return ""
    try:
        text = decoded(data)
    except ValueError:
        # Said by `read_names`: a file of names that cannot be read must not be passed over.
        text = data.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _checked(names: Sequence[str]) -> list[str]:
    if not 0 < len(names) <= MAX_CLASSES:
        raise AnnotationError(f"{len(names)} names, expected 1 to {MAX_CLASSES}")
    checked = [check_label(name) for name in names]
    twice = sorted(name for name, count in Counter(checked).items() if count > 1)
    if twice:
        raise AnnotationError(f"the name {twice[0]!r} stands there twice")
    return checked


def _yaml_names(text: str) -> list[str]:
    found = _KEY.findall(text)
    if len(found) > 1:
        raise AnnotationError(f"names stands there {len(found)} times")
    value = _COMMENT.sub(r"\1", found[0]).strip() if found else ""
    if value[:1] in ("[", "{"):
        items = _between(value)
    else:
        items = [_matched(_LINE, line) for line in value.splitlines() if line.strip()]
    numbers = [int(number) for number, _ in items if number is not None]
    if numbers and sorted(numbers) != list(range(len(items))):
        raise AnnotationError("the numbers are not 0, 1, 2 ...")
    names = [_unquoted(name) for _, name in items]
    return [name for _, name in sorted(zip(numbers, names, strict=True))] if numbers else names


def _between(value: str) -> list[tuple[str | None, str]]:
    """The items between brackets or braces."""
    end = value.rfind("]" if value[0] == "[" else "}")
    inside = _single_blanks(value[1:end]).removesuffix(",") if end > 0 else ""
    items, at = [], 0
    while at < len(inside):
        found = _ITEM.match(inside, at)
        if found is None or found.end() == at:
            raise AnnotationError(f"{inside[at : at + 40]!r} is no name")
        items.append((found[1], found[2]))
        at = found.end()
    return items


def _matched(pattern: re.Pattern[str], line: str) -> tuple[str | None, str]:
    found = pattern.fullmatch(_single_blanks(line))
    if found is None:
        raise AnnotationError(f"{line.strip()[:40]!r} is no name")
    return found[1], found[2]


def _single_blanks(text: str) -> str:
    """The text with one blank for several, on which the patterns take time in proportion to its length."""
    return " ".join(text.split())


def _unquoted(name: str) -> str:
    if name[:1] in ("'", '"') and name[-1:] == name[:1] and len(name) > 1:
        return name[1:-1].replace("''", "'") if name[0] == "'" else name[1:-1]
    return name
