"""Whose a file in a download is, as each platform names it.

Canvas      instructure/canvas-lms, lib/content_zipper.rb
Moodle      moodle/moodle, mod/assign/classes/downloader.php
Gradescope  no specification is public; as gist m13253/f3e418a556df9506f7494e0f9cd8e80f
            reads its submission_metadata.yml
"""

import re
from dataclasses import dataclass

import yaml

# lovelaceada_LATE_4021_88123_lab1.ipynb; without an attachment's number where a text or
# a link was handed in (4021_text.html). Anonymous ones begin with anon_ and a code.
CANVAS = re.compile(
    r"(?:LATE_)?(?P<name>.+?)(?P<late>_LATE)?_(?P<id>\d+)_(?:(?P<file>\d+)_)?(?P<original>.+)"
)
ANONYMOUS = re.compile(r"(?P<late>LATE_)?anon_(?P<code>\w+?)_\d+_(?P<original>.+)")
# Ada Lovelace_123456_assignsubmission_file/lab1.ipynb: the number is the assignment's.
# Before Moodle 4.1 with a last "_"; flat archives have it in place of the "/".
MOODLE = re.compile(
    r"(?P<name>[^/]+)_(?P<number>\d+)_assignsubmission_(?P<kind>file|onlinetext)_?"
    r"/?(?P<original>.+)"
)
GRADESCOPE = re.compile(r"(?:.*/)?(?P<submission>submission_\d+)/(?P<original>.+)")
METADATA = "submission_metadata.yml"


@dataclass(frozen=True)
class Handed:
    """A file of a download, and whose it is.

    student   what the learner is called in the course directory
    original  the file's name as the learner had it
    key       the platform's number of the learner (Canvas) or of the learner in this
              assignment (Moodle), "" where it has none
    late      whether the platform marks it
    time      when it was handed in, where the download says so
    """

    student: str
    original: str
    path: str
    key: str = ""
    late: bool = False
    time: str = ""


def platform_of(paths: list[str]) -> str:
    """Whose download has such paths; "plain" where folders are named after learners."""
    if any(path.split("/")[-1] == METADATA for path in paths):
        return "gradescope"
    if any(MOODLE.fullmatch(path) for path in paths):
        return "moodle"
    flat = [path for path in paths if "/" not in path]
    matching = [p for p in flat if CANVAS.fullmatch(p) or ANONYMOUS.fullmatch(p)]
    return "canvas" if flat and len(matching) * 2 > len(paths) else "plain"


def canvas(path: str, ids: set[str] = frozenset()) -> list[Handed]:
    """ids   the numbers in the gradebook: they tell team_7_4021_88140_x.ipynb"""
    if found := ANONYMOUS.fullmatch(path):
        late, code = bool(found["late"]), found["code"]
        return [Handed(f"anon_{code}", found["original"], path, code, late)]
    found = CANVAS.fullmatch(path)
    if not found:
        return []
    name, key, original = found["name"], found["id"], found["original"]
    if ids and key not in ids:
        for other in re.finditer(r"(?=_(\d+)_)", path):
            if other[1] in ids:
                name, key = path[: other.start()], other[1]
                rest = path[other.start() + len(key) + 2 :]
                original = re.sub(r"^\d+_", "", rest)
                break
    return [Handed(f"{name}_{key}", original, path, key, bool(found["late"]))]


def moodle(path: str) -> list[Handed]:
    found = MOODLE.fullmatch(path)
    if not found:
        return []
    name = " ".join(found["name"].split())
    return [Handed(name, found["original"], path, found["number"])]


def gradescope(path: str, submitters: dict[str, dict]) -> list[Handed]:
    """One for each of a group.

    submitters   from `read_metadata`
    """
    found = GRADESCOPE.fullmatch(path)
    about = submitters.get(found["submission"]) if found else None
    if not about:
        return []
    return [
        Handed(student, found["original"], path, time=about["time"])
        for student in about["students"]
    ]


def read_metadata(text: str) -> dict[str, dict]:
    """What submission_metadata.yml says of each submission: its students and its time.

    Raises ValueError for what it is not.
    """
    try:
        data = yaml.load(text, Loader=yaml.BaseLoader)  # 0100 stays as it is
        return {
            name: {
                "students": [s for s in map(_student, _part(about, "submitters")) if s],
                "time": str(_part(about, "created_at") or ""),
            }
            for name, about in data.items()
        }
    except (yaml.YAMLError, AttributeError, TypeError) as problem:
        raise ValueError(f"{METADATA} is damaged: {type(problem).__name__}") from None


def _part(about: dict, name: str):
    """Ruby's keys keep their colon."""
    return about.get(f":{name}") or about.get(name) or []


def _student(person: dict) -> str:
    return next(
        (str(v) for k in ("email", "sid", "name") if (v := _part(person, k))), ""
    )


def plain(path: str) -> list[Handed]:
    """A folder is a learner; so is a notebook that lies by itself."""
    student, _, original = path.partition("/")
    if original:
        return [Handed(student, original, path)]
    stem = re.sub(r"\.ipynb$", "", student, flags=re.IGNORECASE)
    return [Handed(stem, student, path)] if stem != student else []
