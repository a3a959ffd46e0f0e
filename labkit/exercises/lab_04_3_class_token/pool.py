"""Exercise 4.3.2: one vector for an image, the [class] token's or the mean."""

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case


def pooled(tokens, how, **other):
    """The right vector, or for a keyword's word another one."""
    ways = {"class": lambda: tokens[:, 0], "mean": lambda: tokens[:, 1:].mean(1)}
    if how not in ways:
        raise ValueError(f"how is {how!r}; it can be 'class' or 'mean'")
    return other[how](tokens) if how in other else ways[how]()


@looks_at("error")
def the_error_says_what_is_wrong(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        if not (error := replies[name]["error"]):
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
        yield case("part of a word", "mea", gradients=False, edge=True)


@Pool.mistake
def mean_of_all_tokens(tokens, how):
    """Your mean includes the [class] token. "mean" is the mean of the patches only,
    token 1 to the last."""
    return pooled(tokens, how, mean=lambda t: t.mean(1))


@Pool.mistake
def mean_of_all_but_the_last(tokens, how):
    """Your mean leaves out the last patch and includes the [class] token. The [class]
    token is the first."""
    return pooled(tokens, how, mean=lambda t: t[:, :-1].mean(1))


@Pool.mistake
def mean_of_too_few(tokens, how):
    """Your mean leaves out the first or the last patch. The patches are token 1 to the
    last, all of them."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:-1].mean(1))


@Pool.mistake
def first_patch_left_out(tokens, how):
    """You began the mean at token 2. Counted from 0, the patches begin at 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 2:].mean(1))


@Pool.mistake
def first_sample(tokens, how):
    """You read tokens[0], all tokens of the first sample. The [class] token of every
    sample is tokens[:, 0]."""
    return pooled(tokens, how, **{"class": lambda t: t[0]})


@Pool.mistake
def last_token(tokens, how):
    """You read the last token, which is a patch. The [class] token is token 0."""
    return pooled(tokens, how, **{"class": lambda t: t[:, -1]})


@Pool.mistake
def first_patch(tokens, how):
    """You read token 1, the first patch. The [class] token is token 0."""
    return pooled(tokens, how, **{"class": lambda t: t[:, 1]})


@Pool.mistake
def first_channel(tokens, how):
    """You read the first channel of every token. Axis 1 holds the tokens: the [class]
    token is tokens[:, 0]."""
    return pooled(tokens, how, **{"class": lambda t: t[..., 0]})


@Pool.mistake
def axis_kept(tokens, how):
    """You kept the axis of the tokens, (B, 1, D). One vector a sample is wanted,
    (B, D): index with 0 instead of slicing :1, and leave keepdim out."""
    return pooled(
        tokens,
        how,
        **{"class": lambda t: t[:, :1], "mean": lambda t: t[:, 1:].mean(1, True)},
    )


@Pool.mistake
def class_axis_kept(tokens, how):
    """You sliced the [class] token, which keeps the axis: tokens[:, :1] is (B, 1, D).
    Index it: tokens[:, 0] is (B, D)."""
    return pooled(tokens, how, **{"class": lambda t: t[:, :1]})


@Pool.mistake
def mean_axis_kept(tokens, how):
    """You kept the axis that you averaged over (keepdim=True). One vector a sample is
    wanted, (B, D)."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean(1, keepdim=True))


@Pool.mistake
def mean_over_the_batch(tokens, how):
    """You averaged over the samples. Average over the tokens, axis 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean(0))


@Pool.mistake
def mean_over_channels(tokens, how):
    """You averaged over the channels. Average over the tokens, axis 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean(-1))


@Pool.mistake
def mean_without_the_first_sample(tokens, how):
    """You left out the first sample (tokens[1:]) instead of the first token
    (tokens[:, 1:])."""
    return pooled(tokens, how, mean=lambda t: t[1:].mean(1))


@Pool.mistake
def mean_of_all_numbers(tokens, how):
    """You averaged over all axes at once. Average over the tokens, axis 1."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].mean())


@Pool.mistake
def sum_of_patches(tokens, how):
    """You summed the patches. The mean divides by how many they are."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].sum(1))


@Pool.mistake
def sum_divided_by_all_tokens(tokens, how):
    """You summed the patches but divided by N + 1, the number of all tokens. There are
    N patches."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].sum(1) / t.shape[1])


@Pool.mistake
def largest_of_patches(tokens, how):
    """You took the largest of the patches in every channel. "mean" is their mean."""
    return pooled(tokens, how, mean=lambda t: t[:, 1:].amax(1))


@Pool.mistake
def exchanged(tokens, how):
    """You exchanged the two ways: "class" is token 0, "mean" the mean of the others."""
    return pooled(
        tokens,
        how,
        **{"class": lambda t: t[:, 1:].mean(1), "mean": lambda t: t[:, 0]},
    )


@Pool.mistake
def anything_else_is_mean(tokens, how):
    """You take any other word for "mean" (a bare else?). A misspelled word should not
    pass in silence: raise a ValueError."""
    return pooled(tokens, "class" if how == "class" else "mean")


@Pool.mistake
def anything_else_is_class(tokens, how):
    """You take any other word for "class" (a bare else?). A misspelled word should not
    pass in silence: raise a ValueError."""
    return pooled(tokens, "mean" if how == "mean" else "class")


@Pool.mistake
def nothing_for_other_words(tokens, how):
    """You return None for any other word, or a message. Raise an error: raise
    ValueError(…)."""
    return pooled(tokens, how) if how in ("class", "mean") else None


@Pool.mistake
def wrong_error(tokens, how):
    """You raise another error (an assert, or a dict's KeyError?). For a wrong value
    Python's word is ValueError."""
    if how not in ("class", "mean"):
        raise KeyError(how)
    return pooled(tokens, how)


@Pool.mistake
def part_of_a_word(tokens, how):
    """You take a part of a word for the word: ("mean") is a text, no tuple, and `in`
    looks inside it. Write how == "mean"."""
    whole = [word for word in ("class", "mean") if how in word]
    return pooled(tokens, whole[0] if whole else how)
