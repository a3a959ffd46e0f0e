"""The time in a timestamp.txt: read where it is certain, said where it is not.

nbgrader's own reading takes 03/11 for the 11th of March, "+0100" for a hundred seconds
and unknown zones for UTC, without a word.
"""

import re
import warnings
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import dateutil.parser
import dateutil.tz

YEAR_FIRST = re.compile(
    r"(?P<y>\d{4})[-/.](?P<m>\d\d?)[-/.](?P<d>\d\d?)[T ]+(?P<rest>.+)"
)
DAY_FIRST = re.compile(
    r"(?P<d>\d\d?)(?P<by>[-/.])(?P<m>\d\d?)[-/.](?P<y>\d{4})[T, ]+(?P<rest>.+)"
)
TIME = re.compile(
    r"(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?(?: *(?P<noon>[AaPp])\.?[Mm]\.?)?"
    r" *(?P<zone>\S*)"
)
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
ZONE_LAST = re.compile(r"(?P<rest>.+\S) +(?P<zone>\w+/[\w/]+|UTC|GMT|[+-]\d\d:?\d\d)")
MONTH = re.compile(r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.I)


def read_time(data: bytes) -> tuple[str, str]:
    """The time as nbgrader reads it ("2026-11-20 10:00:00.000000 UTC"), or "" and a
    sentence that says why there is none."""
    try:
        text = _decoded(data).strip()
        return f"{_utc(text):%Y-%m-%d %H:%M:%S.%f} UTC", ""
    except (ValueError, OverflowError):
        shown = repr(" ".join(data[:60].decode("utf-8", "replace").split()))
        return "", (
            f"The time in timestamp.txt cannot be told for certain ({shown}): whether "
            "the work came late is not known."
        )


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _utc(text: str) -> datetime:
    """Raises ValueError for what may mean several times, or none."""
    if found := YEAR_FIRST.fullmatch(text):
        year, month, day = (int(found[name]) for name in "ymd")
        return _at(datetime(year, month, day), found["rest"])
    if found := DAY_FIRST.fullmatch(text):
        year, month, day = (int(found[name]) for name in "ymd")
        if found["by"] != ".":  # with dots the day comes first wherever it is written
            if month > 12 >= day:
                month, day = day, month
            elif day <= 12 and day != month:
                raise ValueError("day or month first")
        return _at(datetime(year, month, day), found["rest"])
    if MONTH.search(text):
        zone = None
        if found := ZONE_LAST.fullmatch(text):
            text, zone = found["rest"], _zone(found["zone"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                return _without_zone(dateutil.parser.parse(text), zone)
            except Warning as unknown:
                raise ValueError(str(unknown)) from None
    raise ValueError("no time")


def _at(day: datetime, rest: str) -> datetime:
    """The time of this day, in UTC, where no zone means UTC as in nbgrader."""
    found = TIME.fullmatch(rest)
    if not found:
        raise ValueError("no time of day")
    hour, minute, second = (int(found[i] or 0) for i in (1, 2, 3))
    if found["noon"]:
        hour = hour % 12 + (12 if found["noon"] in "pP" else 0)
    micro = int((found[4] or "0").ljust(6, "0"))
    return _without_zone(
        day.replace(hour=hour, minute=minute, second=second, microsecond=micro),
        _zone(found["zone"]),
    )


def _zone(name: str) -> tzinfo:
    if name.upper() in ("", "Z", "UTC", "GMT"):
        return UTC
    if found := OFFSET.fullmatch(name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(offset if found[1] == "+" else -offset)
    zone = dateutil.tz.gettz(name)
    if zone is None:
        raise ValueError(f"no zone {name}")
    return zone


def _without_zone(when: datetime, zone: tzinfo | None = None) -> datetime:
    when = when.replace(tzinfo=zone) if zone else when
    return when - (when.utcoffset() or timedelta()) if when.tzinfo else when
