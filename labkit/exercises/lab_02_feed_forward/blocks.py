"""Exercise 2.6: attention and network one after the other, or side by side."""

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case, Layer


def nothing_added_changes_nothing(cases: Cases, replies: Replies) -> str | None:
    for target in ("sequential_block", "parallel_block"):
        name = f"{target}, sublayers that return 0"
        x, output = cases[name].args["x"], replies[name]["output"]
        if bool(((output - x).abs() > 1e-9).any()):
            return f"With sublayers that return 0, {target} should return x itself."
    return None


class Blocks(Exercise):
    """sequential_block and parallel_block: who reads what."""

    number = "2.6"
    properties = (nothing_added_changes_nothing,)

    @staticmethod
    def sequential_block(x, norm1, attention, norm2, feed_forward):
        x = x + attention(norm1(x))
        return x + feed_forward(norm2(x))

    @staticmethod
    def parallel_block(x, norm, attention, feed_forward):
        y = norm(x)
        return x + attention(y) + feed_forward(y)

    reference = {
        "sequential_block": sequential_block,
        "parallel_block": parallel_block,
    }

    def draw_cases(self, draw: Draw):
        B, T, D = draw.sizes(3)
        x = draw.normal(B, T, D, mean=2, std=3)

        def norm():
            state = {"weight": draw.normal(D), "bias": draw.normal(D)}
            return Layer("LayerNorm", (D,), state=state)

        def sublayer(factor, *more):
            state = {"weight": draw.normal(D, D), "bias": draw.normal(D)}
            state = {name: factor * value for name, value in state.items()}
            linear = Layer("Linear", (D, D), state=state)
            return Layer("Sequential", (linear, *more))

        for name, factor in (("", 1.0), (", sublayers that return 0", 0.0)):
            attention = sublayer(factor, Layer("Tanh"))
            feed_forward = sublayer(factor, Layer("GELU"))
            args = {
                "x": x,
                "norm1": norm(),
                "attention": attention,
                "norm2": norm(),
                "feed_forward": feed_forward,
            }
            yield Case(f"sequential_block{name}", "sequential_block", args)
            args = {
                "x": x,
                "norm": norm(),
                "attention": attention,
                "feed_forward": feed_forward,
            }
            yield Case(f"parallel_block{name}", "parallel_block", args)


@Blocks.mistake(of="sequential_block")
def sequential_is_parallel(x, norm1, attention, norm2, feed_forward):
    """Your feed-forward network reads x instead of what attention left behind: that is
    a parallel block. First z = x + attention(norm1(x)), then everything from z."""
    return x + attention(norm1(x)) + feed_forward(norm2(x))


@Blocks.mistake(of="sequential_block")
def attention_lost(x, norm1, attention, norm2, feed_forward):
    """Your second residual adds x, so the attention's own contribution is lost. Add
    z = x + attention(norm1(x))."""
    z = x + attention(norm1(x))
    return x + feed_forward(norm2(z))


@Blocks.mistake(of="sequential_block")
def one_norm_for_both(x, norm1, attention, norm2, feed_forward):
    """You used norm1 twice. The two sublayers have a norm each."""
    z = x + attention(norm1(x))
    return z + feed_forward(norm1(z))


@Blocks.mistake(of="sequential_block")
def residual_of_normalized(x, norm1, attention, norm2, feed_forward):
    """Your residuals add what the norms return. The stream itself is never normalized:
    x + attention(norm1(x))."""
    x = norm1(x)
    x = norm2(x + attention(x))
    return x + feed_forward(x)


@Blocks.mistake(of="sequential_block")
def post_norm_block(x, norm1, attention, norm2, feed_forward):
    """Your block is post-norm. Here, as in ViT, each norm stands before its
    sublayer."""
    z = norm1(x + attention(x))
    return norm2(z + feed_forward(z))


@Blocks.mistake(of="sequential_block")
def second_residual_normalized(x, norm1, attention, norm2, feed_forward):
    """Your second residual adds norm2(z). The stream itself is never normalized: it is
    z + feed_forward(norm2(z))."""
    z = x + attention(norm1(x))
    z = norm2(z)
    return z + feed_forward(z)


