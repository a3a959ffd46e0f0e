"""Make an nbgrader course directory from the labs of this course."""

import json
import logging
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException

from labkit.grading.course import CONFIG, Course, CourseError
from labkit.grading.gradebook import Writer
from labkit.lab import Master, select
from labkit.paths import write

MARK = "# A course directory made by labkit release."
CONFIGURATION = f"""{MARK} Yours to edit.
c = get_config()

c.CourseDirectory.course_id = "layer_norm_to_vit"
# Grades go to gradebook.db beside this file unless you name another database:
# c.CourseDirectory.db_url = "postgresql://user:password@host/database"

# Seconds that one cell may take, for labkit grade and for nbgrader autograde.
c.Execute.timeout = 30

# Feedback pages that load nothing from elsewhere.
c.GenerateFeedback.exporter_class = "labkit.grading.page.Page"

# nbgrader's own steps, but each stub carries the number of its exercise.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.InstantiateTests",
    "nbgrader.preprocessors.LockCells",
    "labkit.grading.preprocessors.NumberedStubs",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]
"""


def release(
    root: Path, solutions: Path, wanted: str | None = None, say=print
) -> list[str]:
    """Bring a course directory up to date with the solutions; return its labs.

    root       the directory to make, or one made before
    solutions  the folder of solution notebooks
    wanted     some labs instead of all (labkit.lab.select)

    Raises CourseError, having changed nothing, for a directory that is not ours, and
    for a lab that has changed too much for the submissions already graded; UnknownLab
    for a lab that is not there.
    """
    repository = solutions.resolve().parent
    if root.resolve().is_relative_to(repository):
        raise CourseError(
            f"{root} lies inside the course's repository; choose a directory outside, "
            "so that nobody's work is committed by mistake."
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        config = root / CONFIG
        if not config.is_file() or not config.read_text("utf-8").startswith(MARK):
            raise CourseError(f"{root} holds something else and is left as it is.")
    labs = sorted(p.stem for p in solutions.glob("*.ipynb"))
    chosen = labs if wanted is None else select(labs, wanted)

    if not (root / CONFIG).exists():
        write(root / CONFIG, CONFIGURATION)
    course = Course(root)
    course.seed()
    (course.root / "submitted").mkdir(exist_ok=True)
    for lab in chosen:
        changed = _release_lab(course, solutions / f"{lab}.ipynb")
        say(f"{lab}: {'released' if changed else 'unchanged'}")
    return chosen


def _release_lab(course: Course, solution: Path) -> bool:
    """Write source/ and have nbgrader make release/; False if both were current."""
    lab = solution.stem
    master = Master.from_solution(solution)
    notebook = nbformat.read(solution, as_version=4)
    notebook.metadata.labkit = master.notebook.metadata.labkit
    tags = {cell.id: cell.metadata.get("tags") for cell in master.notebook.cells}
    for cell in notebook.cells:
        if tags.get(cell.id):  # those of the lab, by which Run All goes on
            cell.metadata.tags = tags[cell.id]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    text = nbformat.writes(notebook, version=4) + "\n"
    source = course.path("source", ".", lab) / f"{lab}.ipynb"
    released = course.path("release", ".", lab) / f"{lab}.ipynb"
    before = {p: p.read_bytes() for p in (source, released) if p.exists()}
    with Writer(course, lab) as writer:
        if before.get(source) == text.encode() and released in before:
            if writer.released():
                return False
    write(source, text)
    try:
        _generate(course, lab)
    except CourseError:
        for path, data in before.items():
            write(path, data)
        raise
    made = nbformat.read(released, as_version=4)
    if json.dumps(made, sort_keys=True) != json.dumps(master.notebook, sort_keys=True):
        raise CourseError(f"{lab}: nbgrader released something else than labs/ has.")
    return True


def _generate(course: Course, lab: str) -> None:
    """nbgrader's generate_assignment, which logs a traceback for what we say in a
    sentence."""
    course.directory.assignment_id = lab
    converter = GenerateAssignment(
        coursedir=course.directory, config=course.config, force=True
    )
    converter.log.setLevel(logging.CRITICAL)
    try:
        converter.start()
    except NbGraderException:
        raise CourseError(
            f"{lab}: nbgrader refuses the new release; usually exercises were added "
            "or removed after submissions had been graded. Use a new directory."
        ) from None
