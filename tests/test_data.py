"""Data that ships inside packages: sizes, values, and who is in which half."""

import pytest
import torch
from sklearn.datasets import load_digits

from labkit import data

PIXELS, CLASSES = (torch.tensor(part) for part in load_digits(return_X_y=True))


def raw(images: torch.Tensor) -> set[tuple]:
    """Standardized images as rows of whole grey values, to be found in the file."""
    step = images.unique().diff().min()
    grey = ((images - images.min()) / step).round().int()
    return set(map(tuple, grey.flatten(1).tolist()))


@pytest.mark.parametrize("new_writers", [False, True])
def test_digits_are_split_without_overlap_and_standardized(new_writers):
    digits = data.digits(test=382, new_writers=new_writers)
    assert digits.train_x.shape == (1415, 8, 8) and digits.test_x.shape == (382, 8, 8)
    assert digits.train_x.dtype == torch.float32
    assert digits.train_y.dtype == digits.test_y.dtype == torch.int64
    assert digits.train_x.mean().abs() < 1e-5
    assert (digits.train_x.var() - 1).abs() < 1e-3
    train, test = raw(digits.train_x), raw(digits.test_x)
    assert train | test == set(map(tuple, PIXELS.int().tolist()))
    assert len(train & test) == 0
    again = data.digits(test=382, new_writers=new_writers)
    assert all(torch.equal(a, b) for a, b in zip(digits, again, strict=True))


def test_a_drawn_split_keeps_the_share_of_every_class():
    share = torch.bincount(data.digits().test_y) / 397
    assert (share - torch.bincount(CLASSES) / len(CLASSES)).abs().max() < 0.005


def test_new_writers_are_the_last_sheets_of_the_file_in_its_order():
    digits = data.digits(test=382, new_writers=True)
    assert torch.equal(torch.cat([digits.train_y, digits.test_y]), CLASSES)
    sheet = CLASSES[:130]  # everybody was given the same digits to write
    assert torch.equal(digits.test_y[:130], sheet), "the split cuts a sheet in two"


@pytest.mark.parametrize("side", [48, 300])
def test_the_photograph_is_a_square_of_whole_grey_values(side):
    photo = data.photograph(side)
    assert photo.shape == (3, side, side) and photo.dtype == torch.float32
    assert 0 <= photo.min() < photo.max() <= 1
    assert torch.equal((photo * 255).round() / 255, photo)
