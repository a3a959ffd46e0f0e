"""A figure in a real browser."""

import pytest

DARK = '<html lang="en" data-theme="dark"><title>t</title><body style="margin:12px">'


@pytest.fixture
def page(html, browser):
    """The figure `html` alone on a phone, in the dark; no error, nothing fetched."""
    page, faults = browser.new_page(viewport={"width": 360, "height": 700}), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url))
    page.set_content(DARK + html)
    yield page
    assert faults == []
    page.close()
