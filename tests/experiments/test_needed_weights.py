"""Records that rest on somebody else's weights: made with them, kept without them."""

from pathlib import Path

import pytest

from labkit import weights
from labkit.commands import main
from labkit.experiment import records, run

ROOT = Path(__file__).parents[2]
SCRIPT = '''"""What is varied."""

from labkit.weights import there

WEIGHTS = "stand-in"
FACTORS = ("seed",)
TOLERANCE = {"size": 0.5}
RESTS_ON = {"size": 2.0}


def settings(record):
    yield from (dict(seed=seed) for seed in range(3))


def run(settings):
    size = there(WEIGHTS).stat().st_size
    return [dict(size=float(size)) for _ in settings]
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where the weights of an experiment would lie; they are not there yet."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "labkit").symlink_to(ROOT / "labkit")
    (tmp_path / "experiments" / "tried.py").write_text(SCRIPT)
    known = weights.Weights("stand-in", "a.pth", "0" * 64, "a", url="http://nowhere")
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(weights.KNOWN, "stand-in", known)
    monkeypatch.setattr(
        run, "run_all", lambda jobs, _: (run.run_group(*j) for j in jobs)
    )
    known.path.parent.mkdir(parents=True)
    return known.path


def test_without_the_weights_nothing_is_made_and_it_says_why(place, capsys):
    assert main(["experiment", "tried"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("labkit: tried: stand-in is not here yet; to fetch it: ")
    assert said.count("\n") == 1


def test_a_record_names_its_weights_and_holds_without_them(place, tmp_path, capsys):
    place.write_bytes(b"1234")
    assert main(["experiment", "tried"]) == 0
    header, rows = records.read(tmp_path / "experiments" / "tried.csv")
    assert header["weights"] == f"a.pth, SHA-256 {'0' * 64}"
    assert [row["size"] for row in rows] == [4, 4, 4]
    capsys.readouterr()
    assert main(["experiment", "--check"]) == 0
    assert "3 rows again, 0 of them off" in capsys.readouterr().out

    place.unlink()
    assert main(["experiment", "--check"]) == 0
    said = capsys.readouterr().out
    assert "tried: cannot be run again here: stand-in is not here yet" in said
    assert "0 rows again, 0 of them off; 0 stale" in said
    assert main(["experiment", "tried"]) == 0
    assert "tried: complete" in capsys.readouterr().out


def test_other_numbers_than_the_record_has_are_a_miss(place, capsys):
    place.write_bytes(b"1234")
    assert main(["experiment", "tried"]) == 0
    place.write_bytes(b"12345")
    assert main(["experiment", "--check"]) == 1
    assert "3 rows again, 3 of them off" in capsys.readouterr().out
