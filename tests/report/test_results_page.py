"""The results page is whole, needs nothing else, takes no name for markup and says what is missing."""

import hashlib
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from each import each
from results_folder import (
    CLASSES,
    failed_row,
    hog_row,
    judged,
    majority_row,
    model_row,
    summary,
    trust,
    typical,
    write_folder,
)

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import WrongAnswer, write_errors
from steelbench.evaluation.published import Published, published_for
from steelbench.files import write_json
from steelbench.records import DatasetSummary, Notice, Row, SplitSummary
from steelbench.report import results_page
from steelbench.report.results_page import build_report

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "$x^2$ \\frac{",
    "划痕 擦伤",
    "n" * 90,
    "_a\nb",
]
VOID = {"input", "meta", "link", "img", "br", "rect", "line", "circle", "path"}


class Page(HTMLParser):
    """Collects tags and headings; fails on tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.headings, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def render(folder, record, **options):
    text = build_report(write_folder(folder, record, **options)).read_text(encoding="utf-8")
    return text, Page(text)


def text_of(folder, record, **options):
    """The text of a page without figures, which take most of the time of a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steelbench.report.figures.all_figures.draw_figures", lambda *_: {})
        return render(folder, record, **options)[0]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("typical"), typical())
    build_report(folder)
    return folder


def test_page_is_one_file_with_a_table_and_pictures(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    page = Page(text)

    assert "<table" in text
    sources = {row.url for row in published_for(CLASSES)}
    assert all(link.startswith(("data:", "#")) or link in sources for link in page.links)
    assert not re.search(r"@import|url\((?!\"data:)|<iframe|<object", text)
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    # The confusion matrices are tables; their pictures lie beside the page, for slides.
    figures = [path for path in (results / "figures").glob("*.png") if not path.stem.startswith("confusion-")]
    assert len(pictures) == len(figures)
    assert all(picture["src"].startswith("data:image/png;base64,") and picture["alt"] for picture in pictures)


def test_page_is_accessible(results):
    page = Page((results / "report.html").read_text(encoding="utf-8"))

    assert ("html", {"lang": "en"}) in page.tags
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link[1:] for link in page.links if link.startswith("#")} <= targets


def test_every_figure_has_its_name(results):
    models = [row.name for row in typical().rows if row.status == "done" and row.backbone != "none"]
    backbones = ("efficientnet_b0", "mobilenet_v2", "vgg19", "xception")

    names = {path.stem for path in (results / "figures").iterdir()}

    assert names == {
        *("accuracy", "classes", "seconds", "curves-all", "curves-together"),
        *(f"curves-{name}" for name in backbones),
        *(f"confusion-{name}" for name in models),
    }


