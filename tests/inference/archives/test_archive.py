"""Archives: which images a folder or a URL holds, and what becomes of files and storages that cannot be read."""

import os
import zipfile

import pytest
from each import each

from steelbench.data.images import UnreadableImageError
from steelbench.errors import SteelbenchError
from steelbench.inference.archives import archive
from steelbench.inference.archives.archive import (
    StoredImage,
    found_archive,
    joined,
    open_archive,
    printable_path,
    stored_images,
)

NAMES = ["=cmd().png", "a#1,2,3,4.png", "b/c d/é.JPG", "b/x.tiff"]
OTHERS = [".hidden.png", "b/.git/x.png", "b/Thumbs.db", "labels.csv", "b/no suffix", "__MACOSX/x.png"]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name in (*NAMES, *OTHERS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.fixture
def packed(folder):
    """The same files in a zip, which is opened by a URL."""
    path = folder.parent / "images.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in (*NAMES, *OTHERS):
            file.write(folder / name, name)
    return f"zip://::{path.as_uri()}"


def test_images_are_known_by_their_suffix_and_hidden_ones_are_passed_over(folder, packed):
    local = found_archive(str(folder))

    assert local.paths() == NAMES and local.url == folder.as_posix()
    assert found_archive(folder.as_uri()) == local
    assert found_archive(packed).paths() == NAMES
    assert found_archive(packed).read(NAMES[2]) == local.read(NAMES[2]) == NAMES[2].encode()


def test_a_url_names_an_image_or_a_folder_of_them(packed, folder):
    found = stored_images(packed)

    assert [image.path for image in found] == NAMES and found[0].url == packed
    assert str(found[2]) == packed.replace("zip://", "zip://b/c d/é.JPG")
    assert stored_images(str(found[3])) == [StoredImage(packed.replace("zip://", "zip://b"), "x.tiff")]
    assert joined("s3://bucket/a/", "b.png") == joined("s3://bucket/a", "b.png") == "s3://bucket/a/b.png"


def test_a_missing_folder_and_a_file_are_told_apart(folder, packed):
    for url, words in (
        (str(folder / "nowhere"), "does not exist"),
        (str(folder / "labels.csv"), "is a file"),
        (packed.replace("zip://", "zip://nowhere"), "does not exist"),
        (packed.replace("zip://", "zip://labels.csv"), "is a file"),
    ):
        with pytest.raises(SteelbenchError, match=words):
            found_archive(url)


@each(
    "url, words",
    [
        ("s3://key:secret@bucket/x", "holds a password"),
        ("zip://::https://me:secret@host/x.zip", "holds a password"),
        ("memory://x", "memory of one process"),
        ("nothing://x", "cannot be opened"),
        ("http://[x", "is no URL"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_in_a_sentence(url, words):
    with pytest.raises(SteelbenchError, match=words) as caught:
        open_archive(url)

    assert "secret" not in str(caught.value)


def test_files_that_cannot_be_read_have_reasons(folder, monkeypatch):
    local = open_archive(str(folder))
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")

    for path, words in (("empty.png", "empty"), ("pipe.png", "no such file"), ("nowhere.png", "no such file")):
        with pytest.raises(UnreadableImageError, match=words):
            local.read(path)
    monkeypatch.setattr("steelbench.data.images.MAX_BYTES", 3)
    with pytest.raises(UnreadableImageError, match="more than the 3 that are read"):
        local.read(NAMES[0])


def test_a_name_that_is_no_utf8_is_listed_and_not_read(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    local = open_archive(str(tmp_path))

    (path,) = local.paths()
    assert printable_path(path) == "\\xff.png" and printable_path("é\\xff.png") == "é\\xff.png"
    with pytest.raises(UnreadableImageError, match="not valid UTF-8"):
        local.read(path)


class Storage:
    """A file system that fails."""

    protocol = "played"

    def __init__(self, *errors, size=1):
        self.errors, self.size, self.asked = list(errors), size, 0

    def info(self, place):
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"type": "file", "size": self.size}

    def open(self, place, mode):
        import io

        return io.BytesIO(b"x" * self.size)


def test_a_storage_that_does_not_answer_is_asked_again_and_then_ends_the_command(monkeypatch):
    """A row with a reason would stay for ever, though the image may be whole."""
    monkeypatch.setattr(archive, "PAUSES", (0, 0))

    def read(storage):
        return archive.Archive("played://x", None, "x", storage).read("a.png")

    assert read(Storage(TimeoutError(), ConnectionError())) == b"x"
    for lasting in (FileNotFoundError("gone"), PermissionError("no"), zipfile.BadZipFile("Bad CRC-32")):
        storage = Storage(lasting)
        with pytest.raises(UnreadableImageError, match="cannot be opened"):
            read(storage)
        assert storage.asked == 1
    with pytest.raises(SteelbenchError, match=r"played://x/a.png cannot be read .*goes on where it stopped"):
        read(Storage(*[TimeoutError("slow")] * 3))


def test_a_large_file_of_a_storage_is_not_fetched(monkeypatch):
    monkeypatch.setattr("steelbench.data.images.MAX_BYTES", 3)

    with pytest.raises(UnreadableImageError, match="the file has 4 bytes"):
        archive.Archive("played://x", None, "x", Storage(size=4)).read("a.png")
