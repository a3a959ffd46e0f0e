"""A learner's place: every copy is kept up to date, and no work is lost."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from labkit.learning import place, trust
from labkit.learning.plain import papers, plain

ROOT = Path(__file__).parents[2]
STUB = '# YOUR CODE HERE\n    raise NotImplementedError("Exercise {}")'
LAB = "labs/lab_01_norm.ipynb"


def answer_cell(number, body):
    name = f"exercise-{number.replace('.', '-')}"
    cell = nbformat.v4.new_code_cell(f"def f():\n    {body}", id=name)
    cell.metadata.nbgrader = {"grade_id": name, "solution": True, "grade": False}
    return cell


def lab(*numbers, title="Lab 1"):
    """A lab as the course has it, of exercises that nobody has written."""
    cells = [nbformat.v4.new_markdown_cell(f"# {title}", id="title")]
    cells += [answer_cell(number, STUB.format(number)) for number in numbers]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.labkit = {"lab": "lab_01_norm", "digest": place.digest(notebook)}
    return notebook


@pytest.fixture
def course(tmp_path):
    """A checkout of one chapter and one lab, as an author changes it."""
    root = tmp_path / "course"
    chapter = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(
                "# Norms\n\n(Ba et al. 2016 {cite}`ba2016`), [Lab](../labs/lab.ipynb)"
            ),
            nbformat.v4.new_markdown_cell("## Verdicts\n\n| Claim | Why |\n|---|---|"),
        ]
    )
    place.save(root / "chapters/01_norm.ipynb", chapter)
    place.save(root / LAB, lab("1.1", "1.2"))
    (root / "chapters/references.bib").write_text(
        "@article{ba2016,\n  eprint = {1607.06450},\n  url = {https://a.org/1}\n}\n"
    )
    return root


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work with a space and ü"


def said(course, work):
    """What `labkit lab` says about each copy, by the file's name."""
    return {copy.path.name: copy.said for copy in place.lay_out(course, work)}


def answer(path, number, body="return 41"):
    """Write an answer, as a learner does."""
    notebook = place.read(path)
    cell = next(c for c in notebook.cells if c.id.endswith(number.replace(".", "-")))
    cell.source = f"def f():\n    {body}"
    place.save(path, notebook)
    return path.read_bytes()


def answers(path):
    cells = place.read(path).cells
    return [c.source.split("\n")[-1].strip() for c in cells if c.cell_type == "code"]


def test_labs_and_chapters_lie_as_in_the_course(course, work):
    assert set(said(course, work).values()) == {"ready"}
    assert (work / LAB).read_bytes() == (course / LAB).read_bytes()
    assert "(Ba et al. 2016 [arXiv:1607.06450](https://a.org/1))" in (
        work / "chapters/01_norm.ipynb"
    ).read_text("utf-8")
    assert "## [Norms](01_norm.ipynb)\n\n| Claim" in (
        work / "chapters/verdicts.md"
    ).read_text("utf-8")


def test_what_somebody_worked_in_is_left_as_it_is(course, work):
    said(course, work)
    mine = answer(work / LAB, "1.1")
    assert said(course, work)["lab_01_norm.ipynb"] == "yours, left as it is"
    assert (work / LAB).read_bytes() == mine


def test_what_nobody_worked_in_is_brought_up_to_date(course, work):
    said(course, work)
    place.save(course / LAB, lab("1.1", "1.2", "1.3"))
    assert said(course, work)["lab_01_norm.ipynb"] == "brought up to date"
    assert (work / LAB).read_bytes() == (course / LAB).read_bytes()


def test_a_new_edition_lies_beside_the_old_with_the_answers_in_it(course, work):
    said(course, work)
    answer(work / LAB, "1.1")
    mine = answer(work / LAB, "1.2", "return 43")
    place.save(course / LAB, lab("1.2", "1.3"))
    new = work / "labs/lab_01_norm-2.ipynb"
    assert said(course, work)["lab_01_norm.ipynb"] == (
        "yours, left as it is; lab_01_norm-2.ipynb is the new one, "
        "with your answers to 1.2"
    )
    assert (work / LAB).read_bytes() == mine
    assert answers(new)[0] == "return 43" and "NotImplementedError" in answers(new)[1]
    # Nothing is new now; the next change continues from the newest edition.
    assert said(course, work)["lab_01_norm-2.ipynb"] == "yours, left as it is"
    answer(new, "1.3", "return 44")
    place.save(course / LAB, lab("1.2", "1.3", "1.4"))
    assert "with your answers to 1.2, 1.3" in said(course, work)["lab_01_norm-2.ipynb"]
    assert answers(work / "labs/lab_01_norm-3.ipynb")[:2] == ["return 43", "return 44"]


