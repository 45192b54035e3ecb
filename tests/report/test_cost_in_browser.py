"""The line calculator in a real browser, against its twin in Python."""

import json
import math
import shutil

import pytest
from cost_records import costed
from line_arithmetic import candidates_per_second, cores_needed, exposure_microseconds, tiles_per_second
from results_folder import CLASSES, judged, majority_row, model_row, summary, write_folder

from steelbench.evaluation.line import LINES
from steelbench.report.results_page import build_report

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="chromium, chromedriver are not here"
    ),
]
HOSTILE = "<img src=x onerror=alert(1)>"
MILLISECONDS = {"efficientnet_b0": 7.3, "vgg19": 90.0, "mobilenet_v2": 2.9}


@pytest.fixture(scope="module")
def rows():
    made = [
        costed(model_row(name, "softmax", 0.99 - 0.01 * place), milliseconds)
        for place, (name, milliseconds) in enumerate(MILLISECONDS.items())
    ]
    made[1] = made[1].model_copy(update={"variant": HOSTILE})
    return made


@pytest.fixture(scope="module")
def page(rows, tmp_path_factory):
    record = judged(summary([*rows, majority_row()]))
    return build_report(write_folder(tmp_path_factory.mktemp("report"), record, classes=CLASSES))


@pytest.fixture
def opened(browser, page):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    return browser


def at(browser, name):
    return browser.find_element(By.ID, f"line-{name}")


def type_in(browser, **values):
    for name, value in values.items():
        field = at(browser, name)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.BACKSPACE, str(value))


def shown(browser):
    """What the calculator says: images per second, µs, and for each row the cores and whether it keeps up."""
    lines = browser.find_elements(By.CSS_SELECTOR, "#line-rows tr")
    cells = [[cell.text for cell in line.find_elements(By.CSS_SELECTOR, "th, td")] for line in lines]
    return at(browser, "images").text, at(browser, "exposure").text, cells


def rounded(value):
    """Three digits, four from a thousand on, a half upwards, as the page rounds."""
    digits = (4 if value >= 1000 else 3) - 1 - math.floor(math.log10(value))
    whole = math.floor(value * 10**digits + 0.5) / 10**digits
    return f"{whole:.15g}"


def expected(rows, images, speed, pixel, cores):
    needed = [cores_needed(images, row.cost.times[0].images_per_second, row.cost.times[0].threads) for row in rows]
    cells = [[str(count), "yes" if count <= cores else "no"] for count in needed]
    return rounded(images), rounded(exposure_microseconds(speed, pixel)), cells


def without_labels(found):
    return (*found[:2], [cells[1:] for cells in found[2]])


def test_it_makes_no_error_and_asks_for_nothing(opened, page):
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]

    assert opened.get_log("browser") == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert at(opened, "preset").is_displayed()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_presets_give_what_python_gives(opened, rows, line):
    Select(at(opened, "preset")).select_by_visible_text(line.name)

    images = tiles_per_second(line.speed, line.pixel, line.width, 224)
    assert without_labels(shown(opened)) == expected(rows, images, line.speed, line.pixel, cores=2)
    assert at(opened, "source").text == line.source


@pytest.mark.parametrize(
    ("speed", "pixel", "width", "tile", "cores"),
    [(1.1, 0.011, 0.0033, 100, 1), (3, 0.7, 2, 64, 8), (0.5, 2, 1, 500, 4), (12.5, 0.3, 1.25, 300, 64)],
)
def test_numbers_that_are_typed_give_what_python_gives(opened, rows, speed, pixel, width, tile, cores):
    type_in(opened, speed=speed, pixel=pixel, width=width, tile=tile, cores=cores)

    images = tiles_per_second(speed, pixel, width, tile)
    assert without_labels(shown(opened)) == expected(rows, images, speed, pixel, cores)


def test_candidates_take_the_place_of_tiles(opened, rows):
    Select(at(opened, "mode")).select_by_value("candidates")
    assert at(opened, "rate").get_attribute("value") == "200"
    assert not at(opened, "width").is_displayed()

    type_in(opened, rate=120, peak=2.5, cores=4)

    images = candidates_per_second(120, 2.5)
    assert without_labels(shown(opened)) == expected(rows, images, speed=20, pixel=1, cores=4)


@pytest.mark.parametrize("wrong", ["", "0", "-1"])
def test_a_number_that_means_nothing_is_told(opened, rows, wrong):
    type_in(opened, speed=wrong)

    assert at(opened, "problem").is_displayed()
    assert shown(opened)[:2] == ("–", "–")
    assert {cell for cells in shown(opened)[2] for cell in cells[1:]} == {"–"}

    type_in(opened, speed=3)
    assert not at(opened, "problem").is_displayed()


def test_every_input_has_a_label_and_names_stay_text(opened):
    fields = opened.find_elements(By.CSS_SELECTOR, "#line input, #line select")

    assert len(fields) == 9
    assert all(opened.execute_script("return arguments[0].labels.length", field) == 1 for field in fields)
    assert [cells[0] for cells in shown(opened)[2]][1] == f"vgg19 + softmax {HOSTILE}"
    assert opened.find_elements(By.CSS_SELECTOR, "img[src=x]") == []


@pytest.mark.parametrize("width", [400, 1280])
def test_no_width_breaks_the_section(opened, width):
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    overflow = opened.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert overflow <= 0
