"""What the figures share: their scripts and styles go wherever the package goes."""

import tomllib
from pathlib import Path

from labkit import explore
from labkit.grading.sandbox import rootfs

ASSETS = Path(explore.__file__).parent / "assets"
ROOT = Path(__file__).parents[2]


def test_the_wheel_carries_the_assets():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    patterns = settings["setuptools"]["package-data"]["labkit.explore"]
    carried = {path for p in patterns for path in ASSETS.parent.glob(p)}
    assert set(ASSETS.iterdir()) <= carried


def test_the_sandbox_carries_the_assets(tmp_path):
    rootfs.lay_out(tmp_path)
    there = tmp_path / "library" / "labkit" / "explore" / "assets"
    assert {p.name for p in there.iterdir()} == {p.name for p in ASSETS.iterdir()}


def test_a_script_survives_as_one_line():
    for script in ASSETS.glob("*.js"):
        assert "//" not in script.read_text("utf-8"), script.name
