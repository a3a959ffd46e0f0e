"""From release to CSV: a course directory that nbgrader itself goes on working with."""

import contextlib
import copy
import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import torch
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import notebook_hash

from labkit import commands, paths
from labkit.exercises import find
from labkit.grading import orphans
from labkit.grading.course import Course, CourseError
from labkit.grading.release import release
from labkit.grading.settings import own_seed

from .conftest import LAB, planted, reachable


def labkit(*arguments):
    return commands.main([str(a) for a in arguments])


def nbgrader(root, *arguments):
    scripts = os.path.dirname(sys.executable)
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "nbgrader", *arguments]
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def api(root):
    """What formgrader works with."""
    course = Course(root)
    return NbGraderAPI(course.directory, config=course.config)


def submit(root, student, notebook, name=f"{LAB}.ipynb"):
    folder = root / "submitted" / student / LAB
    folder.mkdir(parents=True, exist_ok=True)
    data = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    (folder / name).write_bytes(data)
    return folder


def result(root, student):
    return json.loads((root / "results" / LAB / f"{student}.json").read_text())


def page(root, student):
    return (root / "feedback" / student / LAB / f"{LAB}.html").read_text()


def gradebook(root):
    return Gradebook(f"sqlite:///{root}/gradebook.db", "layer_norm_to_vit")


def scores(root):
    with gradebook(root) as book:
        return {s.student_id: s.score for s in book.assignment_submissions(LAB)}


# ----------------------------------------------------------------------------- release


def test_release_is_the_lab_and_stays_as_it_is(released, master, capsys):
    lab = nbformat.read(paths.root() / "labs" / f"{LAB}.ipynb", as_version=4)
    path = released / "release" / LAB / f"{LAB}.ipynb"
    made = nbformat.read(path, as_version=4)
    assert made.cells == lab.cells and made.metadata == lab.metadata
    assert 'raise NotImplementedError("Exercise 1.2")' in path.read_text().replace(
        '\\"', '"'
    )
    source = nbformat.read(released / "source" / LAB / f"{LAB}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in source.cells)
    with gradebook(released) as book:
        assert book.find_assignment(LAB).max_score == master.max_score

    before = times(released)
    assert labkit("release", released, "--lab", LAB) == 0
    assert "unchanged" in capsys.readouterr().out
    assert times(released) == before


def times(root):
    files = [p for p in root.rglob("*") if p.is_file() and p.name != "gradebook.db"]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.usefixtures("one_warm_process")
def test_a_graded_lab_keeps_its_exercises(course, hand_in, solution, tmp_path):
    """nbgrader refuses to add or remove some; all files stay as they were."""
    submit(course, "ada", hand_in())
    assert labkit("grade", course) == 0
    shorter = copy.deepcopy(solution)
    shorter.cells = [c for c in shorter.cells if not c.id.endswith("-1-7")]
    solutions = tmp_path / "repository" / "solutions"
    solutions.mkdir(parents=True)
    nbformat.write(shorter, solutions / f"{LAB}.ipynb")
    before = {path: path.read_bytes() for path in times(course)}
    with pytest.raises(CourseError, match="refuses the new release"):
        release(course, solutions)
    assert {path: path.read_bytes() for path in times(course)} == before

    reworded = copy.deepcopy(solution)
    reworded.cells[0].source += "\nA misprint put right."
    nbformat.write(reworded, solutions / f"{LAB}.ipynb")
    release(course, solutions)
    assert "misprint" in (course / "release" / LAB / f"{LAB}.ipynb").read_text()
    assert scores(course)["ada"] > 0


def test_release_leaves_other_directories_alone(tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "nbgrader_config.py").write_text("c = get_config()\n")
    assert labkit("release", other) == 2
    assert "is left as it is" in capsys.readouterr().err
    assert [p.name for p in other.iterdir()] == ["nbgrader_config.py"]
    assert labkit("release", paths.root() / "new") == 2
    assert "inside the course's repository" in capsys.readouterr().err
    assert not (paths.root() / "new").exists()


def test_nbgraders_own_generate_assignment_makes_the_same(course):
    path = course / "release" / LAB / f"{LAB}.ipynb"
    before = path.read_bytes()
    made = api(course).generate_assignment(LAB)
    assert made["success"], made["log"]
    assert path.read_bytes() == before


# ---------------------------------------------------------------------------- usage


def test_usage_errors(tmp_path, course, capsys):
    assert labkit("grade", tmp_path / "absent") == 2
    assert labkit("grade", tmp_path) == 2
    assert "no course directory" in capsys.readouterr().err
    assert labkit("grade", course) == 2
    assert "nothing was submitted" in capsys.readouterr().err
    assert labkit("grade", course, "--lab", "lab_99") == 2
    assert LAB in capsys.readouterr().err
    capsys.readouterr()
    for option, value in {
        "--timeout": ("0", "nan", "inf", "1e300"),
        "--seed": ("-1", "99999999999999999999999"),
    }.items():
        for given in value:
            assert labkit("grade", course, f"{option}={given}") == 2
            said = capsys.readouterr().err
            assert said.startswith(f"labkit: {option} is a number")
            assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("nbgrader_config.py", "c = (", "has a fault: SyntaxError"),
        ("labkit.json", "{", "holds no seed"),
        ("labkit.json", '{"seed": 1e300}', "holds no seed"),
        (f"source/{LAB}/{LAB}.ipynb", '{"cells": []}', "is damaged; labkit release"),
        ("gradebook.db", "no database", "gradebook cannot be used"),
        (
            "nbgrader_config.py",
            "c = get_config()\nc.CourseDirectory.db_url = "
            "'postgresql+psycopg://nobody@localhost:1/none'",
            "gradebook cannot be used",
        ),
        ("results", "a file", "File exists"),
    ],
)
def test_what_is_wrong_with_a_course_is_said_in_a_sentence(
    course, hand_in, capsys, file, text, said
):
    submit(course, "ada", hand_in())
    (course / file).write_text(text)
    assert labkit("grade", course) == 2
    refusal = capsys.readouterr().err
    assert said in refusal and refusal.count("\n") == 1


