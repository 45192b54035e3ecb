"""The report in a real browser: what its scripts do, what it fetches, whether names stay text, who can use it."""

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from results_folder import CLASSES, hog_row, judged, majority_row, model_row, summary, trust, write_folder

from steelbench.evaluation.error_tables import WrongAnswer, write_errors
from steelbench.files import write_json
from steelbench.records import ActivationMap, ActivationMaps, Notice, activation_map_file
from steelbench.report.acceptance_sheet import write_sheet
from steelbench.report.results_page import build_report

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="chromium, chromedriver are not here"
    ),
]
HOSTILE = ["<img src=x onerror=alert(1)>", 'quote" class', *CLASSES[2:]]
PICTURE = 'it\'s "quoted" <img src=x onerror=alert(2)>.jpg'


def with_errors(row):
    """Move the right answers of the first class onto the diagonal but two, taken for the second class."""
    size = len(row.confusion)
    table = [[60 if i == j else 0 for j in range(size)] for i in range(size)]
    table[0][:2] = [58, 2]
    return row.model_copy(update={"confusion": table, "trust": trust(HOSTILE, 0)})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    rows = [
        model_row(name, "softmax", accuracy, HOSTILE).model_copy(update={"trust": trust(HOSTILE, seed)})
        for seed, (name, accuracy) in enumerate((("efficientnet_b0", 0.99), ("vgg19", 0.97), ("xception", 0.95)))
    ]
    rows[0] = with_errors(rows[0])
    told = [Notice(level="caution", text=f"Caution number {number}.", row="") for number in range(5)]
    record = judged(summary([*rows, hog_row(0.8, HOSTILE), majority_row(HOSTILE)], HOSTILE, told), tied=2)
    folder = write_folder(tmp_path_factory.mktemp("report"), record, classes=HOSTILE)
    write_errors(
        folder / "errors.csv",
        [
            WrongAnswer(rows[0].name, path, HOSTILE[0], HOSTILE[1], 0.91, 0.05, 1, 4, False, (PICTURE,))
            for path in (PICTURE, "without a picture.jpg")
        ],
    )
    thumbnails = folder / "thumbnails"
    thumbnails.mkdir()
    cv2.imwrite(str(thumbnails / "grey.jpg"), np.full((128, 128), 128, "u1"))
    write_json(thumbnails / "index.json", {"files": {PICTURE: "grey.jpg"}, "examples": {HOSTILE[0]: [PICTURE]}})
    looked = ActivationMap(
        path=PICTURE, predicted=HOSTILE[1], label=HOSTILE[0], width=300, height=100, columns=2, rows=1, peak=1.0,
        for_predicted="ff00", for_label="0040",
    )  # fmt: skip
    write_json(activation_map_file(folder, rows[0].name), ActivationMaps(fingerprint="f", maps=[looked]))
    return build_report(folder)


@pytest.fixture
def opened(browser, page):
    browser.get(page.as_uri())
    return browser


@pytest.fixture
def device(opened):
    """Sets width and colour scheme; Chromium's window is at least 500 pixels wide, the frame of a device is not."""

    def set_device(width, scheme="light"):
        opened.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [feature]})

    yield set_device
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_page_makes_no_error_and_asks_for_nothing(browser, page):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())

    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    assert browser.get_log("browser") == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


def test_the_slider_shows_the_records_shares_at_its_threshold(opened):
    own = trust(HOSTILE, 0)
    slider = opened.find_element(By.ID, "decide-threshold")
    assert opened.find_element(By.ID, "decide-value").text == "0.98"

    slider.send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * 10)

    assert opened.find_element(By.ID, "decide-value").text == str(own.thresholds[10])
    assert opened.find_element(By.ID, "decide-referred").text == f"{100 * own.referred[10]:.1f} %"
    assert opened.find_element(By.ID, "decide-escaped").text == f"{100 * own.escaped[10]:.1f} %"


def test_a_map_lies_over_the_whole_picture_and_is_named(opened):
    shown = opened.find_elements(By.CSS_SELECTOR, ".dossier .whole")
    sizes = [(own.size["width"], own.size["height"]) for own in shown]
    labels = [own.get_attribute("aria-label") for own in shown]
    assert len({*sizes}) == 1 and sizes[0][0] == pytest.approx(3 * sizes[0][1], abs=2)
    assert labels[0] is None and [HOSTILE[1] in labels[1], HOSTILE[0] in labels[2]] == [True, True]
    over = [own.find_element(By.CLASS_NAME, "heat-map") for own in shown[1:]]
    assert [own.size for own in over] == [own.size for own in shown[1:]]
    assert all("data:image/png" in own.value_of_css_property("background-image") for own in over)


