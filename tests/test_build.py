"""The notebooks are what their sources say, and the labs hold no answers."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from labkit.build import build, read_source
from labkit.exercises import find
from labkit.lab import EditedError, SourceError, lab_from_solution
from labkit.learning.check import CheckFailed

ROOT = Path(__file__).parents[1]
SOLUTIONS = sorted(ROOT.glob("solutions/*.py"))
LABS = sorted(ROOT.glob("labs/*.ipynb"))

TINY = '''\
# %% [markdown]
"""
# Title
"""

# %%
answer = 41
print("hello")

# %% [markdown]
"""
## Exercise 1.1 — Add one (2 points)
"""

# %% tags=["exercise"]
def add_one(x):
    """Return x + 1."""
    # BEGIN SOLUTION
    secret = x + 1
    return secret
    # END SOLUTION


# %% tags=["check"]
check("1.1", add_one)
'''


def no_check(source: str) -> str:
    """The tiny lab without its check, which needs the real exercise."""
    return source.replace('check("1.1", add_one)', 'check("1.1", print)').replace(
        'print("hello")', 'print("hello")\n\n\ndef check(*_):\n    pass'
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of one tiny lab, built once."""
    root = tmp_path_factory.mktemp("course")
    (root / "solutions").mkdir()
    (root / "solutions/lab_01.py").write_text(no_check(TINY))
    build(root, say=lambda _: None)
    return root


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.glob("*/*.ipynb"))}


# -------------------------------------------------------------------- the real course


def test_every_notebook_is_what_its_source_makes():
    assert build(ROOT, check=True) == []


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda p: p.stem)
def test_no_answer_in_any_lab(solution):
    """No line that stood inside a solution, unless the lab says it elsewhere."""
    inside, shown, answers = False, set(), set()
    for line in solution.read_text().split("\n"):
        if "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            inside = "BEGIN" in line
        elif len(line.strip()) > 3:
            (answers if inside else shown).add(line.strip())
    for lab in LABS:
        text = lab.read_text()
        assert "SOLUTION" not in text
        cells = nbformat.read(lab, as_version=4).cells
        lines = {line.strip() for cell in cells for line in cell.source.split("\n")}
        assert not (answers - shown) & lines
    assert answers - shown, "the solution marks no answers"


