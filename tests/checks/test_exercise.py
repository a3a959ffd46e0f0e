"""What the judge says, whatever the exercise."""

import pytest

from labkit.checks.exercise import Exercise
from labkit.exercises import find


def test_a_mistake_stands_in_for_a_name_that_is_asked_for():
    class Two(Exercise):
        number = "0.1"
        reference = {"first": abs, "second": abs}

    @Two.mistake
    def one():
        """You forgot."""

    @Two.mistake(of="second")
    def other():
        """You forgot, too."""

    assert Two.mistakes == (one, other) and Exercise.mistakes == ()
    assert [wrong.stands_in_for for wrong in Two.mistakes] == ["first", "second"]
    with pytest.raises(ValueError, match="exercise 0.1 asks for no third"):
        Two.mistake(of="third")(other)


def test_only_the_mistake_that_is_told_is_explained():
    """Of two functions both are wrong: the sentence belongs to the message."""

    def block_macs(tokens, dim, hidden):
        return dict.fromkeys(right(tokens, dim, hidden), 1)

    def crossover_tokens(dim, hidden):
        return hidden

    exercise = find("2.5")
    right = exercise.reference["block_macs"]
    answers = {"block_macs": block_macs, "crossover_tokens": crossover_tokens}
    report = exercise.examine(answers)
    assert "the output['attention_projections'] is 1;" in report.failure.message
    assert report.mistake is None
    report = exercise.examine({**answers, "block_macs": right})
    assert report.mistake == "core_alone_against_network"


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
