"""The time of a submission: read where it is certain, and never guessed."""

import pytest

from labkit.grading.timestamp import read_time

NINE = "2026-11-03 09:00:00.000000 UTC"


@pytest.mark.parametrize(
    "data",
    [
        b"2026-11-03 09:00:00 UTC",
        b"2026-11-03 09:00:00.000000 UTC\r\n",
        b"\xef\xbb\xbf2026-11-03 09:00:00 UTC\r\n",
        "2026-11-03 09:00:00 UTC".encode("utf-16"),
        b"2026-11-03T09:00:00Z",
        b"2026-11-03 09:00",
        b"2026-11-03 10:00:00 +0100",
        b"2026-11-03T10:00:00+01:00",
        b"2026-11-03 10:00:00 Europe/Berlin",
        b"03.11.2026 09:00",
        b"Tuesday, 3 November 2026, 9:00 AM",
        b"2026/11/03 9:00 am",
    ],
)
def test_one_time_in_many_spellings(data):
    assert read_time(data) == (NINE, "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"03/11/2026 09:00",  # or the 11th of March
        b"2026-11-03 09:00:00 PST",  # a zone of several
        b"2026-11-03 25:00:00",
        b"2026-13-03 09:00:00",
        b"yesterday",
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b"9" * 100,
        b"tomorrow, 3 November 2026, 9:00 PM somewhere",
    ],
)
def test_an_uncertain_time_is_said(data):
    stamp, problem = read_time(data)
    assert stamp == ""
    assert problem.endswith("late is not known.") and "\n" not in problem


def test_what_can_only_be_the_day_is_the_day():
    assert read_time(b"20/11/2026 09:00") == read_time(b"11/20/2026 09:00")
    assert read_time(b"20/11/2026 09:00")[0].startswith("2026-11-20")
    assert read_time(b"11/11/2026 09:00")[0].startswith("2026-11-11")
