"""Makes docs/report-*.png of a run's report: `python docs/report_png.py REPORT.html`."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser import Browser

PICTURES = {
    "light": {"width": 1100, "height": 1150},
    "tools": {"width": 1100, "height": 640, "at": "#tools"},
    "dark": {"width": 1100, "height": 820, "dark": True, "at": "#episodes"},
    "phone": {"width": 360, "height": 720, "at": "#episodes", "open": True},
}


def main() -> None:
    """Takes the pictures."""
    report, docs = Path(sys.argv[1]).resolve(), Path(__file__).parent
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        for name, how in PICTURES.items():
            browser.open(
                report,
                width=how["width"],
                height=how["height"],
                dark=how.get("dark", False),
            )
            browser.until(lambda: browser.text(".row"))
            browser.js("document.querySelector('[role=option]:nth-child(8)').click()")
            if how.get("at"):
                browser.js(
                    "document.querySelector(arguments[0]).scrollIntoView()", how["at"]
                )
            if not how.get("open"):
                browser.until(lambda: browser.text(".check"))
                browser.js(
                    "const detail = document.querySelector('.detail');"
                    "detail.scrollTop = document.querySelector('.check').offsetTop"
                    " - detail.offsetTop - 420"
                )
            picture = browser.command("Page.captureScreenshot", format="png")
            path = docs / f"report-{name}.png"
            path.write_bytes(base64.b64decode(picture["data"]))
            print(path, path.stat().st_size)
        browser.driver.quit()


if __name__ == "__main__":
    main()
