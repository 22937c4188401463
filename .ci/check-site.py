"""Says which links and anchors of a built site lead nowhere, and what was not rendered.

Zensical itself looks at the links from page to page: not at those to folders, pictures
and other files, nor at Markdown that GitHub renders and it does not.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEFTOVERS = ("```", "](", "| ---", "|---", "{ #", ":::")


class Page(HTMLParser):
    """The links, anchors and text of a page, code left out."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self._code = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps where it leads to, and what leads to it."""
        self._code += tag in {"code", "pre", "script", "style", "svg"}
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.append(value)
            elif name in {"id", "name"} and value:
                self.anchors.add(value)

    def handle_endtag(self, tag: str) -> None:
        """Ends a piece of code."""
        self._code -= tag in {"code", "pre", "script", "style", "svg"}

    def handle_data(self, data: str) -> None:
        """Keeps what a reader sees as text."""
        if not self._code:
            self.text += data


def complaints(site: Path) -> list[str]:
    """What is wrong with the pages of a site, a line each.

    Args:
        site: The folder that was built.
    """
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for page in pages.values():
        name = page.path.relative_to(site)
        found += [
            f"{name}: {mark} stands there as text"
            for mark in LEFTOVERS
            if mark in page.text
        ]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or page.path.name == "404.html":
                continue
            target = page.path.parent / unquote(parts.path)
            if not parts.path:
                target = page.path
            elif target.is_dir():
                target /= "index.html"
            other = pages.get(target.resolve())
            if not target.is_file():
                found.append(f"{name}: {link} is no file of the site")
            elif (
                parts.fragment
                and other
                and unquote(parts.fragment) not in other.anchors
            ):
                found.append(f"{name}: {link} has no such anchor")
    return found


if __name__ == "__main__":
    wrong = complaints(Path(sys.argv[1]))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
