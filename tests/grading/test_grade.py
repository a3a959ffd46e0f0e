"""One submission at a time: right scores, named mistakes, damage that stays local."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from labkit import paths
from labkit.checks import compare, plain, probes
from labkit.exercises import exercises
from labkit.grading.grade import grade
from labkit.grading.judge import Judge
from labkit.grading.result import Outcome, Status
from labkit.grading.sandbox.client import StepResult, Warm
from labkit.grading.settings import Settings
from labkit.lab import Master

from .conftest import SEED, TIMEOUT, planted

EXERCISES = exercises("lab_01_layer_normalization")
LABS = sorted(path.stem for path in (paths.root() / "labs").glob("lab_*.ipynb"))


def making(mistake):
    """An answer cell that makes this mistake."""
    return lambda right: f"{right}\n{planted(mistake)}"


def test_blank_gets_nothing(mark, master):
    result = mark(master.notebook)
    assert result.status == "graded" and result.score == 0
    assert {e["outcome"] for e in result.exercises} == {"blank"}


def test_the_solution_gets_full_marks(mark, hand_in, master):
    result = mark(hand_in())
    assert result.score == result.max_score == master.max_score > 0
    assert {e["outcome"] for e in result.exercises} == {"right"}
    assert result.notes == []
    json.dumps(result.exercises)


@pytest.mark.parametrize("name", LABS)
def test_every_lab_is_graded_in_a_sandbox_of_its_own(name, sandboxed):
    """What a lab's own cells import or cache must not get in the sandbox's way."""
    solution = paths.root() / "solutions" / f"{name}.ipynb"
    master = Master.from_solution(solution)
    settings = Settings(SEED, 60.0)
    judge = Judge(master, settings)
    with Warm(master.own_cells, settings) as warm:
        right, _ = grade(solution.read_bytes(), judge, warm)
        blank, _ = grade(json.dumps(master.notebook).encode(), judge, warm)
    assert right.score == right.max_score == master.max_score > 0
    assert (blank.status, blank.score) == (Status.GRADED, 0)


@pytest.mark.parametrize("column", range(max(len(e.mistakes) for e in EXERCISES)))
def test_planted_mistakes_are_named(mark, hand_in, column):
    """Each submission makes one mistake in every exercise that has so many."""
    mistakes = {
        exercise.number: exercise.mistakes[column]
        for exercise in EXERCISES
        if column < len(exercise.mistakes)
    }
    result = mark(hand_in({n: making(m) for n, m in mistakes.items()}))
    for exercise in result.exercises:
        mistake = mistakes.get(exercise["number"])
        if mistake:
            assert exercise["mistake"] == mistake.__name__
            assert exercise["outcome"] == "wrong" and exercise["score"] == 0
            feedback = " ".join(exercise["feedback"].split())
            assert " ".join(mistake.__doc__.split()) in feedback
        elif exercise["number"] != "1.3":  # it calls the learner's own layer_norm
            assert exercise["outcome"] == "right"


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        ("def batch_norm(x:\n    return", "error", "SyntaxError"),
        ("while True: pass", "time", f"Stopped after {TIMEOUT:g} s"),
        ("import os\nos._exit(1)", "died", "process ended"),
        ("def batch_norm(*a, **k):\n    while True: pass", "time", "loop"),
        ("def batch_norm(*a, **k):\n    import os; os._exit(1)", "died", "ended"),
        ("def batch_norm(*a, **k):\n    raise SystemExit(3)", "wrong", "SystemExit"),
        ("def norm(x): return x", "undefined", "batch_norm is not defined"),
        ("batch_norm = 3", "wrong", "batch_norm"),
        ("def batch_norm(*a, **k): 1 / 0", "wrong", "ZeroDivisionError"),
        ("def batch_norm(*a, **k): raise OSError('long ' * 10**6)", "wrong", "long"),
        ("def batch_norm(*a, **k): return object()", "wrong", "object"),
        ("", "undefined", "batch_norm is not defined"),
    ],
)
def test_only_the_broken_exercise_is_lost(
    mark, hand_in, all_but, answer, outcome, said
):
    result = mark(hand_in({"1.1": answer}))
    assert result.by_number["1.1"]["outcome"] == outcome
    assert said in result.by_number["1.1"]["feedback"]
    assert result.score == all_but("1.1")
    assert bool(result.notes) == (outcome in ("time", "died"))


def test_a_wrong_answer_that_ends_in_an_error_is_still_asked(mark, hand_in):
    result = mark(hand_in({"1.1": lambda right: right + "\nbatch_norm('x')"}))
    assert result.by_number["1.1"]["outcome"] == "right"


def test_what_learners_do_in_their_cells(mark, hand_in, master):
    def chatty(right):
        return (
            "%matplotlib inline\nimport warnings\nname = input('name')\n"
            f"print('hello')\nwarnings.warn('careful')\n{right}\n"
            "import sys; print('x', file=sys.stderr)\nbatch_norm"
        )

    def noisy(right):
        return right.replace("return", "print('called'); return")

    result = mark(hand_in({"1.2": noisy, "1.1": chatty}))
    assert result.score == master.max_score


def test_a_helper_in_a_cell_of_ones_own_is_named(mark, hand_in, all_but):
    notebook = hand_in({"1.1": "def batch_norm(x, *a, **k): return spread(x)"})
    helper = {"cell_type": "code", "id": "mine", "metadata": {}, "outputs": []}
    helper["source"] = "def spread(x): return x - x.mean()"
    notebook.cells.insert(1, helper)
    result = mark(notebook)
    assert result.score == all_but("1.1")
    feedback = " ".join(result.by_number["1.1"]["feedback"].split())
    assert "You define spread in a cell of your own" in feedback
    assert "only the answer cells" in feedback


@pytest.mark.parametrize("first", ["wrong", "right"])
def test_an_answer_that_is_defined_again_is_named(mark, hand_in, all_but, first):
    """In the lab, the check asks the second."""
    wrong = "def batch_norm(x, *a, **k): return x"
    notebook = hand_in({"1.1": wrong} if first == "wrong" else {})
    second = {"cell_type": "code", "id": "mine", "metadata": {}, "source": wrong}
    place = [cell.id for cell in notebook.cells].index("exercise-1-1")
    notebook.cells.insert(place + 1, second)
    result = mark(notebook)
    feedback = " ".join(result.by_number["1.1"]["feedback"].split())
    said = "You define batch_norm again in another cell below" in feedback
    assert said == (first == "wrong")
    noted = ["1.1: A cell below defines batch_norm again."]
    assert result.notes == (noted if first == "wrong" else [])
    assert result.score == (all_but("1.1") if first == "wrong" else all_but())


@pytest.mark.parametrize(
    "attack",
    [
        "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True",
        "import torch\ntorch.testing.assert_close = lambda *a, **k: None",
        "import sys, types\nfake = types.ModuleType('labkit.checks.compare')\n"
        "fake.close = lambda *a, **k: True\nsys.modules[fake.__name__] = fake",
        "from labkit.checks import probes\n"
        "probes.run = lambda *a: [{'error': None}] * len(a[2])",
        "from labkit.checks import probes\nprobes.run = lambda *a: []",
        "from labkit.checks import plain\nplain.dumps = lambda *a: b'x' * 1000",
        "from labkit.grading.sandbox import process\n"
        "process.ask = lambda *a: ({'outcome': 'right', 'passed': True}, b'')",
        "get_ipython().input_transformers_cleanup.append(lambda lines: [])",
        "class layer_norm_(torch.Tensor):\n    __eq__ = lambda *a: True",
    ],
)
def test_patching_earns_nothing(mark, hand_in, attack):
    wrong = f"{attack}\ndef layer_norm(x, *a, **k): return x"
    result = mark(hand_in({"1.2": wrong}, everything_else_blank=True))
    assert result.score == 0
    assert result.by_number["1.2"]["outcome"] != "right"


@pytest.mark.parametrize("records", [None, [], [{}], "x", [None] * 50])
def test_forged_records_are_not_judged(judge, master, records, mark, hand_in):
    from labkit.grading.rebuild import rebuild
    from labkit.grading.submission import parse

    _, cells = parse(json.dumps(hand_in()).encode())
    question = master.questions[0]
    became = {name: StepResult() for name in question.answers}
    became[question.check] = StepResult(records=records)
    result, note = judge.asks("").verdict(question, rebuild(master, cells), became)
    assert result.score == 0
    assert result.outcome is Outcome.UNJUDGED and "Not judged" in note


@pytest.mark.parametrize("limited", [True, False])
def test_plain_data_has_room_for_no_long_text(monkeypatch, limited):
    """Neither when it is made, nor when it comes from who does not keep to that."""
    text = {"error": "a " * 10**6}
    if limited:
        with pytest.raises(ValueError, match="no tensors; at most"):
            plain.dumps(text)
        return
    with monkeypatch.context() as patch:
        patch.setattr(plain, "HEADER_LIMIT", 2**40)
        data = plain.dumps(text)
    with pytest.raises(ValueError, match="no tensors; at most"):
        plain.loads(data)


def test_half_a_character_is_taken_for_a_question_mark():
    assert plain.loads(plain.dumps({"error": "half: \ud800"})) == {"error": "half: ?"}


@pytest.mark.parametrize("packages", ["site-packages", "dist-packages"])
def test_the_line_named_is_the_learners(packages):
    names = {}
    path = f"/usr/lib/python3/{packages}/torch/nn/functional.py"
    exec(compile("def refuse(x): raise TypeError('no')", path, "exec"), names)

    def answer(x):
        return names["refuse"](x)  # the learner's line

    case = probes.Case("a case", "answer", args={"x": torch.ones(2)})
    (record,) = probes.run("function", {"answer": answer}, [case])
    assert record["error"]["line"].endswith("# the learner's line")


def test_no_line_is_named_where_none_is_the_learners():
    """An error may come up in PyTorch's backward pass, which no frame leads to."""
    case = probes.Case("a case", "answer")
    error = {"stage": "s", "type": "RuntimeError", "message": "no", "line": ""}
    said = compare.gradients(case, {"error": error}, {"gradients": {}})
    assert said.endswith("raised RuntimeError: no.")


