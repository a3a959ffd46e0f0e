"""Points into the platform's own table: each row accounted for, no other cell moved."""

import pytest

from labkit.grading.course import CourseError
from labkit.platforms.export import Points, as_csv, into_canvas, into_moodle
from labkit.platforms.table import Table

LAB = "lab_01_layer_normalization"
FOUND = {
    "ada_1": Points("ada_1", 8.5, 13.0),
    "ben_2": Points("ben_2", 13.0, 13.0, ("check-1-2",)),
    "eve_9": Points("eve_9", 3.0, 13.0),
}
CANVAS = (
    "Student,ID,SIS Login ID,Section,Lab 1 (9871),Lab 10 (9880),Final Score\r\n"
    ",,,,Manual Posting,,\r\n"
    "    Points Possible,,,,13.00,5.00,(read only)\r\n"
    '"Lovelace, Ada",1,ada,"A ""and"" B",,N/A,85.00\r\n'
    "Ben,2,ben,A,7.00,EX,\r\n"
    "Cem,3,cem,A,EX,,\r\n"
    '"Student, Test",4099,x1f,A,,,\r\n'
)


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return Table(path)


def test_canvas_gets_one_cell_and_no_other_byte(tmp_path):
    made = into_canvas(table(tmp_path, CANVAS), FOUND, {}, LAB, "")
    filled = CANVAS.replace('B",,N/A', 'B",8.5,N/A')
    assert made.data.decode() == filled
    assert made.written == ["ada_1"]
    assert made.said == [
        "ben_2: check-1-2 waits for a person; left out.",
        "Cem: no work is graded; the row stays.",
        "eve_9 is not in the platform's table.",
    ]


def test_another_maximum_and_no_column_stop_it(tmp_path):
    other = table(tmp_path, CANVAS.replace("13.00", "10.00"))
    with pytest.raises(CourseError, match="has 10.00 points in Canvas"):
        into_canvas(other, FOUND, {}, LAB, "")
    with pytest.raises(CourseError, match="'Lab' fits 'Lab 1 .9871.', 'Lab 10"):
        into_canvas(table(tmp_path, CANVAS), FOUND, {}, LAB, "Lab")


MOODLE = (
    '\ufeffID;"Vollständiger Name";Status;Bewertung;Bestwertung;'
    '"Zuletzt geändert (Bewertung)"\n'
    '"Teilnehmer/in500";"Ada Lovelace";"Zur Bewertung; abgegeben";;13,00;-\n'
    '"Teilnehmer/in501";"Ben";x;;10,00;-\n'
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_moodle_in_the_teachers_language(tmp_path, encoding):
    found = {
        "Ada Lovelace": Points("Ada Lovelace", 8.5, 13.0),
        "Ben 501": Points("Ben 501", 2.0, 13.0),
    }
    sheet = table(tmp_path, MOODLE, encoding)
    made = into_moodle(sheet, found, {"Ben 501": "501"})
    assert made.data.decode(sheet.encoding).lstrip("\ufeff") == MOODLE.replace(
        'abgegeben";;', 'abgegeben";8,5;'
    ).lstrip("\ufeff")
    assert made.data[:3] == MOODLE.encode(encoding)[:3]
    assert made.said == [
        "Ben 501: its maximum is 10,00 here and 13 in the lab; the row stays."
    ]


def test_a_table_is_safe_in_a_spreadsheet():
    found = {name: Points(name, 1, 13) for name in ("=1+1", " -1", "@x", "ada")}
    lines = as_csv(found, LAB).data.decode().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["'=1+1", "' -1", "'@x", "ada"]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"\xe4"])
def test_what_is_no_table_is_said(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(ValueError, match="is empty|not a table"):
        Table(tmp_path / "t.csv")
