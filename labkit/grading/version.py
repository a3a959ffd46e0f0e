"""Which version graded: labkit's, with a digest of the code that decides the verdicts.

A stored result is current as long as this is the same. Pages, tables and the gradebook
are left out: whoever changes them need not grade a class again.
"""

import hashlib
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
DECIDING = (  # besides the checks
    "lab.py",  # what an exercise of a lab is
    "grading/handed_in.py",  # which file is graded
    "grading/submission.py",  # which cells there are
    "grading/source.py",  # what they define
    "grading/rebuild.py",  # which of them answer it
    "grading/grade.py",  # what runs beside an answer
    "grading/sandbox/process.py",  # how the answer is run and asked
    "grading/judge.py",  # what is said of the replies
    "grading/flags.py",  # what is said of the source
)


@cache
def grader_version(lab: str) -> str:
    """Of what decides the verdicts on this lab, as it stands in a result."""
    digest = hashlib.sha256()
    for path in sources_of(lab):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE)} {len(data)}\n".encode() + data)
    return f"{version('labkit')}+{digest.hexdigest()[:12]}"


def sources_of(lab: str) -> list[Path]:
    """The files that decide: the engine of all checks; how answers are found, run and
    judged; this lab's exercises, with those of other labs that they import."""
    engine = PACKAGE.glob("checks/*.py")
    exercises = set(PACKAGE.glob("exercises/*.py"))
    found = set(PACKAGE.glob(f"exercises/{lab}/*.py"))
    while found:
        exercises |= found
        found = {module for path in found for module in _exercises_in(path)} - exercises
    others = [path for name in DECIDING if (path := PACKAGE / name).exists()]
    return sorted({*engine, *exercises, *others})


def _exercises_in(path: Path) -> list[Path]:
    """The modules of labkit.exercises that a file imports from."""
    names = re.findall(
        r"^from labkit\.(exercises[\w.]*) ", path.read_text("utf-8"), re.M
    )
    modules = [PACKAGE / f"{name.replace('.', '/')}.py" for name in names]
    return [module for module in modules if module.exists()]