def test_the_judge_never_sees_the_learners_objects(mark, hand_in):
    """What a submission defines or patches stays in its own process."""
    before = torch.allclose
    spy = "import sys, types\nsys.modules['spy'] = types.ModuleType('spy')\n"
    result = mark(hand_in({"1.2": lambda right: spy + "torch.allclose = 1\n" + right}))
    assert result.by_number["1.1"]["outcome"] == "right"
    assert torch.allclose is before and "spy" not in sys.modules


def test_what_cannot_be_judged_is_for_a_person(mark, hand_in):
    forge = "from labkit.checks import probes\nprobes.run = lambda *a: []\n"
    result = mark(hand_in({"1.7": lambda right: forge + right}))
    assert result.status == "incomplete"
    assert any("1.7: Not judged" in note for note in result.notes)


def test_unreadable_gets_no_points_and_the_reason(mark, master):
    result = mark(b'{"cells": [')
    assert result.status == "unreadable" and result.score == 0
    assert "damaged" in result.notes[0]
    assert len(result.exercises) == len(master.questions)
    text = json.dumps(result.notebook)
    assert "damaged" in text


def test_another_seed_asks_other_questions(master, judge):
    other = Judge(master, replace(judge.settings, seed=SEED + 1))
    for number in judge.exercises:
        asked = [j.asks("ada").request(number) for j in (judge, other)]
        assert asked[0] != asked[1]