def test_warnings_come_serious_first_and_before_the_leaderboard(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    places = [text.index(f'<p class="notice {level}"') for level in ("serious", "caution", "note")]

    assert places == sorted(places)
    assert places[-1] < text.index('id="leaderboard"')
    assert "xception-softmax:" in text


def test_two_builds_give_the_same_bytes_and_touch_no_record(tmp_path):
    record = summary([model_row("vgg19", "softmax", 0.95), majority_row(), failed_row()])
    folder = write_folder(tmp_path, record)
    before = digests(folder)

    build_report(folder)
    first = digests(folder)
    build_report(folder)

    assert digests(folder) == first
    assert {path: first[path] for path in before} == before
    assert not [path for path in first if path.name.startswith(".")]


def digests(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_figures_of_rows_that_are_gone_are_removed_and_others_stay(tmp_path):
    folder = write_folder(tmp_path, summary([model_row("vgg19", "linear", 0.95)]))
    (folder / "figures").mkdir()
    for name in ("confusion-gone.png", "curves-gone.png", "camera.png"):
        (folder / "figures" / name).write_bytes(b"")

    build_report(folder)

    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {"accuracy.png", "classes.png", "confusion-vgg19-linear.png", "seconds.png", "camera.png"}


def test_hostile_names_are_text(tmp_path):
    row = model_row("vgg19", "softmax", 0.9, HOSTILE)
    failed = failed_row(reason="<script>alert('reason')</script>")
    warning = Notice(level="caution", text="<b onclick=x>", row="<i>")
    folder = write_folder(tmp_path, summary([row, failed], HOSTILE, [warning], name="<script>name</script>"), HOSTILE)
    (folder / "skipped_images.csv").write_text("path,reason\n<svg onload=x>.jpg,</td>\n", encoding="utf-8")

    text = build_report(folder).read_text(encoding="utf-8")

    assert "<script>alert" not in text and "<script>name" not in text
    assert "<svg onload" not in text and "<b onclick" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not any("onerror" in attributes or "onload" in attributes for _, attributes in Page(text).tags)
    assert (folder / "figures" / "confusion-vgg19-softmax.png").is_file()


def test_untrained_networks_stand_in_a_block_of_their_own_and_are_not_ranked(tmp_path):
    rows = [model_row("vgg19", "linear", 0.6, weights="random"), model_row("xception", "linear", 0.5), hog_row(0.4)]

    text, _ = render(tmp_path, summary([*rows, majority_row()]))

    board, untrained = text[text.index('id="leaderboard"') :].split('id="untrained"')
    assert "vgg19" not in board and "xception" in board and "HOG" in board
    assert "vgg19" in untrained and "these rows show that the program works" in untrained
    verdict = text[text.index('class="conclusion"') : text.index("</header>")]
    assert "xception + linear" in verdict and "vgg19" not in verdict and "1 network ran untrained" in verdict
    assert (tmp_path / "figures" / "confusion-xception-linear.png").is_file()


@pytest.mark.parametrize("others", [[], [model_row("xception", "softmax", 0.5)]], ids=["alone", "beside another"])
def test_the_curves_of_an_untrained_network_are_not_drawn(tmp_path, others):
    untrained = model_row("vgg19", "softmax", 0.6, weights="random")

    text, _ = render(tmp_path, summary([untrained, *others, majority_row()]))

    assert "vgg19" in text[text.index('id="untrained"') :]
    curves = {path.stem for path in (tmp_path / "figures").glob("curves-*")}
    assert curves == ({"curves-all", "curves-xception"} if others else set())


def test_a_network_that_was_trained_from_random_weights_is_ranked(tmp_path):
    scratch = model_row("vgg19", "finetune", 0.9, weights="random").model_copy(update={"untrained": False})

    text = text_of(tmp_path, summary([scratch]))

    assert 'id="untrained"' not in text and "vgg19 + finetune" in text


def test_the_tied_rows_are_marked_in_the_table_and_the_others_have_their_p_value(results):
    text = (results / "report.html").read_text(encoding="utf-8")

    assert text.count('<span class="badge best">tied for best</span>') == text.count('<tr class="tied"') == 4
    assert text.count('worse<br><span class="small">p = 0.0023</span>') == 4
    assert "is not shown to be better than 3 other rows" in text
    assert "this test set reliably shows a difference of 2.3 points or more" in text


def test_a_single_best_row_is_called_best(tmp_path):
    text = text_of(
        tmp_path, judged(summary([model_row("vgg19", "linear", 0.95), model_row("xception", "linear", 0.6)]))
    )

    assert text.count('<span class="badge best">best</span>') == 1 and "tied for best" not in text


def test_rows_that_were_not_compared_have_no_mark(tmp_path):
    text = text_of(tmp_path, summary([model_row("vgg19", "linear", 0.95), model_row("xception", "linear", 0.6)]))

    assert "do not say whether the other rows are worse" in text
    assert "badge best" not in text and "Against<br>the best" not in text


def test_a_baseline_without_a_network_is_a_row_like_others(tmp_path):
    rows = [model_row("vgg19", "linear", 0.95), hog_row(0.9), majority_row()]

    text, _ = render(tmp_path, judged(summary(rows)))

    assert "HOG + linear SVM (no network)" in text and "majority class" in text
    assert {path.stem for path in (tmp_path / "figures").glob("confusion-*")} == {
        "confusion-vgg19-linear",
        "confusion-none-hog",
    }
    assert "models/none-hog.h5" not in text and ">none<" not in text


def test_the_naive_split_stands_beside_the_grouped_one_and_says_how_much_of_it_leaks(tmp_path):
    rows = [model_row("vgg19", "linear", 0.95).model_copy(update={"naive_accuracy": 0.987}), hog_row()]
    record = judged(summary(rows))
    record = record.model_copy(update={"split": record.split.model_copy(update={"naive_leaking": 0.382})})

    text = text_of(tmp_path, record)

    assert '<td class="n naive" data-value="0.987">98.7 %</td>' in text
    assert '<td class="n naive" data-value="">–</td>' in text
    assert "38.2\u00a0% of its test images share pixels, or a group, with a training image" in text


def test_without_a_naive_split_nothing_is_said_of_it(results):
    assert "Naive" not in (results / "report.html").read_text(encoding="utf-8")


def test_each_recall_has_its_interval_and_a_class_without_images_a_dash(tmp_path):
    row = model_row("vgg19", "linear", 0.9, CLASSES[:3])
    first, second, third = row.per_class
    scores = [
        first.model_copy(update={"recall": 0.8, "recall_low": 0.612, "recall_high": 0.934}),
        second.model_copy(update={"recall": 0.0, "support": 0, "recall_low": None, "recall_high": None}),
        third,
    ]

    text = text_of(tmp_path, summary([row.model_copy(update={"per_class": scores})], CLASSES[:3]), classes=CLASSES[:3])

    assert '80.0 %<br><span class="limits">[61.2, 93.4]</span>' in text
    heat = text[text.index('<table class="heat"') :]
    first_row = heat[heat.index('<th scope="row">') : heat.index("</tbody>")]
    assert re.search(r'80\.0 %.*?</td>\s*<td data-value="">–</td>\s*<td', first_row, re.DOTALL)


def test_how_far_each_row_is_behind_is_told(tmp_path):
    rows = [model_row("vgg19", "linear", 0.95), model_row("xception", "linear", 0.9), hog_row(0.6)]
    more = {"differences": {"xception-linear": 0.051, "none-hog": 0.35}}

    text = text_of(
        tmp_path, judged(summary(rows), tied=2, **more, resampled_t={"xception-linear": 0.61, "none-hog": 0.2})
    )

    table = text[text.index("Every row against vgg19 + linear") :]
    assert re.search(
        r"xception \+ linear</th><td class=\"n\">5\.1</td><td>tied, p = 0\.4</td><td>p = 0\.61</td>", table
    )
    assert re.search(
        r"\(no network\)</th><td class=\"n\">35\.0</td><td>worse, p = 0\.0023</td><td>p = 0\.2</td>", table
    )


def test_published_numbers_stand_in_a_table_of_their_own(tmp_path, monkeypatch):
    known = {"dataset": "steel", "protocol": "one split", "split": "random", "remark": "chosen on <test> images"}
    published = [
        Published(**known, source="A. Author, 2021", url="https://example.org/paper", model="ResNet", accuracy=0.997),
        Published(**known, source="B. Author", url="", model="VGG", accuracy=0.9, macro_f1=0.81),
    ]
    asked = []
    monkeypatch.setattr(results_page, "published_for", lambda classes: asked.append(classes) or published)

    text, parsed = render(tmp_path, summary([model_row("vgg19", "linear", 0.95)]))

    start, end = text.index('id="published"'), text.index('id="data"')
    table = text[start:end]
    assert asked == [CLASSES] and text.index('id="leaderboard"') < start < end
    assert text.count("99.7 %") == table.count("99.7 %") == 1 and "81.0 %" in table
    assert "chosen on &lt;test&gt; images" in table
    assert [link for link in parsed.links if link.startswith("http")] == ["https://example.org/paper"]
    assert "#published" in parsed.links


@pytest.mark.parametrize(("classes", "reader"), [(["a", "b"], ""), (CLASSES, "demo")])
def test_an_unknown_data_set_and_the_demo_have_no_published_numbers(tmp_path, classes, reader):
    text = text_of(tmp_path, summary([model_row("vgg19", "linear", 0.95, classes)], classes, reader=reader))

    assert 'published"' not in text


def test_neu_has_published_numbers_with_what_the_leak_makes_of_them(results):
    text = (results / "report.html").read_text(encoding="utf-8")

    assert text.index('id="published"') and "78.4 % of NEU&#39;s test images share pixels" in text


def test_one_row_without_history(tmp_path):
    text, _ = render(tmp_path, summary([model_row("vgg19", "linear", 0.9)]))

    assert "nothing is compared" in text
    assert "No epoch-by-epoch history is recorded." in text
    assert "keras.models.load_model(&#34;models/vgg19-linear.h5&#34;" in text


def test_many_rows_of_one_backbone(tmp_path):
    rows = [model_row("vgg19", "softmax", 0.9, CLASSES[:2], variant=f"t={n}", seed=n) for n in range(15)]

    text, _ = render(tmp_path, judged(summary(rows, CLASSES[:2]), tied=15), classes=CLASSES[:2], epochs=2)

    assert "is not shown to be better than any of the 14 other rows" in text
    assert len(list((tmp_path / "figures").glob("confusion-*.png"))) == 15


@pytest.mark.parametrize("rows", [[], [failed_row(), failed_row("vgg19")], [majority_row(), failed_row()]])
def test_nothing_finished(tmp_path, rows):
    text, _ = render(tmp_path, summary(rows))

    assert "No experiment finished" in text
    assert text.count("out of memory") == len([row for row in rows if row.status == "failed"])
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"classes"}


def test_a_row_that_knows_only_its_accuracy(tmp_path):
    bare = {"name": "a-b", "backbone": "a", "method": "b", "weights": "", "status": "done"}

    text, _ = render(tmp_path, summary([Row(**bare, accuracy=0.5), Row(**bare | {"name": "a-c", "backbone": "c"})]))

    assert "50.0 %" in text
    assert "None" not in re.sub("None: every image", "", text)


def test_many_classes_and_classes_that_are_never_predicted(tmp_path):
    classes = [f"class {place}" for place in range(32)]
    one_column = [[3 if column == 0 else 0 for column in classes] for _ in classes]
    first_only = [[3 if place == 0 else 0] + [0] * 31 for place in range(32)]
    rows = [
        model_row("vgg19", "linear", 0.9, classes, variant=variant, n_test=320).model_copy(update=update)
        for variant, update in (("a", {}), ("b", {"confusion": one_column}), ("c", {"confusion": first_only}))
    ]

    render(tmp_path, summary(rows, classes))

    assert len(list((tmp_path / "figures").glob("confusion-*.png"))) == 3


def test_only_results_json(tmp_path):
    folder = write_folder(tmp_path, summary([model_row("vgg19", "softmax", 0.9)]))
    for path in [*folder.glob("*.csv"), *folder.rglob("config.json"), *folder.rglob("*history*.csv")]:
        path.unlink()
    (folder / "environment.json").write_text("{broken", encoding="utf-8")

    text = build_report(folder).read_text(encoding="utf-8")

    for name in ("config.json", "environment.json", "skipped_images.csv"):
        assert f"<code>{name}</code> is missing or not readable." in text


@each("name", ["config.json", "environment.json"])
def test_half_a_letter_is_no_text_of_a_page(tmp_path, name, capsys):
    folder = write_folder(tmp_path / name, summary([model_row("vgg19", "softmax", 0.9)]))
    whole = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps({**whole, "python": "\ud800", "data": ["\udfff"]}), encoding="utf-8")

    assert main(["report", str(folder)]) == 0, capsys.readouterr().err
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert f"<code>{name}</code> is missing or not readable." in text


