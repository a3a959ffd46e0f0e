"""Exercise 4.3.2: legitimate answers that must pass, and wrong ones in other words."""

import torch

from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def pool_by_match(tokens, how):
    match how:
        case "class":
            return tokens.select(1, 0)
        case "mean":
            return torch.einsum("bnd->bd", tokens[:, 1:]) / (tokens.size(1) - 1)
    raise ValueError(f'expected "class" or "mean", got "{how}"')


def pool_by_lookup(tokens, how):
    ways = {
        "class": lambda: tokens[:, 0, :],
        "mean": lambda: (tokens.sum(1) - tokens[:, 0]) / (tokens.shape[1] - 1),
    }
    try:
        return ways[how]()
    except KeyError:
        known = ", ".join(ways)
        raise ValueError(f"unknown way to pool: {how}. Known: {known}") from None


def pool_checked_first(tokens, how):
    if how not in ("class", "mean"):
        raise ValueError("how must be class or mean, not " + how)
    first, patches = tokens.split([1, tokens.shape[1] - 1], dim=1)
    return first.squeeze(1) if how == "class" else torch.mean(patches, -2)


ALTERNATIVES = [
    pool_by_match,
    pool_by_lookup,
    pool_checked_first,
]


# ---------------------------------------------------- the same mistakes, in other words


def mean_of_everything(tokens, how):
    if how not in ("class", "mean"):
        raise ValueError(f"{how}: not class, not mean")
    return tokens[:, 0] if how == "class" else tokens.mean(-2)


def first_of_the_batch(tokens, how):
    return pool_checked_first(tokens, how) if how != "class" else tokens[0]


def bare_else(tokens, how):
    if how == "class":
        return tokens[:, 0]
    else:
        return tokens[:, 1:].mean(1)


def message_printed(tokens, how):
    if how in ("class", "mean"):
        return pool_checked_first(tokens, how)
    print("how must be class or mean")


def dictionary(tokens, how):
    return {"class": tokens[:, 0], "mean": tokens[:, 1:].mean(1)}[how]


def tuples_without_commas(tokens, how):
    if how in ("class"):
        return tokens[:, 0]
    if how in ("mean"):
        return tokens[:, 1:].mean(1)
    raise ValueError(f"how is {how!r}; it can be 'class' or 'mean'")


IN_OTHER_WORDS = [
    (mean_of_everything, "mean_of_all_tokens"),
    (first_of_the_batch, "first_sample"),
    (bare_else, "anything_else_is_mean"),
    (message_printed, "nothing_for_other_words"),
    (dictionary, "wrong_error"),
    (tuples_without_commas, "part_of_a_word"),
]


# ------------------------------------------------------ what is said, and what is right


def test_an_error_that_says_too_little_is_not_enough():
    def silent(tokens, how):
        if how not in ("class", "mean"):
            raise ValueError("wrong")
        return pool_checked_first(tokens, how)

    report = find("4.3.2").examine({"pool": silent})
    assert report.failure.property == "the error says what is wrong"
    assert "'median'" in report.text()
