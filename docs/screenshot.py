"""Make the README's picture from the running app.

    .venv/bin/python docs/screenshot.py http://localhost:8501

Needs the tests' requirements and an installed Chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

MOMENT = 330  # the step that the picture shows: the racers are apart and none has arrived


def main(base: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        page.goto(f"{base}/descent?view=both")
        page.wait_for_selector(".oz-stage[data-ready=true]")
        page.wait_for_selector('[data-testid=stApp][data-test-script-state="notRunning"]')
        page.get_by_role("slider", name="Step", exact=True).fill(str(MOMENT))
        page.wait_for_selector(f'.oz-stage[data-frame="{MOMENT}"]')
        page.evaluate("document.activeElement.blur()")
        page.get_by_role("slider", name="Learning rate").first.wait_for()  # on a first visit the controls come last
        page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
        page.screenshot(path=Path(__file__).with_name("descent.png"))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