def test_the_cheapest_threshold_is_that_of_the_costs(opened):
    own = trust(HOSTILE, 0)
    opened.find_element(By.CSS_SELECTOR, "#decide summary").click()
    first = opened.find_element(By.CSS_SELECTOR, "#decide-classes input")
    first.clear()
    first.send_keys("200")
    opened.find_element(By.ID, "decide-best").click()

    costs = [200.0] + [10.0] * (len(HOSTILE) - 1)
    spent = [
        own.referred[place]
        + sum(
            cost * share * escaped[place]
            for cost, share, escaped in zip(costs, own.class_shares, own.escaped_by_class, strict=True)
        )
        for place in range(len(own.thresholds))
    ]
    assert opened.find_element(By.ID, "decide-value").text == str(own.thresholds[spent.index(min(spent))])


def test_another_row_shows_its_own_shares(opened):
    opened.find_element(By.CSS_SELECTOR, "#decide-row option:nth-child(2)").click()
    place = trust(HOSTILE, 1).thresholds.index(0.98)

    assert opened.find_element(By.ID, "decide-referred").text == f"{100 * trust(HOSTILE, 1).referred[place]:.1f} %"


def test_hostile_names_stay_text(opened):
    opened.find_element(By.CSS_SELECTOR, "#decide summary").click()

    names = [cell.text for cell in opened.find_elements(By.CSS_SELECTOR, "#decide-classes th")]
    assert names == HOSTILE
    assert opened.find_elements(By.CSS_SELECTOR, "img[src=x]") == []


@pytest.mark.parametrize("width", [400, 1280])
def test_no_width_breaks_the_page(opened, device, width):
    device(width)
    opened.execute_script("for (const fold of document.querySelectorAll('details')) fold.open = true")

    assert opened.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0


def ranks(opened, body=0):
    lines = opened.find_elements(By.CSS_SELECTOR, f"#board tbody:nth-of-type({body + 1}) tr[data-name]")
    return [line.find_element(By.CSS_SELECTOR, "td").text for line in lines if line.is_displayed()]


def head(opened, text):
    heads = opened.find_elements(By.CSS_SELECTOR, "#board thead th")
    return next(own for own in heads if own.text.startswith(text))


def test_a_click_on_a_head_sorts_and_a_second_one_turns_it_round(opened):
    accuracy = head(opened, "Accuracy")
    assert accuracy.get_attribute("aria-sort") == "none"

    accuracy.find_element(By.TAG_NAME, "button").click()
    assert (ranks(opened), accuracy.get_attribute("aria-sort")) == (["1", "2", "3"], "descending")
    accuracy.find_element(By.TAG_NAME, "button").click()
    assert (ranks(opened), accuracy.get_attribute("aria-sort")) == (["3", "2", "1"], "ascending")
    assert ranks(opened, 1) == ["–", "4"], "baselines are sorted among themselves"

    name = head(opened, "Backbone")
    name.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert ranks(opened) == ["1", "2", "3"] and name.get_attribute("aria-sort") == "ascending"
    assert accuracy.get_attribute("aria-sort") == "none"


def test_text_and_the_tied_rows_filter_the_leaderboard(opened):
    text = opened.find_element(By.ID, "board-text")
    text.send_keys("softmax VGG")
    assert ranks(opened) == ["2"] and ranks(opened, 1) == []
    assert opened.find_element(By.ID, "board-told").text == "1 of 5 rows"

    text.clear()
    text.send_keys("no such row")
    assert opened.find_element(By.ID, "board-told").text == "0 of 5 rows"
    text.clear()
    text.send_keys(Keys.SPACE)
    opened.find_element(By.ID, "board-tied").send_keys(Keys.SPACE)
    assert ranks(opened) == ["1", "2"]


def test_a_cell_of_the_confusion_matrix_opens_its_images_by_keyboard(opened):
    cell = opened.find_element(By.CSS_SELECTOR, ".confusion button")
    assert cell.text == "2" and HOSTILE[0] in cell.get_attribute("aria-label")

    cell.send_keys(Keys.ENTER)
    shown = opened.find_element(By.ID, cell.get_attribute("popovertarget"))
    assert shown.is_displayed() and HOSTILE[1] in shown.text
    captions = [caption.text for caption in shown.find_elements(By.TAG_NAME, "figcaption")]
    assert captions == [f"{PICTURE}\nconfidence 91.0 %", "without a picture.jpg\nconfidence 91.0 %"]
    first, second = shown.find_elements(By.CLASS_NAME, "thumb")
    assert "data:image/jpeg" in first.value_of_css_property("background-image") and second.text == "no picture"
    assert opened.switch_to.active_element.text == "Close"

    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not shown.is_displayed()
    assert opened.switch_to.active_element == cell


def test_a_dossier_opens_by_keyboard(opened):
    fold = opened.find_element(By.CSS_SELECTOR, ".dossier details")
    fold.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)

    assert fold.find_element(By.TAG_NAME, "table").is_displayed() and PICTURE in fold.text