@pytest.mark.parametrize("lab", LABS, ids=lambda p: p.stem)
def test_every_stub_is_valid_and_fails_its_check(lab):
    """A learner who writes nothing is told so, with the exercise's number."""
    names: dict = {}
    checked = 0
    for cell in nbformat.read(lab, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code":
            continue
        compile(cell.source, cell.id, "exec")
        if "check" in tags:
            number = re.match(r'check\("([\d.]+)"', cell.source)[1]
            with pytest.raises(CheckFailed, match="not written yet") as failed:
                exec(cell.source, names)
            assert str(failed.value).startswith(f"✗ {number} ")
            checked += 1
        elif "exercise" in tags or "from labkit import" in cell.source:
            exec(cell.source, names)
    assert checked


@pytest.mark.parametrize("source", SOLUTIONS, ids=lambda p: p.stem)
def test_every_solution_passes_every_check_with_other_numbers(source):
    names: dict = {}
    for cell in read_source(source).cells:
        tags = cell.metadata.get("tags", [])
        if "check" in tags:
            exercise = find(re.match(r'check\("([\d.]+)"', cell.source)[1])
            objects = {name: names[name] for name in exercise.names}
            for seed in range(1, 6):
                assert exercise.examine(objects, seed).passed
        elif "exercise" in tags or "from labkit import" in cell.source:
            exec(cell.source, names)


@pytest.mark.parametrize("path", [*LABS, *(p.with_suffix(".ipynb") for p in SOLUTIONS)])
def test_nbgrader_accepts_the_metadata(path):
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.preprocessors import CheckCellMetadata

    notebook = nbformat.read(path, as_version=4)
    CheckCellMetadata().preprocess(notebook, {})
    for cell in notebook.cells:
        MetadataValidator().validate_cell(cell)
    graded = [c.metadata.nbgrader for c in notebook.cells if "nbgrader" in c.metadata]
    assert sum(cell.get("points", 0) for cell in graded) > 0


# ------------------------------------------------------------------- how it is built


def test_the_same_source_gives_the_same_bytes(course):
    before = bytes_of(course)
    assert len(before) == 2
    build(course, force=True, say=lambda _: None)
    assert bytes_of(course) == before


def test_content_decides_not_file_times(course):
    (course / "solutions/lab_01.py").touch()
    assert build(course, say=lambda _: None) == []


def test_check_names_what_is_stale_and_writes_nothing(course, tmp_path):
    source = course / "solutions/lab_01.py"
    text, before = source.read_text(), bytes_of(course)
    source.write_text(text.replace("# Title", "# Another title"))
    assert build(course, check=True) == [
        "solutions/lab_01.ipynb is not what lab_01.py makes",
        "labs/lab_01.ipynb is not what lab_01.py makes",
    ]
    source.write_text(text)
    assert bytes_of(course) == before


def test_a_notebook_without_a_source_is_named(course):
    orphan = course / "labs/lab_09.ipynb"
    orphan.write_text("{}")
    assert build(course, check=True) == ["labs/lab_09.ipynb has no source"]
    orphan.unlink()


def test_a_notebook_that_was_not_executed_is_stale(course):
    path = course / "solutions/lab_01.ipynb"
    kept = path.read_text()
    notebook = json.loads(kept)
    notebook["cells"][1]["execution_count"] = None
    path.write_text(json.dumps(notebook))
    assert build(course, check=True) == [
        "solutions/lab_01.ipynb is not what lab_01.py makes"
    ]
    path.write_text(kept)


def test_a_new_text_runs_nothing_and_new_code_runs_all(course):
    source, said = course / "solutions/lab_01.py", []
    text, before = source.read_text(), bytes_of(course)
    for change, runs in (
        (("# Title", "# New"), 0),
        (("answer = 41", "answer = 42"), 1),
    ):
        said.clear()
        source.write_text(text.replace(*change))
        build(course, say=said.append)
        assert sum("running" in line for line in said) == runs, change
        assert build(course, check=True) == []
    source.write_text(text)
    build(course, say=said.append)
    assert bytes_of(course) == before


@pytest.mark.parametrize("damage", ["an edit", "a new cell", "no mark", "no notebook"])
def test_work_in_a_lab_is_never_overwritten(course, damage):
    lab, source = course / "labs/lab_01.ipynb", course / "solutions/lab_01.py"
    kept, text = lab.read_text(), source.read_text()
    notebook = json.loads(kept)
    if damage == "an edit":
        notebook["cells"][3]["source"] = ["def add_one(x):\n", "    return x + 1"]
    elif damage == "a new cell":
        notebook["cells"].append({**notebook["cells"][1], "id": "mine"})
    elif damage == "no mark":
        del notebook["metadata"]["labkit"]
    lab.write_text("my notes" if damage == "no notebook" else json.dumps(notebook))
    mine = lab.read_text()
    source.write_text(text.replace("# Title", "# New"))
    with pytest.raises(EditedError, match="labs/lab_01.ipynb .* left as it is") as said:
        build(course, say=lambda _: None)
    assert "holds somebody's work" in str(said.value) or damage == "no notebook"
    assert lab.read_text() == mine
    lab.write_text(kept)
    source.write_text(text)


@pytest.fixture
def edited(course):
    """edited(change, source): change the solution's notebook as JSON, and its source;
    the notebook's path. Both are as they were afterwards."""
    build(course, say=lambda _: None)
    path, source = course / "solutions/lab_01.ipynb", course / "solutions/lab_01.py"
    kept = {p: p.read_text() for p in (path, source, course / "labs/lab_01.ipynb")}

    def change(edit, new_source=("# Title", "# New")):
        notebook = json.loads(path.read_text())
        edit(notebook)
        path.write_text(json.dumps(notebook))
        source.write_text(source.read_text().replace(*new_source))
        return path

    yield change
    for file, text in kept.items():
        file.write_text(text)


HAND_EDITS = {
    "code": (lambda n: n["cells"][1].update(source="answer = 43"), "cell 2: 'answer ="),
    "text": (lambda n: n["cells"][0].update(source="# Mine\n\nx"), "cell 1: '# Mine'"),
    "answer": (lambda n: n["cells"][3].update(source="def a(): 1"), "cell 4: 'def a()"),
    "a new cell": (
        lambda n: n["cells"].append({**n["cells"][0], "id": "m", "source": "hm"}),
        "cell 6: 'hm'",
    ),
    "two": (
        lambda n: [n["cells"][i].update(source=f"{i} # my") for i in (0, 1)],
        "cell 1: '0 # my', and 1 more",
    ),
    "a cell less": (lambda n: n["cells"].pop(2), "cells were taken out or moved"),
    "another order": (lambda n: n["cells"].reverse(), "cells were taken out or moved"),
}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", HAND_EDITS)
def test_a_notebook_edited_by_hand_is_never_overwritten(course, edited, name, force):
    """Even where its source has changed too, and whoever forces it to run."""
    edit, said = HAND_EDITS[name]
    for new_source in (("", ""), ("# Title", "# New")):
        path = edited(edit if new_source == ("", "") else lambda _: None, new_source)
        mine = path.read_text()
        with pytest.raises(EditedError) as error:
            build(course, force=force, say=lambda _: None)
        assert f"lab_01.ipynb was edited by hand ({said}" in str(error.value)
        assert "copy the edit to solutions/lab_01.py" in str(error.value)
        assert path.read_text() == mine


def test_an_edit_that_was_taken_over_into_the_source_is_built(course, edited):
    new = ("answer = 41", "answer = 43")

    def edit(notebook):
        cell = notebook["cells"][1]
        cell["source"] = "".join(cell["source"]).replace(*new)

    edited(edit, new)
    assert build(course, say=lambda _: None)
    assert build(course, check=True) == []


def test_running_a_notebook_is_not_editing_it(course, edited):
    """JupyterLab changes counts, outputs and metadata when it saves."""

    def run(notebook):
        notebook["metadata"]["kernelspec"]["display_name"] = "My Python"
        notebook["cells"][1]["execution_count"] = 7
        notebook["cells"][1]["metadata"]["scrolled"] = True

    edited(run)
    assert build(course, say=lambda _: None)
    assert build(course, check=True) == []


@pytest.mark.parametrize("folder", ["solutions", "labs"])
def test_a_merge_that_conflicts_is_said(course, edited, folder):
    edited(lambda _: None)
    path = course / folder / "lab_01.ipynb"
    first, _, rest = path.read_text().partition('"cells"')
    conflict = '\n<<<<<<< HEAD\n"a"\n=======\n"b"\n>>>>>>> x\n"cells"'
    path.write_text(first + conflict + rest)
    with pytest.raises(EditedError) as error:
        build(course, say=lambda _: None)
    assert str(error.value) == (
        f"{folder}/lab_01.ipynb has a merge's conflicts in it; take either side "
        f"(git checkout --ours {folder}/lab_01.ipynb), then build again."
    )


def test_what_is_no_source_is_said(course, tmp_path):
    for path in (course / "solutions/nosuch.py", tmp_path / "other.py"):
        with pytest.raises(SourceError, match=f"{path.name} is no source of a noteb"):
            build(course, [path])


def test_running_a_lab_is_not_working_in_it(course):
    """Outputs alone are nobody's work: the build may replace them."""
    lab = course / "labs/lab_01.ipynb"
    notebook = json.loads(lab.read_text())
    notebook["cells"][1]["execution_count"] = 7
    lab.write_text(json.dumps(notebook))
    assert build(course, say=lambda _: None)
    assert build(course, check=True) == []


def test_a_failing_cell_leaves_the_old_notebook_whole(course):
    source = course / "solutions/lab_01.py"
    text, before = source.read_text(), bytes_of(course)
    source.write_text(text.replace("answer = 41", "answer = 1 / 0"))
    with pytest.raises(SourceError, match="lab_01.ipynb: a cell failed(.|\n)*ZeroDiv"):
        build(course, say=lambda _: None)
    source.write_text(text)
    assert bytes_of(course) == before


def test_figure_options_become_metadata(tmp_path):
    path = tmp_path / "chapter.py"
    path.write_text(
        "# %%\n#| name: fig-a\n#| alt: Two lines:\n#|   one rises.\nx = 1\n"
    )
    (cell,) = read_source(path).cells
    assert cell.source == "x = 1"
    assert cell.metadata.mystnb == {
        "image": {"alt": "Two lines: one rises."},
        "figure": {"name": "fig-a"},
    }


def test_stubs_stand_where_the_answers_stood(tmp_path):
    path = tmp_path / "lab.py"
    path.write_text(TINY)
    lab = lab_from_solution(read_source(path), "lab")
    assert lab.cells[3].source == (
        'def add_one(x):\n    """Return x + 1."""\n    # YOUR CODE HERE\n'
        '    raise NotImplementedError("Exercise 1.1")'
    )


def test_an_exercise_may_have_two_cells(tmp_path):
    first, rest = TINY.split('# %% tags=["check"]')
    path = tmp_path / "lab.py"
    second = first[first.index("# %% tags") :].replace("add_one", "add_two")
    path.write_text(first + second + '# %% tags=["check"]' + rest)
    lab = lab_from_solution(read_source(path), "lab")
    assert [c.id for c in lab.cells[3:]] == [
        "exercise-1-1",
        "exercise-1-1_2",
        "check-1-1",
    ]
    assert all('"Exercise 1.1")' in c.source for c in lab.cells[3:5])


# ------------------------------------------------------- errors have a file and a line

MISTAKES = {
    "unbalanced END": ("    # BEGIN SOLUTION\n", "", 20, "END SOLUTION without BEGIN"),
    "unbalanced BEGIN": ("    # END SOLUTION\n", "", 18, "BEGIN SOLUTION without END"),
    "nested": ("    secret", "    # BEGIN SOLUTION\n    secret", 19, "inside a solu"),
    "marker in a text cell": ("# Title", "# BEGIN SOLUTION", 3, "not tagged"),
    "marker in another cell": ("answer = 41", "# BEGIN SOLUTION", 7, "not tagged"),
    "no check": ('# %% tags=["check"]\ncheck("1.1", add_one)\n', "", 10, "no check"),
    "wrong number": ('check("1.1"', 'check("1.2"', 24, "the check of exercise 1.1"),
    "long check": ("add_one)\n", "add_one)\nx = 1\n", 24, "is one line"),
    "heading": ("(2 points)", "(two points)", 10, "an exercise heading reads"),
    "no heading": ("## Exercise 1.1", "## Something", 15, "without a heading"),
    "no solution": (
        "    # BEGIN SOLUTION\n    secret = x + 1\n    return secret\n"
        "    # END SOLUTION\n",
        "    return 1\n",
        15,
        "marks no solution",
    ),
    "unknown tag": ('tags=["check"]', 'tags=["chekc"]', 24, "unknown tag 'chekc'"),
    "figure without alt": ("answer", "#| caption: A.\nanswer", 6, "needs '#| alt"),
    "no marker first": ("# %% [markdown]", "x = 1\n\n# %% [markdown]", 1, "begin with"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_broken_source_is_an_error_with_file_and_line(tmp_path, mistake):
    old, new, line, sentence = MISTAKES[mistake]
    path = tmp_path / "lab_01.py"
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(SourceError, match=re.escape(sentence)) as error:
        read_source(path)
    assert str(error.value).startswith(f"{path}:{line}:")


def test_the_tiny_lab_itself_is_sound(tmp_path):
    path = tmp_path / "lab_01.py"
    path.write_text(TINY)
    assert len(read_source(path).cells) == 5
