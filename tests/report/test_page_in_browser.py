"""The report in a real browser: what its script does, what it fetches, and whether names stay text."""

import json
import shutil

import pytest
from results_folder import CLASSES, judged, majority_row, model_row, summary, trust, write_folder

from steelbench.report.results_page import build_report

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="chromium, chromedriver are not here"
    ),
]
HOSTILE = ["<img src=x onerror=alert(1)>", 'quote" class', *CLASSES[2:]]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1700"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    rows = [
        model_row(name, "softmax", accuracy, HOSTILE).model_copy(update={"trust": trust(HOSTILE, seed)})
        for seed, (name, accuracy) in enumerate((("efficientnet_b0", 0.99), ("vgg19", 0.97)))
    ]
    record = judged(summary([*rows, majority_row(HOSTILE)], HOSTILE))
    return build_report(write_folder(tmp_path_factory.mktemp("report"), record, classes=HOSTILE))


@pytest.fixture
def opened(browser, page):
    browser.get(page.as_uri())
    return browser


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
def test_no_width_breaks_the_page(opened, width):
    opened.set_window_size(width, 900)

    # Chromium's window is at least 500 pixels wide; the frame of a device may be narrower.
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    overflow = opened.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert overflow <= 0
