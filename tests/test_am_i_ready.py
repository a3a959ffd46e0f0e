"""*Am I ready?*: each answer is what its cell prints."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[1] / "chapters" / "am_i_ready.md"
QUESTIONS = PAGE.read_text("utf-8").split("\n## ")[1:]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.split("\n")[0])
def test_an_answer_is_what_its_cell_prints_and_leads_on(question):
    (cell,) = re.findall(r"^```python\n(.*?)^```$", question, re.M | re.S)
    (answer,) = re.findall(r"<summary>Answer</summary>\n\n`([^`]+)`\.", question)
    with redirect_stdout(io.StringIO()) as printed:
        exec(cell, {"torch": torch})
    assert printed.getvalue().strip() == answer
    assert re.search(r"To\s+read:\s+\[[^\]]+\]\(https://docs\.pytorch\.org/", question)