@Blocks.mistake(of="sequential_block")
def first_residual_normalized(x, norm1, attention, norm2, feed_forward):
    """Your first residual adds norm1(x). The stream itself is never normalized: it is
    x + attention(norm1(x))."""
    x = norm1(x)
    z = x + attention(x)
    return z + feed_forward(norm2(z))


@Blocks.mistake(of="sequential_block")
def residual_added_twice(x, norm1, attention, norm2, feed_forward):
    """You added x once more in the second half: z = x + attention(norm1(x)) holds it
    already. The block returns z + feed_forward(norm2(z))."""
    z = x + attention(norm1(x))
    return x + z + feed_forward(norm2(z))


@Blocks.mistake(of="sequential_block")
def norms_behind_sublayers(x, norm1, attention, norm2, feed_forward):
    """Your norms stand behind the sublayers. Each stands before: attention reads
    norm1(x), the feed-forward network norm2(z)."""
    z = x + norm1(attention(x))
    return z + norm2(feed_forward(z))


@Blocks.mistake(of="sequential_block")
def norms_exchanged(x, norm1, attention, norm2, feed_forward):
    """You exchanged the norms: norm1 stands before attention, norm2 before the
    feed-forward network."""
    z = x + attention(norm2(x))
    return z + feed_forward(norm1(z))


@Blocks.mistake(of="sequential_block")
def norms_left_out(x, norm1, attention, norm2, feed_forward):
    """You left the norms out: attention reads norm1(x), the feed-forward network
    norm2(z)."""
    z = x + attention(x)
    return z + feed_forward(z)


@Blocks.mistake(of="sequential_block")
def second_norm_left_out(x, norm1, attention, norm2, feed_forward):
    """Your feed-forward network reads z itself. It reads norm2(z)."""
    z = x + attention(norm1(x))
    return z + feed_forward(z)


@Blocks.mistake(of="sequential_block")
def attention_without_residual(x, norm1, attention, norm2, feed_forward):
    """Your attention has no residual connection: z = x + attention(norm1(x))."""
    z = attention(norm1(x))
    return z + feed_forward(norm2(z))


@Blocks.mistake(of="sequential_block")
def feed_forward_without_residual(x, norm1, attention, norm2, feed_forward):
    """Your feed-forward network has no residual connection: add z, what attention
    left behind."""
    z = x + attention(norm1(x))
    return feed_forward(norm2(z))


@Blocks.mistake(of="sequential_block")
def no_residuals(x, norm1, attention, norm2, feed_forward):
    """Your block has no residual connections."""
    return feed_forward(norm2(attention(norm1(x))))


@Blocks.mistake(of="sequential_block")
def feed_forward_first(x, norm1, attention, norm2, feed_forward):
    """Your feed-forward network comes first. Attention comes first."""
    z = x + feed_forward(norm2(x))
    return z + attention(norm1(z))


@Blocks.mistake(of="parallel_block")
def parallel_is_sequential(x, norm, attention, feed_forward):
    """Your parallel block is sequential: the feed-forward network must not read what
    attention returns. Both read norm(x)."""
    z = x + attention(norm(x))
    return z + feed_forward(norm(z))


@Blocks.mistake(of="parallel_block")
def parallel_without_residual(x, norm, attention, feed_forward):
    """Your parallel block has no residual connection: add x."""
    y = norm(x)
    return attention(y) + feed_forward(y)


@Blocks.mistake(of="parallel_block")
def parallel_two_residuals(x, norm, attention, feed_forward):
    """Your parallel block adds x twice. There is one residual connection."""
    y = norm(x)
    return 2 * x + attention(y) + feed_forward(y)


@Blocks.mistake(of="parallel_block")
def parallel_residual_normalized(x, norm, attention, feed_forward):
    """Your parallel block adds norm(x). The residual is x itself."""
    y = norm(x)
    return y + attention(y) + feed_forward(y)


@Blocks.mistake(of="parallel_block")
def only_attention_normalized(x, norm, attention, feed_forward):
    """Your feed-forward network reads x without the norm. Both sublayers read
    norm(x)."""
    return x + attention(norm(x)) + feed_forward(x)
