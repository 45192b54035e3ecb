"""What OpenCV reads without saying all: inverted gray, pages, number types, PGM, GIF; files without a suffix."""

import io
import os
import struct

import numpy as np
import pytest
from each import each
from PIL import Image

from steelbench.data.file_headers import first_tiff_page, holds_several
from steelbench.data.images import UnreadableImageError, decode, is_image
from steelbench.data.inspection import inspect_dataset
from steelbench.data.samples import Dataset, Sample


def tiff(pixels, *, photometric=1, sample_format=1, pages=1, order="<", subfile=0):
    """A gray TIFF of one strip, written from the specification; further pages show the same strip."""
    strip = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    height, width = pixels.shape
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(strip)) + strip
    for page in range(pages):
        longs = {256: width, 257: height, 273: 8, 278: height, 279: len(strip)}
        shorts = {258: 8 * pixels.itemsize, 259: 1, 262: photometric, 277: 1, 339: sample_format}
        if page:
            longs[254] = subfile
        entries = b"".join(
            struct.pack(f"{order}HHI", tag, 4 if tag in longs else 3, 1)
            + (struct.pack(f"{order}I", value) if tag in longs else struct.pack(f"{order}HH", value, 0))
            for tag, value in sorted({**longs, **shorts}.items())
        )
        count = len(longs) + len(shorts)
        following = len(out) + 2 + 12 * count + 4 if page + 1 < pages else 0
        out += struct.pack(f"{order}H", count) + entries + struct.pack(f"{order}I", following)
    return out


def ramp(kind, side=8):
    top = np.iinfo(kind).max
    return np.linspace(0, top, side * side).astype(kind).reshape(side, side)


def saved(kind, *arrays, **options):
    first, *others = map(Image.fromarray, arrays)
    file = io.BytesIO()
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(file, kind, **more, **options)
    return file.getvalue()


@each("order", ["<", ">"])
@each("kind", [np.uint8, np.uint16])
def test_white_is_zero_is_the_negative_of_black_is_zero(kind, order):
    stored = ramp(kind)

    plain, inverted = (decode(tiff(stored, photometric=value, order=order)).pixels for value in (1, 0))

    np.testing.assert_array_equal(inverted, 255 - plain)
    assert plain[0, 0, 0] == 0 and plain[-1, -1, 0] == 255


def test_white_is_zero_of_twelve_bits_is_inverted_within_twelve_bits():
    stored = np.uint16([[0, 4095], [2048, 1]])

    pixels = decode(tiff(stored, photometric=0), bit_depth=12).pixels[..., 0]

    np.testing.assert_array_equal(pixels, np.rint((4095 - stored.astype(float)) * 255 / 4095))


@each(("kind", "sample_format"), [("float32", 3), ("float64", 3), ("uint32", 1), ("int32", 2), ("int16", 2)])
def test_other_numbers_are_named_and_not_called_damaged(kind, sample_format):
    with pytest.raises(UnreadableImageError, match=f"{kind} pixels; 8 or 16 bit unsigned integers are read"):
        decode(tiff(np.ones((4, 4), kind), sample_format=sample_format))


def test_float_tiff_of_another_writer_is_named():
    with pytest.raises(UnreadableImageError, match="float32 pixels"):
        decode(saved("TIFF", np.ones((4, 4), np.float32)))


def test_truncated_tiff_stays_damaged():
    with pytest.raises(UnreadableImageError, match="damaged"):
        decode(tiff(ramp(np.uint8))[:40])


A, B = np.zeros((6, 6, 3), np.uint8), np.full((6, 6, 3), 200, np.uint8)


@each(
    ("data", "expected"),
    [
        (tiff(ramp(np.uint8), pages=2), True),
        (tiff(ramp(np.uint16), pages=3, order=">"), True),
        (tiff(ramp(np.uint8)), False),
        # A preview beside the image.
        (tiff(ramp(np.uint8), pages=2, subfile=1), False),
        (saved("GIF", A, B), True),
        (saved("GIF", A), False),
        (saved("WEBP", A, B, lossless=True), True),
        (saved("WEBP", A, lossless=True), False),
        (saved("PNG", A, B), True),
        (saved("PNG", A), False),
        (saved("JPEG", A), False),
    ],
    ids=range(11),
)
def test_files_of_several_pages_or_frames_are_told_and_the_first_is_read(data, expected):
    found = decode(data)

    assert found.several is expected
    assert found.pixels[0, 0].max() < 5


