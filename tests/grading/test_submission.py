"""Reading submissions and rebuilding them from the master: damage costs no points."""

import copy
import json
import os
import time

import pytest

from labkit.grading.rebuild import rebuild
from labkit.grading.source import defined_names
from labkit.grading.submission import SIZE_LIMIT, Unreadable, parse, read_bytes


def cells_of(notebook):
    return parse(json.dumps(notebook).encode())[1]


def answer(notebook, name="exercise-1-2"):
    return next(c for c in notebook.cells if c.id == name)


def same_cells(rebuilt, notebook):
    return [c.source for c in rebuilt.notebook.cells] == [
        c.source for c in notebook.cells
    ]


# ----------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "JSON"),
        (b'{"cells": [', "damaged (line 1)"),
        (b"[" * 100_000, "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[1, 2]", "not a Jupyter notebook"),
        (b'{"cells": 3}', "not a Jupyter notebook"),
        (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "nbformat 3"),
    ],
)
def test_broken_files_are_refused_with_a_sentence(data, said):
    with pytest.raises(Unreadable) as refusal:
        parse(data)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_wrong_types_inside_a_notebook_are_passed_over():
    code = {"cell_type": "code", "source": ["x = 1\n", 5], "metadata": "none"}
    odd = {"cells": [3, None, {"cell_type": "code", "source": 7}, code]}
    _, cells = parse(json.dumps(odd | {"metadata": []}).encode())
    assert [c.source for c in cells] == ["", "x = 1\n"]


def test_lone_surrogates_can_be_written_again():
    cell = {"cell_type": "code", "source": "x = '\ud800'"}
    _, (parsed,) = parse(json.dumps({"cells": [cell]}).encode())
    assert parsed.source.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_read(hand_in, master, encoding):
    notebook = hand_in()
    _, cells = parse(json.dumps(notebook, ensure_ascii=False).encode(encoding))
    assert same_cells(rebuild(master, cells), notebook)


def test_links_pipes_and_giants_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.ipynb").write_text("{}")
    below = tmp_path / "submitted"
    below.mkdir()
    (below / "linked").symlink_to(secret)
    (below / "link.ipynb").symlink_to(secret / "a.ipynb")
    os.mkfifo(below / "pipe.ipynb")
    with open(below / "giant.ipynb", "wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    for name, said in {
        "link.ipynb": "symbolic link",
        "linked/a.ipynb": "symbolic link",
        "pipe.ipynb": "not an ordinary file",
        "giant.ipynb": "larger than",
        "absent.ipynb": "cannot be opened",
    }.items():
        with pytest.raises(Unreadable, match=said):
            read_bytes(below / name, below)


def test_names_that_a_cell_defines():
    assert defined_names(
        "%matplotlib inline\nimport torch as t, os.path\ndef f(): x = 1"
    ) == {"t", "os", "f"}
    assert defined_names("class A: pass\nb, c = 1, 2") == {"A", "b", "c"}
    assert defined_names("def broken(:\n  pass\nfine = 1") == {"broken", "fine"}


# -------------------------------------------------------------------------- rebuilding


def test_untouched_and_filled_in(hand_in, master):
    blank = rebuild(master, cells_of(master.notebook))
    assert blank.blank == {a for q in master.questions for a in q.answers}
    assert blank.notebook == master.notebook and not blank.notes
    filled = rebuild(master, cells_of(hand_in()))
    assert not filled.blank and not filled.notes and not filled.helpers
    assert same_cells(filled, hand_in())


@pytest.mark.parametrize("lost", [("metadata",), ("id",), ("metadata", "id")])
def test_lost_labels(hand_in, master, lost):
    notebook = hand_in()
    for cell in notebook.cells:
        for field in lost:
            cell[field] = {} if field == "metadata" else "x"
    rebuilt = rebuild(master, cells_of(notebook))
    assert same_cells(rebuilt, notebook) and not rebuilt.blank
    assert bool(rebuilt.notes) == (len(lost) == 2)


def test_only_answers_come_from_the_learner(hand_in, master):
    notebook = hand_in()
    expected = [c.source for c in notebook.cells]
    for cell in notebook.cells:
        if not cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = "raise SystemExit"
            cell.metadata = {"tags": ["skip-execution"]}
    rebuilt = rebuild(master, cells_of(notebook))
    assert [c.source for c in rebuilt.notebook.cells] == expected
    assert [c.metadata for c in rebuilt.notebook.cells] == [
        c.metadata for c in master.notebook.cells
    ]
    assert any("check cells were edited" in note for note in rebuilt.notes)


