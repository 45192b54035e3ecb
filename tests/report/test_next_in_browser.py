"""Maps whose points open images, and commands that are copied, in a real browser."""

import json
import shutil

import cv2
import numpy as np
import pytest
from next_records import IMAGES, write_next
from report.test_page_in_browser import axe_source
from results_folder import CLASSES, judged, majority_row, model_row, summary, write_folder

from steelbench.files import write_json
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
HOSTILE = 'it\'s "quoted" <img src=x onerror=alert(2)>.png'
NAMES = ["<img src=x onerror=alert(1)>", *CLASSES[1:]]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    row = model_row("vgg19", "supcon", 0.97, NAMES)
    detail = row.detail.model_copy(update={"notes": {"embedding": {"knn_accuracy": 0.9}}})
    row = type(row).model_validate(row.model_dump() | {"detail": detail.model_dump(warnings=False)})
    record = judged(summary([row, model_row("vgg19", "softmax", 0.95, NAMES), majority_row(NAMES)], NAMES), tied=2)
    folder = write_folder(tmp_path_factory.mktemp("next"), record, classes=NAMES)
    write_json(folder / "config.json", {"command": ["steelbench", "run"], "data": "it's here", "seeds": 1})
    write_next(folder, row, NAMES, HOSTILE)
    (folder / "thumbnails").mkdir()
    cv2.imwrite(str(folder / "thumbnails" / "grey.jpg"), np.full((128, 128), 128, "u1"))
    write_json(folder / "thumbnails" / "index.json", {"files": {HOSTILE: "grey.jpg"}, "examples": {}})
    return build_report(folder)


@pytest.fixture
def opened(browser, page):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    return browser


def test_no_error_no_request_and_no_markup_from_names(opened, page):
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [own["params"]["request"]["url"] for own in messages if own["method"] == "Network.requestWillBeSent"]

    assert opened.get_log("browser") == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert not opened.find_elements(By.CSS_SELECTOR, "[onerror], img[src=x]")


def test_the_keyboard_reaches_the_wrong_answer_first_and_opens_its_image(opened):
    map_ = opened.find_element(By.CSS_SELECTOR, ".map > svg")
    map_.send_keys(Keys.ARROW_RIGHT)

    told = opened.find_element(By.CSS_SELECTOR, ".map-told").text
    assert told == f"{HOSTILE}: {NAMES[0]}, taken for {NAMES[1]}"
    map_.send_keys(Keys.ENTER)
    dialog = opened.find_element(By.ID, "map-image")
    assert dialog.is_displayed() and told in dialog.text
    thumb = dialog.find_element(By.CSS_SELECTOR, ".thumb").value_of_css_property("background-image")
    assert thumb.startswith('url("data:image/jpeg')
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    assert not dialog.is_displayed() and opened.switch_to.active_element == map_


def test_a_click_opens_a_point_and_all_points_are_there(opened):
    points = opened.find_elements(By.CSS_SELECTOR, ".map [data-i]")
    related = [point for point in points if point.get_attribute("data-r")]
    assert len(points) == IMAGES and len(related) == 2, "the last two images are of one group"

    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", related[-1])
    opened.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", related[-1])
    assert "named right; shares pixels or a group" in opened.find_element(By.ID, "map-text").text
    assert "no picture" in opened.find_element(By.ID, "map-thumb").text


def test_a_command_is_copied_or_left_selected(opened):
    opened.execute_script("document.getElementById('row-commands').open = true")
    source = opened.find_element(By.CSS_SELECTOR, "#row-commands pre")
    button = opened.find_element(By.CSS_SELECTOR, "#row-commands button")
    assert source.text.startswith("""steelbench run --data 'it'"'"'s here' --backbones vgg19 --methods supcon""")
    # As on a page from a file, without a clipboard: the old way, and if that fails, too, the text is selected.
    opened.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    opened.execute_script("document.execCommand = () => false")
    button.send_keys(Keys.ENTER)

    told = button.find_element(By.XPATH, "following-sibling::output")
    assert told.text == "Selected: press Ctrl+C."
    assert opened.execute_script("return getSelection().toString()") == source.text


@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing_serious_and_nothing_is_too_wide(opened, width):
    frame = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", frame)
    try:
        opened.execute_script("for (const fold of document.querySelectorAll('details')) fold.open = true")
        opened.execute_script(axe_source())
        found = opened.execute_async_script("axe.run().then(arguments[0])")
        wide = opened.execute_script("return document.documentElement.scrollWidth")
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    wrong = [f"{own['id']}: {node['html'][:160]}" for own in found["violations"] for node in own["nodes"][:3]]
    assert not wrong, "\n".join(wrong)
    assert wide <= width
