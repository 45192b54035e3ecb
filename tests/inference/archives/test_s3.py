"""Archives in a storage that speaks S3: the rows of a local folder, and a sentence for what is not there."""

import cv2
import numpy as np
import pandas as pd
import pytest
from inference_archives import play

from steelbench.cli.exit import main
from steelbench.inference.archives.archive import found_archive, stored_images

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")
pytest.importorskip("s3fs")

NAMES = ["=cmd().png", "[x]*.png", "a#1,2,3,4.png", "a?b&c=d.png", "b/100% d/é.png", "b/c d/+.png", "z.png"]
OPTIONS = ("--weights", "random", "--image-size", "32", "--engine", "keras", "--backbone", "mobilenet_v2_035")


@pytest.fixture(scope="module")
def server():
    """Its address; it serves from memory, on this machine only."""
    found = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    found.start()
    yield "http://{}:{}".format(*found.get_host_and_port())
    found.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("archive"), np.random.default_rng(0)
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), rng.integers(0, 256, (40, 36), np.uint8))
    (root / "b/empty.png").touch()
    (root / "labels.csv").write_text("path,label\nz.png,a\n")
    return root


@pytest.fixture
def bucket(server, folder, monkeypatch):
    """The URL of the same files behind S3, with the variables that a user sets."""
    variables = {"ENDPOINT_URL": server, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="mill")
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "mill", f"2026/line 1/{path.relative_to(folder).as_posix()}")
    return "s3://mill/2026/line 1"


def test_extract_gives_the_rows_of_the_local_folder(bucket, folder, tmp_path, monkeypatch, capsys):
    play(monkeypatch)
    for name, data in (("s3", bucket), ("local", folder)):
        assert main(["extract", "--data", str(data), "--out", str(tmp_path / name), *OPTIONS]) == 0
    capsys.readouterr()

    found, expected = (pd.read_parquet(tmp_path / name).set_index("path") for name in ("s3", "local"))

    assert sorted(found.index) == sorted([*NAMES, "b/empty.png"])
    pd.testing.assert_frame_equal(found, expected)
    assert main(["extract", "--data", bucket, "--out", str(tmp_path / "s3"), *OPTIONS]) == 0
    assert "0 of them now" in capsys.readouterr().out


def test_images_behind_a_url_are_read_one_by_one(bucket, folder):
    images = stored_images(bucket)

    assert [image.path for image in images] == sorted([*NAMES, "b/empty.png"])
    for image in (image for image in images if image.path != "b/empty.png"):
        assert image.open(None).data == (folder / image.path).read_bytes()
        assert [str(own) for own in stored_images(str(image))] == [str(image)]
    assert found_archive(bucket + "/b").paths() == ["100% d/é.png", "c d/+.png", "empty.png"]


@pytest.mark.parametrize("place", ["mill/2027", "elsewhere/2026", "mill/2026/line 1/labels.csv"])
def test_what_holds_no_image_is_refused_in_a_sentence(bucket, place, tmp_path, capsys):
    assert main(["extract", "--data", f"s3://{place}", "--out", str(tmp_path / "out"), *OPTIONS]) == 2

    error = capsys.readouterr().err.splitlines()
    assert f"s3://{place}" in error[-1] and "fault" not in error[-1]
    assert not (tmp_path / "out").exists()
