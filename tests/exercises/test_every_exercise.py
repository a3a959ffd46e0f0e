"""The exercises are proven here: every known mistake is caught and named."""

import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from labkit.checks import plain, probes
from labkit.checks.exercise import PUBLIC_SEED
from labkit.exercises import exercises
from labkit.learning.check import CheckFailed, check

HERE = Path(__file__).parent
EXERCISES = exercises()
SEEDS = [
    PUBLIC_SEED,
    pytest.param(1, marks=pytest.mark.more_seeds),
    pytest.param(20261123, marks=pytest.mark.more_seeds),
]


def name_of(value):
    return getattr(value, "number", None)


def own_tests(exercise):
    """The file of an exercise's own tests: what learners may write for it, for better
    (ALTERNATIVES) or worse (IN_OTHER_WORDS, WRONG, and CLOSE to being right)."""
    lab, module = type(exercise).__module__.split(".")[-2:]
    return HERE / lab / f"test_{module}.py"


def listed(name):
    """What the exercises' own tests list under a name, each with its exercise."""
    found = []
    for exercise in EXERCISES:
        if (path := own_tests(exercise)).exists():
            module = import_module(f".{path.parent.name}.{path.stem}", __package__)
            for one in getattr(module, name, ()):
                found.append((exercise, *(one if isinstance(one, tuple) else (one,))))
    return found


ALTERNATIVES = listed("ALTERNATIVES")


def with_mistake(exercise, wrong):
    """The right answers, but for the one that this mistake stands in for."""
    return {**exercise.reference, wrong.stands_in_for: wrong}


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_it_has_tests_of_its_own(exercise):
    """Two ways of being right at least, and the five usual ways of being wrong."""
    file, number = own_tests(exercise), exercise.number
    place = f"tests/exercises/{file.relative_to(HERE)}"
    assert file.exists(), f"exercise {number} has no tests: write {place}"
    ways = sum(one[0] is exercise for one in ALTERNATIVES)
    assert ways >= 2, f"{number} needs two right answers in ALTERNATIVES of {place}"
    named = len(exercise.mistakes)
    assert named >= 5, f"exercise {number} names {named} mistakes: it needs five"


def test_no_tests_are_of_an_exercise_that_is_gone():
    assert set(HERE.glob("lab_*/test_*.py")) == set(map(own_tests, EXERCISES))


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_no_mistake_is_written_and_forgotten(exercise):
    """What speaks to the learner is registered, each under a name of its own; so is
    what is lifted from another exercise, by that one's name."""
    module = import_module(type(exercise).__module__)
    speaking = {
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", None) == module.__name__
        and "you" in (thing.__doc__ or "").split(".")[0].lower()
    }
    names = [wrong.__name__ for wrong in exercise.mistakes]
    assert speaking <= set(names) and len(set(names)) == len(names)
    others = {w.__name__ for e in EXERCISES if e is not exercise for w in e.mistakes}
    assert set(names) <= speaking | others


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_mistake_is_rejected_and_named(exercise, seed, remembered):
    for wrong in exercise.mistakes:
        report = exercise.examine(with_mistake(exercise, wrong), seed)
        assert not report.passed, wrong.__name__
        assert report.mistake == wrong.__name__, report.text()
        assert report.explanation in " ".join(report.text().split())


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_is_right(exercise, seed):
    """Only that it calls what learners must write out can be said against it."""
    report = exercise.examine(exercise.reference, seed)
    assert [v.property for v in report.verdicts if not v.passed] in (
        [],
        ["written out"],
    )
    assert ("written out" in report.text()) == bool(exercise.off_limits)
    assert all("off limits" in v.message for v in report.verdicts if v.passed is False)


@pytest.mark.parametrize(
    "exercise, answers",
    [(exercise, answers) for exercise, *answers in ALTERNATIVES],
    ids=[f"{e.number}-{answers[0].__name__}" for e, *answers in ALTERNATIVES],
)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_legitimate_alternatives_pass(exercise, answers, seed):
    report = exercise.examine(dict(zip(exercise.names, answers, strict=True)), seed)
    assert report.passed, report.text()


@pytest.mark.parametrize(
    "exercise, answer, name", listed("IN_OTHER_WORDS"), ids=name_of
)
def test_a_mistake_is_named_however_it_is_written(exercise, answer, name):
    report = exercise.examine({**exercise.reference, exercise.names[0]: answer})
    assert report.mistake == name, report.text()


@pytest.mark.parametrize("exercise, answer, rung", listed("WRONG"), ids=name_of)
def test_other_wrong_answers_fail_on_the_right_rung(exercise, answer, rung):
    report = exercise.examine({**exercise.reference, exercise.names[0]: answer})
    assert not report.passed
    assert report.failure.property == rung, report.text()


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_sentences_differ_and_speak_to_the_learner(exercise):
    sentences = [wrong.__doc__ for wrong in exercise.mistakes]
    assert len(set(sentences)) == len(sentences)
    assert all(
        "you" in s.split(".")[0].lower() and s.strip().endswith(".") for s in sentences
    )


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_the_slowest_feedback_comes_within_a_second(exercise):
    wrong = exercise.mistakes[-1]  # recognized last
    start = time.process_time()
    exercise.examine(with_mistake(exercise, wrong))
    assert time.process_time() - start < 1


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_private_seeds_change_sizes_and_values(exercise):
    def shapes_and_sum(seed):
        given = [value for case in exercise.cases(seed) for value in _given(case)]
        tensors = [
            torch.as_tensor(v) for v in given if isinstance(v, torch.Tensor | int)
        ]
        sizes = [t.shape if t.dim() else int(t) for t in tensors]
        return str(sizes), sum(float(t.double().sum()) for t in tensors)

    seen = [shapes_and_sum(seed) for seed in range(6)]
    assert len({sizes for sizes, _ in seen}) > 1
    assert len({total for _, total in seen}) == len(seen)


def _given(case):
    """All values that a case gives, those inside dicts and layers too."""
    for value in (case.args, case.inputs, case.state or {}):
        yield from _leaves(value)


def _leaves(value):
    if isinstance(value, probes.Layer):
        value = value.state
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_cases_and_replies_survive_the_pipe(exercise):
    """In grading both cross a pipe as plain data; the verdict must not change."""
    objects = with_mistake(exercise, exercise.mistakes[0])
    cases = plain.loads(plain.dumps(exercise.cases(3)))
    replies = probes.run(exercise.probe, objects, cases, exercise.off_limits)
    report = exercise.judge(cases, plain.loads(plain.dumps(replies)))
    assert report.to_json() == exercise.examine(objects, 3).to_json()


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_nonsense_is_met_with_a_sentence(exercise, remembered):
    """Whatever a learner's object does, the check answers in words of its own."""

    class Odd(torch.nn.Module):
        def forward(self, *args):
            return "odd"

    def stop(*args, **kwargs):
        raise KeyError("stop")

    returns = [None, 3, "text", (), [torch.ones(2)], {"a": 1}, object(), float("nan")]
    nonsense = [lambda *a, v=v, **k: v for v in returns]
    nonsense += [stop, Odd, dict, torch.sparse_coo_tensor, lambda: 1, (1).__add__]
    for thing in nonsense:
        with pytest.raises(CheckFailed) as failed:
            check(exercise.number, *[thing] * len(exercise.names))
        assert str(failed.value).startswith(f"✗ {exercise.number} ")
        assert "Traceback" not in str(failed.value)
