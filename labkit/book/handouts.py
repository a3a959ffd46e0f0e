"""A handout of each chapter: its page as PDF, printed by the system's Chromium.

Without a Chromium the book is the same, only without handouts and links to them. How a
page looks on paper is for the style sheet to say, and holds for any browser.
"""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

from labkit.book.verdicts import chapters

log = logging.getLogger(__name__)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# It opens files of this book only; in a container it can make no sandbox of its own.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update")
SECONDS = 120
AT_ONCE = 2


def browser() -> str | None:
    """The Chromium of this machine, if it has one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_page(page: Path) -> str | None:
    """Print a page to the PDF beside it; return what went wrong, if anything did."""
    pdf = page.with_suffix(".pdf")
    pdf.unlink(missing_ok=True)  # an older one would pass for this one
    with TemporaryDirectory() as profile:
        command = [browser(), *OPTIONS, *QUIET, f"--user-data-dir={profile}"]
        command += ["--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"{page.name}: not printed after {SECONDS} s"
    printed = pdf.exists() and pdf.read_bytes()[:5] == b"%PDF-"
    return None if printed else f"{page.name}: not printed\n{done.stderr[-2000:]}"


def print_all(app: Sphinx, error: Exception | None) -> None:
    """Print each chapter whose page is newer than its handout."""
    if error or app.builder.format != "html" or not browser():
        return
    stale = []
    for chapter in chapters(Path(app.srcdir)):
        page = Path(app.outdir, "chapters", f"{chapter.stem}.html")
        pdf = page.with_suffix(".pdf")
        if not pdf.exists() or pdf.stat().st_mtime < page.stat().st_mtime:
            stale.append(page)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for fault in filter(None, pool.map(print_page, stale)):
            log.warning("handout: %s", fault)


def link(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Lead to a chapter's handout from its title and from the download menu."""
    printed = {f"chapters/{path.stem}" for path in chapters(Path(app.srcdir))}
    if name not in printed or not browser():
        return
    pdf = f"{Path(name).name}.pdf"
    line = f'<div class="handout"><a href="{pdf}">Handout for printing (PDF)</a></div>'
    context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)
    for group in context.get("header_buttons", ()):
        for button in group.get("buttons", ()):
            if button["text"] == ".pdf":  # the theme's prints what is on the screen
                del button["javascript"]
                button |= {"type": "link", "url": pdf, "tooltip": "Download handout"}


def setup(app: Sphinx) -> None:
    """Link while pages are written, print when all is in place."""
    app.connect("html-page-context", link, priority=940)
    app.connect("build-finished", print_all, priority=900)
