"""Exercise 4.1.5: the memory that attention's weights take."""

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


def tokens(height, width, patch):
    return (height // patch) * (width // patch) + 1


class AttentionBytes(Exercise):
    """attention_bytes(…): the memory of one layer's attention weights."""

    number = "4.1.5"

    @staticmethod
    def attention_bytes(height, width, patch, heads, bytes_per_value):
        return tokens(height, width, patch) ** 2 * heads * bytes_per_value

    reference = {"attention_bytes": attention_bytes}

    def draw_cases(self, draw: Draw):
        for bytes_per_value in (2, 8):
            P, rows, columns, heads = draw.sizes(4, low=3, high=16)
            given = {"height": rows * P, "width": columns * P, "patch": P}
            name = ", ".join(f"{key} {value}" for key, value in given.items())
            name += f", {heads} heads, {bytes_per_value} bytes"
            given |= {"heads": heads, "bytes_per_value": bytes_per_value}
            yield Case(name, "attention_bytes", given, gradients=False)


@AttentionBytes.mistake
def class_token_forgotten(height, width, patch, heads, bytes_per_value):
    """You forgot the [class] token: the sequence has N + 1 tokens."""
    return (tokens(height, width, patch) - 1) ** 2 * heads * bytes_per_value


@AttentionBytes.mistake
def class_token_added_late(height, width, patch, heads, bytes_per_value):
    """You added the [class] token after squaring. It attends and is attended to like
    every other token: (N + 1)², not N² + 1."""
    N = tokens(height, width, patch) - 1
    return (N**2 + 1) * heads * bytes_per_value


@AttentionBytes.mistake
def class_token_on_one_side(height, width, patch, heads, bytes_per_value):
    """You counted N · (N + 1) weights. The [class] token is a query as well as a key:
    (N + 1)²."""
    T = tokens(height, width, patch)
    return (T - 1) * T * heads * bytes_per_value


@AttentionBytes.mistake
def class_token_for_every_row(height, width, patch, heads, bytes_per_value):
    """You added a [class] token along each side of the grid. There is one for the whole
    image: (H/P) · (W/P) + 1 tokens."""
    T = (height // patch + 1) * (width // patch + 1)
    return T**2 * heads * bytes_per_value


@AttentionBytes.mistake
def heads_forgotten(height, width, patch, heads, bytes_per_value):
    """You counted one matrix. Every head has its own: multiply by heads."""
    return tokens(height, width, patch) ** 2 * bytes_per_value


@AttentionBytes.mistake
def heads_and_class_token_forgotten(height, width, patch, heads, bytes_per_value):
    """You counted N² weights of one head. There are h heads, and the [class]
    token makes N + 1 tokens."""
    return (tokens(height, width, patch) - 1) ** 2 * bytes_per_value


@AttentionBytes.mistake
def heads_divided(height, width, patch, heads, bytes_per_value):
    """You divided by the number of heads. Heads share the width of a token, but each
    has a whole matrix of attention weights: multiply."""
    return tokens(height, width, patch) ** 2 * bytes_per_value / heads


@AttentionBytes.mistake
def heads_squared(height, width, patch, heads, bytes_per_value):
    """You squared the number of heads. There are h matrices, each with (N + 1)²
    weights."""
    return (tokens(height, width, patch) * heads) ** 2 * bytes_per_value


@AttentionBytes.mistake
def values_counted(height, width, patch, heads, bytes_per_value):
    """You counted the weights. Multiply by the bytes that each takes."""
    return tokens(height, width, patch) ** 2 * heads


@AttentionBytes.mistake
def bits_counted(height, width, patch, heads, bytes_per_value):
    """You counted bits: eight times as many as bytes."""
    return tokens(height, width, patch) ** 2 * heads * bytes_per_value * 8


@AttentionBytes.mistake
def bytes_taken_for_bits(height, width, patch, heads, bytes_per_value):
    """You divided by 8. bytes_per_value is in bytes already."""
    return tokens(height, width, patch) ** 2 * heads * bytes_per_value / 8


@AttentionBytes.mistake
def four_bytes_assumed(height, width, patch, heads, bytes_per_value):
    """You assumed four bytes for a value; use bytes_per_value."""
    return tokens(height, width, patch) ** 2 * heads * 4


@AttentionBytes.mistake
def kibibytes(height, width, patch, heads, bytes_per_value):
    """You divided by 1024. The answer is in bytes."""
    return tokens(height, width, patch) ** 2 * heads * bytes_per_value / 1024


@AttentionBytes.mistake
def mebibytes(height, width, patch, heads, bytes_per_value):
    """You divided by 1024². The answer is in bytes, not in MiB."""
    return tokens(height, width, patch) ** 2 * heads * bytes_per_value / 1024**2


@AttentionBytes.mistake
def tokens_not_squared(height, width, patch, heads, bytes_per_value):
    """You counted one weight for each token. Every token has a weight for every token:
    (N + 1)²."""
    return tokens(height, width, patch) * heads * bytes_per_value


@AttentionBytes.mistake
def pixels_for_tokens(height, width, patch, heads, bytes_per_value):
    """You took every pixel for a token. The tokens are patches and the [class] token:
    use exercise 4.1.1."""
    return (height * width + 1) ** 2 * heads * bytes_per_value


@AttentionBytes.mistake
def patch_divided_once(height, width, patch, heads, bytes_per_value):
    """You divided the number of pixels by patch, not by patch · patch: use exercise
    4.1.1."""
    return (height * width // patch + 1) ** 2 * heads * bytes_per_value


@AttentionBytes.mistake
def patch_for_the_grid(height, width, patch, heads, bytes_per_value):
    """You took patch for the number of patches along a side. It is the side of a patch
    in pixels: use exercise 4.1.1."""
    return (patch**2 + 1) ** 2 * heads * bytes_per_value


@AttentionBytes.mistake
def scores_counted_too(height, width, patch, heads, bytes_per_value):
    """You counted the matrix twice (scores and weights, perhaps). Count the attention
    weights once."""
    return 2 * tokens(height, width, patch) ** 2 * heads * bytes_per_value


@AttentionBytes.mistake
def half_the_matrix(height, width, patch, heads, bytes_per_value):
    """You counted half of the matrix. Attention weights are not symmetric, and no token
    is masked here: all (N + 1)² are stored."""
    T = tokens(height, width, patch)
    return T * (T + 1) // 2 * heads * bytes_per_value