def test_pages_in_a_circle_end():
    data = bytearray(tiff(ramp(np.uint8)))
    data[-4:] = data[4:8]

    assert holds_several(bytes(data))


@each("cut", range(0, 120, 7))
def test_headers_of_truncated_files_raise_nothing(cut):
    for data in (tiff(ramp(np.uint8), pages=2), saved("GIF", A, B)):
        holds_several(data[: len(data) - cut])
        first_tiff_page(data[: len(data) - cut])


@each("suffix", [".pgm", ".gif", ".jfif", ".jpe", ".ppm", ".pnm", ".JFIF"])
def test_further_suffixes_are_images(tmp_path, suffix):
    assert is_image(tmp_path / f"a{suffix}")


@each(("kind", "shape"), [("P5", (3, 4)), ("P6", (3, 4, 3))])
@each("bits", [8, 16])
def test_pgm_and_ppm_are_read(kind, shape, bits):
    stored = np.random.default_rng(0).integers(0, 2**bits, shape)
    body = stored.astype(">u2" if bits == 16 else "u1").tobytes()

    found = decode(f"{kind}\n# a comment\n4 3\n{2**bits - 1}\n".encode() + body)

    expected = stored if bits == 8 else np.rint(stored / 257)
    np.testing.assert_array_equal(found.pixels, expected if len(shape) == 3 else np.repeat(expected[..., None], 3, -1))
    assert found.bits == bits


@each(
    ("data", "words"),
    [
        (b"P5\n9000 9000\n255\n" + bytes(9), "truncated"),
        (b"P2\n9000 9000\n255\n1 2 3\n", "truncated"),
        (b"P6\n2 2\n255\n" + bytes(4), "truncated"),
        (b"P5\n99999 99999\n65535\n" + bytes(9), "truncated"),
        (b"P5\n2 2\n15\n" + bytes(4), "whose white is 15"),
        (b"P5\n-2 2\n255\n" + bytes(4), "damaged"),
        (b"P5\n", "damaged"),
    ],
)
def test_pgm_that_promises_more_than_it_holds_is_refused_by_its_header(data, words):
    with pytest.raises(UnreadableImageError, match=words):
        decode(data)


def test_gif_agrees_with_pillow():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)
    data = saved("GIF", pixels)

    np.testing.assert_array_equal(decode(data).pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@each("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_files_without_suffix_are_known_by_their_first_bytes(tmp_path, kind):
    (tmp_path / "image_17").write_bytes(saved(kind, A))
    (tmp_path / ".hidden").write_bytes(saved(kind, A))
    (tmp_path / "image.017").write_bytes(saved(kind, A))

    assert is_image(tmp_path / "image_17")
    assert not is_image(tmp_path / ".hidden") and not is_image(tmp_path / "image.017")


@each("content", [b"", b"BM is no bitmap here", b"P5", b"P500 is a steel", b"RIFF1234WAVEfmt ", b"GIF"])
def test_texts_without_suffix_are_no_images(tmp_path, content):
    (tmp_path / "README").write_bytes(content)
    (tmp_path / "folder").mkdir(exist_ok=True)

    assert not is_image(tmp_path / "README")
    assert not is_image(tmp_path / "folder") and not is_image(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert not is_image(tmp_path / "pipe")


def test_inspection_says_how_many_files_hold_several_pages(tmp_path):
    samples = []
    for number in range(8):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(tiff(ramp(np.uint8) + np.uint8(number), pages=1 + (number in (3, 5))))
        samples.append(Sample(path.name, "ab"[number % 2]))

    (told,) = inspect_dataset(Dataset(tmp_path, tuple(samples))).notices

    assert told.code == "SB106" and "2, such as 3.tif" in told.text and "first" in told.text
