"""Launch buttons, only where the checkout comes from a public host."""

import re
import subprocess
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

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
    """Offer Binder, and Colab where it can open the repository."""
    repository = public_repository(app.srcdir)
    if repository is None:
        return
    buttons = {"binderhub_url": "https://mybinder.org"}
    if "//github.com/" in repository:
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
