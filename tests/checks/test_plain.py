"""What crosses the pipe between a learner's process and the judge."""

import pytest

from labkit.checks import plain


def test_plain_data_is_only_plain_data():
    with pytest.raises(TypeError, match="not plain data: object"):
        plain.dumps([object()])
    for damaged in (b"", b"\xff" * 40, plain.dumps([1])[:-1]):
        with pytest.raises(ValueError, match="not plain data"):
            plain.loads(damaged)
