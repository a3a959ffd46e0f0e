"""Lab 4.3: what is right, and the usual ways of being wrong, about the [class] token.

tokens are (B, N + 1, D), the [class] token first. A misconception's docstring is what
the learner reads.
"""

import math
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from labkit.checks.exercise import Cases, Draw, Exercise, Records, looks_at
from labkit.checks.probes import Case, Layer, Optimizer

# ---------------------------------------------------------------------------- 4.3.1


class RightToken(nn.Module):
    """The right module, for misconceptions to go wrong from in one place each."""

    def __init__(self, dim):
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, dim))

    def first(self, x):
        return self.token.expand(len(x), -1, -1)

    def forward(self, x):
        return torch.cat([self.first(x), x], dim=1)


class TokenNotAParameter(nn.Module):
    """You made the token a plain tensor, kept in the module or drawn anew in every
    forward: then it is neither trained nor saved. Register it once, in __init__:
    self.token = nn.Parameter(…)."""

    def __init__(self, dim):
        super().__init__()
        self.token = torch.zeros(1, 1, dim)


class TokenAsBuffer(RightToken):
    """You registered the token as a buffer: it is saved, but no optimizer ever changes
    it. It is to be learned: nn.Parameter."""

    def __init__(self, dim):
        super().__init__(dim)
        del self.token
        self.register_buffer("token", torch.zeros(1, 1, dim))


class TokenOfOneNumber(nn.Module):
    """Your token is one number. A token is a vector as wide as the patches' tokens: D
    numbers."""

    def __init__(self, dim):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1))


class TokenWithoutAxes(nn.Module):
    """Your token has the right numbers in the wrong shape: register it as (1, 1, D),
    one sample and one token, so that it can be expanded and its weights can be
    loaded."""

    def __init__(self, dim):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(dim))


class DrawnAnew(RightToken):
    """You draw the token anew in every forward. Numbers that are different each time
    cannot be learned: draw them once, in __init__, and leave them to the optimizer."""

    def forward(self, x):
        with torch.no_grad():
            self.token.normal_()
        return super().forward(x)


class ExpandMissing(RightToken):
    """You concatenated one token with a batch of B samples. Expand it to (B, 1, D)
    first, so that every sample begins with it."""

    def first(self, x):
        return self.token


class AlongTheBatch(RightToken):
    """You concatenated along the batch: that makes another sample, not another token.
    Tokens lie on axis 1."""

    def forward(self, x):
        return torch.cat([self.token.expand(1, x.shape[1], -1), x], dim=0)


class AlongTheChannels(RightToken):
    """You concatenated along the channels: that makes tokens twice as wide. Tokens lie
    on axis 1."""

    def forward(self, x):
        return torch.cat([self.token.expand_as(x), x], dim=-1)


class OneTokenPerPosition(RightToken):
    """You put one [class] token in front for every position. One for each sample is
    meant: (B, N, D) becomes (B, N + 1, D)."""

    def forward(self, x):
        return torch.cat([self.token.expand_as(x), x], dim=1)


class AddedToThePatches(RightToken):
    """You added the token to the patches. It is a token of its own, in front of
    them."""

    def forward(self, x):
        return x + self.token


class ReplacesTheFirstPatch(RightToken):
    """You put the token in the place of the first patch. It goes in front of it, and
    all patches stay."""

    def forward(self, x):
        return torch.cat([self.first(x), x[:, 1:]], dim=1)


class Appended(RightToken):
    """You put the token behind the patches. Here it goes in front, where `pool` looks
    for it."""

    def forward(self, x):
        return torch.cat([x, self.first(x)], dim=1)


class MeanOfThePatches(RightToken):
    """You put the mean of the patches in front. The [class] token knows nothing of the
    image when it enters: it is the same learned vector for every image."""

    def first(self, x):
        return x.mean(dim=1, keepdim=True)


class TokenPlusMean(MeanOfThePatches):
    """You added the mean of the patches to the token. The [class] token knows nothing
    of the image when it enters: it is the same learned vector for every image."""

    def first(self, x):
        return self.token + super().first(x)


class ZerosInFront(RightToken):
    """You put zeros in front and left self.token unused. Zeros are a fine start for the
    parameter; what goes in front is the parameter."""

    def first(self, x):
        return torch.zeros_like(x[:, :1])


class OnesInFront(RightToken):
    """You put ones in front and left self.token unused. What goes in front is the
    parameter."""

    def first(self, x):
        return torch.ones_like(x[:, :1])


class TokenFrozen(RightToken):
    """You froze the token (requires_grad=False): no gradient reaches it, so it is never
    trained. It is to be learned."""

    def __init__(self, dim):
        super().__init__(dim)
        self.token.requires_grad_(False)


class TokenDetached(RightToken):
    """You took the token out of the graph (.data, .detach(), torch.no_grad()): it is a
    parameter, but no gradient reaches it, so it is never trained."""

    def first(self, x):
        return super().first(x).detach()


@looks_at("changed")
def the_token_stays(cases: Cases, records: Records) -> str | None:
    for name, record in records.items():
        if record.get("changed"):
            return (
                f"In the case “{name}”, a forward pass changed {record['changed'][0]}. "
                "Only the optimizer may do that."
            )
    return None


