"""Exercise 2.5: what a block costs, and where attention overtakes the network."""

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


def macs(tokens, dim, hidden, projections=4, core=2, layers=2):
    return {
        "attention_projections": projections * tokens * dim * dim,
        "attention_core": core * tokens * tokens * dim,
        "feed_forward": layers * tokens * dim * hidden,
    }


class BlockCost(Exercise):
    """block_macs and crossover_tokens: what a block costs."""

    number = "2.5"

    @staticmethod
    def block_macs(tokens, dim, hidden):
        return macs(tokens, dim, hidden)

    @staticmethod
    def crossover_tokens(dim, hidden):
        return max(0, hidden - 2 * dim)

    reference = {"block_macs": block_macs, "crossover_tokens": crossover_tokens}

    def draw_cases(self, draw: Draw):
        for name, factor in (("wide", 5), ("narrow", 1)):
            tokens, dim, more = draw.sizes(3, high=60)
            sizes = {"dim": dim, "hidden": factor * dim + more}
            if factor == 1:
                sizes["hidden"] = dim + 1
            given = {"tokens": tokens, **sizes}
            yield Case(f"{name} {given}", "block_macs", given, gradients=False)
            yield Case(f"{name} {sizes}", "crossover_tokens", sizes, gradients=False)


@BlockCost.mistake(of="block_macs")
def multiplies_and_adds(tokens, dim, hidden):
    """You counted every multiply-accumulate as two operations. That is the number of
    FLOPs; here one multiplication with its addition counts once."""
    return macs(tokens, dim, hidden, 8, 4, 4)


@BlockCost.mistake(of="block_macs")
def output_projection_forgotten(tokens, dim, hidden):
    """You counted three projections. There are four: query, key, value and the output
    projection."""
    return macs(tokens, dim, hidden, projections=3)


@BlockCost.mistake(of="block_macs")
def core_counted_once(tokens, dim, hidden):
    """You counted one product in the attention core. There are two of T·T·D each: the
    scores QKᵀ and the weighted sum of the values."""
    return macs(tokens, dim, hidden, core=1)


@BlockCost.mistake(of="block_macs")
def one_layer_counted(tokens, dim, hidden):
    """You counted one linear layer in the feed-forward network. There are two."""
    return macs(tokens, dim, hidden, layers=1)


@BlockCost.mistake(of="block_macs")
def hidden_is_four_times(tokens, dim, hidden):
    """You assumed that the hidden width is 4 · dim; use hidden."""
    return macs(tokens, dim, 4 * dim)


@BlockCost.mistake(of="block_macs")
def one_token(tokens, dim, hidden):
    """You counted one token. The cost is that of the whole sequence: multiply by
    tokens."""
    return {k: v // tokens for k, v in macs(tokens, dim, hidden).items()}


@BlockCost.mistake(of="block_macs")
def core_quadratic_in_width(tokens, dim, hidden):
    """Your attention core grows with dim². The matrix of weights is T×T: its two
    products cost T·T·D each."""
    return {
        **macs(tokens, dim, hidden),
        "attention_core": 2 * tokens * dim * dim,
    }


@BlockCost.mistake(of="crossover_tokens")
def core_alone_against_network(dim, hidden):
    """You compared the attention core alone with the feed-forward network. The
    projections belong to the attention sublayer too."""
    return hidden


@BlockCost.mistake(of="crossover_tokens")
def projections_halved(dim, hidden):
    """Your crossover subtracts dim once. Set 4·T·D² + 2·T²·D equal to 2·T·D·H and
    divide by 2·T·D."""
    return max(0, hidden - dim)


@BlockCost.mistake(of="crossover_tokens")
def twice_the_width(dim, hidden):
    """You returned 2 · dim, which is right only for hidden = 4 · dim."""
    return 2 * dim


@BlockCost.mistake(of="crossover_tokens")
def negative_tokens(dim, hidden):
    """You returned a negative number of tokens. Where the feed-forward network is
    narrow, attention costs more from the first token on: return 0."""
    return hidden - 2 * dim
