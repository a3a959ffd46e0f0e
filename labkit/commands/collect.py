"""labkit collect: a platform's download into a course directory."""

import argparse
from pathlib import Path

from labkit.commands.options import add_one_lab
from labkit.commands.problems import Problem, need_fork

HELP = "take what Canvas, Moodle or Gradescope let you download"
EXAMPLE = "labkit collect submissions.zip ../my-course --lab 02 --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("download", type=Path, help="the zip, or a folder")
    add("directory", type=Path, help="the course directory")
    add_one_lab(parser, "--lab", required=True)
    add("--roster", type=Path, help="the platform's own table of the class, as CSV")
    add("--zone", default="", help="of the times in Moodle's table: Europe/Berlin")
    add("--replace", action="store_true", help="where other work is there already")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(args: argparse.Namespace) -> int:
    need_fork()
    from labkit.grading.course import Course
    from labkit.grading.summary import counted
    from labkit.lab import select_one
    from labkit.platforms import collect, roster

    course = Course(args.directory)
    lab = select_one(course.labs(), args.lab)
    if not args.download.exists():
        raise Problem(f"{args.download} does not exist.")
    try:
        people = roster.read(args.roster) if args.roster else []
    except ValueError as problem:
        raise Problem(str(problem)) from problem
    plan = collect.plan_of(args.download, lab, people, args.zone)
    print(f"{plan.platform}: {counted(len(plan.files), 'learner')} for {lab}.")
    for student, files in plan.files.items():
        print(f"  {student}: {', '.join(handed.original for handed, _ in files)}")
    kept = [] if args.dry_run else collect.place(plan, course, args.replace)
    for sentence in plan.said + kept:
        print(f"! {sentence}")
    if args.dry_run:
        print("Nothing was written.")
    return int(bool(kept))
