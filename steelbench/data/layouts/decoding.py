"""The bytes of tables and lists of names to text, in every encoding that is certain."""

from __future__ import annotations

import codecs
import re

from steelbench.data.quoting import cut

# A byte that means the same letter in all of these is that letter, whichever of them a text was saved in.
WESTERN = ("cp1252", "cp1250", "cp1254", "iso8859-1", "iso8859-15")
# That of UTF-32 begins with that of UTF-16.
BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def decoded(data: bytes) -> str:
    """Return text in UTF-8, in UTF-16 or UTF-32 with a byte order mark, or in 8 bits.

    Of 8-bit text every byte above 127 must be a letter that all Western code pages agree on.

    Raises:
        ValueError: for bytes whose meaning is not certain; the message says why.
    """
    mark = next((mark for mark in BOMS if data.startswith(mark)), b"")
    try:
        return data[len(mark) :].decode(BOMS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        if mark or b"\0" in data:
            raise
        return _western(data, str(error))


def _western(data: bytes, why: str) -> str:
    for byte in {byte for byte in data if byte > 127}:
        letters = {bytes([byte]).decode(page, "replace") for page in WESTERN}
        if len(letters) > 1 or not letters.pop().isalpha():
            raise ValueError(f"{why}; byte 0x{byte:02x} is another letter in each code page")
    text = data.decode("cp1252")
    # Greek, Cyrillic or Chinese text has words of such bytes alone.
    for found in re.finditer(r"[^\W\d_]+", text):
        word = found[0]
        if 2 * sum(letter > "\x7f" for letter in word) > len(word):
            raise ValueError(f"{why}; '{cut(word)}' seems to be of another code page")
    return text