def test_data_and_split_that_say_nothing(tmp_path):
    record = summary([model_row("vgg19", "linear", 0.9)]).model_copy(
        update={"dataset": DatasetSummary(), "split": SplitSummary()}
    )

    text, _ = render(tmp_path, record)

    assert "Unnamed data set" in text
    assert "The number of images per class is not recorded." in text


def test_each_stage_has_its_figure(tmp_path):
    rows = [model_row(name, "softmax", 0.9) for name in ("vgg19", "xception")]

    render(tmp_path, summary(rows), stages=("encoder", "classifier"), epochs=1)

    names = {path.stem for path in (tmp_path / "figures").glob("curves-*")}
    both = {"curves-all", "curves-together"}
    assert names == both | {f"curves-{b}{s}" for b in ("vgg19", "xception") for s in ("", "-encoder")}


def test_only_the_first_skipped_images_are_listed(tmp_path):
    folder = write_folder(tmp_path, summary([failed_row()]))
    lines = [f"image{place:03d}.jpg,truncated" for place in range(50)]
    (folder / "skipped_images.csv").write_text("\n".join(["path,reason", *lines]), encoding="utf-8")

    text = build_report(folder).read_text(encoding="utf-8")

    assert "50 images were skipped; the first 20" in text
    assert "image019.jpg" in text and "image020.jpg" not in text


