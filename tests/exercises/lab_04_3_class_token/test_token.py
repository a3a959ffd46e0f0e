"""Exercise 4.3.1: legitimate answers that must pass, and wrong ones in other words."""

import torch
from torch import nn
from torch.nn import functional as F

# -------------------------------------------------------------- legitimate alternatives


class TokenOfZeros(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x):
        return torch.cat((self.class_token.repeat(x.shape[0], 1, 1), x), 1)


class TokenByHstack(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(self, x):
        B, _, D = x.shape
        return torch.hstack([self.class_token.expand(B, 1, D), x])


class TokenByPadding(nn.Module):
    """Zeros in front, and the token added to them."""

    def __init__(self, dim):
        super().__init__()
        self.register_parameter("class_token", nn.Parameter(torch.ones(1, 1, dim)))

    def forward(self, x):
        room = torch.zeros_like(F.pad(x, (0, 0, 1, 0)))[:, :1] + self.class_token
        return torch.cat([room, x], dim=-2)


class TokenByStacking(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))

    def forward(self, x):
        return torch.stack([torch.cat([self.class_token[0], sample]) for sample in x])


ALTERNATIVES = [
    TokenOfZeros,
    TokenByHstack,
    TokenByPadding,
    TokenByStacking,
]


# ---------------------------------------------------- the same mistakes, in other words


class PlainTensor(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.class_token = torch.zeros(1, 1, dim)

    def forward(self, x):
        return torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)


class DrawnInForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return torch.cat([torch.randn(len(x), 1, self.dim), x], 1)


class DrawnOver(TokenOfZeros):
    def forward(self, x):
        nn.init.uniform_(self.class_token)
        return super().forward(x)


class DataUsed(TokenOfZeros):
    def forward(self, x):
        return torch.cat([self.class_token.data.repeat(len(x), 1, 1), x], 1)


class NotExpanded(TokenOfZeros):
    def forward(self, x):
        return torch.concatenate([self.class_token, x], axis=1)


class Behind(TokenOfZeros):
    def forward(self, x):
        return super().forward(x).roll(-1, dims=1)


IN_OTHER_WORDS = [
    (PlainTensor, "TokenNotAParameter"),
    (DrawnInForward, "TokenNotAParameter"),
    (DrawnOver, "DrawnAnew"),
    (DataUsed, "TokenDetached"),
    (NotExpanded, "ExpandMissing"),
    (Behind, "Appended"),
]