def every_sample_begins_with_the_token(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        if not case.inputs or case.edge:
            continue
        wanted, output = case.state["token"][0, 0], records[name]["output"]
        for b, row in enumerate(output[:, 0]):
            if not torch.allclose(row.to(wanted), wanted):
                return (
                    f"In the case “{name}”, sample {b} should begin with the token "
                    f"{wanted[0].item():.4g}, {wanted[1].item():.4g}, …; it begins "
                    f"with {row[0].item():.4g}, {row[1].item():.4g}, …"
                )
    return None


class Token(Exercise):
    """ClassToken(dim): one learned vector in front of every sample's tokens."""

    number = "4.3.1"
    reference = {"ClassToken": RightToken}
    probe = "module"
    properties = (the_token_stays, every_sample_begins_with_the_token)
    misconceptions = (
        TokenNotAParameter,
        TokenAsBuffer,
        TokenOfOneNumber,
        TokenWithoutAxes,
        DrawnAnew,
        ExpandMissing,
        AlongTheBatch,
        AlongTheChannels,
        OneTokenPerPosition,
        AddedToThePatches,
        ReplacesTheFirstPatch,
        Appended,
        MeanOfThePatches,
        TokenPlusMean,
        ZerosInFront,
        OnesInFront,
        TokenFrozen,
        TokenDetached,
    )

    def draw_cases(self, draw: Draw):
        B, N, D, more = draw.sizes(4)
        sizes, state = {"dim": D}, {"token": draw.normal(1, 1, D)}
        yield Case("a fresh ClassToken", "ClassToken", sizes)
        for name, shape, edge in (
            ("patches (B, N, D)", (B, N, D), False),
            ("more patches", (B, N + more, D), False),
            ("one sample", (1, N, D), True),
        ):
            x = {"x": draw.normal(*shape)}
            yield Case(name, "ClassToken", sizes, state=state, inputs=x, edge=edge)


# ---------------------------------------------------------------------------- 4.3.2


def pooled(tokens, how, **other):
    """The right vector, or for a keyword's word another one."""
    ways = {"class": lambda: tokens[:, 0], "mean": lambda: tokens[:, 1:].mean(1)}
    if how not in ways:
        raise ValueError(f"how is {how!r}; it can be 'class' or 'mean'")
    return other[how](tokens) if how in other else ways[how]()


def mean_of_all_tokens(tokens, how):
    """Your mean includes the [class] token. "mean" is the mean of the patches only,
    token 1 to the last."""
    return pooled(tokens, how, mean=lambda t: t.mean(1))


def mean_of_all_but_the_last(tokens, how):
    """Your mean leaves out the last patch and includes the [class] token. The [class]
    token is the first."""
    return pooled(tokens, how, mean=lambda t: t[:, :-1].mean(1))


def mean_of_too_few(tokens, how):
    """Your mean leaves out the first or the last patch. The patches are token 1 to the
    last, all of them."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:-1].mean(1))


def first_patch_left_out(tokens, how):
    """You began the mean at token 2. Counted from 0, the patches begin at 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 2:].mean(1))


def first_sample(tokens, how):
    """You read tokens[0], all tokens of the first sample. The [class] token of every
    sample is tokens[:, 0]."""
    return pooled(tokens, how, **{"class": lambda t: t[0]})


def last_token(tokens, how):
    """You read the last token, which is a patch. The [class] token is token 0."""
    return pooled(tokens, how, **{"class": lambda t: t[:, -1]})


def first_patch(tokens, how):
    """You read token 1, the first patch. The [class] token is token 0."""
    return pooled(tokens, how, **{"class": lambda t: t[:, 1]})


def first_channel(tokens, how):
    """You read the first channel of every token. Axis 1 holds the tokens: the [class]
    token is tokens[:, 0]."""
    return pooled(tokens, how, **{"class": lambda t: t[..., 0]})


def axis_kept(tokens, how):
    """You kept the axis of the tokens, (B, 1, D). One vector a sample is wanted,
    (B, D): index with 0 instead of slicing :1, and leave keepdim out."""
    return pooled(
        tokens,
        how,
        **{"class": lambda t: t[:, :1], "mean": lambda t: t[:, 1:].mean(1, True)},
    )


def class_axis_kept(tokens, how):
    """You sliced the [class] token, which keeps the axis: tokens[:, :1] is (B, 1, D).
    Index it: tokens[:, 0] is (B, D)."""
    return pooled(tokens, how, **{"class": lambda t: t[:, :1]})


def mean_axis_kept(tokens, how):
    """You kept the axis that you averaged over (keepdim=True). One vector a sample is
    wanted, (B, D)."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean(1, keepdim=True))


def mean_over_the_batch(tokens, how):
    """You averaged over the samples. Average over the tokens, axis 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean(0))


def mean_over_channels(tokens, how):
    """You averaged over the channels. Average over the tokens, axis 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean(-1))


def mean_without_the_first_sample(tokens, how):
    """You left out the first sample (tokens[1:]) instead of the first token
    (tokens[:, 1:])."""
    return pooled(tokens, how, mean=lambda t: t[1:].mean(1))


def mean_of_all_numbers(tokens, how):
    """You averaged over all axes at once. Average over the tokens, axis 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean())


