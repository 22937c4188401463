"""A headless Chromium for tests: Debian's, driven by selenium, without downloads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()),
    reason="there is no /usr/bin/chromium: apt-get install chromium chromium-driver",
)


class Browser:
    """One browser, and what a test asks of it.

    Args:
        profile: An empty folder for it.
    """

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability(
            "goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"}
        )
        self.driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(str(DRIVER))
        )

    def open(
        self,
        path: Path,
        link: str = "",
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
    ) -> None:
        """Opens a report from the disk and waits until it is drawn."""
        self.command(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                # A smooth scroll would be a wait.
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        # Another hash alone would not load the page again.
        self.driver.get("about:blank")
        self.requests()
        self.driver.get(path.as_uri() + link)
        self.until(lambda: self.js("return document.documentElement.dataset.ready"))

    def command(self, name: str, **values: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, values)

    def js(self, source: str, *values: Any) -> Any:
        return self.driver.execute_script(source, *values)

    def text(self, selector: str) -> str:
        """The visible text of the first element."""
        found = self.js(
            # Of what is not drawn, innerText says all the same.
            "const node = document.querySelector(arguments[0]);"
            "return node?.checkVisibility() ? node.innerText : ''",
            selector,
        )
        return str(found)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.js(
            "return [...document.querySelectorAll(arguments[0])].map(n => n.innerText)",
            selector,
        )
        return found

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def keys(self, text: str, selector: str = "body") -> None:
        self.driver.find_element("css selector", selector).send_keys(text)

    def choose(self, name: str, value: str) -> None:
        """Chooses an option of a filter by its value."""
        from selenium.webdriver.support.ui import Select

        menu = self.driver.find_element("id", f"filter-{name}")
        Select(menu).select_by_value(value)

    def until(self, test: Callable[[], Any], seconds: float = 20) -> Any:
        """Waits; a slow machine may take its time."""
        end = time.monotonic() + seconds
        while not (found := test()):
            assert time.monotonic() < end, self.driver.get_log("browser")
            time.sleep(0.02)
        return found

    def shows(self, sentence: str, selector: str = "body") -> None:
        self.until(lambda: sentence in self.text(selector))

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last time."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def complaints(self) -> list[str]:
        """What the browser's console says since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