def test_of_duplicated_answers_the_last_filled_in_counts(hand_in, master):
    notebook = hand_in()
    cell = answer(notebook)
    last = {**cell, "source": "def layer_norm(x): return x", "id": "copy"}
    stub = next(c for c in master.notebook.cells if c.id == cell.id)
    notebook.cells += [last, {**stub, "id": "copy2"}]
    rebuilt = rebuild(master, cells_of(notebook))
    assert answer(rebuilt.notebook).source == "def layer_norm(x): return x"
    assert "2 cells answer exercise 1.2; the last counts." in rebuilt.notes


@pytest.mark.parametrize("labelled", [True, False])
def test_an_answer_that_was_split_is_one_again(hand_in, master, labelled):
    """JupyterLab's Split Cell gives both halves the metadata, the second a new id."""
    notebook = hand_in({"1.6": "def pre_norm(x): pass\n\n\ndef post_norm(x): pass"})
    whole = answer(notebook, "exercise-1-6").source
    split(notebook, "exercise-1-6", "def post_norm")
    if not labelled:
        for cell in notebook.cells:
            cell.id, cell.metadata = "x", {}
    rebuilt = rebuild(master, cells_of(notebook))
    assert answer(rebuilt.notebook, "exercise-1-6").source == whole
    assert not [note for note in rebuilt.notes if "cells answer" in note]


def test_what_was_split_off_counts_where_it_is_read(hand_in, master):
    helper = "EPSILON = 1e-5\n\n\n"
    function = "def layer_norm(x): return x / EPSILON"
    notebook = hand_in({"1.2": helper + function})
    split(notebook, "exercise-1-2", function)
    cell = answer(notebook)
    for source in ("layer_norm(3)", "def layer_norm(", "x = 1"):  # copies, then altered
        notebook.cells.insert(1, {**cell, "source": source, "id": "copy"})
    rebuilt = rebuild(master, cells_of(notebook))
    assert answer(rebuilt.notebook).source == helper + function
    assert "3 cells answer exercise 1.2; the last counts." in rebuilt.notes


def split(notebook, name, where):
    cell = answer(notebook, name)
    first, second = cell.source.split(where)
    place = notebook.cells.index(cell) + 1
    notebook.cells.insert(place, copy.deepcopy(cell))
    notebook.cells[place].update(source=where + second, id="second-half")
    cell.source = first.rstrip()


def test_a_second_attempt_in_another_cell_is_not_taken_but_known(hand_in, master):
    notebook = hand_in({"1.2": "def layer_norm(x): return x"})
    again = {"cell_type": "code", "id": "new", "metadata": {}}
    again["source"] = "def layer_norm(x): return x - x.mean()"
    place = notebook.cells.index(answer(notebook))
    notebook.cells.insert(place, again)  # above: the answer replaces it
    rebuilt = rebuild(master, cells_of(notebook))
    assert same_cells(rebuilt, hand_in({"1.2": "def layer_norm(x): return x"}))
    assert rebuilt.again == {}
    notebook.cells.insert(place + 2, again)
    rebuilt = rebuild(master, cells_of(notebook))
    assert answer(rebuilt.notebook).source == "def layer_norm(x): return x"
    assert rebuilt.again == {"1.2": ["layer_norm"]}


def test_an_answer_written_into_another_cell_is_found(hand_in, master):
    notebook = hand_in({"1.2": None})
    source = "def layer_norm(x): return x"
    notebook.cells.append(
        {"cell_type": "code", "id": "new", "metadata": {}, "source": source}
    )
    rebuilt = rebuild(master, cells_of(notebook))
    assert answer(rebuilt.notebook).source == source


def test_deleted_answer_is_noted(hand_in, master):
    notebook = hand_in()
    notebook.cells = [c for c in notebook.cells if c.id != "exercise-1-2"]
    rebuilt = rebuild(master, cells_of(notebook))
    assert rebuilt.blank == {"exercise-1-2"}
    assert "No answer cell for exercise 1.2." in rebuilt.notes


def test_another_notebook_is_refused(master):
    with pytest.raises(Unreadable, match="No cell of lab_01"):
        rebuild(master, cells_of({"cells": [{"cell_type": "code", "source": "x = 1"}]}))


# ------------------------------------------------------------------ everyday's damage


def right_answer(notebook, name="exercise-1-2"):
    return answer(notebook, name).source


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_an_answer_turned_into_text_counts_and_is_told(hand_in, master, kind):
    notebook = hand_in()
    answer(notebook).cell_type = kind
    rebuilt = rebuild(master, cells_of(notebook))
    assert same_cells(rebuilt, hand_in()) and not rebuilt.blank
    assert rebuilt.notes == [
        f"The answer to 1.2 stands in a {kind} cell; graded as code."
    ]


