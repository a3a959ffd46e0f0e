"""`labkit validate --lab`: a lab's solution and the chapter of that name."""

import pytest

from labkit import validate
from labkit.commands import main
from labkit.validate import matrix

MODEL = ["04_2_model_structure"]
CHAPTER_4 = [
    "04_1_image_to_sequence",
    *MODEL,
    "04_3_class_token",
    "04_4_real_vit",
    "04_vision_transformer",
]


@pytest.mark.parametrize(
    "wanted, stems",
    [
        (["02"], ["02_feed_forward"]),
        (["lab_02_feed_forward"], ["02_feed_forward"]),
        (["4.2"], MODEL),
        (["4.2", "2"], ["02_feed_forward", *MODEL]),
        (["04"], CHAPTER_4),
        ([], []),
    ],
)
def test_the_notebooks_that_are_meant(monkeypatch, wanted, stems):
    seen = []
    monkeypatch.setattr(validate, "validate", lambda *given: seen.append(given[2]) or 0)
    monkeypatch.setattr(matrix, "matrix", lambda _, given: seen.append(given) or 0)
    options = [f"--lab={name}" for name in wanted]
    assert main(["validate", "--device=cpu", *options]) == 0
    assert main(["validate", "--matrix", *options]) == 0
    assert seen == [stems, stems]


def test_both_notebooks_of_a_lab_are_run(monkeypatch):
    ran = []
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(validate, "_nbval", lambda _, paths, __: ran.extend(paths) or 1)
    assert main(["validate", "--device=cpu", "--lab=2"]) == 1
    assert [f"{path.parent.name}/{path.stem}" for path in ran] == [
        "chapters/02_feed_forward",
        "solutions/lab_02_feed_forward",
    ]