def test_a_copy_from_before_copies_were_marked_counts_as_worked_in(course, work):
    said(course, work)
    old = place.read(work / LAB)
    del old.metadata["labkit"]
    place.save(work / LAB, old)
    assert "yours" in said(course, work)["lab_01_norm.ipynb"]
    assert (work / "labs/lab_01_norm-2.ipynb").exists()


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_copy_is_nobodys(course, work, content):
    (work / "labs").mkdir(parents=True)
    (work / LAB).write_text(content)
    assert said(course, work)["lab_01_norm.ipynb"] == "ready"
    assert (work / LAB).read_bytes() == (course / LAB).read_bytes()


def test_a_damaged_copy_is_left_and_a_whole_one_put_beside(course, work):
    (work / "labs").mkdir(parents=True)
    (work / LAB).write_text('{"cells": [')
    assert "no whole notebook, left" in said(course, work)["lab_01_norm.ipynb"]
    assert (work / LAB).read_text() == '{"cells": ['
    assert said(course, work)["lab_01_norm-2.ipynb"] == "ready"


def test_a_lab_of_an_earlier_version_moves_to_where_its_links_hold(course, work):
    """It lay in the folder itself."""
    work.mkdir()
    place.save(work / "lab_01_norm.ipynb", lab("1.1", "1.2"))
    mine = answer(work / "lab_01_norm.ipynb", "1.1")
    copies = [copy.said for copy in place.lay_out(course, work)]
    assert copies[:2] == [
        "moved to labs/, where its links lead on",
        "yours, left as it is",
    ]
    assert (work / LAB).read_bytes() == mine
    assert not (work / "lab_01_norm.ipynb").exists()


# ------------------------------------------------------------------- the real chapters


@pytest.fixture(scope="module")
def chapters():
    cited = papers(ROOT / "chapters/references.bib")
    return {
        path: plain(place.read(path), cited)
        for path in sorted(ROOT.glob("chapters/*.ipynb"))
    }


def test_no_chapter_shows_what_only_the_book_understands(chapters):
    for path, notebook in chapters.items():
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        assert not re.search(r"\{[a-z]+\}`|^(```|:::)\{", text, re.MULTILINE), path
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        for label in re.findall(r"\]\([^)]*#([^)]*)\)", text):
            assert label in [heading.replace(" ", "-") for heading in headings]


def test_links_of_labs_and_chapters_lead_to_something_that_is_laid_out(chapters):
    laid = {f"chapters/{path.name}" for path in chapters} | {"chapters/verdicts.md"}
    laid |= {f"labs/{path.name}" for path in ROOT.glob("labs/*.ipynb")}
    notebooks = {
        f"chapters/{path.name}": notebook for path, notebook in chapters.items()
    }
    notebooks |= {f"labs/{p.name}": place.read(p) for p in ROOT.glob("labs/*.ipynb")}
    followed = 0
    for name, notebook in notebooks.items():
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        for target in re.findall(r"\]\(([^)\s#]+\.(?:ipynb|md))", text):
            path = (ROOT / name).parent / target
            assert str(path.resolve().relative_to(ROOT)) in laid, f"{name}: {target}"
            followed += 1
    assert followed > 30


# ------------------------------------------------------------------------------- trust


def test_what_the_course_wrote_is_trusted_and_what_a_learner_ran_is_not_touched(
    course, work, tmp_path
):
    data = tmp_path / "data"
    said(course, work)
    changed = place.read(work / "chapters/01_norm.ipynb")
    html = nbformat.v4.new_output("display_data", {"text/html": "<script></script>"})
    changed.cells.append(nbformat.v4.new_code_cell("x", outputs=[html]))
    place.save(work / "chapters/01_norm.ipynb", changed)
    copies = list(place.lay_out(course, work))
    trust.sign([copy.path for copy in copies if copy.untouched], data)
    with NotebookNotary(data_dir=str(data)) as notary:
        trusted = [notary.check_signature(place.read(copy.path)) for copy in copies]
    assert [copy.path.parent.name for copy in copies] == ["labs", "chapters"]
    assert trusted == [True, False]


def test_a_database_that_is_locked_is_a_sentence_and_stays_where_it_is(tmp_path):
    trust.sign([], tmp_path)
    database = tmp_path / "nbsignatures.db"
    holder = trust.sqlite3.connect(database)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(trust.Untrusted, match="locked; figures stay hidden until"):
        trust.sign([], tmp_path)
    holder.close()
    assert sorted(p.suffix for p in tmp_path.glob("nbsignatures*")) == [".db"]


def test_the_servers_of_learners_have_nothing_of_nbgraders():
    """Its *Validate* says that right work is wrong; JupyterLab reads these files."""
    settings = Path(place.__file__).parent / "jupyter"
    page = json.loads((settings / "labconfig/page_config.json").read_text())
    assert page["disabledExtensions"] == {"@jupyter/nbgrader": True}
    (file,) = (settings / "jupyter_server_config.d").iterdir()
    off = json.loads(file.read_text())["ServerApp"]["jpserver_extensions"]
    import nbgrader

    folder = Path(nbgrader.__file__).parent / "server_extensions"
    there = {f"nbgrader.server_extensions.{p.name}" for p in folder.glob("[a-z]*/")}
    assert dict.fromkeys(there, False) == off
