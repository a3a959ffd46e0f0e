"""Exercise 4.3.1: the [class] token, in front of every sample's tokens."""

import torch
from torch import nn

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case


class RightToken(nn.Module):
    """The right module, for mistakes to go wrong from in one place each."""

    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))

    def first(self, x):
        return self.class_token.expand(len(x), -1, -1)

    def forward(self, x):
        return torch.cat([self.first(x), x], dim=1)


@looks_at("changed")
def the_token_stays(cases: Cases, replies: Replies) -> str | None:
    for name, reply in replies.items():
        if reply.get("changed"):
            return (
                f"In the case “{name}”, a forward pass changed {reply['changed'][0]}. "
                "Only the optimizer may do that."
            )
    return None


def every_sample_begins_with_the_token(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        if not case.inputs or case.edge:
            continue
        wanted, output = case.state["class_token"][0, 0], replies[name]["output"]
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

    def draw_cases(self, draw: Draw):
        B, N, D, more = draw.sizes(4)
        sizes, state = {"dim": D}, {"class_token": draw.normal(1, 1, D)}
        yield Case("a fresh ClassToken", "ClassToken", sizes)
        for name, shape, edge in (
            ("patches (B, N, D)", (B, N, D), False),
            ("more patches", (B, N + more, D), False),
            ("one sample", (1, N, D), True),
        ):
            x = {"x": draw.normal(*shape)}
            yield Case(name, "ClassToken", sizes, state=state, inputs=x, edge=edge)


@Token.mistake
class TokenNotAParameter(nn.Module):
    """You made the token a plain tensor, kept in the module or drawn anew in every
    forward: then it is neither trained nor saved. Register it once, in __init__:
    self.class_token = nn.Parameter(…)."""

    def __init__(self, dim):
        super().__init__()
        self.class_token = torch.zeros(1, 1, dim)


@Token.mistake
class TokenAsBuffer(RightToken):
    """You registered the token as a buffer: it is saved, but no optimizer ever changes
    it. It is to be learned: nn.Parameter."""

    def __init__(self, dim):
        super().__init__(dim)
        del self.class_token
        self.register_buffer("class_token", torch.zeros(1, 1, dim))


@Token.mistake
class TokenOfOneNumber(nn.Module):
    """Your token is one number. A token is a vector as wide as the patches' tokens: D
    numbers."""

    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1))


@Token.mistake
class TokenWithoutAxes(nn.Module):
    """Your token has the right numbers in the wrong shape: register it as (1, 1, D),
    one sample and one token, so that it can be expanded and its weights can be
    loaded."""

    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(dim))


@Token.mistake
class DrawnAnew(RightToken):
    """You draw the token anew in every forward. Numbers that are different each time
    cannot be learned: draw them once, in __init__, and leave them to the optimizer."""

    def forward(self, x):
        with torch.no_grad():
            self.class_token.normal_()
        return super().forward(x)


@Token.mistake
class ExpandMissing(RightToken):
    """You concatenated one token with a batch of B samples. Expand it to (B, 1, D)
    first, so that every sample begins with it."""

    def first(self, x):
        return self.class_token


@Token.mistake
class AlongTheBatch(RightToken):
    """You concatenated along the batch: that makes another sample, not another token.
    Tokens lie on axis 1."""

    def forward(self, x):
        return torch.cat([self.class_token.expand(1, x.shape[1], -1), x], dim=0)


@Token.mistake
class AlongTheChannels(RightToken):
    """You concatenated along the channels: that makes tokens twice as wide. Tokens lie
    on axis 1."""

    def forward(self, x):
        return torch.cat([self.class_token.expand_as(x), x], dim=-1)


@Token.mistake
class OneTokenPerPosition(RightToken):
    """You put one [class] token in front for every position. One for each sample is
    meant: (B, N, D) becomes (B, N + 1, D)."""

    def forward(self, x):
        return torch.cat([self.class_token.expand_as(x), x], dim=1)


@Token.mistake
class AddedToThePatches(RightToken):
    """You added the token to the patches. It is a token of its own, in front of
    them."""

    def forward(self, x):
        return x + self.class_token


@Token.mistake
class ReplacesTheFirstPatch(RightToken):
    """You put the token in the place of the first patch. It goes in front of it, and
    all patches stay."""

    def forward(self, x):
        return torch.cat([self.first(x), x[:, 1:]], dim=1)


@Token.mistake
class Appended(RightToken):
    """You put the token behind the patches. Here it goes in front, where `pool` looks
    for it."""

    def forward(self, x):
        return torch.cat([x, self.first(x)], dim=1)


@Token.mistake
class MeanOfThePatches(RightToken):
    """You put the mean of the patches in front. The [class] token knows nothing of the
    image when it enters: it is the same learned vector for every image."""

    def first(self, x):
        return x.mean(dim=1, keepdim=True)


@Token.mistake
class TokenPlusMean(MeanOfThePatches):
    """You added the mean of the patches to the token. The [class] token knows nothing
    of the image when it enters: it is the same learned vector for every image."""

    def first(self, x):
        return self.class_token + super().first(x)


@Token.mistake
class ZerosInFront(RightToken):
    """You put zeros in front and left self.class_token unused. Zeros are a fine start
    for the parameter; what goes in front is the parameter."""

    def first(self, x):
        return torch.zeros_like(x[:, :1])


@Token.mistake
class OnesInFront(RightToken):
    """You put ones in front and left self.class_token unused. What goes in front is
    the parameter."""

    def first(self, x):
        return torch.ones_like(x[:, :1])


@Token.mistake
class TokenFrozen(RightToken):
    """You froze the token (requires_grad=False): no gradient reaches it, so it is never
    trained. It is to be learned."""

    def __init__(self, dim):
        super().__init__(dim)
        self.class_token.requires_grad_(False)


@Token.mistake
class TokenDetached(RightToken):
    """You took the token out of the graph (.data, .detach(), torch.no_grad()): it is a
    parameter, but no gradient reaches it, so it is never trained."""

    def first(self, x):
        return super().first(x).detach()
