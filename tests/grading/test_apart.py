"""Each exercise by itself: its own process, its own questions, errors that follow."""

import contextlib
import json
from dataclasses import replace

import pytest
from nbformat import from_dict

from labkit import commands, paths
from labkit.grading.grade import grade
from labkit.grading.judge import Judge
from labkit.grading.settings import own_seed
from labkit.lab import Master, SourceError, _questions

from .conftest import LAB, SEED
from .test_course import submit

BY_PYTORCH = "def layer_norm(x, weight=None, bias=None, eps=1e-5):\n    return LN(x)"
WRONG = "def layer_norm(x, *a, **k): return x"


def words(exercise):
    return " ".join(exercise["feedback"].split())


def test_the_labs_say_what_builds_on_what():
    found = {}
    for path in sorted((paths.root() / "solutions").glob("lab_0[1-4]*.ipynb")):
        for question in Master.from_solution(path).questions:
            found |= {question.number: question.builds_on} if question.builds_on else {}
    assert found == {
        "1.3": ("1.2",),
        "3.3": ("3.1", "3.2"),
        "3.4": ("3.1", "3.2", "3.3"),
        "4.2.3": ("4.2.1", "4.2.2"),
    }


def test_nothing_builds_on_what_comes_later(solution):
    notebook = json.loads(
        json.dumps(solution).replace("Builds on 1.2", "Builds on 1.9")
    )
    with pytest.raises(SourceError, match=r"exercise 1.3 builds on 1.9, which is not"):
        list(_questions(from_dict(notebook)))


@pytest.mark.parametrize(
    "carried",
    [
        "import torch\nLN = torch.nn.functional.layer_norm",
        "from labkit.checks import probes\nprobes._Watch.__enter__ = lambda s: s\n"
        "probes._Watch.__exit__ = lambda *a: None",
        "import torch\ntorch.Tensor.mean = lambda *a, **k: 0",
        "LIMIT = 3",
    ],
)
def test_an_exercise_given_up_carries_nothing_for_others(mark, hand_in, carried):
    """1.4 uses what only the cell of 1.1 defines or patches."""
    used = "\nLN, LIMIT, batch_norm, probes"
    uses = {"1.1": carried, "1.4": lambda right: right.replace("\n", f"{used}\n", 1)}
    alone = mark(hand_in({"1.1": carried}))
    assert [e["number"] for e in alone.exercises if e["score"] < e["points"]] == ["1.1"]
    assert not any(e["flags"] for e in alone.exercises if e["number"] != "1.1")
    together = mark(hand_in(uses)).by_number["1.4"]
    assert together["score"] == 0


def test_a_name_of_an_answer_on_which_nothing_builds_is_told(mark, hand_in):
    spread = "def spread(x): return x - x.mean()\n"
    result = mark(
        hand_in(
            {
                "1.1": lambda right: spread + right,
                "1.7": "def rms_norm(x, *a, **k): return spread(x)",
            }
        )
    )
    assert "You define spread in your answer to 1.1" in words(result.by_number["1.7"])
    assert "does not build" in words(result.by_number["1.7"])


def test_given_cells_are_there_and_magics_cost_nothing(mark, hand_in, master):
    timed = mark(hand_in({"1.2": lambda right: "%%time\n" + right}))
    assert timed.score == master.max_score and timed.notes == []


# ------------------------------------------------------------------- errors that follow


@pytest.mark.parametrize("wrong", [WRONG, None, "while True: pass", "1 / 0"])
def test_who_builds_on_a_wrong_answer_can_be_right(mark, hand_in, all_but, wrong):
    result = mark(hand_in({"1.2": wrong}))
    third = result.by_number["1.3"]
    assert (third["outcome"], third["given"]) == ("right", ["1.2"])
    assert "builds on your answer to 1.2, which is not right" in words(third)
    assert "judged with the course's answer" in words(third)
    assert result.score == all_but("1.2")


def test_who_is_wrong_too_is_told_that(mark, hand_in, all_but):
    spoiled = "\nLayerNorm.forward = lambda self, x: layer_norm(x)"
    result = mark(hand_in({"1.2": WRONG, "1.3": lambda right: right + spoiled}))
    third = result.by_number["1.3"]
    assert (third["outcome"], third["given"]) == ("wrong", [])
    assert "with the course's answer to that, this one is not right either" in words(
        third
    )
    assert result.score == all_but("1.2", "1.3")