@pytest.mark.parametrize("content", [None, "{", '{"rows": 3}'])
def test_a_missing_or_broken_summary_is_the_users_error(tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content, encoding="utf-8")

    with pytest.raises(SteelbenchError, match=r"results\.json"):
        build_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_promised_thresholds_stand_on_the_page_and_a_row_without_them_is_left_out(tmp_path):
    rows = [model_row("vgg19", "softmax", 0.95), model_row("xception", "softmax", 0.94)]
    rows[0] = rows[0].model_copy(update={"trust": trust()})

    text, _ = render(tmp_path, summary([*rows, majority_row()]))

    section = text[text.index('id="confidence"') : text.index('id="decide"')]
    assert "0.98, <strong>23.4 %</strong>" in section and "nobody needs to look" in section
    assert "4.6 %" in section and "1.2 %" in section and "1.70" in section
    assert section.count('<th scope="row">') == 1
    assert {"reliability", "referrals"} <= {path.stem for path in (tmp_path / "figures").iterdir()}


def test_records_without_confidence_have_no_such_section(results):
    assert 'id="confidence"' not in (results / "report.html").read_text(encoding="utf-8")


def errors_of(rows, path, label, predicted, *, of=2, neighbours=(), shares_pixels=False):
    return [
        WrongAnswer(row, path, label, predicted, 0.91, 0.05, len(rows), of, shares_pixels, neighbours) for row in rows
    ]


