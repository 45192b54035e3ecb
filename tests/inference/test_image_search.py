"""The most similar images: against a loop over all cosines, through the command, and with files that cannot be read."""

import csv
import io

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.inference.image_search import Match, draw_sheet, embed_files, most_similar

pytestmark = pytest.mark.usefixtures("small_networks")


class Colours:
    """A model whose embedding is the mean colour."""

    bit_depth = None

    def embed(self, images):
        return np.array([image.reshape(-1, 3).mean(axis=0) for image in images], np.float32)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(70):
        colour = rng.integers(10, 250, 3)
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), np.full((8 + number % 3, 9, 3), colour, np.uint8))
    return tmp_path


def files_of(folder):
    return sorted(folder.glob("*.png"))


def cosines_by_loops(folder, query):
    def colour(path):
        return cv2.imread(str(path))[0, 0, ::-1].astype(float)

    one = colour(query)
    found = []
    for path in files_of(folder):
        if path != query:
            other = colour(path)
            found.append((float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)), path))
    return sorted(found, key=lambda item: -item[0])


def test_nearest_first_and_the_query_itself_left_out(folder):
    query = folder / "07.png"
    found, unreadable = most_similar(Colours(), query, files_of(folder), 10)
    expected = cosines_by_loops(folder, query)[:10]

    assert [item.path for item in found] == [path for _, path in expected]
    assert [item.cosine for item in found] == pytest.approx([cosine for cosine, _ in expected], abs=1e-6)
    assert not unreadable


def test_no_more_are_given_than_there_are(folder):
    assert len(most_similar(Colours(), folder / "00.png", files_of(folder)[:4], 20)[0]) == 3


def test_files_that_cannot_be_read_are_named(folder):
    (folder / "broken.png").write_bytes(b"no picture")
    files, embeddings, unreadable = embed_files(Colours(), files_of(folder))

    assert len(files) == len(embeddings) == 70
    assert unreadable == [folder / "broken.png"]


def test_an_unreadable_query_and_an_empty_index_are_the_user_s_mistake(folder):
    broken = folder / "broken.png"
    broken.write_bytes(b"no picture")

    with pytest.raises(SteelbenchError, match="cannot be read"):
        most_similar(Colours(), broken, files_of(folder), 3)
    with pytest.raises(SteelbenchError, match="no image that can be read"):
        most_similar(Colours(), folder / "00.png", [broken, folder / "00.png"], 3)


def test_sheet_holds_every_picture_in_its_place(folder):
    found = [Match(folder / f"{number:02}.png", 0.5) for number in range(9)]
    draw_sheet(folder / "10.png", found, folder / "sheet.bmp.png", None, lambda path: "ünï")
    sheet = cv2.imread(str(folder / "sheet.bmp.png"))

    # Ten tiles in two rows of seven.
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 7
    for place, name in enumerate(["10", *(f"{number:02}" for number in range(9))]):
        row, column = divmod(place, 7)
        expected = cv2.imread(str(folder / f"{name}.png"))[0, 0]
        assert (sheet[row * height + 50, column * width + 50] == expected).all()


@pytest.mark.slow
def test_the_command_prints_csv_and_draws(tiny_images, tmp_path, monkeypatch, capsys):
    data = tiny_images(images=8, classes=2)
    options = ["--backbones", "mobilenet_v2_035", "--weights", "random", "--image-size", "32", "--methods", "arcface"]
    assert (
        main(
            [
                "run",
                "--data",
                str(data),
                "--results",
                str(tmp_path / "r"),
                "--epochs",
                "1",
                "--engine",
                "keras",
                *options,
            ]
        )
        == 0
    )
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    query = next(data.rglob("*.png"))
    model = tmp_path / "r" / "models" / "mobilenet_v2_035-arcface.h5"

    assert main(["retrieve", str(model), "--query", str(query), "--index", str(data), "--top", "5"]) == 0

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == list("12345")
    cosines = [float(row["cosine"]) for row in rows]
    assert cosines == sorted(cosines, reverse=True) and cosines[0] <= 1 + 1e-6
    assert (tmp_path / f"similar-to-{query.stem}.png").is_file()
    assert main(["retrieve", str(model), "--query", "nothing.png", "--index", str(data)]) == 2
