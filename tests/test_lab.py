"""What a lab notebook is: numbers and names, headings, a learner's copy."""

import re
from pathlib import Path

import nbformat
import pytest

from labkit import lab

ROOT = Path(__file__).parents[1]
LABS = [
    "lab_01_layer_normalization",
    "lab_02_feed_forward",
    "lab_04_1_image_to_sequence",
    "lab_04_2_model_structure",
    "lab_10_more",
]


@pytest.mark.parametrize("number", ["1.2", "4.2.5", "10.11"])
def test_a_number_is_read_from_the_names_that_are_made_of_it(number):
    cells = [lab.exercise_id(number), lab.exercise_id(number, 2), lab.check_id(number)]
    assert [lab.number_of(cell) for cell in cells] == [number] * 3
    assert len(set(cells)) == 3


def test_the_names_of_cells_are_those_in_learners_notebooks():
    """They stand in submissions and gradebooks: another spelling loses answers."""
    assert lab.exercise_id("4.2.5") == "exercise-4-2-5"
    assert lab.exercise_id("1.2", 2) == "exercise-1-2_2"
    assert lab.check_id("1.2") == "check-1-2"


@pytest.mark.parametrize(
    "name, section",
    [
        ("lab_04_2_model_structure", "4.2"),
        ("04_2_model_structure", "4.2"),
        ("lab_01_layer_normalization", "1"),
        ("04_vision_transformer", "4"),
        ("lab_10", "10"),
        ("notation", ""),
        ("lab_notes", ""),
    ],
)
def test_a_section_is_read_from_a_name(name, section):
    assert lab.section_of(name) == section


@pytest.mark.parametrize(
    "wanted",
    "4.2 04.2 04_2 4_2 lab_04_2 lab_4.2 lab_04_2_ 04_2_model "
    "lab_04_2_model_structure 04_2_model_structure".split(),
)
def test_a_lab_may_be_named_in_many_ways(wanted):
    assert lab.select_one(LABS, wanted) == "lab_04_2_model_structure"
    chapters = [name.removeprefix("lab_") for name in LABS]
    assert lab.select_one(chapters, wanted) == "04_2_model_structure"


@pytest.mark.parametrize("wanted", ["4", "04", "lab_04", "lab_4"])
def test_a_chapter_means_all_its_sections(wanted):
    assert lab.select(LABS, wanted) == LABS[2:4]
    with pytest.raises(lab.UnknownLab, match=f"'{wanted}' may be any of: lab_04_1_"):
        lab.select_one(LABS, wanted)


@pytest.mark.parametrize("wanted", ["", "lab_", "9", "0", "4.3", "4.", "1.1", "layer"])
def test_a_lab_that_is_not_there_is_said_with_those_that_are(wanted):
    with pytest.raises(lab.UnknownLab) as error:
        lab.select(LABS, wanted)
    assert str(error.value) == f"no lab {wanted!r}; there are: {', '.join(LABS)}"


def test_one_is_not_ten():
    assert lab.select(LABS, "1") == [LABS[0]]
    assert lab.select(LABS, "10") == [LABS[-1]]


@pytest.mark.parametrize(
    "text, points",
    [
        ("## Exercise 1.2 — Do it (2 points)", 2),
        ("## Exercise 1.2 — Do it (1 point)", 1),
        ("Some text.\n\n## Exercise 1.2 — Do it (bonus)\n\nMore.", 0),
    ],
)
def test_a_heading_is_read(text, points):
    assert lab.Heading.read(text) == lab.Heading("1.2", "Do it", points)


@pytest.mark.parametrize(
    "text",
    [
        "## Exercise 1.2 — Do it",
        "## Exercise 1.2 — Do it (two points)",
        "## Exercise 1.2 — Do it (2 points, soon)",
        "## Exercise 1 — Do it (2 points)",
        "## Exercise 1.2 - Do it (2 points)",
        "# Exercise 1.2 — Do it (2 points)",
    ],
)
def test_what_is_no_heading(text):
    assert lab.Heading.read(text) is None


def test_released_courses_find_the_stubs_where_their_configuration_says():
    from labkit.grading import release
    from labkit.grading.preprocessors import NumberedStubs

    assert NumberedStubs is lab.numbered_stubs()
    assert '"labkit.grading.preprocessors.NumberedStubs"' in release.CONFIGURATION


def test_numbers_are_spelled_in_one_place():
    """Whoever writes "exercise-" or takes "lab_" off a name has its own rule."""
    spelled = re.compile(r'"(exercise|check)-|removeprefix\(.(lab_|exercise-|check-)')
    for path in (ROOT / "labkit").rglob("*.py"):
        if path.name != "lab.py":
            assert not spelled.search(path.read_text("utf-8")), path


# ---------------------------------------------------------------- an unwritten answer


def test_run_all_goes_past_what_waits_for_an_answer():
    """Each check, and what is made of an answer; nothing else may fail unseen."""

    def cell(source, *tags):
        cell = nbformat.v4.new_code_cell(source)
        if tags:
            cell.metadata.tags = list(tags)
        return cell

    given = {
        "import torch": False,
        "x = torch.ones(2)": False,
        "def norm(x):\n    mean = 0\n    raise NotImplementedError": None,
        'check("1.1", norm)': True,
        "y = norm(x)": True,
        "mean = x.mean()": False,
        "def twice(x):\n    return norm(norm(x))": True,
        "print(twice(mean))": True,
        "print(y)": True,
        "print(x, mean)": False,
    }
    tags = {True: [], False: [], None: ["exercise"]}
    cells = [cell(source, *tags[waits]) for source, waits in given.items()]
    cells[3].metadata.tags = ["check"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    lab.let_all_run(notebook)
    found = ["raises-exception" in c.metadata.get("tags", []) for c in notebook.cells]
    assert found == [bool(waits) for waits in given.values()]
    assert cells[2].metadata.tags == ["exercise"]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("labs/*.ipynb")), ids=lambda p: p.stem
)
def test_run_all_goes_through_a_lab_in_which_nothing_is_written(path):
    """What may not fail does not; the rest may, and each check of it does."""
    names: dict = {"print": lambda *_: None}
    failed = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        if "check" in tags or "raises-exception" not in tags:
            try:
                exec(cell.source, names)
            except Exception:
                assert "check" in tags, cell.source
                failed.append(cell.id)
    asked = path.read_text("utf-8").count('"check"')
    assert len(failed) == asked
