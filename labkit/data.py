"""Real data that ships inside installed packages: nothing is downloaded."""

from typing import NamedTuple

import torch


class Digits(NamedTuple):
    """Handwritten digits, 8 × 8 pixels, with their classes 0 … 9; on the CPU.

    train_x (1400, 8, 8) float32   train_y (1400,) int64
    test_x   (397, 8, 8) float32   test_y   (397,) int64
    """

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor


def digits(test: int = 397, new_writers: bool = False) -> Digits:
    """The 1,797 digits of scikit-learn, standardized and split the same way each time.

    test         how many images are held out, drawn so that every class keeps its share
    new_writers  hold out the last of the file instead, which keeps the images of a
                 sheet together; with test=382 these are the last three sheets

    Pixels are shifted and scaled by one number each, the mean and the standard
    deviation over all training pixels, so that training pixels have mean 0 and
    variance 1. Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, classes = load_digits(return_X_y=True)
    drawn = {"stratify": classes, "random_state": 0}
    if new_writers:
        drawn = {"shuffle": False}
    parts = train_test_split(images.reshape(-1, 8, 8), classes, test_size=test, **drawn)
    train_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    train_y, test_y = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
    std, mean = torch.std_mean(train_x.double(), correction=0)
    mean, std = mean.item(), std.item()
    return Digits((train_x - mean) / std, train_y, (test_x - mean) / std, test_y)


def photograph(side: int = 224) -> torch.Tensor:
    """A cat's face from scikit-image, square: (3, side, side) float32 in [0, 1], CPU.

    side   height and width in pixels; the original is cut to 288 × 288 and resized

    Values are whole 255ths, as in a file. "Chelsea" by Stefan van der Walt, CC0.
    """
    from skimage.data import chelsea

    face = torch.from_numpy(chelsea()[8:296, 108:396].copy()).movedim(-1, 0)
    face = torch.nn.functional.interpolate(
        face[None].float(), (side, side), mode="bilinear", antialias=True
    )
    return face[0].round().clamp(0, 255) / 255
