"""Downloads of a class of 40, with all that is odd: each file is placed or said."""

import io
import json
import zipfile

import pytest

from labkit import commands
from labkit.grading.course import Course
from labkit.platforms import names, roster
from labkit.platforms.collect import place, plan_of

LAB = "lab_01_layer_normalization"
CLASS = [f"Learner {i:02}" for i in range(40)]


@pytest.fixture
def course(tmp_path):
    """As little of a course as collecting needs."""
    root = tmp_path / "course"
    (root / "source" / LAB).mkdir(parents=True)
    (root / "source" / LAB / f"{LAB}.ipynb").write_text("{}")
    (root / "nbgrader_config.py").write_text("c = get_config()\n")
    return Course(root)


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def canvas_class():
    files, rows = {}, ["Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (9871)"]
    rows.append("    Points Possible,,,,,13.00")
    for i, name in enumerate(CLASS):
        rows.append(f'"{name}",{4000 + i},S{i},login{i},A,')
        if i != 7:
            late = "_LATE" if i == 3 else ""
            who = name.lower().replace(" ", "")
            files[f"{who}{late}_{4000 + i}_{88000 + i}_lab 1.ipynb"] = f"{i}"
    files["learner09_4009_99009_helpers.py"] = "py"
    files["stranger_5000_99100_lab1.ipynb"] = "?"
    files["learner10_4010_text.html"] = "text"
    files["__MACOSX/._learner10_4010_text.html"] = ""
    return files, "\r\n".join(rows) + "\r\n"


def test_canvas(tmp_path, course):
    files, table = canvas_class()
    (tmp_path / "gradebook.csv").write_text(table)
    people = roster.read(tmp_path / "gradebook.csv")
    assert len(people) == 40
    plan = plan_of(zipped(tmp_path / "all.zip", files), LAB, people)
    assert plan.platform == "canvas" and len(plan.files) == 40
    assert plan.said == [
        "learner03_4003: marked late by the platform; when it came is not in the "
        "download.",
        "Learner 07 (4007) is missing.",
        "stranger_5000 is not in the roster.",
    ]
    assert place(plan, course) == []
    folder = course.path("submitted", "learner09_4009", LAB)
    assert sorted(p.name for p in folder.iterdir()) == ["helpers.py", f"{LAB}.ipynb"]
    placed = [p for p in course.root.glob("submitted/*/*/*")]
    assert len(placed) == len(files) - 1  # all but the system's own


def test_moodle(tmp_path, course):
    rows = ['Identifier,"Full name","Email address",Grade,"Maximum grade",'
            '"Last modified (submission)"']  # fmt: skip
    files = {}
    for i, name in enumerate(CLASS):
        name = "Learner 01" if i == 2 else name  # two of one name
        at = '"Tuesday, 3 February 2026, 9:00 PM"' if i != 5 else "-"
        row = f'"Participant {500 + i}","{name}",{i}@uni.example,,13.00,{at}'
        rows.append(row)
        if i != 5:
            files[f"{name}_{500 + i}_assignsubmission_file/sub/lab1.ipynb"] = f"{i}"
    files["Stranger_999_assignsubmission_file_/lab1.ipynb"] = "?"
    files["loose.ipynb"] = "whose?"
    (tmp_path / "sheet.csv").write_text("\ufeff" + "\n".join(rows) + "\n", "utf-8")
    people = roster.read(tmp_path / "sheet.csv")
    download = zipped(tmp_path / "all.zip", files)
    plan = plan_of(download, LAB, people, "Europe/Berlin")
    assert plan.platform == "moodle" and len(plan.files) == 40
    assert {"Learner 01 501", "Learner 01 502"} <= set(plan.files)
    assert plan.times["Learner 00"] == "2026-02-03 20:00:00.000000 UTC"
    assert plan.said == [
        "'loose.ipynb' is not placed: its name says no learner.",
        "Learner 05 (505) is missing.",
        "Stranger is not in the roster.",
    ]
    unzoned = plan_of(download, LAB, people)
    assert unzoned.times == {} and "say --zone to take it" in unzoned.said[1]
    place(plan, course)
    stamp = course.path("submitted", "Learner 00", LAB) / "timestamp.txt"
    assert stamp.read_text().startswith("2026-02-03 20:00:00")