def sum_of_patches(tokens, how):
    """You summed the patches. The mean divides by how many they are."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].sum(1))


def sum_divided_by_all_tokens(tokens, how):
    """You summed the patches but divided by N + 1, the number of all tokens. There are
    N patches."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].sum(1) / t.shape[1])


def largest_of_patches(tokens, how):
    """You took the largest of the patches in every channel. "mean" is their mean."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].amax(1))


def exchanged(tokens, how):
    """You exchanged the two ways: "class" is token 0, "mean" the mean of the others."""
    return pooled(
        tokens,
        how,
        **{"class": lambda t: t[:, 1:].mean(1), "mean": lambda t: t[:, 0]},
    )


def anything_else_is_mean(tokens, how):
    """You take any other word for "mean" (a bare else?). A misspelled word should not
    pass in silence: raise a ValueError."""
    return pooled(tokens, "class" if how == "class" else "mean")


def anything_else_is_class(tokens, how):
    """You take any other word for "class" (a bare else?). A misspelled word should not
    pass in silence: raise a ValueError."""
    return pooled(tokens, "mean" if how == "mean" else "class")


def nothing_for_other_words(tokens, how):
    """You return None for any other word, or a message. Raise an error: raise
    ValueError(…)."""
    return pooled(tokens, how) if how in ("class", "mean") else None


def wrong_error(tokens, how):
    """You raise another error (an assert, or a dict's KeyError?). For a wrong value
    Python's word is ValueError."""
    if how not in ("class", "mean"):
        raise KeyError(how)
    return pooled(tokens, how)


@looks_at("error")
def the_error_says_what_is_wrong(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        if not (error := records[name]["error"]):
            continue
        missing = [w for w in ("class", "mean") if w not in error["message"]]
        got = case.args["how"]
        if got not in error["message"]:
            problem = f"it does not say what was got ({got!r})"
        elif missing:
            problem = f"it does not say that {missing[0]!r} is possible"
        else:
            continue
        return (
            f"In the case “{name}”, a ValueError is raised, as it should, but "
            f"{problem}: {error['message'][:80]!r}."
        )
    return None


class Pool(Exercise):
    """pool(tokens, how): one vector for each image."""

    number = "4.3.2"
    properties = (the_error_says_what_is_wrong,)
    misconceptions = (
        mean_of_all_tokens,
        mean_of_all_but_the_last,
        mean_of_too_few,
        first_patch_left_out,
        first_sample,
        last_token,
        first_patch,
        first_channel,
        axis_kept,
        class_axis_kept,
        mean_axis_kept,
        mean_over_the_batch,
        mean_over_channels,
        mean_without_the_first_sample,
        mean_of_all_numbers,
        sum_of_patches,
        sum_divided_by_all_tokens,
        largest_of_patches,
        exchanged,
        anything_else_is_mean,
        anything_else_is_class,
        nothing_for_other_words,
        wrong_error,
    )

    @staticmethod
    def pool(tokens, how):
        return pooled(tokens, how)

    reference = {"pool": pool}

    def draw_cases(self, draw: Draw):
        B, T, D = draw.sizes(3)
        tokens = draw.normal(B, T, D)

        def case(name, how, tokens=tokens, **more):
            return Case(name, "pool", {"tokens": tokens, "how": how}, **more)

        yield case("class", "class")
        yield case("mean", "mean")
        yield case("an unknown word", "median", gradients=False)
        one = draw.normal(B, 2, D)
        yield case("one patch", "mean", one, edge=True)


# ---------------------------------------------------------------------------- 4.3.3


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


def residual_forgotten(weights):
    """You multiplied the attention alone. Beside every attention runs a residual
    connection, which carries each token on: take (A + I) / 2 for each layer."""
    return rolled(weights, mix=lambda A: A)


def rows_not_normalized(weights):
    """You added I but did not divide by 2: your rows sum to 2, and the rollout grows
    twofold with every layer. Each row must sum to 1: (A + I) / 2."""
    return rolled(weights, mix=lambda A: 2 * halved(A))


def residual_once(weights):
    """You accounted for the residual once, at the end. Every layer has one: mix in I
    before you multiply."""

    def at_the_end(matrices):
        return halved(later_on_the_left(matrices))

    return rolled(weights, mix=lambda A: A, product=at_the_end)


def added_after_halving(weights):
    """You halved the attention but added the whole of I: A / 2 + I instead of
    (A + I) / 2. Your rows sum to 1.5."""
    return rolled(weights, mix=lambda A: halved(A) + halved(0 * A))


def ones_added(weights):
    """You added 1 to every entry instead of the identity, which has ones on the
    diagonal only: torch.eye."""
    return rolled(weights, mix=lambda A: (A + 1) / (1 + A.shape[-1]))


def earlier_on_the_left(weights):
    """You multiplied in the wrong order. The first layer acts on the tokens first, so
    it stands on the right; each later layer goes to its left."""
    return rolled(weights, product=lambda matrices: later_on_the_left(matrices[::-1]))


def elementwise(weights):
    """You multiplied entry by entry (*). Layers follow one another: that is the product
    of matrices, @."""
    return rolled(weights, product=lambda ms: reduce(torch.mul, ms))


def layers_averaged(weights):
    """You averaged over the layers. They follow one another: multiply the matrices."""
    return rolled(weights, product=lambda ms: sum(ms) / len(ms))


def layers_added(weights):
    """You added the layers up. They follow one another: multiply the matrices."""
    return rolled(weights, product=sum)


def last_layer_only(weights):
    """You looked at the last layer only. Its tokens are mixtures already: multiply with
    the layers before it."""
    return rolled(weights, product=lambda ms: ms[-1])


def first_layer_only(weights):
    """You looked at the first layer only: a loop that overwrites, or a return inside
    it? Multiply with all layers after it."""
    return rolled(weights, product=lambda ms: ms[0])


def first_layer_left_out(weights):
    """You left the first layer out of the product: does your loop begin at 1, and
    the product at the identity? The first layer is layer 0."""
    return rolled(
        weights,
        product=lambda ms: reduce(lambda R, A: A @ R, ms[1:], halved(0 * ms[0]) * 2),
    )


def last_layer_left_out(weights):
    """You left the last layer out of the product."""
    return rolled(
        weights,
        product=lambda ms: reduce(lambda R, A: A @ R, ms[:-1], halved(0 * ms[0]) * 2),
    )


def first_layer_twice(weights):
    """You multiplied the first layer twice: you begin with it, and the loop begins with
    it too."""
    return rolled(weights, product=lambda ms: later_on_the_left([ms[0], *ms]))


def largest_over_heads(weights):
    """You took the largest weight over the heads. This exercise asks for the mean,
    which keeps rows that sum to 1."""
    return rolled(weights, heads=lambda w: w.amax(2))


def smallest_over_heads(weights):
    """You took the smallest weight over the heads. This exercise asks for the mean,
    which keeps rows that sum to 1."""
    return rolled(weights, heads=lambda w: w.amin(2))


def heads_added(weights):
    """You summed over the heads. Take the mean, so that rows sum to 1."""
    return rolled(weights, heads=lambda w: w.sum(2))


def first_head_only(weights):
    """You used the first head only. Take the mean over the heads, axis 2."""
    return rolled(weights, heads=lambda w: w[:, :, 0])


def heads_at_the_end(weights):
    """You rolled out every head by itself and averaged at the end. Head 1 of one layer
    is no relative of head 1 of the next: average first, then multiply."""
    R = later_on_the_left([halved(A) for A in weights])  # (B, h, T, T)
    return class_row(R.mean(1))


def batch_averaged(weights):
    """You averaged over the samples, axis 1, instead of the heads, axis 2. Every sample
    has a rollout of its own."""
    return rolled(weights, heads=lambda w: w.mean(1))


def column_read(weights):
    """You read the column of the [class] token: how much it gives to each patch. Its
    row says what it takes from them: R[:, 0]."""
    return rolled(weights, read=lambda R: R[:, 1:, 0])


def attention_transposed(weights):
    """You transposed the attention. Rows are queries here, and sum to 1."""
    return rolled(weights.mT)


def class_entry_left_in(weights):
    """You left the [class] token's own entry in: (B, N + 1) instead of (B, N). Drop
    entry 0; the patches are left."""
    return rolled(weights, read=lambda R: R[:, 0])


def last_entry_dropped(weights):
    """You dropped the last patch and kept the [class] token's own entry. Drop entry
    0."""
    return rolled(weights, read=lambda R: R[:, 0, :-1])


def all_rows_returned(weights):
    """You returned the whole matrix. Only row 0 is wanted, the [class] token's, without
    its entry 0."""
    return rolled(weights, read=lambda R: R)


def all_patch_rows(weights):
    """You dropped the [class] token's row and column. Its row is the one that is
    wanted: R[:, 0, 1:]."""
    return rolled(weights, read=lambda R: R[:, 1:, 1:])


def last_row_read(weights):
    """You read the last row, a patch's. The [class] token is token 0."""
    return rolled(weights, read=lambda R: R[:, -1, 1:])


def mean_of_rows(weights):
    """You averaged over all rows. Only row 0 is wanted, what the [class] token
    takes."""
    return rolled(weights, read=lambda R: R.mean(1)[:, 1:])


def first_sample_only(weights):
    """You read the first sample only. R is (B, T, T): keep the batch, R[:, 0, 1:]."""
    return rolled(weights, read=lambda R: R[0, 0, 1:])


def made_to_sum_to_one(weights):
    """You divided by the sum at the end, so that the patches share 1. Here the rest is
    meant to be missing: it is what the [class] token kept of itself."""
    return rolled(weights, read=lambda R: F.normalize(class_row(R), p=1, dim=-1))


def divided_by_the_largest(weights):
    """You divided by the largest entry at the end. Good for drawing; here R's own
    entries are wanted."""

    def read(R):
        return class_row(R) / class_row(R).amax(-1, keepdim=True)

    return rolled(weights, read=read)


class Rollout(Exercise):
    """attention_rollout(weights): what the [class] token took from where."""

    number = "4.3.3"
    misconceptions = (
        class_entry_left_in,
        last_entry_dropped,
        all_rows_returned,
        all_patch_rows,
        first_sample_only,
        batch_averaged,
        residual_forgotten,
        rows_not_normalized,
        residual_once,
        added_after_halving,
        ones_added,
        earlier_on_the_left,
        elementwise,
        layers_averaged,
        layers_added,
        last_layer_only,
        first_layer_only,
        first_layer_left_out,
        last_layer_left_out,
        first_layer_twice,
        largest_over_heads,
        smallest_over_heads,
        heads_added,
        first_head_only,
        heads_at_the_end,
        column_read,
        attention_transposed,
        last_row_read,
        mean_of_rows,
        made_to_sum_to_one,
        divided_by_the_largest,
    )

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


# ---------------------------------------------------------------------------- 4.3.4


def half_cosine(t):
    return (1 + math.cos(math.pi * t)) / 2


def straight(step, warmup_steps):
    return step / warmup_steps


def scheduled(step, warmup_steps, total_steps, rise=straight, fall=half_cosine):
    """The right factor, or with another rise or another fall."""
    if step >= total_steps:
        return 0.0
    if step < warmup_steps:
        return rise(step, warmup_steps)
    return fall((step - warmup_steps) / (total_steps - warmup_steps))


def no_warmup(step, warmup_steps, total_steps):
    """You left the warm-up out: your factor begins at 1."""
    return scheduled(step, 0, total_steps)


def warmup_at_full_rate(step, warmup_steps, total_steps):
    """You give 1 during the warm-up. There the factor rises in a straight line from 0
    to 1."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: 1.0)


def warmup_at_zero(step, warmup_steps, total_steps):
    """You give 0 during the warm-up. There the factor rises in a straight line from 0
    to 1. A division of whole numbers, //, gives 0 too."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: 0.0)


def warmup_one_early(step, warmup_steps, total_steps):
    """Your warm-up is one step early: you divide step + 1. Here step 0 has the factor
    0."""
    return scheduled(
        step, warmup_steps, total_steps, rise=lambda s, w: min(1.0, (s + 1) / w)
    )


def warmup_one_short(step, warmup_steps, total_steps):
    """You divide by warmup_steps − 1: your factor reaches 1 a step before the warm-up
    is over."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: s / (w - 1))


def warmup_one_long(step, warmup_steps, total_steps):
    """You divide by warmup_steps + 1: the warm-up ends below 1, and the factor
    jumps."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: s / (w + 1))


def warmup_of_total(step, warmup_steps, total_steps):
    """You divide by total_steps during the warm-up. It lasts warmup_steps."""
    return scheduled(step, warmup_steps, total_steps, lambda s, w: s / total_steps)


def warmup_curved(step, warmup_steps, total_steps):
    """You let the warm-up follow a cosine too. It is a straight line."""

    def rise(s, w):
        return (1 - math.cos(math.pi * s / w)) / 2

    return scheduled(step, warmup_steps, total_steps, rise)


def warmup_downwards(step, warmup_steps, total_steps):
    """Your warm-up falls from 1 to 0. It rises: step / warmup_steps."""
    return scheduled(step, warmup_steps, total_steps, lambda s, w: 1 - s / w)


def cosine_from_step_zero(step, warmup_steps, total_steps):
    """Your cosine begins at step 0 instead of at the end of the warm-up: the factor
    jumps down there. Count from warmup_steps."""
    if step >= warmup_steps:
        return scheduled(step, 0, total_steps)
    return scheduled(step, warmup_steps, total_steps)


def warmup_times_cosine(step, warmup_steps, total_steps):
    """You multiply a warm-up and a cosine that both begin at step 0. The one follows
    the other: the cosine begins where the warm-up ends."""
    rise = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    return rise * scheduled(step, 0, total_steps)


def never_reaches_zero(step, warmup_steps, total_steps):
    """You divide by total_steps, though only total_steps − warmup_steps steps are left
    for the cosine: it is still above 0 when the steps are over."""
    if step < warmup_steps:
        return step / warmup_steps
    return half_cosine(min(1.0, (step - warmup_steps) / total_steps))


def jumps_to_zero(step, warmup_steps, total_steps):
    """You divide by total_steps, though only total_steps − warmup_steps steps are left
    for the cosine: your factor jumps to 0 at the end instead of gliding there."""
    if step >= total_steps:
        return 0.0
    return never_reaches_zero(step, warmup_steps, total_steps)


def zero_one_early(step, warmup_steps, total_steps):
    """You reach 0 one step too early, at total_steps − 1. The factor is 0 from step
    total_steps on."""
    return scheduled(step, warmup_steps, total_steps - 1)


def zero_one_late(step, warmup_steps, total_steps):
    """You reach 0 one step too late, at total_steps + 1. The factor is 0 from step
    total_steps on."""
    return scheduled(step, warmup_steps, total_steps + 1)


def goes_up_again(step, warmup_steps, total_steps):
    """Your factor goes up again after total_steps: a cosine does. From step total_steps
    on it is 0."""
    if step < warmup_steps:
        return step / warmup_steps
    return half_cosine((step - warmup_steps) / (total_steps - warmup_steps))


def one_after_the_end(step, warmup_steps, total_steps):
    """You give 1 after total_steps. From there on the factor is 0."""
    if step > total_steps:
        return 1.0
    return scheduled(step, warmup_steps, total_steps)


def nothing_after_the_end(step, warmup_steps, total_steps):
    """You return nothing from total_steps on. The factor is 0 there."""
    if step < total_steps:
        return scheduled(step, warmup_steps, total_steps)


def in_degrees(step, warmup_steps, total_steps):
    """You gave the cosine degrees. math.cos wants radians: π, not 180, is half a
    turn."""
    return scheduled(
        step,
        warmup_steps,
        total_steps,
        fall=lambda t: (1 + math.cos(180 * t)) / 2,
    )


def pi_forgotten(step, warmup_steps, total_steps):
    """You left π out: cos(t) for t from 0 to 1 falls to 0.54 only."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: (1 + math.cos(t)) / 2
    )


def whole_turn(step, warmup_steps, total_steps):
    """You let the cosine make a whole turn (2π): it comes back up to 1. Half a turn, π,
    goes from 1 to 0."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: half_cosine(2 * t))


def quarter_turn(step, warmup_steps, total_steps):
    """You used a quarter of a turn, cos(π t / 2): also from 1 to 0, but steepest at the
    end. Wanted is (1 + cos(π t)) / 2, which ends gently."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: math.cos(math.pi * t / 2)
    )


def below_zero(step, warmup_steps, total_steps):
    """Your cosine falls to −1: a negative learning rate climbs. Lift and halve it:
    (1 + cos(π t)) / 2."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: math.cos(math.pi * t)
    )


def cut_off_at_zero(step, warmup_steps, total_steps):
    """You cut the cosine off at 0, so that half of the steps have the rate 0. Lift and
    halve it instead: (1 + cos(π t)) / 2."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: max(0, math.cos(math.pi * t))
    )


def not_halved(step, warmup_steps, total_steps):
    """You forgot the half: 1 + cos(π t) begins at 2."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 2 * half_cosine(t))


def half_misplaced(step, warmup_steps, total_steps):
    """You halved only the cosine: 1 + cos(π t) / 2 goes from 1.5 to 0.5. Halve the
    sum: (1 + cos(π t)) / 2."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: 1 + math.cos(math.pi * t) / 2
    )


def minus_cosine(step, warmup_steps, total_steps):
    """Your factor rises after the warm-up: the sign of the cosine is wrong."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 1 - half_cosine(t))


def straight_down(step, warmup_steps, total_steps):
    """You let the factor fall in a straight line. After the warm-up it follows half a
    cosine."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 1 - t)


def stays_at_one(step, warmup_steps, total_steps):
    """You keep the factor at 1 after the warm-up. From there it falls along a
    cosine."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 1.0)


def warmup_of_no_steps(step, warmup_steps, total_steps):
    """You divide by warmup_steps though it may be 0. Without warm-up the cosine begins
    at once, at 1: ask step < warmup_steps before you divide."""
    rise = step / warmup_steps
    return rise if rise < 1 else scheduled(step, warmup_steps, total_steps)


class Schedule(Exercise):
    """warmup_cosine(step, warmup_steps, total_steps): part of the peak rate."""

    number = "4.3.4"
    misconceptions = (
        no_warmup,
        warmup_at_full_rate,
        warmup_at_zero,
        warmup_one_early,
        warmup_one_short,
        warmup_one_long,
        warmup_of_total,
        warmup_curved,
        warmup_downwards,
        cosine_from_step_zero,
        warmup_times_cosine,
        never_reaches_zero,
        jumps_to_zero,
        zero_one_early,
        zero_one_late,
        goes_up_again,
        one_after_the_end,
        nothing_after_the_end,
        in_degrees,
        pi_forgotten,
        whole_turn,
        quarter_turn,
        below_zero,
        cut_off_at_zero,
        not_halved,
        half_misplaced,
        minus_cosine,
        straight_down,
        stays_at_one,
        warmup_of_no_steps,
    )

    @staticmethod
    def warmup_cosine(step, warmup_steps, total_steps):
        return scheduled(step, warmup_steps, total_steps)

    reference = {"warmup_cosine": warmup_cosine}

    def draw_cases(self, draw: Draw):
        W = int(draw.integers(20, 60, 1))
        rest = int(draw.integers(100, 400, 1))
        S = W + rest

        def case(name, step, warmup=W, edge=False):
            steps = {"step": step, "warmup_steps": warmup, "total_steps": S}
            return Case(
                name, "warmup_cosine", steps, gradients=False, edge=edge, tolerance=1e-6
            )

        for step, what in (
            (0, "the first"),
            (W // 3, "in the warm-up"),
            (W - 1, "the last of the warm-up"),
            (W, "the peak"),
            (W + rest // 3, "on the way down"),
            (W + 2 * rest // 3, "further down"),
            (S - 1, "the last"),
            (S, "the end"),
            (S + rest // 4, "after the end"),
        ):
            yield case(f"step {step} of {S}, warm-up {W}: {what}", step)
        yield case(f"step 0 of {S}, without warm-up", 0, warmup=0, edge=True)


# ---------------------------------------------------------------------------- 4.3.5


def by_norm(model, max_norm):
    clip_grad_norm_(model.parameters(), max_norm)


def stepped(
    model,
    optimizer,
    images,
    labels,
    max_norm,
    *,
    mode=nn.Module.train,
    loss=F.cross_entropy,
    clip=by_norm,
    report=torch.Tensor.item,
):
    """The right step, or with one part of it another way."""
    mode(model)
    optimizer.zero_grad()
    value = loss(model(images), labels)
    value.backward()
    clip(model, max_norm)
    optimizer.step()
    return report(value)


def nothing_returned(model, optimizer, images, labels, max_norm=1.0):
    """You return nothing. Return the loss as a float: loss.item()."""
    stepped(model, optimizer, images, labels, max_norm)


def tensor_returned(model, optimizer, images, labels, max_norm=1.0):
    """You return the loss as a tensor, which holds the whole graph of the step in
    memory as long as anyone keeps it. Return a number: loss.item()."""
    return stepped(model, optimizer, images, labels, max_norm, report=lambda x: x)


def without_gradients(model, optimizer, images, labels, max_norm=1.0):
    """You compute the loss under torch.no_grad(), or detach it: then there is no graph
    to go back through."""
    model.train()
    optimizer.zero_grad()
    with torch.no_grad():
        loss = F.cross_entropy(model(images), labels)
    loss.backward()


def arguments_exchanged(model, optimizer, images, labels, max_norm=1.0):
    """You gave F.cross_entropy the labels first. The logits come first."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(labels, logits),
    )


def train_mode_not_set(model, optimizer, images, labels, max_norm=1.0):
    """You did not switch the model to training mode. Whoever measured accuracy before
    has left it in eval mode: call model.train() first."""
    return stepped(model, optimizer, images, labels, max_norm, mode=lambda m: None)


def eval_mode_set(model, optimizer, images, labels, max_norm=1.0):
    """You switch the model to eval mode. Dropout and batch norm then do not do what
    they do in training: call model.train()."""
    return stepped(model, optimizer, images, labels, max_norm, mode=nn.Module.eval)


def eval_mode_at_the_end(model, optimizer, images, labels, max_norm=1.0):
    """You switch the model to eval mode at the end of the step. Leave it in training
    mode: the next step follows."""
    loss = stepped(model, optimizer, images, labels, max_norm)
    model.eval()
    return loss


def softmax_before_cross_entropy(model, optimizer, images, labels, max_norm=1.0):
    """You took the softmax before the cross entropy, which takes it itself: give
    F.cross_entropy the logits. Taken twice, the model learns slowly and never gets
    sure."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(logits.softmax(-1), labels),
    )


def likelihood_of_logits(model, optimizer, images, labels, max_norm=1.0):
    """You gave logits to the negative log-likelihood (nll_loss), which wants
    log-probabilities. F.cross_entropy takes logits."""
    return stepped(model, optimizer, images, labels, max_norm, loss=F.nll_loss)


def squared_error(model, optimizer, images, labels, max_norm=1.0):
    """You used the squared error against one-hot labels. The exercise asks for the
    cross entropy."""

    def loss(logits, labels):
        return F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).to(logits))

    return stepped(model, optimizer, images, labels, max_norm, loss=loss)


def summed_over_the_batch(model, optimizer, images, labels, max_norm=1.0):
    """You summed the loss over the batch. The mean is wanted, which does not grow with
    the batch: F.cross_entropy's default."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"),
    )


def divided_again(model, optimizer, images, labels, max_norm=1.0):
    """You divided the loss by the batch size. F.cross_entropy has done that: its
    default is the mean."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(logits, labels) / len(labels),
    )


def labels_smoothed(model, optimizer, images, labels, max_norm=1.0):
    """You smoothed the labels. The exercise asks for the plain cross entropy."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
    )


def loss_after_the_step(model, optimizer, images, labels, max_norm=1.0):
    """You return the loss after the step, from a second forward pass. Return the one
    that you went back through: it costs nothing."""
    stepped(model, optimizer, images, labels, max_norm)
    return F.cross_entropy(model(images), labels).item()


def two_forward_passes(model, optimizer, images, labels, max_norm=1.0):
    """You ran the model twice in one step. That takes twice the time, and batch norm's
    running statistics move twice: keep the loss of the first pass."""
    model.train()
    model(images)
    return stepped(model, optimizer, images, labels, max_norm)


def accuracy_returned(model, optimizer, images, labels, max_norm=1.0):
    """You return the share of right answers. The loss is wanted."""
    right = []

    def loss(logits, labels):
        right.append((logits.argmax(-1) == labels).double().mean().item())
        return F.cross_entropy(logits, labels)

    stepped(model, optimizer, images, labels, max_norm, loss=loss)
    return right[0]


def weights_as_before(model, optimizer, images, labels, max_norm=1.0):
    """Your weights are the same after the step. Either backward() or step() is missing,
    or you cleared the gradients between the two."""
    loss = stepped(
        model, optimizer, images, labels, max_norm, clip=lambda *_: model.zero_grad()
    )
    return loss


def gradients_not_cleared(model, optimizer, images, labels, max_norm=1.0):
    """You did not clear the gradients: backward() adds to what is there, so the second
    step still goes the first one's way. Call optimizer.zero_grad()."""
    model.train()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    by_norm(model, max_norm)
    optimizer.step()
    return loss.item()


def not_clipped(model, optimizer, images, labels, max_norm=1.0):
    """You did not clip the gradients, or not between backward() and step(): before,
    there is nothing to clip; after, the step is taken."""
    return stepped(model, optimizer, images, labels, max_norm, clip=lambda *_: None)


def clipped_by_value(model, optimizer, images, labels, max_norm=1.0):
    """You clipped every number of the gradient by itself, which turns its direction.
    Clip the norm of the whole: nn.utils.clip_grad_norm_."""

    def clip(model, max_norm):
        clip_grad_value_(model.parameters(), max_norm)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


def clipped_one_by_one(model, optimizer, images, labels, max_norm=1.0):
    """You clipped every parameter's gradient by itself, which turns the direction of
    the step. The norm of all together is meant: clip_grad_norm_(model.parameters(),
    …)."""

    def clip(model, max_norm):
        for parameter in model.parameters():
            clip_grad_norm_(parameter, max_norm)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


def max_norm_ignored(model, optimizer, images, labels, max_norm=1.0):
    """You clip to 1 whatever max_norm is."""
    return stepped(model, optimizer, images, labels, 1.0)


def always_scaled(model, optimizer, images, labels, max_norm=1.0):
    """You scale every gradient to the norm max_norm, small ones too. Clipping only
    shortens those that are longer."""

    def clip(model, max_norm):
        gradients = [p.grad for p in model.parameters()]
        norm = torch.stack([g.norm() for g in gradients]).norm()
        for gradient in gradients:
            gradient.mul_(max_norm / norm)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


def norm_of_largest(model, optimizer, images, labels, max_norm=1.0):
    """You clipped by another norm than the usual one, the root of the sum of
    squares."""

    def clip(model, max_norm):
        clip_grad_norm_(model.parameters(), max_norm, norm_type=math.inf)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


def two_steps(model, optimizer, images, labels, max_norm=1.0):
    """You called optimizer.step() twice."""
    loss = stepped(model, optimizer, images, labels, max_norm)
    optimizer.step()
    return loss


def uphill(model, optimizer, images, labels, max_norm=1.0):
    """You climb: the gradient has the wrong sign, and the loss grows."""

    def clip(model, max_norm):
        by_norm(model, max_norm)
        for parameter in model.parameters():
            parameter.grad.neg_()

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


@looks_at("training", "output")
def left_in_training_mode(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        if not records[name]["training"]:
            came = "training" if case.args["model"].training else "eval"
            return (
                f"In the case “{name}”, the model came in {came} mode and is in eval "
                "mode after the step."
            )
    return None


class Step(Exercise):
    """train_step(model, optimizer, images, labels, max_norm): one step, its loss."""

    number = "4.3.5"
    properties = (left_in_training_mode,)
    misconceptions = (
        nothing_returned,
        tensor_returned,
        without_gradients,
        arguments_exchanged,
        train_mode_not_set,
        eval_mode_set,
        eval_mode_at_the_end,
        softmax_before_cross_entropy,
        likelihood_of_logits,
        squared_error,
        summed_over_the_batch,
        divided_again,
        labels_smoothed,
        loss_after_the_step,
        accuracy_returned,
        two_forward_passes,
        weights_as_before,
        gradients_not_cleared,
        not_clipped,
        clipped_by_value,
        clipped_one_by_one,
        max_norm_ignored,
        always_scaled,
        norm_of_largest,
        two_steps,
        uphill,
    )

    @staticmethod
    def train_step(model, optimizer, images, labels, max_norm=1.0):
        return stepped(model, optimizer, images, labels, max_norm)

    reference = {"train_step": train_step}

    def draw_cases(self, draw: Draw):
        B, side, hidden, K = draw.sizes(4)
        images = draw.normal(B, 1, side, side)
        labels = draw.integers(0, K - 1, B)
        sgd = Optimizer("SGD", "model", {"lr": 0.3, "momentum": 0.9})
        kinds = (
            Layer("Flatten"),
            Layer("Linear", (side * side, hidden), {"bias": False}),
            Layer("BatchNorm1d", (hidden,)),  # does in eval mode what it did not before
            Layer("GELU"),
            Layer("Linear", (hidden, K)),
        )
        state = {
            "1.weight": draw.normal(hidden, side * side),
            "2.weight": draw.normal(hidden, mean=2.0),
            "2.bias": draw.normal(hidden),
            "2.running_mean": draw.normal(hidden),
            "2.running_var": draw.normal(hidden).square() + 0.5,
            "4.weight": draw.normal(K, hidden, std=2.0),
            "4.bias": draw.normal(K),
        }

        def case(name, training=True, **limit):
            model = Layer("Sequential", kinds, state=state, training=training)
            args = {"model": model, "optimizer": sgd, "images": images}
            return Case(
                name,
                "train_step",
                args | {"labels": labels},
                kwargs=limit,
                fills="model",
                gradients=False,
                tolerance=1e-5,
            )

        yield case("a gradient to clip", max_norm=0.05)
        yield case("a gradient short enough", max_norm=1000.0)
        yield case("a model in eval mode, max_norm left out", training=False)


EXERCISES = (Token, Pool, Rollout, Schedule, Step)
