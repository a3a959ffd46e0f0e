"""Experiments: run, stopped, resumed, found stale, run again and compared."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit import commands
from labkit.experiment import (
    ExperimentError,
    check,
    definitions,
    record,
    records,
    run,
)
from labkit.experiment.script import Experiment
from labkit.experiment.tuning import CHOOSE, LADDER, READ, tuned

ROOT = Path(__file__).parents[1]
SCRIPT = '''"""What is varied."""

import time

FACTORS = ("arm", "rate", "seed")
TOLERANCE = {"score": 0.01}
RESTS_ON = {"score": 0.1}
SECONDS = 0.0


def settings(record):
    for arm in ("a", "b"):
        for seed in (100, 101):
            for rate in (0.1, 1.0):
                yield dict(arm=arm, rate=rate, seed=seed)
    if len(record):  # the best rate of each arm, on seeds of its own
        scores = record[record.seed >= 100].groupby(["arm", "rate"]).score.mean()
        for arm, table in scores.groupby("arm"):
            for seed in range(3):
                yield dict(arm=arm, rate=table.idxmax()[1], seed=seed)


def score(arm, rate, seed):
    return (2.0 if arm == "a" else 1.0) / rate + seed / 1e4


def run(settings):
    assert len({(s["arm"], s["rate"]) for s in settings}) == 1
    time.sleep(SECONDS)
    return [dict(score=score(**s), trained=s["rate"] < 1) for s in settings]
'''


LINE = SCRIPT[: SCRIPT.index("    time.sleep")].count("\n") + 1


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with one experiment, in the place of the course's."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "labkit").symlink_to(ROOT / "labkit")
    (tmp_path / "chapters").mkdir()
    write(tmp_path, SCRIPT)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    return tmp_path


def write(root, text):
    (root / "experiments" / "tried.py").write_text(text)


def fresh(root):
    return Experiment(root / "experiments" / "tried.py")


def labkit(*words):
    return commands.main(["experiment", "--seconds=0", "--workers=1", *words])


@pytest.fixture
def here(monkeypatch):
    """Groups run in this process: no second is spent on starting others."""

    def run_all(jobs, workers=None):
        for script, group in jobs:
            yield script, *Experiment(script).run(group)

    monkeypatch.setattr(run, "run_all", run_all)


def test_a_record_has_a_header_and_tidy_rows(course, here, capsys):
    assert labkit("tried") == 0
    assert capsys.readouterr().out == "tried: 14 rows, 0 s\n"
    table = record("tried")
    assert list(table.columns) == ["arm", "rate", "seed", "score", "trained"]
    assert table.seed.tolist() == [0, 1, 2, 100, 101, 100, 101] * 2
    assert table.query("seed < 3").rate.eq(0.1).all()  # chosen in the second round
    assert table.score.dtype == float and table.trained.dtype == bool
    assert table.attrs["digest"] == fresh(course).digest
    assert {"date", "seconds", "torch", "python", "device"} <= set(table.attrs)
    assert labkit("tried") == 0
    assert capsys.readouterr().out == "tried: complete\n"


@pytest.mark.parametrize(
    "old, new, stale",
    [
        ("2.0 if", "2.5 if", "the code has changed since"),  # what run() reaches
        ("What is varied.", "What is varied here.", None),
        ('"score": 0.01', '"score": 0.02', None),
        ("range(3)", "range(4)", "2 rows are missing"),
        ("range(3)", "range(2)", "2 rows are no longer asked for"),
    ],
)
def test_what_makes_a_record_stale(course, here, old, new, stale):
    labkit("tried")
    assert fresh(course).stale() is None
    write(course, SCRIPT.replace(old, new))
    assert fresh(course).stale() == stale
    assert labkit("--check") == (1 if stale else 0)


def test_rows_of_the_same_code_are_kept_and_others_left_behind(course, here, capsys):
    labkit("tried")
    ran = []
    write(course, SCRIPT.replace("range(3)", "range(5)"))
    original = Experiment.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Experiment, "run", lambda e, group: ran.extend(group) or original(e, group)
        )
        labkit("tried")
    assert sorted(setting["seed"] for setting in ran) == [3, 3, 4, 4]
    write(course, SCRIPT.replace("2.0 if", "2.5 if"))
    capsys.readouterr()
    labkit("tried")
    assert "tried: the code has changed: starting anew" in capsys.readouterr().err
    assert record("tried").query("arm == 'a'").score.max() > 25


def test_an_experiment_killed_at_any_moment_goes_on_where_it_was(course):
    part, hold = course / "experiments" / "tried.part", course / "hold"
    held = f"""import os
    rows = os.path.exists({str(part)!r}) and open({str(part)!r}).read().count("\\n")
    hold = os.path.exists({str(hold)!r}) and int(open({str(hold)!r}).read())
    time.sleep(60 if hold and rows >= hold else 0)"""
    write(course, SCRIPT.replace("time.sleep(SECONDS)", held))
    start = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from labkit import commands
from labkit.experiment import records
if __name__ == "__main__":
    records.ROOT = Path({str(course)!r})
    sys.exit(commands.main(["experiment", "tried", "--workers=1"]))
"""
    (course / "go.py").write_text(start)
    for rows in (1, 2):
        hold.write_text(str(rows))  # from so many on nothing moves until it is killed
        process = subprocess.Popen([sys.executable, course / "go.py"])
        while not part.exists() or part.read_text().count("\n") < rows:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        process.kill() if rows == 1 else process.send_signal(signal.SIGINT)
        assert process.wait() == (-signal.SIGKILL if rows == 1 else 130)
        assert not fresh(course).record.exists()
        with open(part, "a") as file:
            file.write('{"digest": "')  # killed in the middle of a line
    hold.unlink()
    before = part.read_text().splitlines()[:2]
    done = subprocess.run([sys.executable, course / "go.py"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not part.exists() and fresh(course).stale() is None
    kept = [row for line in before for row in json.loads(line)["rows"]]
    scores = {tuple(r[:3]): r for r in record("tried").to_numpy().tolist()}
    assert len(kept) == 4
    for row in kept:
        assert scores[row["arm"], row["rate"], row["seed"]][3] == row["score"]


def test_the_check_draws_from_the_commit_and_compares(
    course, here, capsys, monkeypatch
):
    labkit("tried")
    capsys.readouterr()
    assert labkit("--check") == 0
    first = capsys.readouterr().out
    assert "1 rows again, 0 of them off" in first
    orders = set()
    for commit in "abcdef":
        chosen = [fresh(course)]
        orders.add(str([row for _, row in check.sample(chosen, commit)][:3]))
        assert len(list(check.sample(chosen, commit))) == 14
    assert len(orders) > 1
    path = course / "experiments" / "tried.csv"
    head, _, body = path.read_text().partition("trained\n")
    rows = [line.split(",") for line in body.splitlines()]
    for row in rows:
        row[3] = f"{float(row[3]) + 0.5}"
    path.write_text("\n".join([f"{head}trained", *map(",".join, rows)]))
    monkeypatch.setattr(check, "_seconds_a_row", lambda experiment: -1e9)
    capsys.readouterr()
    assert labkit("--check") == 1
    said = capsys.readouterr().out
    assert "MISS  tried" in said and "score: " in said and "14 rows again" in said


def test_settings_that_may_differ_are_run_together(course, here, monkeypatch):
    write(course, SCRIPT.replace("SECONDS = 0.0", 'TOGETHER = ("rate", "seed")'))
    settings = list(fresh(course).module.settings(records.table([])))
    sizes = [len(group) for group in run.groups(fresh(course), settings)]
    assert sizes == [4, 4]
    write(course, SCRIPT)
    assert len(run.groups(fresh(course), settings)) == 4


def errors(best):
    """The rows of a tuned arm whose error is least at this rate."""
    rows = []
    while True:
        wanted = list(tuned(records.table(rows), [{"arm": "a"}], "error", 0.01))
        new = [row for row in wanted if row not in [r["setting"] for r in rows]]
        if not new:
            return wanted
        for row in new:
            error = abs(LADDER.index(row["lr"]) - LADDER.index(best)) / 10
            rows.append({**row, "error": error, "setting": row})


@pytest.mark.parametrize(
    "best, tried",
    [
        (3e-3, [1e-3, 3e-3, 1e-2]),
        (3e-2, [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]),  # the choice must lie inside the grid
        (3e-4, [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]),
        (1.0, list(LADDER[4:])),  # where the ladder ends
    ],
)
def test_every_arm_is_read_at_its_own_rate(best, tried):
    wanted = errors(best)
    chosen = [row for row in wanted if row["seed"] in CHOOSE]
    read = [row for row in wanted if row["seed"] in READ]
    assert sorted({row["lr"] for row in chosen}) == tried
    assert [(row["lr"], row["seed"]) for row in read] == [(best, n) for n in range(8)]


def test_columns_that_cannot_come_again_are_left_out(course, here):
    never_again = SCRIPT.replace("seed / 1e4", "1e6 * time.perf_counter()")
    write(course, never_again)
    labkit("tried")
    assert labkit("--check", "--seconds=60") == 1  # every row
    more = "\n\ndef checked(row):\n    return ['trained']\n"
    write(course, never_again + more)
    assert fresh(course).stale() is None  # what is compared makes no numbers
    assert labkit("--check", "--seconds=60") == 0  # every row


@pytest.mark.parametrize(
    "old, new, said",
    [
        (
            "time.sleep(SECONDS)",
            "1 / 0",
            f"tried.py:{LINE}: ZeroDivisionError: division by",
        ),
        ("time.sleep(SECONDS)", "return []", "0 results for 2 settings"),
        ("score=score(**s)", "score='a\\nb'", "'a\\nb' cannot stand in a record"),
        ("def run", "def runs", "tried.py does not say its run"),
        ("rate=rate, ", "", "a setting without its rate"),
        ("import time", "import tiem", "tried.py:3: ModuleNotFoundError"),
        ("import time", "import time (", "tried.py:3: SyntaxError"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(course, here, capsys, old, new, said):
    write(course, SCRIPT.replace(old, new))
    assert labkit("tried") == 2
    error = capsys.readouterr().err
    assert said in error.replace("\n'", "\\n'") and "Traceback" not in error


def test_names_that_are_not_there(course, capsys):
    assert labkit("nothing") == 2 and labkit() == 2
    error = capsys.readouterr().err
    assert (
        "no experiments/nothing.py" in error and "say which, or --all: tried" in error
    )
    with pytest.raises(ExperimentError, match="labkit experiment nothing"):
        record("nothing")


CHAPTER = """# %% [markdown]
r'''
# A chapter
'''

# %%
import math
from torch import nn
import surely_not_there
device = "cpu"
print("not executed")

# %% tags=["definition"]
def half(x):
    return x / TWO

TWO = 2

# %% tags=["definition"]
class Net(nn.Module):
    def forward(self, x):
        return half(math.sqrt(x))

def other():
    return 3

# %%
def half(x):
    raise AssertionError("this cell is no definition")
"""


@pytest.fixture
def chapter(course):
    path = course / "chapters" / "01_first.py"
    path.write_text(CHAPTER)
    return path


def test_definitions_come_from_the_chapters_cells(chapter):
    Net = definitions("01_first", "Net")
    assert Net()(16.0) == 2.0
    half, Net = definitions("01_first", "half", "Net")
    assert half(4) == 2
    with pytest.raises(ExperimentError, match="defines no missing in a cell tagged"):
        definitions("01_first", "missing")
    with pytest.raises(ExperimentError, match="no chapters/09.py"):
        definitions("09", "Net")


@pytest.mark.parametrize(
    "old, new, changes",
    [
        ("TWO = 2", "TWO = 3", True),  # which half() needs, which Net needs
        ("return 3", "return 4", False),  # nothing needs it
        ("x / TWO", "x / TWO  # a half", False),
        ("this cell is no definition", "no", False),
    ],
)
def test_the_digest_covers_what_is_needed(course, chapter, old, new, changes):
    uses = "from labkit.experiment import definitions\n"
    uses += 'Net = definitions("01_first", "Net")\n\n\ndef run(settings):\n'
    write(
        course, SCRIPT.split("def run")[0] + uses + "    return [Net for s in settings]"
    )
    before = fresh(course).digest
    chapter.write_text(CHAPTER.replace(old, new))
    assert (fresh(course).digest != before) == changes


def test_the_loop_belongs_to_the_digest_and_its_words_do_not(course):
    (course / "labkit").unlink()
    (course / "labkit").mkdir()
    for name in ("data", "training"):
        text = (ROOT / "labkit" / f"{name}.py").read_text("utf-8")
        (course / "labkit" / f"{name}.py").write_text(text, "utf-8")
    uses = SCRIPT.replace("time.sleep(SECONDS)", "labkit.train(labkit.data.digits)")
    write(course, uses)
    before = fresh(course).digest

    def changed(name, old, new):
        path = course / "labkit" / f"{name}.py"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        digest = fresh(course).digest
        path.write_text(text, "utf-8")
        return digest != before

    assert changed("training", "value.sum()", "value.mean()")
    assert not changed("training", "Train one network per seed", "Train a network")
    assert changed("data", "reshape(-1, 8, 8)", "reshape(-1, 4, 16)")
    assert not changed("data", "chelsea()[8:296", "chelsea()[9:296")  # not used


def test_workers_end_with_their_parent(course):
    """A run that is killed leaves no process behind."""
    write(course, SCRIPT.replace("SECONDS = 0.0", "SECONDS = 600"))
    mark = f"LABKIT_TEST_MARK={os.getpid()}"
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from labkit import commands
from labkit.experiment import records
if __name__ == "__main__":
    records.ROOT = Path({str(course)!r})
    commands.main(["experiment", "tried", "--workers=1"])
"""
    (course / "go.py").write_text(code)
    environment = os.environ | dict([mark.split("=")])
    process = subprocess.Popen([sys.executable, course / "go.py"], env=environment)
    while len(_marked(mark)) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    end = time.monotonic() + 120
    while _marked(mark):
        assert time.monotonic() < end, "a worker lives on"
        time.sleep(0.1)


def _marked(mark):
    """Processes that carry the mark in their environment, but the resource tracker."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            name, _, value = mark.partition("=")
            if process.environ().get(name) == value:
                if "resource_tracker" not in " ".join(process.cmdline()):
                    found.append(process.pid)
        except psutil.Error:
            pass
    return found
