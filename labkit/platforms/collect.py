"""A platform's download into a course's submitted/: nothing unplaced is unsaid.

plan = plan_of(download, course, lab, roster)     what would be done
place(plan, course)                               done
"""

import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from labkit.grading.course import Course, CourseError, unfit
from labkit.grading.submission import SIZE_LIMIT, Unreadable, read_bytes
from labkit.grading.timestamp import read_time
from labkit.paths import write
from labkit.platforms import names
from labkit.platforms.names import Handed
from labkit.platforms.roster import Person

MANY = 20_000  # files in a download
RECORD = "collected.json"  # in the course directory: how a platform called each file


@dataclass
class Plan:
    """What a download holds.

    files      by student, what is placed
    times      by student, the text of a timestamp.txt
    said       what a person should know, one sentence each
    """

    platform: str
    lab: str
    files: dict[str, list[tuple[Handed, bytes]]] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def plan_of(
    download: Path, lab: str, roster: list[Person] = (), zone: str = ""
) -> Plan:
    """Who handed in what.

    zone   of the times in Moodle's worksheet, e.g. Europe/Berlin

    Raises CourseError for what is no download.
    """
    entries = dict(_entries(download))
    platform = names.platform_of(list(entries))
    plan, found = Plan(platform, lab), defaultdict(list)
    for handed in _handed(platform, entries, roster, plan):
        found[handed.student, handed.key].append(handed)
    by_key = {person.key: person for person in roster if person.key}
    called = Counter(student for student, _ in found)
    for (student, key), files in sorted(found.items()):
        if called[student] > 1:  # several of one name, or none
            student = f"{student} {key}"
        if why := unfit(student):
            plan.said.append(f"{student!r} is not placed: {why}")
            continue
        contents = [(handed, _content(entries[handed.path])) for handed in files]
        for handed, data in contents:
            if data is None:
                plan.said.append(
                    f"{handed.path!r} is not placed: too large or damaged."
                )
        plan.files[student] = [(h, d) for h, d in contents if d is not None]
        _tell_times(plan, student, files, by_key.get(key), zone)
    _compare(plan, found, roster)
    return plan


def _handed(platform, entries, roster, plan: Plan) -> Iterator[Handed]:
    """Whose each file is; those that are nobody's are said."""
    ids, about = {p.key for p in roster}, {}
    for path, read in entries.items():
        if path.endswith(names.METADATA):
            try:
                about = names.read_metadata((_content(read) or b"").decode("utf-8-sig"))
            except ValueError as problem:
                raise CourseError(str(problem)) from None
    for path in entries:
        if path.endswith(names.METADATA):
            continue
        mine = {
            "canvas": lambda path=path: names.canvas(path, ids),
            "moodle": lambda path=path: names.moodle(path),
            "gradescope": lambda path=path: names.gradescope(path, about),
            "plain": lambda path=path: names.plain(path),
        }[platform]()
        if not mine:
            plan.said.append(f"{path!r} is not placed: its name says no learner.")
        for handed in mine:
            parts = PurePosixPath(handed.original).parts
            if any(part in ("..", "/") for part in parts):
                plan.said.append(f"{path!r} is not placed: its name leaves its folder.")
            else:
                yield handed


def _tell_times(plan, student, files, person: Person | None, zone: str) -> None:
    said = next((h.time for h in files if h.time), "")
    if not said and person and person.time:
        said = f"{person.time} {zone}" if zone else ""
        if not zone:
            plan.said.append(
                f"{student}: the worksheet says {person.time!r}; say --zone to take it."
            )
    if said:
        stamp, problem = read_time(said.encode())
        if stamp:
            plan.times[student] = stamp
        else:
            plan.said.append(f"{student}: {problem}")
    elif any(h.late for h in files):
        plan.said.append(
            f"{student}: marked late by the platform; when it came is not in the "
            "download."
        )


def _compare(plan: Plan, found, roster: list[Person]) -> None:
    """Who is missing, who is unknown."""
    if not roster:
        return
    keys, called = {key for _, key in found if key}, {name for name, _ in found}
    for person in roster:
        if not (person.key in keys if person.key else person.name in called):
            plan.said.append(f"{person.name} ({person.key or 'no number'}) is missing.")
    known, people = {p.key for p in roster if p.key}, {p.name for p in roster}
    for student, key in sorted(found):
        if (key not in known) if key and known else student not in people:
            plan.said.append(f"{student} is not in the roster.")


def place(plan: Plan, course: Course, replacing: bool = False) -> list[str]:
    """Write what is planned. Returns a sentence for each whose earlier work stays, as
    long as it is not said that it is to be replaced."""
    kept, record = [], _record(course)
    for student, files in plan.files.items():
        folder = course.path("submitted", student, plan.lab)
        notebooks = [h for h, _ in files if h.original.lower().endswith(".ipynb")]
        wanted = {}
        for handed, data in files:
            name = handed.original
            if notebooks == [handed]:
                name = f"{plan.lab}.ipynb"
            wanted[folder / name] = data
        if student in plan.times:
            wanted[folder / "timestamp.txt"] = plan.times[student].encode() + b"\n"
        there = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        if there and there != wanted and not replacing:
            kept.append(
                f"{student} has other work in submitted/; --replace takes this."
            )
            continue
        for path in there.keys() - wanted.keys():
            path.unlink()
        for path, data in wanted.items():
            write(path, data)
        record.setdefault(plan.lab, {})[student] = {
            "platform": plan.platform,
            "path": files[0][0].path if files else "",
            "key": files[0][0].key if files else "",
        }
    write(course.root / RECORD, json.dumps(record, indent=1) + "\n")
    return kept


def _record(course: Course) -> dict:
    try:
        return json.loads((course.root / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def keys_of(course: Course, lab: str) -> dict[str, str]:
    """The platform's number of each student whose work was collected."""
    found = _record(course).get(lab, {})
    return {student: about["key"] for student, about in found.items() if about["key"]}


def _entries(download: Path) -> Iterator[tuple[str, object]]:
    """Path and reader of every file of a zip or a folder; systems' own left aside."""
    if download.is_dir():
        found = (p for p in sorted(download.rglob("*")) if p.is_file())
        for count, path in enumerate(found):
            inside = path.relative_to(download).as_posix()
            if count >= MANY:
                raise CourseError(f"{download} holds more than {MANY:,} files.")
            if not _systems(inside):
                yield inside, lambda path=path: read_bytes(path, download)
        return
    try:
        data = download.read_bytes()
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise CourseError(f"{download} is neither a folder nor a zip.") from None
    infos = [i for i in archive.infolist() if not i.is_dir()]
    if len(infos) > MANY:
        raise CourseError(f"{download} holds more than {MANY:,} files.")
    for info in infos:
        if not _systems(info.filename):
            yield (
                info.filename,
                lambda info=info: archive.open(info).read(SIZE_LIMIT + 1),
            )


def _systems(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return any(
        part == "__MACOSX" or part.startswith(".") for part in parts if part != ".."
    )


def _content(read) -> bytes | None:
    """The bytes of a file, None for one that is too large or cannot be read."""
    try:
        data = read()
    except (Unreadable, OSError, zipfile.BadZipFile, RuntimeError, EOFError):
        return None
    return data if len(data) <= SIZE_LIMIT else None
