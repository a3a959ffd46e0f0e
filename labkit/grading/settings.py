"""How learners' work is graded: what the command decides and every part has to know."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The same for all submissions of a run.

    seed     of the private cases
    timeout  seconds for a cell and for a check
    device   "cpu" or "cuda", where learners' code computes; "cuda" needs unsafe
    unsafe   run learners' code without a sandbox
    hide     folders that no learner's process may see even where Python lies there
    group    a control group to limit submissions in, from sandbox.cgroup.claim
    """

    seed: int
    timeout: float = 30.0
    device: str = "cpu"
    unsafe: bool = False
    hide: tuple[Path, ...] = ()
    group: str = ""

    @property
    def terms(self) -> dict:
        """Under what terms learners' code runs, as plain JSON."""
        terms = {"sandbox": not self.unsafe, "control_groups": bool(self.group)}
        return terms | {"device": self.device}
