"""Every file that came in is graded or spoken of, in words that are true."""

import io
import os
import zipfile

import pytest

from labkit.grading.handed_in import MANY, pick
from labkit.grading.submission import Unreadable

from .conftest import LAB


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "submitted" / "ada" / LAB
    made.mkdir(parents=True)
    return made


def put(folder, **files):
    """Files by name; those named later are no newer."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_000_000, 1_000_000))


def picked(folder):
    return pick(folder, LAB, folder.parents[1])


def zipped(**files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lab (1).ipynb", b"x"),
        (f"{LAB}.IPYNB", b"x"),
        (f"{LAB}.ipynb.txt", b"x"),
        (f"{LAB}.json", b"x"),
        (f"my work/{LAB}.ipynb", b"x"),
        (
            "work.zip",
            zipped(**{f"my work/{LAB}.ipynb": "x", "__MACOSX/._a.ipynb": "y"}),
        ),
    ],
)
def test_a_notebook_is_found_and_named(folder, name, data):
    put(folder, **{name: data})
    file, found, (note,) = picked(folder)
    assert found == b"x" and file.startswith(name)
    assert note == f"The notebook was found as {file!r}."


def test_the_labs_own_name_needs_no_word(folder):
    put(folder, **{f"{LAB}.ipynb": b"x", "timestamp.txt": b"", ".DS_Store": b""})
    (folder / ".ipynb_checkpoints").mkdir()
    assert picked(folder) == (f"{LAB}.ipynb", b"x", ())


def test_of_several_with_one_time_the_number_decides(folder):
    put(folder, **{"a (2).ipynb": b"second", "a (1).ipynb": b"first"})
    _, data, (note,) = picked(folder)
    assert data == b"second"
    assert note == (
        "2 notebooks handed in; graded 'a (2).ipynb', for its number: the files' times "
        "are the same."
    )


def test_of_several_the_time_decides_where_there_is_one(folder):
    put(folder, **{"a (2).ipynb": b"second", "a (1).ipynb": b"first"})
    os.utime(folder / "a (1).ipynb", (2_000_000, 2_000_000))
    assert picked(folder)[1] == b"first"
    assert "whose file has the latest time" in picked(folder)[2][0]


def test_where_nothing_decides_that_is_said(folder):
    put(folder, **{"mine.ipynb": b"x", "yours.ipynb": b"y"})
    assert picked(folder)[2][0].endswith("; which is the later cannot be told.")


def test_other_files_are_named(folder):
    put(folder, **{f"{LAB}.ipynb": b"x", "helpers.py": b"", "my/notes.pdf": b""})
    (note,) = picked(folder)[2]
    assert note == "Also handed in, and not looked at: 'helpers.py', 'my/notes.pdf'."


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "No notebook was handed in: the folder is empty."),
        ({"a.pdf": b""}, "No notebook among what was handed in: 'a.pdf'."),
        ({"a.zip": b"PK no archive"}, "No notebook among what was handed in: 'a.zip'."),
        ({"a.zip": zipped(**{"b.py": ""})}, "No notebook among what was handed in"),
    ],
)
def test_where_there_is_none_it_is_said_what_there_is(folder, files, said):
    put(folder, **files)
    with pytest.raises(Unreadable) as refusal:
        picked(folder)
    assert str(refusal.value).startswith(said)


def test_a_file_in_the_folders_place(folder):
    folder.rmdir()
    folder.write_bytes(b"{}")
    with pytest.raises(Unreadable, match="is a file; a folder of that name is wanted"):
        picked(folder)


def test_a_bomb_is_not_unpacked(folder, monkeypatch):
    monkeypatch.setattr("labkit.grading.handed_in.SIZE_LIMIT", 2**20)
    put(folder, **{"a.zip": zipped(**{"a.ipynb": bytes(2**20 + 1)})})
    with pytest.raises(Unreadable, match="larger than 1 MB"):
        picked(folder)


def test_too_many_files_are_not_looked_through(folder):
    put(folder, **{f"{i}.txt": b"" for i in range(MANY + 1)})
    with pytest.raises(Unreadable, match="More than 1,000 files"):
        picked(folder)


def test_links_are_not_followed(folder, tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(b"secret")
    (folder / "a.ipynb").symlink_to(secret)
    with pytest.raises(Unreadable, match="symbolic link"):
        picked(folder)
