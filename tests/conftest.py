"""A browser to read pages and figures with."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

# Before anything imports torch: small tensors, and a process for every core as it is.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if os.environ.get("LABKIT_VARIANT"):  # as `labkit validate --matrix` asks
    from labkit.validate import stand_ins

    stand_ins.install()

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """A Chromium of the system; without one these tests are skipped, but not in CI."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        missing = "no chromium on this machine: install it to test the pages in it"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as run:
        # As root, in a container, Chromium cannot make its own sandbox.
        chromium = run.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def pytest_collection_modifyitems(items):
    """With several workers a file's tests share its fixtures: one worker runs them.

    The tests of the exercises have none to share, those of the book's pages share a
    book on disk: they go wherever there is time.
    """
    for item in items:
        if "exercises" not in item.path.parts and item.path.name != "test_browser.py":
            item.add_marker(pytest.mark.xdist_group(item.path.name))


def pytest_terminal_summary(terminalreporter):
    """The table of the book's pages, whichever worker looked at each."""
    reports = [r for rs in terminalreporter.stats.values() for r in rs]
    rows = {
        tuple(value)
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == "book page"
    }
    if rows:
        form = "{:<42} {:<11} {:>5} {:>9} {:>7}"
        terminalreporter.section("the pages of the book")
        for row in [("page", "view", "KiB", "requests", "faults"), *sorted(rows)]:
            terminalreporter.line(form.format(*row))
