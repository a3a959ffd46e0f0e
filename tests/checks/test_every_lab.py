"""The checks are proven here: every known mistake is caught and named, in every lab."""

import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from labkit import checks
from labkit.checks import CheckFailed, check, find, plain, probes, section_exercises

EXERCISES = [e for section in checks.MODULES for e in section_exercises(section)]
# What learners may write, for better or worse, stands in a module for each lab.
LABS = [import_module(p.stem) for p in sorted(Path(__file__).parent.glob("test_lab_*"))]
ALTERNATIVES = [one for lab in LABS for one in lab.ALTERNATIVES]
IN_OTHER_WORDS = [one for lab in LABS for one in lab.IN_OTHER_WORDS]
WRONG = [one for lab in LABS for one in getattr(lab, "WRONG", ())]
SEEDS = [
    checks.exercise.PUBLIC_SEED,
    pytest.param(1, marks=pytest.mark.more_seeds),
    pytest.param(20261123, marks=pytest.mark.more_seeds),
]


def name_of(value):
    return getattr(value, "number", None)


def with_mistake(exercise, wrong):
    """The right answers, but for the one that this misconception stands in for."""
    target = getattr(wrong, "stands_in_for", exercise.names[0])
    return {**exercise.reference, target: wrong}


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_misconception_is_rejected_and_named(exercise, seed, remembered):
    for wrong in exercise.misconceptions:
        report = exercise.examine(with_mistake(exercise, wrong), seed)
        assert not report.passed, wrong.__name__
        assert report.misconception == wrong.__name__, report.text()
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


@pytest.mark.parametrize(
    "number, answers",
    [(number, answers) for number, *answers in ALTERNATIVES],
    ids=[f"{number}-{answers[0].__name__}" for number, *answers in ALTERNATIVES],
)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_legitimate_alternatives_pass(number, answers, seed):
    exercise = find(number)
    report = exercise.examine(dict(zip(exercise.names, answers, strict=True)), seed)
    assert report.passed, report.text()


@pytest.mark.parametrize("number, answer, name", IN_OTHER_WORDS)
def test_a_mistake_is_named_however_it_is_written(number, answer, name):
    exercise = find(number)
    report = exercise.examine({**exercise.reference, exercise.names[0]: answer})
    assert report.misconception == name, report.text()


@pytest.mark.parametrize("number, answer, rung", WRONG)
def test_other_wrong_answers_fail_on_the_right_rung(number, answer, rung):
    exercise = find(number)
    report = exercise.examine({**exercise.reference, exercise.names[0]: answer})
    assert not report.passed
    assert report.failure.property == rung, report.text()


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_sentences_differ_and_speak_to_the_learner(exercise):
    sentences = [wrong.__doc__ for wrong in exercise.misconceptions]
    assert len(set(sentences)) == len(sentences)
    assert all(
        "you" in s.split(".")[0].lower() and s.strip().endswith(".") for s in sentences
    )


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_the_slowest_feedback_comes_within_a_second(exercise):
    wrong = exercise.misconceptions[-1]  # recognized last
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
def test_cases_and_records_survive_the_pipe(exercise):
    """In grading both cross a pipe as plain data; the verdict must not change."""
    objects = with_mistake(exercise, exercise.misconceptions[0])
    cases = plain.loads(plain.dumps(exercise.cases(3)))
    records = probes.run(exercise.probe, objects, cases, exercise.off_limits)
    report = exercise.judge(cases, plain.loads(plain.dumps(records)))
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


def test_only_the_mistake_that_is_told_is_explained():
    """Of two functions both are wrong: the sentence belongs to the message."""

    def block_macs(tokens, dim, hidden_dim):
        return dict.fromkeys(right(tokens, dim, hidden_dim), 1)

    def crossover_tokens(dim, hidden_dim):
        return hidden_dim

    exercise = find("2.5")
    right = exercise.reference["block_macs"]
    answers = {"block_macs": block_macs, "crossover_tokens": crossover_tokens}
    report = exercise.examine(answers)
    assert "the output['attention_projections'] is 1;" in report.failure.message
    assert report.misconception is None
    report = exercise.examine({**answers, "block_macs": right})
    assert report.misconception == "core_alone_against_network"


def test_the_text_says_what_is_not_written_yet():
    def stub(number):
        def unwritten(*args, **kwargs):
            raise NotImplementedError(f"Exercise {number}")

        return unwritten

    def said(number, *answers):
        exercise = find(number)
        given = dict(zip(exercise.names, answers, strict=True))
        return " ".join(exercise.examine(given).text().split())

    title = "✗ 1.6 pre_norm, post_norm"
    pre, post = find("1.6").reference.values()
    assert said("1.6", pre, stub("1.6")) == f"{title}: post_norm is not written yet"
    assert said("1.6", stub("1.6"), post) == f"{title}: pre_norm is not written yet"
    assert said("1.1", stub("1.1")) == "✗ 1.1 batch_norm: not written yet"
    assert said("3.3", stub("3.2")) == (
        "✗ 3.3 multi_head_attention: it calls exercise 3.2, which is not written yet"
    )

    def torchs(x, eps=1e-5):
        raise NotImplementedError("not implemented for 'Half'")

    assert "raised NotImplementedError: not implemented" in said("1.1", torchs)


def test_a_list_is_called_a_list_and_counted_from_0():
    """In brackets, so that nobody takes output[1] for the first."""
    statistics = find("1.5").reference["position_statistics"]

    def swapped(x, lengths):
        count, mean, variance = statistics(x, lengths)
        return count, mean[None], variance

    def said(answer):
        report = find("1.5").examine({"position_statistics": answer})
        return report.failure.message

    assert "the output[1] has shape" in said(swapped)
    assert "is a list of 2; expected a tuple of 3" in said(lambda x, lengths: [1, 2])


def test_a_result_instead_of_a_function_is_explained():
    with pytest.raises(CheckFailed, match="without calling them"):
        check("1.1", torch.ones(2, 3, 4))


def test_an_unknown_number_is_explained():
    with pytest.raises(CheckFailed, match="no exercise 9.9; there are 1.1, 1.2"):
        check("9.9", len)


def test_plain_data_is_only_plain_data():
    with pytest.raises(TypeError, match="not plain data: object"):
        plain.dumps([object()])
    for damaged in (b"", b"\xff" * 40, plain.dumps([1])[:-1]):
        with pytest.raises(ValueError, match="not plain data"):
            plain.loads(damaged)
