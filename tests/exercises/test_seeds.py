"""No verdict depends on the seed: what is refused in the lab, and by which name, is so
in grading, where every learner has questions of their own.

LABKIT_SEEDS says on how many seeds (`make seeds` asks 200 of them, every Monday).
"""

import os

import pytest

from labkit.checks import compare, ladder, probes
from labkit.checks.exercise import Draw
from labkit.exercises import exercises

from .test_every_exercise import listed, name_of, with_mistake

EXERCISES = exercises()
SEEDS = range(1, 1 + int(os.environ.get("LABKIT_SEEDS", "5")))
AT_FIRST_SIGHT = (
    compare.runs,
    compare.parameters,
    compare.shape,
    compare.dtype,
    compare.values,
    compare.filled,
)


def refused(exercise, objects, cases, right) -> bool:
    """Whether an answer is refused, by its first calls if they tell."""
    for case, wanted in zip(cases, right, strict=True):
        wrong = objects[case.target] is not exercise.reference[case.target]
        if wrong and not case.derived:
            (reply,) = probes.run(exercise.probe, objects, [case], keys=())
            reply = {**wanted, **reply}
            if any(rung(case, reply, wanted) for rung in AT_FIRST_SIGHT):
                return True
    replies = probes.run(exercise.probe, objects, cases, exercise.off_limits)
    return not exercise.judge(cases, replies, right).passed


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_every_mistake_is_refused_on_every_seed(exercise):
    for seed in SEEDS:
        cases = exercise.cases(seed)
        right = exercise.right(cases)
        for wrong in exercise.mistakes:
            objects = with_mistake(exercise, wrong)
            assert refused(exercise, objects, cases, right), (wrong.__name__, seed)


@pytest.mark.parametrize("exercise, answer", listed("CLOSE"), ids=name_of)
def test_what_is_nearly_right_is_refused_on_every_seed(exercise, answer):
    objects = {**exercise.reference, exercise.names[0]: answer}
    for seed in SEEDS:
        cases = exercise.cases(seed)
        assert refused(exercise, objects, cases, exercise.right(cases)), seed


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_a_name_given_in_the_lab_is_given_in_grading(exercise):
    """On each seed another mistake: on 200 seeds each of them several times."""
    for seed in SEEDS:
        wrong = exercise.mistakes[seed % len(exercise.mistakes)]
        report = exercise.examine(with_mistake(exercise, wrong), seed)
        assert report.mistake == wrong.__name__, (seed, report.text())


IN_OTHER_WORDS = list(enumerate(listed("IN_OTHER_WORDS")))


@pytest.mark.parametrize(
    "number, told", IN_OTHER_WORDS, ids=[told[0].number for _, told in IN_OTHER_WORDS]
)
def test_a_mistake_in_other_words_is_named_on_other_seeds(number, told):
    exercise, answer, name = told
    for seed in SEEDS[number % 5 :: 5]:
        given = {**exercise.reference, exercise.names[0]: answer}
        report = exercise.examine(given, seed)
        assert report.mistake == name, (seed, report.text())


MARKED = [e for e in EXERCISES if any(c.tells for c in e.draw_cases(Draw(0)))]


@pytest.mark.parametrize("exercise", MARKED, ids=name_of)
def test_a_case_tells_what_it_is_there_to_tell(exercise):
    """By itself, on every seed: nothing is left to chance."""
    named = {wrong.__name__: wrong for wrong in exercise.mistakes}
    for seed in SEEDS:
        cases = exercise.cases(seed)
        right = exercise.right(cases)
        for i, case in enumerate(cases):
            for name in case.tells:
                objects = with_mistake(exercise, named[name])
                (reply,) = probes.run(
                    exercise.probe, objects, [case], exercise.off_limits
                )
                replies = [*right[:i], reply, *right[i + 1 :]]
                climb = ladder.climb(exercise, (cases, replies, right))
                assert climb.failure, (case.name, name, seed)
