"""What the tests of all exercises share."""

from functools import cache

import pytest

import labkit
from labkit.checks import exercise, probes
from labkit.exercises import find

labkit.device()  # on a GPU without TF32, as in every notebook


@pytest.fixture
def remembered(monkeypatch):
    """Every object is asked every question once, not again for each of its judges.

    A reply depends on nothing but the object, the case and the device: a probe seeds
    the generators and copies the inputs for each case.
    """
    drawn, run = cache(exercise.Exercise.cases), probes.run
    seen, kept = {}, []

    def cases(self, seed=exercise.PUBLIC_SEED):
        return list(drawn(self, seed))

    def remember(probe, objects, cases, off_limits=(), device="cpu", keys=probes.KEYS):
        replies = []
        for case in cases:
            asked = frozenset(keys) & probes.KEYS
            key = id(objects[case.target]), id(case), tuple(off_limits), asked
            key = (*key, str(device))
            if key not in seen:
                kept.append((objects, case))  # else another could get its id
                (seen[key],) = run(probe, objects, [case], off_limits, device, keys)
            replies.append(seen[key])
        return replies

    monkeypatch.setattr(exercise.Exercise, "cases", cases)
    monkeypatch.setattr(probes, "run", remember)


@pytest.fixture
def told():
    """What a learner reads who hands in these answers, on one line."""

    def told(number, *answers):
        exercise = find(number)
        given = dict(zip(exercise.names, answers, strict=True))
        return " ".join(exercise.examine(given).text().split())

    return told
