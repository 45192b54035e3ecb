"""The page of a run with very many wrong answers: it samples them, so that its size does not grow with them."""

from results_folder import CLASSES, hog_row, judged, majority_row, model_row, summary, write_folder

from steelbench.evaluation.error_tables import WrongAnswer, write_errors
from steelbench.report.results_page import build_report


def test_the_page_does_not_grow_with_the_wrong_answers(tmp_path):
    rows = [model_row("efficientnet_b0", "softmax", 0.99), model_row("vgg19", "softmax", 0.97)]
    record = judged(summary([*rows, hog_row(0.8), majority_row()]), tied=2)
    sizes = []
    for count in (200, 10_000):
        folder = write_folder(tmp_path / str(count), record)
        write_errors(
            folder / "errors.csv",
            [
                WrongAnswer(row.name, f"{number:06d}.png", CLASSES[0], CLASSES[1], 0.9, 0.1, 2, 2, False, ())
                for number in range(count)
                for row in rows
            ],
        )
        page = build_report(folder).read_text(encoding="utf-8")
        assert f"{count} test images are answered wrongly" in page
        sizes.append(len(page))

    assert sizes[1] < sizes[0] + 2_000
