"""Decoding against Pillow and closed forms; damage of every kind ends in one exception and nothing on stderr."""

import io
import struct
import subprocess
import sys
import threading
import time
import zlib

import cv2
import numpy as np
import pytest
from each import each
from PIL import Image, ImageOps

from steelbench.data.images import (
    MAX_BYTES,
    MAX_PIXELS,
    UnreadableImageError,
    decode,
    is_image,
    read_bytes,
    read_image,
    resize,
)
from steelbench.data.parallel import ordered_map

LOSSLESS = {"BMP": {}, "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}
SUFFIXES = (".bmp", ".jpg", ".png", ".tif", ".webp")


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def smooth(side=48):
    """Pixels that JPEG and WebP keep well."""
    return cv2.GaussianBlur(noise(side, side + 8, 3), (0, 0), 3)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, bits, colour, rows=b""):
    """A PNG by hand; `rows` are the raw rows, each after its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bmp(width, height):
    """The header of a BMP and a few pixels."""
    header = struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, width, height, 1, 24, 0, 100, 0, 0, 0, 0)
    return b"BM" + header + bytes(100)


def reason(data, **options):
    with pytest.raises(UnreadableImageError) as caught:
        decode(data, **options)
    return str(caught.value)


@each("kind", LOSSLESS)
@each("mode", ["1", "L", "P", "RGB"])
def test_lossless_formats_decode_as_pillow_says(kind, mode):
    image = Image.fromarray(noise(19, 23, 3)).convert(mode)

    found = decode(encoded(image, kind, **LOSSLESS[kind]))

    assert found.bits == 8 and found.pixels.dtype == np.uint8
    np.testing.assert_array_equal(found.pixels, image.convert("RGB"))


@each("mode", ["L", "RGB"])
def test_jpeg_decodes_as_pillow_says(mode):
    data = encoded(Image.fromarray(smooth()).convert(mode), "JPEG", quality=90)

    difference = decode(data).pixels.astype(int) - np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    assert np.abs(difference).max() <= 2  # decoders may round differently


WITH_ALPHA = [(kind, mode) for kind in LOSSLESS for mode in ("LA", "RGBA") if (kind, mode) != ("BMP", "LA")]


@pytest.mark.parametrize(("kind", "mode"), WITH_ALPHA)
def test_alpha_is_dropped_and_never_blended(kind, mode):
    pixels = noise(11, 9, 4)
    colour = pixels[..., :3] if mode == "RGBA" else np.repeat(pixels[..., :1], 3, axis=2)
    image = Image.fromarray(pixels if mode == "RGBA" else pixels[..., [0, 3]], mode)

    np.testing.assert_array_equal(decode(encoded(image, kind, **LOSSLESS[kind])).pixels, colour)


def test_alpha_that_a_palette_or_a_transparent_gray_implies_is_dropped():
    gray = Image.fromarray(noise(8, 8))

    for image in (gray, gray.convert("RGB").quantize(8)):
        np.testing.assert_array_equal(decode(encoded(image, "PNG", transparency=3)).pixels, image.convert("RGB"))


def test_big_endian_tiff_with_alpha_is_not_blended():
    pixels = noise(4, 5, 4)
    body = pixels.tobytes()
    entries = [
        (256, 3, 1, 5),
        (257, 3, 1, 4),
        (258, 3, 4, 8 + len(body)),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 4),
        (278, 3, 1, 4),
        (279, 4, 1, len(body)),
        (338, 3, 1, 2),
    ]
    start = 8 + len(body) + 8
    data = b"MM\0*" + struct.pack(">I", start) + body + struct.pack(">4H", 8, 8, 8, 8)
    data += struct.pack(">H", len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        data += struct.pack(">HHIHH" if short else ">HHII", tag, kind, count, *([value, 0] if short else [value]))
    data += bytes(4)

    np.testing.assert_array_equal(decode(data).pixels, pixels[..., :3])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_values_are_divided_by_257(suffix, channels):
    values = noise(64, 64, channels, dtype=np.uint16)
    values[0, 0] = 65535
    data = cv2.imencode(suffix, values)[1].tobytes()  # OpenCV takes BGR

    found = decode(data)

    assert (found.bits, found.largest) == (16, 65535)
    exact = [[[round(int(v) / 257) for v in pixel[:3]] for pixel in row] for row in values]
    np.testing.assert_array_equal(found.pixels[..., ::-1], np.broadcast_to(exact, (64, 64, 3)))


def test_every_16_bit_value_goes_to_its_nearest_8_bit_value():
    data = cv2.imencode(".png", np.arange(65536, dtype=np.uint16).reshape(256, 256))[1].tobytes()

    exact = [(2 * value + 257) // 514 for value in range(65536)]  # integers only; 257 is odd, so there are no ties
    np.testing.assert_array_equal(decode(data).pixels[..., 0].ravel(), exact)


def test_gray_with_alpha_of_16_bits():
    values = noise(5, 7, 2, dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    pixels = decode(png(7, 5, 16, 4, rows)).pixels

    np.testing.assert_array_equal(pixels[..., 1], np.rint(values[..., 0] / 257))


@each("bits", [8, 10, 12, 14])
def test_bit_depth_maps_its_largest_value_to_255(bits):
    top = 2**bits - 1
    data = cv2.imencode(".png", np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8))[1].tobytes()

    pixels = decode(data, bit_depth=bits).pixels[..., 0].ravel()

    assert (pixels[0], pixels[-1]) == (0, 255)
    np.testing.assert_array_equal(pixels, [round(int(v) * 255 / top) for v in np.linspace(0, top, 64).astype(int)])


def test_a_value_above_the_bit_depth_is_refused_with_both_numbers():
    data = cv2.imencode(".png", np.full((4, 4), 4096, np.uint16))[1].tobytes()

    assert "4096" in reason(data, bit_depth=12) and "4095" in reason(data, bit_depth=12)


def test_bit_depth_leaves_8_bit_images_alone():
    values = noise(6, 6)
    data = cv2.imencode(".png", values)[1].tobytes()

    np.testing.assert_array_equal(decode(data, bit_depth=12).pixels[..., 2], values)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_exif_turn_is_applied(kind, turn):
    pixels = np.zeros((16, 40, 3), np.uint8)
    pixels[:8, :24] = 200  # one corner is enough to tell all eight turns apart
    exif = Image.Exif()
    exif[0x112] = turn
    data = encoded(Image.fromarray(pixels), kind, exif=exif)

    found = decode(data).pixels

    upright = {  # what each value of the tag means, from the EXIF specification
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels),
    }[turn]
    assert found.shape == upright.shape
    np.testing.assert_allclose(found, upright, atol=6)
    np.testing.assert_allclose(found, ImageOps.exif_transpose(Image.open(io.BytesIO(data))), atol=6)


def images_to_cut():
    colour = smooth()
    for suffix in SUFFIXES:
        for name, pixels in (("gray", colour[..., 0]), ("colour", colour)):
            yield f"{name}{suffix}", cv2.imencode(suffix, pixels)[1].tobytes()
    progressive = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    yield "progressive.jpg", progressive
    yield "16bit.png", cv2.imencode(".png", noise(30, 30, 3, dtype=np.uint16))[1].tobytes()
    exif, thumbnail = Image.Exif(), encoded(Image.fromarray(colour[:8, :8]), "JPEG")
    exif[0x10E] = thumbnail.decode("latin-1")
    yield "with-preview.jpg", encoded(Image.fromarray(colour), "JPEG", exif=exif)


TO_CUT = dict(images_to_cut())


@pytest.mark.parametrize("name", TO_CUT)
def test_a_truncated_file_is_unreadable_or_loses_nothing(name):
    data = TO_CUT[name]
    whole = decode(data).pixels
    for cut in [*np.linspace(1, len(data) * 0.98, 25).astype(int), len(data) - 2, len(data) - 1]:
        try:
            found = decode(data[:cut]).pixels
        except UnreadableImageError as error:
            assert str(error)
        else:  # only a last byte that says nothing, as in TIFF
            assert cut > len(data) * 0.98
            np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flipped_bytes_never_raise_anything_else(suffix):
    data = bytearray(cv2.imencode(suffix, smooth(24))[1].tobytes())
    rng = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        try:
            assert decode(bytes(damaged)).pixels.shape[2] == 3
        except UnreadableImageError as error:
            assert str(error)


def test_an_image_that_is_large_by_its_header_is_refused_before_it_is_allocated():
    assert str(MAX_PIXELS) in reason(png(60_000, 60_000, 8, 2, bytes(1000)))
    assert str(MAX_PIXELS) in reason(png(10_001, 10_000, 16, 6))


@each("kind", [np.float32, np.float64, np.int16, np.int32])
def test_other_numbers_than_unsigned_integers_are_refused(kind):
    values = np.random.default_rng(0).uniform(0, 99, (6, 6, 3)).astype(kind)
    if kind in (np.float32, np.float64):
        values[0, 0] = np.nan

    assert np.dtype(kind).name in reason(cv2.imencode(".tif", values)[1].tobytes())


NO_IMAGES = [b"", b"\n", b"path,label\na.png,rust\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", bytes(5000)]


@each("data", NO_IMAGES)
def test_what_is_no_image_is_refused(data):
    assert "image" in reason(data) or "truncated" in reason(data)


def test_files_that_cannot_be_opened_say_why(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    huge = tmp_path / "huge.bmp"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: takes no room
    expected = {
        "empty.png": "empty",
        "text.png": "no image",
        "folder.png": "no such file",
        "missing.png": "no such file",
        "loop.png": "no such file",
        "huge.bmp": str(MAX_BYTES),
        "x" * 300 + ".png": "cannot be opened",
    }

    for name, words in expected.items():
        with pytest.raises(UnreadableImageError, match=words):
            read_image(tmp_path / name)


def test_read_bytes_and_read_image_agree_with_the_file(tmp_path):
    path = tmp_path / "a b ü.png"
    Image.fromarray(noise(5, 6, 3)).save(path)

    assert read_bytes(path) == path.read_bytes()
    np.testing.assert_array_equal(read_image(path), noise(5, 6, 3))


@each(
    ("name", "expected"),
    [("a.PNG", True), ("a.JpEg", True), ("a.tif", True), (".a.png", False), (".png", False), ("a.txt", False)],
)
def test_names_of_images(tmp_path, name, expected):
    assert is_image(tmp_path / name) is expected


def test_damage_leaves_nothing_on_stderr_and_limits_hold_whatever_is_imported_first(tmp_path):
    """In a process of its own, by the way that `steelbench run` takes; here, OpenCV was imported first."""
    files = [png(20_000, 20_000, 8, 2, bytes(99)), bmp(20_000, 20_000)]
    for suffix in SUFFIXES:
        data = cv2.imencode(suffix, smooth())[1].tobytes()
        files += [data[:cut] for cut in (20, len(data) // 3, len(data) - 9)]
    files.append(png(30, 30, 8, 2)[:-30] + b"x" * 30)
    for number, data in enumerate(files):
        (tmp_path / f"{number:02}.bin").write_bytes(data)
    program = """
