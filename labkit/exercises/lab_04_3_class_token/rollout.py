"""Exercise 4.3.3: attention rollout, what the [class] token took from where."""

from functools import reduce

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


def halved(A):
    """Half attention, half the identity: the residual carries every token on."""
    return (A + torch.eye(A.shape[-1]).to(A)) / 2


def over_heads(weights):
    return weights.mean(2)


def later_on_the_left(matrices):
    return reduce(lambda R, A: A @ R, matrices)


def class_row(R):
    return R[:, 0, 1:]


def rolled(
    weights, heads=over_heads, mix=halved, product=later_on_the_left, read=class_row
):
    """The right rollout, or with another way of one of its four steps."""
    return read(product([mix(A) for A in heads(weights)]))


class Rollout(Exercise):
    """attention_rollout(weights): what the [class] token took from where."""

    number = "4.3.3"
    batch_axis = 1

    @staticmethod
    def attention_rollout(weights):
        return rolled(weights)

    reference = {"attention_rollout": attention_rollout}

    def draw_cases(self, draw: Draw):
        L, B, h, T = draw.sizes(4, low=3, high=9)

        def case(name, weights, edge=False):
            args = {"weights": weights.double()}
            return Case(name, "attention_rollout", args, gradients=False, edge=edge)

        first = torch.tensor([[1, 0, 0], [0, 0, 1], [0, 0, 1]])
        second = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1]])
        yield case("the worked number", torch.stack([first, second])[:, None, None])
        sharp = draw.normal(L, B, h, T, T, std=2.0)
        yield case("weights (L, B, h, T, T)", sharp.softmax(-1))
        one = draw.normal(1, B, h, T, T).softmax(-1)
        yield case("one layer", one, edge=True)


@Rollout.mistake
def class_entry_left_in(weights):
    """You left the [class] token's own entry in: (B, N + 1) instead of (B, N). Drop
    entry 0; the patches are left."""
    return rolled(weights, read=lambda R: R[:, 0])


@Rollout.mistake
def last_entry_dropped(weights):
    """You dropped the last patch and kept the [class] token's own entry. Drop entry
    0."""
    return rolled(weights, read=lambda R: R[:, 0, :-1])


@Rollout.mistake
def all_rows_returned(weights):
    """You returned the whole matrix. Only row 0 is wanted, the [class] token's, without
    its entry 0."""
    return rolled(weights, read=lambda R: R)


@Rollout.mistake
def all_patch_rows(weights):
    """You dropped the [class] token's row and column. Its row is the one that is
    wanted: R[:, 0, 1:]."""
    return rolled(weights, read=lambda R: R[:, 1:, 1:])


@Rollout.mistake
def first_sample_only(weights):
    """You read the first sample only. R is (B, T, T): keep the batch, R[:, 0, 1:]."""
    return rolled(weights, read=lambda R: R[0, 0, 1:])


@Rollout.mistake
def batch_averaged(weights):
    """You averaged over the samples, axis 1, instead of the heads, axis 2. Every sample
    has a rollout of its own."""
    return rolled(weights, heads=lambda w: w.mean(1))


@Rollout.mistake
def residual_forgotten(weights):
    """You multiplied the attention alone. Beside every attention runs a residual
    connection, which carries each token on: take (A + I) / 2 for each layer."""
    return rolled(weights, mix=lambda A: A)


@Rollout.mistake
def rows_not_normalized(weights):
    """You added I but did not divide by 2: your rows sum to 2, and the rollout grows
    twofold with every layer. Each row must sum to 1: (A + I) / 2."""
    return rolled(weights, mix=lambda A: 2 * halved(A))


@Rollout.mistake
def residual_once(weights):
    """You accounted for the residual once, at the end. Every layer has one: mix in I
    before you multiply."""

    def at_the_end(matrices):
        return halved(later_on_the_left(matrices))

    return rolled(weights, mix=lambda A: A, product=at_the_end)


@Rollout.mistake
def added_after_halving(weights):
    """You halved the attention but added the whole of I: A / 2 + I instead of
    (A + I) / 2. Your rows sum to 1.5."""
    return rolled(weights, mix=lambda A: halved(A) + halved(0 * A))


@Rollout.mistake
def ones_added(weights):
    """You added 1 to every entry instead of the identity, which has ones on the
    diagonal only: torch.eye."""
    return rolled(weights, mix=lambda A: (A + 1) / (1 + A.shape[-1]))


