"""labkit report: what the class got wrong, on one page that needs nothing else."""

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from labkit import commands
from labkit.exercises import exercises, find
from labkit.grading import report
from labkit.grading.course import Course
from labkit.grading.report import write_report
from labkit.lab import Master

from .conftest import LAB, planted, sharing

ROOT = Path(__file__).parents[2]
OTHER = "lab_02_feed_forward"


@pytest.fixture(scope="module")
def graded(tmp_path_factory, released, hand_in, master, sandboxed):
    """Five have handed in lab 1, and one lab 2, in a file that is damaged."""
    root = tmp_path_factory.mktemp("class") / "course"
    shutil.copytree(released, root)
    assert commands.main(["release", str(root), "--lab", OTHER]) == 0
    mistake = find("1.2").mistakes[0]
    wrong = hand_in({"1.2": lambda right: f"{right}\n{planted(mistake)}"})
    work = {
        "ada": hand_in(),
        "ben": master.notebook,
        "cem": wrong,
        "dee": wrong,
        "<b>eva": hand_in({"1.4": "while True: pass"}),
    }
    for student, notebook in work.items():
        folder = root / "submitted" / student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_text(json.dumps(notebook))
    folder = root / "submitted" / "ada" / OTHER
    folder.mkdir(parents=True)
    (folder / f"{OTHER}.ipynb").write_text("{")
    with sharing(sandboxed):
        assert commands.main(["grade", str(root), "--timeout", "3"]) == 1
    return root


def test_page_and_table(graded, all_but, capsys):
    assert commands.main(["report", str(graded)]) == 0
    assert "report.html" in capsys.readouterr().out
    page = (graded / "report.html").read_text()
    mistake = find("1.2").mistakes[0]

    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "5 submissions" in words
    assert mistake.__name__.replace("_", " ") in words
    assert " ".join(mistake.__doc__.split())[:50] in words
    assert "2 cem, dee" in words  # how often, and in whose work
    assert "1.4 stopped" in words

    # One file, offline, light and dark; a learner's name is text.
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert "&lt;b&gt;eva" in page and "<b>" not in page
    lab_2 = Master.from_solution(ROOT / "solutions" / f"{OTHER}.ipynb").max_score
    nothing = f"1 submission, median 0 and mean 0.0 of {lab_2:g} points; 1 not fully"
    assert nothing in words
    assert 'lang="en"' in page and page.count("<h1>") == 1
    Closed().feed(page)

    rows = list(csv.DictReader(io.StringIO((graded / "report.csv").read_text())))
    assert len(rows) == 5 * len(exercises(LAB)) + len(exercises(OTHER))
    assert {row["student"] for row in rows} >= {"ada", "dee"}
    wrong = [row for row in rows if row["mistake"]]
    assert {row["exercise"] for row in wrong} == {
        "1.2"
    }  # 1.3, which calls it, is right with the course's
    ada = [float(row["score"]) for row in rows if row["student"] == "ada"]
    assert sum(ada) == all_but()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1"])
def test_no_text_is_taken_for_a_formula(text):
    assert report._harmless(text) == f"'{text}"
    assert report._harmless(-1.5) == -1.5


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(graded, browser, scheme, width):
    """axe finds nothing, nothing is loaded, nothing is too wide for a phone."""
    class_page = write_report(Course(graded))[0]
    package = pytest.importorskip("axe_playwright_python")
    page = browser.new_page(
        color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(class_page.as_uri())
    page.evaluate((Path(package.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run({preload: false})).violations")
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
    assert asked == [class_page.as_uri()] and said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


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


def test_nothing_graded_is_said(course, tmp_path, capsys):
    assert commands.main(["report", str(tmp_path)]) == 2
    assert commands.main(["report", str(course)]) == 2
    assert "run labkit grade first" in capsys.readouterr().err
    assert Course(course).labs() == [LAB]