def test_images_that_every_row_fails_on_are_shown_with_their_pictures_and_the_question(tmp_path):
    rows = [model_row(name, "softmax", 0.95) for name in ("vgg19", "xception", "resnet50")]
    names = [row.name for row in rows]
    folder = write_folder(tmp_path, summary([*rows, majority_row()]))
    write_errors(
        folder / "errors.csv",
        [
            *errors_of(names, "in/<b>1.jpg", "inclusion", "patches", of=3, neighbours=("p/2.jpg",), shares_pixels=True),
            *errors_of(names[1:2], "cr/7.jpg", "crazing", "scratches", of=3),
        ],
    )
    cv2.imwrite(str(tmp_path / "grey.jpg"), np.full((9, 9), 128, "u1"))
    thumbnails = folder / "thumbnails"
    thumbnails.mkdir()
    (thumbnails / "x.jpg").write_bytes((tmp_path / "grey.jpg").read_bytes())
    write_json(thumbnails / "index.json", {"files": {"in/<b>1.jpg": "x.jpg"}})

    text = build_report(folder).read_text(encoding="utf-8")

    section = text[text.index('id="errors"') : text.index('id="classes"')]
    assert "2 test images are answered wrongly" in section and "<b>1" not in section
    assert "all 3 rows say <strong>patches</strong>: is the label right?" in section
    assert "It shares pixels with an image of another class" in section and "1 of 3 rows are wrong" in section
    assert 'class="thumb t0"' in section and section.count("no picture") == 2
    assert text.count("data:image/jpeg;base64") == text.count('.t0{background-image:url("data:image/jpeg;base64') == 1
    assert "91.0 %" in section and "Nearest training images of vgg19 + softmax" in section
    assert text.index('href="#errors"') < text.index('id="leaderboard"')


def test_without_a_wrong_answer_that_is_said_and_without_the_table_nothing(tmp_path):
    folder = write_folder(tmp_path, summary([model_row("vgg19", "softmax", 0.95), majority_row()]))
    assert 'id="errors"' not in build_report(folder).read_text(encoding="utf-8")
    write_errors(folder / "errors.csv", [])

    assert "No compared row answers a test image wrongly." in build_report(folder).read_text(encoding="utf-8")