@Rollout.mistake
def earlier_on_the_left(weights):
    """You multiplied in the wrong order. The first layer acts on the tokens first, so
    it stands on the right; each later layer goes to its left."""
    return rolled(weights, product=lambda matrices: later_on_the_left(matrices[::-1]))


@Rollout.mistake
def elementwise(weights):
    """You multiplied entry by entry (*). Layers follow one another: that is the product
    of matrices, @."""
    return rolled(weights, product=lambda ms: reduce(torch.mul, ms))


@Rollout.mistake
def layers_averaged(weights):
    """You averaged over the layers. They follow one another: multiply the matrices."""
    return rolled(weights, product=lambda ms: sum(ms) / len(ms))


@Rollout.mistake
def layers_added(weights):
    """You added the layers up. They follow one another: multiply the matrices."""
    return rolled(weights, product=sum)


@Rollout.mistake
def last_layer_only(weights):
    """You looked at the last layer only. Its tokens are mixtures already: multiply with
    the layers before it."""
    return rolled(weights, product=lambda ms: ms[-1])


@Rollout.mistake
def first_layer_only(weights):
    """You looked at the first layer only: a loop that overwrites, or a return inside
    it? Multiply with all layers after it."""
    return rolled(weights, product=lambda ms: ms[0])


@Rollout.mistake
def first_layer_left_out(weights):
    """You left the first layer out of the product: does your loop begin at 1, and
    the product at the identity? The first layer is layer 0."""
    return rolled(
        weights,
        product=lambda ms: reduce(lambda R, A: A @ R, ms[1:], halved(0 * ms[0]) * 2),
    )


@Rollout.mistake
def last_layer_left_out(weights):
    """You left the last layer out of the product."""
    return rolled(
        weights,
        product=lambda ms: reduce(lambda R, A: A @ R, ms[:-1], halved(0 * ms[0]) * 2),
    )


@Rollout.mistake
def first_layer_twice(weights):
    """You multiplied the first layer twice: you begin with it, and the loop begins with
    it too."""
    return rolled(weights, product=lambda ms: later_on_the_left([ms[0], *ms]))


@Rollout.mistake
def largest_over_heads(weights):
    """You took the largest weight over the heads. This exercise asks for the mean,
    which keeps rows that sum to 1."""
    return rolled(weights, heads=lambda w: w.amax(2))


@Rollout.mistake
def smallest_over_heads(weights):
    """You took the smallest weight over the heads. This exercise asks for the mean,
    which keeps rows that sum to 1."""
    return rolled(weights, heads=lambda w: w.amin(2))


@Rollout.mistake
def heads_added(weights):
    """You summed over the heads. Take the mean, so that rows sum to 1."""
    return rolled(weights, heads=lambda w: w.sum(2))


@Rollout.mistake
def first_head_only(weights):
    """You used the first head only. Take the mean over the heads, axis 2."""
    return rolled(weights, heads=lambda w: w[:, :, 0])


@Rollout.mistake
def heads_at_the_end(weights):
    """You rolled out every head by itself and averaged at the end. Head 1 of one layer
    is no relative of head 1 of the next: average first, then multiply."""
    R = later_on_the_left([halved(A) for A in weights])  # (B, h, T, T)
    return class_row(R.mean(1))


@Rollout.mistake
def column_read(weights):
    """You read the column of the [class] token: how much it gives to each patch. Its
    row says what it takes from them: R[:, 0]."""
    return rolled(weights, read=lambda R: R[:, 1:, 0])


@Rollout.mistake
def attention_transposed(weights):
    """You transposed the attention. Rows are queries here, and sum to 1."""
    return rolled(weights.mT)


@Rollout.mistake
def last_row_read(weights):
    """You read the last row, a patch's. The [class] token is token 0."""
    return rolled(weights, read=lambda R: R[:, -1, 1:])


@Rollout.mistake
def mean_of_rows(weights):
    """You averaged over all rows. Only row 0 is wanted, what the [class] token
    takes."""
    return rolled(weights, read=lambda R: R.mean(1)[:, 1:])


@Rollout.mistake
def made_to_sum_to_one(weights):
    """You divided by the sum at the end, so that the patches share 1. Here the rest is
    meant to be missing: it is what the [class] token kept of itself."""
    return rolled(weights, read=lambda R: F.normalize(class_row(R), p=1, dim=-1))


@Rollout.mistake
def divided_by_the_largest(weights):
    """You divided by the largest entry at the end. Good for drawing; here R's own
    entries are wanted."""

    def read(R):
        return class_row(R) / class_row(R).amax(-1, keepdim=True)

    return rolled(weights, read=read)
