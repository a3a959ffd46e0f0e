"""Progress: kept in a learner's folder alone, and shown as a map of the course."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from labkit.commands import main
from labkit.exercises import exercises, find
from labkit.learning import progress
from labkit.learning.check import CheckFailed, check

LAB = "lab_01_layer_normalization"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A learner's folder, as `labkit lab` leaves it; a notebook runs in labs/."""
    progress.begin(tmp_path)
    (tmp_path / "labs").mkdir()
    monkeypatch.chdir(tmp_path / "labs")
    return tmp_path


def unwritten(*_, **__):
    raise NotImplementedError("Exercise 1.2")


def right(x, weight=None, bias=None, eps=1e-5):
    y = x - x.mean(-1, keepdim=True)
    y = y / (y.square().mean(-1, keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def fails(answer):
    with pytest.raises(CheckFailed):
        check("1.2", answer)


def test_the_map_says_what_is_unwritten_tried_and_passed(work, capsys):
    fails(unwritten)
    assert (work / "progress.csv").read_text() == progress.TITLES
    fails(find("1.2").mistakes[0])
    assert main(["progress", str(work)]) == 0
    said = capsys.readouterr().out
    assert (
        "· 1.2    Layer norm over the channels of each token (2 points): tried" in said
    )
    assert "Next: 1.1 " in said and ": 0 of " in said
    check("1.2", right)
    check("1.2", right)
    fails(unwritten)
    progress.begin(work)  # as the next `labkit lab` does
    assert main(["progress", str(work)]) == 0
    said = capsys.readouterr().out
    assert "✓ 1.2    Layer norm" in said and "(2 points): passed, 2 tries" in said
    assert "Lab 1: write layer normalization yourself (75 minutes): 2 of " in said
    assert said.count("unwritten") == len(exercises()) - 1


def test_a_pass_says_what_it_was_worth_and_what_comes_next(work, capsys):
    check("1.2", right)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("✓ 1.2 layer_norm: runs, ")
    assert said[-1].startswith("  2 points; next: 1.3 ")


def test_the_last_exercise_of_a_lab_leads_to_what_was_built(work, capsys):
    for exercise in exercises(LAB):
        with (work / "progress.csv").open("a") as record:
            record.write(f"{exercise.number},True\n")
    check("1.2", right)
    assert "its end says what you built" in " ".join(capsys.readouterr().out.split())


def test_a_notebook_shows_it_richer(work):
    InteractiveShell.instance()
    try:
        with capture_output() as shown:
            check("1.2", right)
            progress.progress()
    finally:
        InteractiveShell.clear_instance()
    passed, whole = [output.data for output in shown.outputs]
    assert (
        passed["text/plain"].startswith("✓ 1.2")
        and "border-left" in passed["text/html"]
    )
    assert whole["text/html"].count("<tr>") == len(exercises())
    assert whole["text/html"].count("<details open>") == 1


def test_elsewhere_nothing_is_kept_and_the_line_is_as_it_was(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    check("1.2", right)
    assert "points" not in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    progress.progress()
    assert "Nothing is kept here" in capsys.readouterr().out


def test_a_record_that_cannot_be_written_fails_no_answer(work, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(work), "open", full)
        check("1.2", right)
    said = capsys.readouterr().out
    assert "Progress is not kept" in said and "✓ 1.2" in said


def test_a_damaged_record_is_read_as_far_as_it_goes(work):
    (work / "progress.csv").write_text("exercise,passed\n1.1,True\n1.2,Fal\n\nx\n")
    assert progress.kept(work / "progress.csv") == {"1.1": (1, True)}