def test_every_control_is_reached_by_the_tab_key_and_shows_that_it_is(opened):
    wanted = set(
        opened.execute_script(
            "const all = [...document.querySelectorAll('a, button, input, select, summary')];"
            "all.forEach((own, place) => own.dataset.place = place);"
            "return all.filter((own) => own.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true}))"
            ".map((own) => own.dataset.place)"
        )
    )
    reached = set()
    for _ in range(400):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        own = opened.switch_to.active_element
        if own.tag_name == "body":
            break
        reached.add(own.get_attribute("data-place"))
        assert own.value_of_css_property("outline-style") != "none", own.get_attribute("outerHTML")[:200]
    assert wanted <= reached


def visible(opened, element):
    """Selenium takes what stands in a closed fold for hidden, even where the style shows it."""
    return opened.execute_script("return arguments[0].checkVisibility({contentVisibilityAuto: true})", element)


def test_the_index_stands_beside_a_wide_page_and_is_a_folded_menu_above_a_narrow_one(opened, device):
    entry = opened.find_element(By.CSS_SELECTOR, '.index a[href="#classes"]')
    device(1280)
    assert visible(opened, entry) and not opened.find_element(By.CSS_SELECTOR, ".index summary").is_displayed()
    opened.execute_script("window.scrollTo(0, 2000)")
    assert opened.execute_script("return document.querySelector('.index').getBoundingClientRect().top") == 0

    device(400)
    assert not visible(opened, entry)
    opened.find_element(By.CSS_SELECTOR, ".index summary").click()
    assert visible(opened, entry)


def test_what_one_decides_by_fits_two_screens_with_fifteen_rows(browser, page):
    rows = [
        model_row(name, method, 0.99 - place / 500, seed=place).model_copy(update={"trust": trust(seed=place)})
        for place, (name, method) in enumerate(
            (name, method)
            for name in ("mobilenet_v2", "mobilenet_v2_035", "efficientnet_lite0", "efficientnet_lite1", "vgg19")
            for method in ("softmax", "linear", "supcon")
        )
    ]
    told = [Notice(level="caution", text="A sentence of the length that such a sentence has. " * 3) for _ in range(6)]
    record = judged(summary([*rows, hog_row(0.8), majority_row()], warnings=told), tied=6)
    browser.get(build_report(write_folder(page.parent / "fifteen", record)).as_uri())
    frame = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", frame)

    end = "return document.querySelector('#confidence + p + .scroll').getBoundingClientRect().bottom + window.scrollY"
    bottom = browser.execute_script(end)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert bottom <= 1800


def test_without_scripts_everything_can_be_read(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        assert len(browser.find_elements(By.CSS_SELECTOR, "#board tbody tr[data-name]")) == 5
        assert browser.find_elements(By.CSS_SELECTOR, "#board thead button") == []
        assert not browser.find_element(By.ID, "board-tools").is_displayed()
        cell = browser.find_element(By.CSS_SELECTOR, ".confusion button")
        cell.click()
        assert browser.find_element(By.ID, cell.get_attribute("popovertarget")).is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_folds_are_open_on_paper(opened):
    # The slider needs a screen.
    hidden = (
        "return [...document.querySelectorAll('details:not([open]) td, .notice')]"
        ".filter((own) => !own.closest('#decide') && !own.checkVisibility({contentVisibilityAuto: true})).length"
    )
    assert opened.execute_script(hidden) > 0

    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    count = opened.execute_script(hidden)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert count == 0


def test_the_acceptance_sheet_is_no_wider_than_its_paper(browser, page):
    """What is wider, Chromium prints smaller: the inside of a page of A4 is 186 mm, 703 pixels, wide."""
    wide = [f"class of a long name {place}" for place in range(40)]
    row = model_row("vgg19", "softmax", 0.7, wide, n_test=4000).model_copy(update={"trust": trust(wide)})
    folder = write_folder(page.parent / "wide", summary([row], wide), classes=wide)
    browser.get(write_sheet(folder, row.name).as_uri())
    frame = {"width": 703, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", frame)

    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 703


def axe_source():
    """The axe-core script inside the package `axe-core-python`; the package itself is not needed."""
    found = importlib.util.find_spec("axe_core_python")
    if found is None:
        pytest.skip("axe-core-python is not installed")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light")])
def test_axe_finds_nothing_serious(opened, device, width, scheme):
    source = axe_source()
    device(width, scheme)
    opened.execute_script("for (const fold of document.querySelectorAll('details')) fold.open = true")
    opened.find_element(By.CSS_SELECTOR, ".confusion button").click()
    opened.execute_script(source)

    found = opened.execute_async_script("axe.run().then(arguments[0])")

    wrong = [
        f"{own['impact']} {own['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for own in found["violations"]
        for node in own["nodes"][:3]
    ]
    assert not wrong, "\n".join(wrong)
    # A colour that axe cannot read, such as one of `color-mix`, ends its check of contrast without a word.
    legible = [own for own in found["passes"] if own["id"] == "color-contrast"]
    assert legible and len(legible[0]["nodes"]) > 100
