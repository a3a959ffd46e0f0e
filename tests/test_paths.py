"""Where the checkout lies; files written whole or not at all."""

import os
from pathlib import Path

import pytest

from labkit import paths

ROOT = Path(__file__).parents[1]


def test_the_checkout_is_found_from_any_folder_in_it(monkeypatch):
    monkeypatch.chdir(ROOT / "tests" / "grading")
    assert paths.root() == ROOT


def test_elsewhere_the_checkout_is_the_one_that_this_package_lies_in(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert paths.root() == ROOT
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "labkit" / "paths.py"))
    with pytest.raises(paths.NoCheckout, match="inside a checkout"):
        paths.root()


def test_a_file_is_replaced_and_its_folder_made(tmp_path):
    file = tmp_path / "new" / "file"
    paths.write(file, "one")
    paths.write(file, b"two")
    assert file.read_bytes() == b"two"
    assert [p.name for p in file.parent.iterdir()] == ["file"]


def test_a_file_has_the_permissions_asked_for(tmp_path):
    private, ordinary = tmp_path / "private", tmp_path / "ordinary"
    paths.write(private, "seed", 0o600)
    paths.write(ordinary, "page")
    (tmp_path / "made by hand").touch()
    assert private.stat().st_mode & 0o777 == 0o600
    assert ordinary.stat().st_mode == (tmp_path / "made by hand").stat().st_mode


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        paths.write(tmp_path / "file", "half: \ud800")
    assert not list(tmp_path.iterdir())


def test_a_write_that_breaks_off_leaves_the_old_file_whole(tmp_path, monkeypatch):
    file = tmp_path / "file"
    paths.write(file, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        paths.write(file, "new")
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