def test_no_solution_leaves_the_process_that_knows_one(mark, hand_in):
    """All that it gives away is whether the answer is right."""
    reads = (
        "import inspect\n"
        "try: found = '\\n'.join(inspect.getsource(layer_norm).split('\\n')[-6:])\n"
        "except Exception as why: found = str(why)\n"
        "print(found)\n"
        "class LayerNorm:\n    def __init__(self, *a, **k): raise ValueError(found)"
    )
    solution_line = "unbiased=False"
    result = mark(hand_in({"1.2": None, "1.3": reads}))
    assert result.by_number["1.3"]["score"] == 0
    cell = next(c for c in result.notebook.cells if c.id == "exercise-1-3")
    assert "layer_norm" in json.dumps(cell.outputs)  # what it saw without the solution
    for text in (json.dumps(cell.outputs), words(result.by_number["1.3"])):
        assert solution_line not in text and "def layer_norm" not in text


# ------------------------------------------------------------------ private questions


def test_each_learner_has_questions_of_their_own(judge):
    asked = {name: judge.asks(name) for name in ("ada", "ben")}
    for number in judge.exercises:
        assert asked["ada"].request(number) != asked["ben"].request(number)
        assert asked["ada"].request(number) == judge.asks("ada").request(number)


def test_a_seed_tells_neither_the_secret_nor_another_labs():
    seeds = {own_seed(s, lab, n) for s in (1, 2) for lab in "ab" for n in "xyz"}
    assert len(seeds) == 12 and all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize("student", ["ada", "ben", "cem"])
def test_no_verdict_and_no_name_depends_on_them(master, judge, warm, hand_in, student):
    wrong = {
        "1.1": lambda r: r.replace("unbiased=False", "unbiased=True").replace(
            "correction=0", "correction=1"
        ),
        "1.2": WRONG,
        "1.7": "def rms_norm(x, weight=None, eps=1e-8): return x / x.mean()",
    }
    data = json.dumps(hand_in(wrong)).encode()
    other = Judge(master, replace(judge.settings, seed=SEED + 1))
    results = [grade(data, j, warm, student)[0] for j in (judge, other)]
    said = [[(e.outcome, e.mistake) for e in result.exercises] for result in results]
    assert said[0] == said[1]
    assert results[0].seed != results[1].seed
    assert results[0].seed == own_seed(SEED, LAB, student)


# ----------------------------------------------------------------------- what is told


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        ("!sleep 60", "time", "Grading has no network"),
        ("%%writefile m.py\ndef batch_norm(x): return x", "undefined", "%%writefile"),
        ("%%bash\necho batch_norm = 3", "undefined", "begins with %%bash"),
        ("from labkit.checks import plain\nplain.dumps = lambda *a: b'x'\n"
         "def batch_norm(x): return x", "unjudged", "your instructor looks at it"),
        ("def batch_norm(x, *a, **k):\n    import mine", "wrong", "No module named"),
    ],
)  # fmt: skip
def test_what_happened_is_said_as_it_was(mark, hand_in, all_but, answer, outcome, said):
    result = mark(hand_in({"1.1": answer}))
    first = result.by_number["1.1"]
    assert first["outcome"] == outcome
    assert said in words(first) and "memory" not in words(first)
    assert result.score == all_but("1.1")


# ------------------------------------------------------------------------ why, replayed


def test_a_verdict_is_replayed_with_its_inputs(course, hand_in, warm, capsys):
    submit(course, "ada", hand_in({"1.2": WRONG}))
    with pytest.MonkeyPatch.context() as patch:
        shared = contextlib.nullcontext(warm)
        patch.setattr("labkit.grading.explain.Warm", lambda *_: shared)
        assert commands.main(["explain", str(course), "1", "ada", "1.2"]) == 0
        said = capsys.readouterr().out
        assert commands.main(["explain", str(course), "1", "ada", "1.1"]) == 0
        assert capsys.readouterr().out.startswith("✓ 1.1")
        assert commands.main(["explain", str(course), "1", "ben", "1.1"]) == 2
        assert commands.main(["explain", str(course), "1", "ada", "1.9"]) == 2
        assert "has no exercise 1.9" in capsys.readouterr().err
    assert said.startswith("✗ 1.2")
    for part in ("layer_norm is given", "x = (", "Expected: (", "Given:    ("):
        assert part in said
