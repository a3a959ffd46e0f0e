"""Who is in the class, from the table that the platform itself exports.

Canvas   the gradebook: Student, ID, …                 lib/gradebook_exporter.rb
Moodle   the grading worksheet: Identifier, Full name, …
         mod/assign/gradingtable.php, mod/assign/feedback/offline/
others   a table with a column student, or email
"""

import re
from dataclasses import dataclass
from pathlib import Path

from labkit.platforms.table import Table

# The worksheet's headers come in the teacher's language.
IDENTIFIER = ("Identifier", "Identifiant", "ID")
FULL_NAME = ("Full name", "Vollständiger Name", "Nom complet")
HANDED_IN = (
    "Last modified (submission)",
    "Zuletzt geändert (Abgabe)",
    "Dernière modification (travail remis)",
)
GRADE = ("Grade", "Bewertung", "Note")
MAXIMUM = ("Maximum grade", "Bestwertung", "Note maximale")


@dataclass(frozen=True)
class Person:
    """A learner as the platform has them.

    key    Canvas's ID, or Moodle's number in this assignment; "" elsewhere
    time   of the submission, as the worksheet has it
    row    in the table
    """

    name: str
    key: str
    row: int
    time: str = ""


def people(table: Table) -> list[Person]:
    """The learners in a table. Raises ValueError where no column names them."""
    rows = range(1, len(table.rows))
    if table.column("Student") is not None and table.column("ID") is not None:
        name, key = table.column("Student"), table.column("ID")
        found = [Person(table.value(r, name), table.value(r, key), r) for r in rows]
        return [p for p in found if p.key and p.name != "Student, Test"]
    identifier = table.column(*IDENTIFIER)
    if identifier is not None:
        name, time = table.column(*FULL_NAME), table.column(*HANDED_IN)
        return [
            Person(
                table.value(r, name) or table.value(r, identifier),
                number(table.value(r, identifier)),
                r,
                table.value(r, time).strip("-"),
            )
            for r in rows
            if table.value(r, identifier)
        ]
    name = table.column("student", "student_id", "username", "email", "name")
    if name is None:
        raise ValueError(f"no column names the learners; there are: {table.header}")
    found = [Person(table.value(r, name), "", r) for r in rows]
    return [person for person in found if person.name]


def number(identifier: str) -> str:
    """123456 of "Participant 123456", "Participant123456", "Teilnehmer/in123456"."""
    found = re.search(r"(\d+)\s*$", identifier)
    return found[1] if found else ""


def read(path: Path) -> list[Person]:
    return people(Table(path))
