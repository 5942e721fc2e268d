"""Links from page to page of the built documentation that lead nowhere: `check_links.py FOLDER`."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]


def broken(folder: Path) -> list[str]:
    """Links inside a folder of pages to files or anchors that are not there."""
    folder = folder.resolve()
    files = (path for path in folder.rglob("*.html") if path.parts[len(folder.parts)] != "_static")
    pages = {path: Page(path) for path in files}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {""}
            known = target in pages and unquote(parts.fragment) in anchors
            if not (known or (target not in pages and target.exists())):
                found.append(f"{path.relative_to(folder)}: {link}")
    return found


if __name__ == "__main__":
    problems = broken(Path(sys.argv[1]))
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))