def test_gradescope_with_a_team(tmp_path):
    about = """submission_409:
  :submitters:
  - :name: Ada Lovelace
    :sid: '0100'
    :email: ada@uni.example
  - :name: Ben
    :sid: 0200
  :created_at: 2026-02-03 20:00:00.861687000 Z
submission_410:
  :submitters: []
"""
    download = zipped(
        tmp_path / "all.zip",
        {
            "assignment_9100_export/submission_metadata.yml": about,
            "assignment_9100_export/submission_409/lab1.ipynb": "both",
            "assignment_9100_export/submission_410/lab1.ipynb": "nobody",
        },
    )
    plan = plan_of(download, LAB)
    assert plan.platform == "gradescope"
    assert {s: [d for _, d in files] for s, files in plan.files.items()} == {
        "0200": [b"both"],
        "ada@uni.example": [b"both"],
    }
    assert plan.times["0200"] == "2026-02-03 20:00:00.861687 UTC"
    (said,) = plan.said
    assert "submission_410/lab1.ipynb' is not placed" in said


def test_folders_and_single_files(tmp_path):
    (tmp_path / "all" / "ada").mkdir(parents=True)
    (tmp_path / "all" / "ada" / "x.ipynb").write_text("x")
    (tmp_path / "all" / "ben.ipynb").write_text("y")
    (tmp_path / "all" / "read me.txt").write_text("z")
    plan = plan_of(tmp_path / "all", LAB)
    assert set(plan.files) == {"ada", "ben"}
    assert plan.said == ["'read me.txt' is not placed: its name says no learner."]


def test_nothing_leaves_its_folder(tmp_path, course):
    files = {"ada/../../../x.ipynb": "x", "ada/ok.ipynb": "y"}
    plan = plan_of(zipped(tmp_path / "all.zip", files), LAB)
    assert plan.said == [
        "'ada/../../../x.ipynb' is not placed: its name leaves its folder."
    ]
    place(plan, course)
    assert [p.name for p in course.root.rglob("*.ipynb") if "submitted" in str(p)] == [
        f"{LAB}.ipynb"
    ]


def test_earlier_work_stays_until_it_is_said(tmp_path, course):
    first = plan_of(zipped(tmp_path / "1.zip", {"ada/x.ipynb": "1"}), LAB)
    second = plan_of(zipped(tmp_path / "2.zip", {"ada/x.ipynb": "2"}), LAB)
    assert place(first, course) == place(first, course) == []
    assert place(second, course) == [
        "ada has other work in submitted/; --replace takes this."
    ]
    path = course.path("submitted", "ada", LAB) / f"{LAB}.ipynb"
    assert path.read_text() == "1"
    assert place(second, course, replacing=True) == [] and path.read_text() == "2"


@pytest.mark.parametrize(
    ("path", "student", "original", "late"),
    [
        ("lovelaceada_4021_88123_lab1.ipynb", "lovelaceada_4021", "lab1.ipynb", False),
        ("nuñezjosé_LATE_4022_88130_a b.ipynb", "nuñezjosé_4022", "a b.ipynb", True),
        ("lovelaceada_4021_88190_lab1-1.ipynb", "lovelaceada_4021", "lab1-1.ipynb", 0),
        ("lovelaceada_4021_text.html", "lovelaceada_4021", "text.html", False),
        ("anon_Ab1cD_88123_lab1.ipynb", "anon_Ab1cD", "lab1.ipynb", False),
        ("LATE_anon_Ab1cD_88123_lab1.ipynb", "anon_Ab1cD", "lab1.ipynb", True),
        ("team_7_4021_88140_x.ipynb", "team_7_4021", "x.ipynb", False),
    ],
)
def test_canvas_names(path, student, original, late):
    (found,) = names.canvas(path, {"4021", "4022"})
    assert (found.student, found.original, found.late) == (student, original, late)


def test_the_command_says_first_and_then_does(tmp_path, course, capsys):
    download = zipped(tmp_path / "all.zip", {"ada/x.ipynb": json.dumps({})})
    command = ["collect", str(download), str(course.root), "--lab", "1"]
    assert commands.main([*command, "--dry-run"]) == 0
    assert "ada: x.ipynb" in capsys.readouterr().out
    assert not (course.root / "submitted").exists()
    assert commands.main(command) == 0
    assert (course.root / "submitted" / "ada" / LAB / f"{LAB}.ipynb").exists()
    (tmp_path / "no.zip").write_bytes(io.BytesIO(b"PK").read())
    command[1] = str(tmp_path / "no.zip")
    assert commands.main(command) == 2
    assert "neither a folder nor a zip" in capsys.readouterr().err