def test_text_gives_way_to_code(hand_in, master):
    notebook = hand_in()
    other = {**answer(notebook), "cell_type": "markdown", "source": "My *plan*."}
    notebook.cells.append(other)
    rebuilt = rebuild(master, cells_of(notebook))
    assert same_cells(rebuilt, hand_in())


def test_an_answer_in_a_copied_cell_of_another_exercise(hand_in, master):
    notebook = hand_in({"1.2": None})
    copied = {**answer(notebook, "exercise-1-1"), "id": "copy"}
    copied["source"] = right_answer(hand_in())
    notebook.cells.insert(notebook.cells.index(answer(notebook)), copied)
    rebuilt = rebuild(master, cells_of(notebook))
    assert rebuilt.again == {}
    assert right_answer(rebuilt.notebook) == copied["source"]
    assert right_answer(rebuilt.notebook, "exercise-1-1") == right_answer(
        hand_in(), "exercise-1-1"
    )
    assert "The answer to 1.2 stands in a cell with the label of 1.1." in rebuilt.notes


def test_a_definition_under_a_cell_magic_is_one(hand_in, master):
    notebook = hand_in({"1.2": "def layer_norm(x): return x"})
    last = {**answer(notebook), "id": "copy"}
    last["source"] = "%%time\n" + right_answer(hand_in())
    notebook.cells.append(last)
    rebuilt = rebuild(master, cells_of(notebook))
    assert right_answer(rebuilt.notebook) == last["source"]
    assert "2 cells answer exercise 1.2; the last counts." in rebuilt.notes


def test_colab_keeps_ids_in_the_metadata(hand_in, master):
    notebook = hand_in({"1.2": lambda right: right.replace("layer_norm", "my_norm")})
    for cell in notebook.cells:
        cell.metadata = {"id": cell.pop("id")}
    rebuilt = rebuild(master, cells_of(notebook))
    assert not rebuilt.blank and "my_norm" in right_answer(rebuilt.notebook)
    assert not rebuilt.notes


def test_an_import_is_no_answer_by_its_name(hand_in, master):
    notebook = hand_in({"1.2": "%%writefile mine.py\ndef layer_norm(x): return x"})
    imports = {"cell_type": "code", "source": "from mine import layer_norm"}
    notebook.cells.append({**imports, "metadata": {}})
    rebuilt = rebuild(master, cells_of(notebook))
    assert right_answer(rebuilt.notebook).startswith("%%writefile")
    assert rebuilt.notes == []


def test_another_labs_cells_are_named(master):
    cell = {"cell_type": "code", "source": "x = 1", "metadata": {}}
    cell["metadata"] = {"nbgrader": {"grade_id": "exercise-2-3"}}
    with pytest.raises(Unreadable, match=r"Its cells belong to 2\.3\.$"):
        rebuild(master, cells_of({"cells": [cell]}))


# ----------------------------------------------------------------------- limits of time


def code(source, **more):
    return {"cell_type": "code", "metadata": {}, "source": source, **more}


LABEL = {"nbgrader": {"grade_id": "exercise-1-2"}}
SLOW = {
    "help": [code("x?\n" * 500, metadata=LABEL)],
    "help in many cells": [code("x?\n" * 6000)] * 30,
    "magics": [code("%time x\n!ls\ny = !ls\n" * 800, metadata=LABEL)],
    "cells with one label": [code(f"x{i} = 1", metadata=LABEL) for i in range(9_900)],
    "cells with one id": [code("x", id="exercise-1-2") for _ in range(9_900)],
    "cells that define an answer": [
        code(f"def layer_norm(x): return x{i}") for i in range(9_900)
    ],
    "long cells with one label": [
        code("a " * 10_000 + str(i), metadata=LABEL) for i in range(1_000)
    ],
    "a chain of helpers": [
        code(f"x{i} = x{i + 1}", metadata=LABEL) for i in range(9_900)
    ],
}


@pytest.mark.parametrize("kind", SLOW)
def test_nothing_takes_long_to_read(master, kind):
    """Minutes, where something grows with the square; this machine may be busy."""
    data = json.dumps({"cells": SLOW[kind]}).encode()
    start = time.process_time()
    try:
        rebuild(master, parse(data)[1])
    except Unreadable:
        pass
    assert time.process_time() - start < 8


def test_more_cells_than_can_be_looked_at_are_refused():
    data = json.dumps({"cells": [code("x")] * 10_001}).encode()
    with pytest.raises(Unreadable, match="more than 10,000 cells"):
        parse(data)


def test_code_that_is_not_looked_through_is_said(hand_in, master):
    notebook = hand_in()
    notebook.cells += [code("#" * 19_000)] * 30
    rebuilt = rebuild(master, cells_of(notebook))
    assert any("500,000 characters of code" in note for note in rebuilt.notes)
