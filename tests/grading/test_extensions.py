"""More time for one learner: granted, and counted by the next run of labkit grade."""

import pytest

from labkit import commands

from .conftest import LAB
from .test_course import gradebook, submit


def extend(course, student, until):
    return commands.main(["extend", str(course), "01", student, "--until", until])


def penalties(course):
    assert commands.main(["grade", str(course)]) == 0
    with gradebook(course) as book:
        late = book.assignment_submissions(LAB)
        return {one.student_id: one.late_submission_penalty for one in late}


@pytest.fixture
def late(course, hand_in):
    """Two learners a day late, in a course where that costs all points."""
    config = course / "nbgrader_config.py"
    zero = 'c.LateSubmissionPlugin.penalty_method = "zero"'
    config.write_text(f"{config.read_text()}\n{zero}\n")
    with gradebook(course) as book:
        book.update_or_create_assignment(LAB, duedate="2026-11-19 10:00:00 UTC")
    for student in ("ada", "ben"):
        folder = submit(course, student, hand_in())
        (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC\n")
    return course


@pytest.mark.usefixtures("one_warm_process")
def test_an_extension_takes_the_penalty_away(late, master, capsys):
    """One granted before the first grading, one after it; a shorter one replaces it."""
    lost = master.max_score
    assert extend(late, "ada", "2026-11-21 10:00 UTC") == 0
    assert "the next labkit grade counts it." in capsys.readouterr().out
    assert penalties(late) == {"ada": 0, "ben": lost}
    assert extend(late, "ben", "2026-11-20 11:00:00 +01:00") == 0
    assert penalties(late) == {"ada": 0, "ben": 0}
    assert "late penalties changed for ben." in capsys.readouterr().out
    assert extend(late, "ada", "2026-11-20 09:59 UTC") == 0
    assert penalties(late) == {"ada": lost, "ben": 0}


def test_what_cannot_be_granted_is_said_in_a_sentence(course, capsys):
    for student, until, said in [
        ("ada", "soon", "'soon' is no certain time"),
        ("ada", "03/04/2026 10:00", "'03/04/2026 10:00' is no certain time"),
        ("=ada", "2026-12-01 10:00 UTC", "'=ada' is no learner: "),
    ]:
        assert extend(course, student, until) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (course / "extensions.csv").exists()


def test_a_learner_nobody_knows_may_be_granted_more_time(course, capsys):
    """They may hand in for the first time within it, but a slip should be seen."""
    assert extend(course, "adda", "2026-12-01 10:00 UTC") == 0
    said = capsys.readouterr().out
    assert "no learner of that name is known yet" in said and said.count("\n") == 1
    with gradebook(course) as book:
        book.add_student("adda")
    assert extend(course, "adda", "2026-12-02 10:00 UTC") == 0
    assert "counts it" in capsys.readouterr().out
    lines = (course / "extensions.csv").read_text().split()
    assert len(lines) == 4 and lines[1].endswith("adda,2026-12-02"), lines
