"""Launch buttons, only where they lead to something that runs.

The checkout must come from a public host; for Colab, moreover, its address must be that
in pyproject.toml, because the notebooks then fetch the course from there (`build.py`).
"""

import re
import subprocess
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

from labkit import build

PUBLIC = re.compile(
    r"https://(?:[^@/]+@)?((github|gitlab)\.com/[^/]+/[^/]+?)(\.git)?/?"
)


def public_repository(folder: str | Path) -> str | None:
    """https address of the checkout's `origin`, or None if it is not a public host."""
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return None
    match = PUBLIC.fullmatch(answer)
    return f"https://{match[1]}" if match else None


def set_buttons(app: Sphinx, config: Config) -> None:
    """Offer Binder, and Colab where it can open the notebooks and they can run."""
    repository = public_repository(app.srcdir)
    if repository is None:
        return
    buttons = {"binderhub_url": "https://mybinder.org"}
    named = build.repository(Path(app.srcdir)) == repository
    if named and "//github.com/" in repository:
        buttons["colab_url"] = "https://colab.research.google.com"
    buttons["notebook_interface"] = "jupyterlab"
    config.html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "use_repository_button": True,
        "launch_buttons": buttons,
    }


def setup(app: Sphinx) -> None:
    """Set the buttons once the configuration is read."""
    app.connect("config-inited", set_buttons)
