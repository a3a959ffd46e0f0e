"""labkit report: what the class got wrong, on one page that needs nothing else."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from labkit.checks import find
from labkit.grading import cli
from labkit.grading.course import Course

from .conftest import LAB, planted


@pytest.fixture
def course(tmp_path, hand_in, master, one_warm_process):
    root = tmp_path / "course"
    assert cli.main(["release", str(root), "--lab", LAB]) == 0
    mistake = find("1.2").misconceptions[0]
    wrong = hand_in({"1.2": lambda right: f"{right}\n{planted(mistake, 'layer_norm')}"})
    work = {
        "ada": hand_in(),
        "ben": master.notebook,
        "cem": wrong,
        "=dee": wrong,
        "<b>eva": hand_in({"1.4": "while True: pass"}),
    }
    for student, notebook in work.items():
        folder = root / "submitted" / student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_text(json.dumps(notebook))
    assert cli.main(["grade", str(root), "--timeout", "3"]) == 0
    return root


def test_page_and_table(course, capsys):
    assert cli.main(["report", str(course)]) == 0
    assert "report.html" in capsys.readouterr().out
    page = (course / "report.html").read_text()
    mistake = find("1.2").misconceptions[0]

    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "5 submissions" in words
    assert mistake.__name__.replace("_", " ") in words
    assert " ".join(mistake.__doc__.split())[:50] in words
    assert "2 =dee, cem" in words  # how often, and in whose work
    assert "1.4 stopped" in words

    # One file, offline, light and dark; a learner's name is text.
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert "&lt;b&gt;eva" in page and "<b>" not in page
    assert 'lang="en"' in page and page.count("<h1>") == 1
    Closed().feed(page)

    rows = list(csv.DictReader(io.StringIO((course / "report.csv").read_text())))
    assert len(rows) == 5 * 7
    assert {row["student"] for row in rows} >= {"ada", "'=dee"}
    wrong = [row for row in rows if row["misconception"]]
    assert {row["exercise"] for row in wrong} == {"1.2", "1.3"}  # it calls the other
    assert sum(float(row["score"]) for row in rows if row["student"] == "ada") == 13


class Closed(HTMLParser):
    """Raises if an element is closed that is not the last one opened."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_graded_is_said(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 2
    root = tmp_path / "course"
    assert cli.main(["release", str(root), "--lab", LAB]) == 0
    assert cli.main(["report", str(root)]) == 2
    assert "run labkit grade first" in capsys.readouterr().err
    assert Course(root).labs() == [LAB]
