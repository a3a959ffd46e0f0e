"""Exercise 2.4: two linear maps with nothing in between, merged into one."""

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


class MergeLinear(Exercise):
    """merge_linear(…): the one linear map that two without an activation are."""

    number = "2.4"
    fixed = {"batch": "it is given weights, no samples"}

    @staticmethod
    def merge_linear(weight1, bias1, weight2, bias2):
        return weight2 @ weight1, weight2 @ bias1 + bias2

    reference = {"merge_linear": merge_linear}

    def draw_cases(self, draw: Draw):
        inputs, hidden, outputs = draw.sizes(3)
        for name in ("three widths", "other weights"):
            args = {
                "weight1": draw.normal(hidden, inputs),
                "bias1": draw.normal(hidden),
                "weight2": draw.normal(outputs, hidden),
                "bias2": draw.normal(outputs),
            }
            yield Case(name, "merge_linear", args)


@MergeLinear.mistake
def product_alone(weight1, bias1, weight2, bias2):
    """Your bias is bias2 alone. The first bias passes through the second map:
    weight2 @ bias1 + bias2."""
    return weight2 @ weight1, bias2


@MergeLinear.mistake
def biases_added(weight1, bias1, weight2, bias2):
    """You carried bias1 over as a number. It passes through the second map:
    weight2 @ bias1 + bias2."""
    return weight2 @ weight1, weight2.sum(-1) * bias1.mean() + bias2


@MergeLinear.mistake
def biases_summed(weight1, bias1, weight2, bias2):
    """You added the two biases as they are, and they differ in length. The first one
    passes through the second map: weight2 @ bias1 + bias2."""
    return weight2 @ weight1, bias1 + bias2


@MergeLinear.mistake
def second_bias_lost(weight1, bias1, weight2, bias2):
    """You left bias2 out: weight2 @ bias1 + bias2."""
    return weight2 @ weight1, weight2 @ bias1


@MergeLinear.mistake
def product_turned(weight1, bias1, weight2, bias2):
    """You multiplied the weights in the wrong order: the map applied last stands
    first, weight2 @ weight1."""
    return weight1 @ weight2, weight2 @ bias1 + bias2


@MergeLinear.mistake
def product_transposed(weight1, bias1, weight2, bias2):
    """Your weight is transposed. PyTorch stores a weight as (outputs, inputs):
    weight2 @ weight1."""
    return (weight2 @ weight1).T, weight2 @ bias1 + bias2