import sys, pathlib
from steelbench.data.readers import read_dataset
from steelbench.data.images import UnreadableImageError, read_image
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        read_image(path)
        print(path.name, "read")
    except UnreadableImageError as error:
        print(path.name, error)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)

    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(lines) == len(files) and not [line for line in lines if line.endswith("read")]
    assert all(str(MAX_PIXELS) in line for line in lines[:2])


def resized_by_loops(pixels, size):
    """Bilinear with pixel centres at .5 and clamped edges, one output pixel after another."""
    height, width = pixels.shape[:2]
    out = np.empty((size, size, 3))
    for i in range(size):
        for j in range(size):
            y = min(max((i + 0.5) * height / size - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / size - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = pixels[top, left] * (1 - x + left) + pixels[top, right] * (x - left)
            lower = pixels[bottom, left] * (1 - x + left) + pixels[bottom, right] * (x - left)
            out[i, j] = upper * (1 - y + top) + lower * (y - top)
    return out


@each("shape", [(32, 32), (64, 64), (200, 200), (37, 53), (96, 30), (5, 1), (1, 1), (33, 128)])
@each("size", [32, 45])
def test_resize_is_bilinear_with_half_pixel_centres(shape, size):
    pixels = noise(*shape, 3)

    resized = resize(pixels, size)

    assert resized.dtype == np.float32 and resized.shape == (size, size, 3)
    np.testing.assert_allclose(resized, resized_by_loops(pixels.astype(float), size), atol=2e-3)


@pytest.mark.slow
@each("shape", [(200, 200), (37, 53), (448, 448)])
def test_resize_is_what_keras_does(shape):
    import keras

    pixels = noise(*shape, 3)
    expected = np.asarray(keras.layers.Resizing(224, 224)(pixels[None].astype(np.float32)))[0]

    # A position near 200 is exact to 1.5e-5 in float32, times a step of up to 255.
    np.testing.assert_allclose(resize(pixels, 224), expected, atol=5e-3)


@pytest.mark.slow
def test_real_images_decode_as_pillow_says(data_folder):
    files = sorted((data_folder / "NEU").glob("*/*.jpg"))[::60]

    assert len(files) >= 30
    for path in files:
        difference = read_image(path).astype(int) - np.asarray(Image.open(path).convert("RGB"))
        assert np.abs(difference).max() <= 2


def jpeg(pixels, **options):
    return encoded(Image.fromarray(pixels), "JPEG", **options)


def cut_short(data, share):
    """The first part of the coded data, and then the end marker."""
    start = data.find(b"\xff\xda")
    return data[: start + int((len(data) - start) * share)] + b"\xff\xd9"


@each("share", [0.1, 0.5, 0.9])
@each("options", [{}, {"quality": 30}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_a_jpeg_whose_data_end_before_the_image_is_refused(share, options):
    data = jpeg(smooth(), **options)
    decode(data)

    assert "truncated" in reason(cut_short(data, share))


@each("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 3}, {"optimize": True}])
def test_a_jpeg_with_flat_corners_is_whole(options):
    pixels = smooth()
    pixels[:, 20:] = 0

    assert decode(jpeg(pixels, **options)).pixels.shape == pixels.shape


def test_a_header_that_promises_more_than_the_bytes_can_hold_costs_nothing(monkeypatch):
    data = bytearray(jpeg(noise(64, 64, 3)))
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 9999, 9999)
    runs = struct.pack("<IHHIIiiHHIIiiII", 1100, 0, 0, 1078, 40, 9999, 9999, 1, 8, 1, 0, 100, 0, 256, 0)
    monkeypatch.setattr("steelbench.data.images.cv2.imdecode", lambda *_: pytest.fail("decoded"))

    assert "truncated JPEG" in reason(bytes(data))
    assert reason(b"BM" + runs + bytes(1024) + b"\0\1") == "truncated BMP"


@each("suffix", [".png", ".tif", ".pgm"])
def test_16_bits_count_double(suffix, monkeypatch):
    monkeypatch.setattr("steelbench.data.images.MAX_PIXELS", 1000)
    images = {dtype: cv2.imencode(suffix, noise(25, 40, dtype=dtype))[1].tobytes() for dtype in (np.uint8, np.uint16)}

    assert decode(images[np.uint8]).bits == 8
    assert reason(images[np.uint16]) == "larger than 500 pixels of 16 bits"


def test_one_large_image_is_decoded_at_a_time(monkeypatch):
    at_once, most, lock = [0], [0], threading.Lock()
    imdecode = cv2.imdecode

    def counted(*arguments):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        found = imdecode(*arguments)
        with lock:
            at_once[0] -= 1
        return found

    monkeypatch.setattr("steelbench.data.images.cv2.imdecode", counted)
    for limit, expected in ((100, 1), (10_000, 4)):
        most[0] = 0
        monkeypatch.setattr("steelbench.data.images.LARGE", limit)
        list(ordered_map(decode, [png(20, 20, 8, 0, b"\0".join([b"", *[bytes(20)] * 20]))] * 8))
        assert (most[0] == 1) == (expected == 1)