@pytest.mark.usefixtures("one_warm_process")
def test_a_full_disk_is_said_and_the_run_taken_up(
    course, hand_in, capsys, monkeypatch, master
):
    """Or one that cannot be written to, or a folder that another user owns."""
    submit(course, "ada", hand_in())
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/ada.json")
        patch.setattr(
            "labkit.grading.batch.write", lambda *_: (_ for _ in ()).throw(full)
        )
        assert labkit("grade", course) == 2
    assert capsys.readouterr().err == (
        "labkit: results/ada.json: No space left on device\n"
    )
    assert labkit("grade", course) == 0
    assert scores(course) == {"ada": master.max_score}


def test_a_gpu_is_there_or_refused_before_anything_is_graded(
    course, hand_in, capsys, monkeypatch
):
    submit(course, "ada", hand_in())
    for there, said in ((False, "sees no GPU here"), (True, "needs --unsafe")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert labkit("grade", course, "--device", "cuda") == 2
        refusal = capsys.readouterr().err
        assert refusal.count("\n") == 1 and said in refusal
    assert not (course / "results").exists()


def test_one_grader_at_a_time(course, hand_in, capsys):
    submit(course, "ada", hand_in())
    with Course(course).lock():
        assert labkit("grade", course) == 2
    assert "another labkit grade is at work" in capsys.readouterr().err


# ------------------------------------------------------------------------- end to end


def test_five_submissions_end_to_end(course, hand_in, master, all_but, capsys):
    mistake = find("1.4").mistakes[0]
    wrong = planted(mistake)
    submit(course, "ada", hand_in())
    submit(course, "ben", master.notebook)
    submit(course, "cem", hand_in({"1.4": lambda right: f"{right}\n{wrong}"}))
    renamed = b"\xef\xbb\xbf" + json.dumps(hand_in()).encode()
    submit(course, "dee", renamed, "Lab (1).ipynb")
    submit(course, "eva", b'{"cells": [')
    stamp = "2026-11-20 10:00:00 UTC"
    (course / "submitted/ada" / LAB / "timestamp.txt").write_text(stamp)

    assert labkit("grade", course) == 1  # one could not be graded
    said = capsys.readouterr()
    assert "sandbox" not in said.err and "5/5 graded" in said.err
    assert "5 submissions" in said.out
    assert f"{mistake.__name__} (1)" in said.out
    assert "dee: The notebook was found as 'Lab (1).ipynb'." in said.out
    assert "eva: The file is no whole notebook" in said.out

    full = master.max_score
    expected = {"ada": full, "ben": 0, "cem": all_but("1.4"), "dee": full, "eva": 0}
    assert scores(course) == expected
    assert {s: result(course, s)["score"] for s in expected} == expected
    exercise = next(e for e in result(course, "cem")["exercises"] if not e["score"])
    assert exercise["number"] == "1.4"
    assert exercise["mistake"] == mistake.__name__

    # The learner reads what is wrong, beside the exercise; nobody reads the seed.
    words = " ".join(page(course, "cem").split())
    assert " ".join(mistake.__doc__.split())[:60] in words
    assert "The file is no whole notebook" in page(course, "eva")
    seed = json.loads((course / "labkit.json").read_text())["seed"]
    assert str(seed) not in page(course, "cem")

    # Nothing on the page comes from elsewhere; formulas are there without a script.
    for student in expected:
        assert not re.search(
            r"<script|<link|<iframe|url\(http|src=.http", page(course, student)
        )
    assert page(course, "cem").count("<math") > 20

    _nbgrader_goes_on(course, expected)


def _nbgrader_goes_on(course, expected):
    """Export, feedback and what formgrader shows, by nbgrader itself."""
    nbgrader(course, "export")
    with open(course / "grades.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["assignment"] == LAB]
    rows = {row["student_id"]: row for row in rows}
    assert {s: float(row["score"]) for s, row in rows.items()} == expected
    assert rows["ada"]["timestamp"] == "2026-11-20 10:00:00"

    before = page(course, "cem")
    made = api(course).generate_feedback(LAB)
    assert made["success"], made["log"]
    assert page(course, "cem") == before

    submissions = {s["student"]: s for s in api(course).get_submissions(LAB)}
    assert {s: v["score"] for s, v in submissions.items()} == expected
    assert all(
        v["autograded"] and not v["needs_manual_grade"] for v in submissions.values()
    )


@pytest.mark.usefixtures("one_warm_process")
def test_one_notebook(tmp_path, hand_in, capsys):
    path = tmp_path / f"{LAB}.ipynb"
    path.write_text(json.dumps(hand_in({"1.2": "def layer_norm(x:"})))
    assert labkit("grade", path) == 0
    said = capsys.readouterr().out
    assert "SyntaxError" in said and "1.1" in said and "right" in said
    path.write_text("{")
    assert labkit("grade", path) == 1
    path = path.rename(tmp_path / "work.ipynb")
    assert labkit("grade", path) == 2
    assert "damaged" in capsys.readouterr().err
    path.write_text('{"cells": []}')
    assert labkit("grade", path) == 2
    assert "which lab is it?" in capsys.readouterr().err


# ------------------------------------------------------------------- again and again


@pytest.mark.usefixtures("one_warm_process")
def test_unchanged_work_is_not_graded_again(course, hand_in, capsys):
    submit(course, "ada", hand_in())
    submit(course, "ben", hand_in())
    assert labkit("grade", course) == 0
    first = {s: (course / "results" / LAB / f"{s}.json").stat() for s in ("ada", "ben")}
    submit(course, "ben", hand_in({"1.1": None}))
    capsys.readouterr()
    assert labkit("grade", course) == 0
    assert "1 graded before and unchanged" in capsys.readouterr().out
    now = {s: (course / "results" / LAB / f"{s}.json").stat() for s in ("ada", "ben")}
    assert now["ada"].st_ino == first["ada"].st_ino
    assert now["ben"].st_ino != first["ben"].st_ino
    assert scores(course)["ben"] < scores(course)["ada"]
    assert "not answered" in page(course, "ben")

    (course / "gradebook.db").unlink()  # a result without its grade is not done
    assert labkit("release", course, "--lab", LAB) == 0
    assert labkit("grade", course) == 0
    assert set(scores(course)) == {"ada", "ben"}


@pytest.mark.usefixtures("one_warm_process")
def test_a_killed_run_is_taken_up(course, hand_in):
    students = [f"s{i}" for i in range(6)]
    for student in students:
        submit(course, student, hand_in({"1.7": "import time\ntime.sleep(0.5)"}))
    command = [sys.executable, "-m", "labkit", "grade", str(course)]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    results = course / "results" / LAB
    deadline = time.monotonic() + 300
    while len(list(results.glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True
    ).stdout.split()
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = {p.name: p.stat().st_ino for p in results.glob("*.json")}
    assert 2 <= len(done) < len(students)

    assert labkit("grade", course) == 0
    after = {p.name: p.stat().st_ino for p in results.glob("*.json")}
    assert len(after) == len(students) and done.items() <= after.items()
    assert len(scores(course)) == len(students)
    assert len(set(scores(course).values())) == 1
    with gradebook(course) as book:
        assert len(book.assignment_submissions(LAB)) == len(students)
    assert children
    for pid in children:  # the process for learners' code ended with its grader
        status = Path(f"/proc/{pid}/stat")
        assert not status.exists() or status.read_text().split()[2] == "Z"


class Killed(BaseException):
    """Stands for the moment at which the grader is killed."""


@pytest.mark.usefixtures("one_warm_process")
@pytest.mark.parametrize(
    "place",
    [
        "labkit.grading.gradebook.write",  # before anything is written
        "labkit.grading.gradebook.SaveAutoGrades.preprocess_cell",  # in the middle
        "labkit.grading.gradebook.Writer._penalize",
        "labkit.grading.batch.write",  # the grades are in the gradebook
        "labkit.grading.feedback.write_pages",
    ],
)
def test_killed_at_any_step(course, hand_in, all_but, place):
    """Nothing is lost, and nothing counts twice."""
    for student in ("ada", "ben"):
        folder = submit(course, student, hand_in({"1.4": None}))
        (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC\n")
    with gradebook(course) as book:
        book.update_or_create_assignment(LAB, duedate="2026-11-19 10:00:00 UTC")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, lambda *_, **__: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            labkit("grade", course)
    done = set(scores(course).items())
    assert done <= {("ada", all_but("1.4")), ("ben", all_but("1.4"))}  # all or none

    assert labkit("grade", course) == 0
    assert scores(course) == dict.fromkeys(("ada", "ben"), all_but("1.4"))
    with gradebook(course) as book:
        submissions = book.assignment_submissions(LAB)
        assert len(submissions) == 2
        grades = [g for s in submissions for n in s.notebooks for g in n.grades]
        assert len(grades) == 2 * len(book.find_notebook(LAB, LAB).grade_cells)
    assert "not answered" in page(course, "ada") and "not answered" in page(
        course, "ben"
    )


@pytest.mark.usefixtures("one_warm_process")
def test_regrading_keeps_what_a_person_wrote(course, hand_in, all_but):
    submit(course, "ada", hand_in({"1.1": None}))
    assert labkit("grade", course) == 0
    with gradebook(course) as book:
        grade = book.find_grade("check-1-1", LAB, LAB, "ada")
        grade.manual_score = 1.5
        comment = book.find_comment("exercise-1-1", LAB, LAB, "ada")
        comment.manual_comment = "Nearly: see me."
        book.db.commit()
    assert labkit("grade", course, "--force") == 0
    with gradebook(course) as book:
        grade = book.find_grade("check-1-1", LAB, LAB, "ada")
        assert (grade.auto_score, grade.manual_score) == (0, 1.5)
        assert grade.needs_manual_grade
        comment = book.find_comment("exercise-1-1", LAB, LAB, "ada")
        assert comment.manual_comment == "Nearly: see me."
    assert scores(course)["ada"] == all_but("1.1") + 1.5
    assert "Nearly: see me." in page(course, "ada")
    with gradebook(course) as book:
        comment = book.find_comment("exercise-1-1", LAB, LAB, "ada")
        comment.manual_comment = "Seen."
        book.db.commit()
    nbgrader(course, "generate_feedback", LAB, "--force")
    assert "Seen." in page(course, "ada")


@pytest.mark.usefixtures("one_warm_process")
def test_links_are_refused_and_the_rest_graded(course, hand_in, master):
    solution = course / "source" / LAB / f"{LAB}.ipynb"
    folder = submit(course, "mallory", b"")
    (folder / f"{LAB}.ipynb").unlink()
    (folder / f"{LAB}.ipynb").symlink_to(solution)
    (course / "submitted" / "oscar").symlink_to(course / "submitted" / "ada")
    submit(course, "ada", hand_in())
    assert labkit("grade", course) == 1
    assert scores(course) == {"ada": master.max_score, "mallory": 0, "oscar": 0}
    assert "symbolic link" in result(course, "oscar")["notes"][0]


@pytest.mark.usefixtures("one_warm_process")
def test_names_that_are_no_text(course, hand_in, master, capsys):
    """Unpacking an archive of another system makes them."""
    submit(course, "ada", hand_in(), os.fsdecode("résumé.ipynb".encode("latin-1")))
    submit(course, os.fsdecode("müller".encode("latin-1")), hand_in())
    assert labkit("grade", course) == 1
    said = capsys.readouterr().err
    assert "the folder 'm\\udcfcller' in submitted/ is left out" in said
    assert scores(course) == {"ada": master.max_score}
    assert result(course, "ada")["file"] == "r?sum?.ipynb"
    assert [path.name for path in (course / "autograded").iterdir()] == ["ada"]


def test_folders_that_cannot_be_read(released, hand_in):
    with reachable() as folder:
        root = shutil.copytree(released, folder / "course")
        submit(root, "ada", hand_in()).chmod(0)
        submit(root, "ben", hand_in()).parent.chmod(0)
        course = Course(root)
        assert course.students(LAB)  # and all modules imported
        with ordinary_user():
            assert course.students(LAB) == ["ada"]
            submission = course.submission(LAB, "ada")
            (left_out,) = course.left_out()
        (root / "submitted" / "ben").chmod(0o700)
        (root / "submitted" / "ada" / LAB).chmod(0o700)
    assert submission.reason == "The folder cannot be read: Permission denied."
    assert left_out == "the folder 'ben' in submitted/ is left out: it cannot be read."


@contextlib.contextmanager
def ordinary_user():
    """One whom a folder's mode keeps out, unlike root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.setresuid(12345, 12345, 0)
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)


@pytest.mark.usefixtures("one_warm_process")
def test_a_folder_of_no_lab_is_told(course, hand_in, capsys):
    submit(course, "ada", hand_in())
    submit(course, "ben", hand_in()).rename(course / "submitted" / "ben" / "lab1")
    (course / "submitted" / "ada" / ".ipynb_checkpoints").mkdir()
    assert labkit("grade", course, "--lab", "lab_01") == 0
    assert "left out" not in capsys.readouterr().err
    assert labkit("grade", course) == 1
    said = capsys.readouterr().err
    assert said.endswith("'ben/lab1' in submitted/ is left out: no lab of that name.\n")
    assert said.count("left out") == 1


@pytest.mark.usefixtures("one_warm_process")
def test_the_labs_own_name_comes_first_and_is_told(course, hand_in, master):
    submit(course, "ada", hand_in())
    assert labkit("grade", course) == 0
    assert result(course, "ada")["notes"] == []
    submit(course, "ada", master.notebook, f"{LAB} (2).ipynb")  # handed in again
    assert labkit("grade", course) == 0
    note = f"2 notebooks handed in; graded '{LAB}.ipynb'."
    assert result(course, "ada")["notes"] == [note]
    assert scores(course) == {"ada": master.max_score}


@pytest.mark.usefixtures("one_warm_process")
def test_the_exchange_returns_the_feedback(course, hand_in, tmp_path):
    """nbgrader collect leaves beside a notebook what release_feedback asks for."""
    folder = submit(course, "ada", hand_in())
    (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC")
    (folder / "submission_secret.txt").write_text("5ec2e7")
    assert labkit("grade", course) == 0
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    config = course / "nbgrader_config.py"
    config.write_text(f"{config.read_text()}\nc.Exchange.root = {str(exchange)!r}\n")
    done = api(course).release_feedback(LAB)
    assert done["success"], done["log"]
    (returned,) = exchange.rglob("*.html")
    assert returned.read_text() == page(course, "ada")
    assert returned.stem == notebook_hash(secret="5ec2e7", notebook_id=LAB)


@pytest.mark.usefixtures("one_warm_process")
def test_a_new_seed_grades_everything_again(course, hand_in):
    submit(course, "ada", hand_in())
    assert labkit("grade", course) == 0
    before = result(course, "ada")["seed"]
    (course / "labkit.json").write_text('{"seed": 7}')
    assert labkit("grade", course) == 0
    assert result(course, "ada")["seed"] == own_seed(7, LAB, "ada") != before


@pytest.mark.usefixtures("one_warm_process")
def test_a_late_penalty_ends_with_its_cause(course, hand_in, master):
    config = course / "nbgrader_config.py"
    zero = 'c.LateSubmissionPlugin.penalty_method = "zero"'
    config.write_text(f"{config.read_text()}\n{zero}\n")
    folder = submit(course, "ada", hand_in())
    with gradebook(course) as book:
        book.update_or_create_assignment(LAB, duedate="2026-11-19 10:00:00 UTC")
    for day, penalty in (("20", master.max_score), ("18", 0)):
        (folder / "timestamp.txt").write_text(f"2026-11-{day} 10:00:00 UTC\n")
        assert labkit("grade", course) == 0
        with gradebook(course) as book:
            submission = book.find_submission(LAB, "ada")
            assert submission.late_submission_penalty == penalty


@pytest.mark.usefixtures("one_warm_process")
def test_late_work_is_graded_in_full(course, hand_in, master):
    folder = submit(course, "ada", hand_in())
    (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC\n")
    with gradebook(course) as book:
        book.update_or_create_assignment(LAB, duedate="2026-11-19 10:00:00 UTC")
    assert labkit("grade", course) == 0
    with gradebook(course) as book:
        late = book.find_submission(LAB, "ada")
        assert late.total_seconds_late == 24 * 3600
        assert (late.score, late.late_submission_penalty) == (master.max_score, 0)


# ----------------------------------------------------------- odd folders, other graders


@pytest.mark.usefixtures("one_warm_process")
def test_one_odd_folder_leaves_only_itself_out(course, hand_in, master, capsys):
    submit(course, "ada", hand_in())
    for name in ("x" * 251, "line\nbreak", "dot.", "=1+1", ".hidden"):
        submit(course, name, hand_in())
    (course / "submitted" / "file").write_text("no folder")
    (course / "submitted" / "ben").mkdir()
    (course / "submitted" / "ben" / LAB).write_text("no folder either")
    (course / "submitted" / "cem").mkdir()
    (course / "submitted" / "cem" / f"{LAB}.ipynb").write_text("a folder too high")
    (course / "autograded").mkdir()
    (course / "autograded" / "dee").write_text("a file in its place")
    submit(course, "dee", hand_in())
    assert labkit("grade", course) == 1
    said = capsys.readouterr()
    for name in ("xxx", r"line\nbreak", "'dot.'", "'=1+1'", "'.hidden'", "'file'"):
        assert f"{name}" in said.err, name
    assert f"'cem/{LAB}.ipynb' in submitted/ is left out" in said.err
    assert "dee: " in said.err and "left out, the others are graded" in said.err
    assert f"{LAB} is a file; a folder of that name is wanted." in said.out
    assert scores(course)["ada"] == master.max_score
    assert "✓" in page(course, "ada")


@pytest.mark.usefixtures("one_warm_process")
def test_nbgraders_autograde_in_between_is_noticed_and_repaired(
    course, hand_in, master, capsys
):
    submit(course, "ada", hand_in())
    submit(course, "eve", hand_in(dict.fromkeys(("1.1", "1.2", "1.3"))))
    assert labkit("grade", course) == 0
    deserved = scores(course)
    with gradebook(course) as book:  # as nbgrader autograde and a person write them
        for check, kind in (("check-1-1", "auto_score"), ("check-1-2", "manual_score")):
            setattr(book.find_grade(check, LAB, LAB, "eve"), kind, 2)
        book.db.commit()
    capsys.readouterr()
    assert labkit("grade", course) == 0
    said = capsys.readouterr().out
    assert "the automatic grades of eve are no longer as labkit grade left them" in said
    assert scores(course) == deserved | {"eve": deserved["eve"] + 2}
    autograded = course / "autograded" / "ada" / LAB / f"{LAB}.ipynb"
    ours = autograded.read_bytes()
    autograded.chmod(0o644)
    autograded.write_bytes(ours.replace(b"print", b"tnirp"))
    assert labkit("grade", course) == 0
    assert "grades of ada are no longer" in capsys.readouterr().out
    assert autograded.read_bytes() == ours
    assert labkit("grade", course) == 0
    assert "no longer" not in capsys.readouterr().out


@pytest.mark.usefixtures("one_warm_process")
def test_a_due_date_that_moves_changes_penalties(course, hand_in, master, capsys):
    config = course / "nbgrader_config.py"
    zero = 'c.LateSubmissionPlugin.penalty_method = "zero"'
    config.write_text(f"{config.read_text()}\n{zero}\n")
    for student in ("ada", "ben"):
        folder = submit(course, student, hand_in())
        (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC\n")
    (folder / "timestamp.txt").write_text("soon\n")
    due = {"21": (0, 0), "19": (master.max_score, 0), "22": (0, 0)}
    for day, penalties in due.items():
        with gradebook(course) as book:
            book.update_or_create_assignment(LAB, duedate=f"2026-11-{day} 10:00:00 UTC")
        assert labkit("grade", course) == 0
        with gradebook(course) as book:
            found = [book.find_submission(LAB, s) for s in ("ada", "ben")]
            assert tuple(s.late_submission_penalty for s in found) == penalties
    said = capsys.readouterr().out
    assert "late penalties changed for ada." in said and "2 graded before" in said
    assert (
        "whether the work came late is not known" in result(course, "ben")["notes"][0]
    )


@pytest.mark.usefixtures("one_warm_process")
def test_what_a_killed_run_left_behind_is_ended(course, hand_in, capsys):
    submit(course, "ada", hand_in())
    mark = orphans.mark_of(course.resolve())
    environment = os.environ | {"LABKIT_RUN": mark}
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(waits, env=environment)
    left.send_signal(signal.SIGSTOP)
    other = subprocess.Popen(waits, env=os.environ | {"LABKIT_RUN": "another"})
    try:
        assert labkit("grade", course) == 0
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        left.kill()
        other.kill()
    assert "a killed run had left behind (1)" in capsys.readouterr().out
