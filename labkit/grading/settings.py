"""How learners' work is graded: what the command decides and every part has to know."""

import hmac
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The same for all submissions of a run.

    seed     the course's secret, from which each learner's private cases are drawn
    timeout  seconds for a cell and for a check
    device   "cpu" or "cuda", where learners' code computes; "cuda" needs unsafe
    unsafe   run learners' code without a sandbox
    hide     folders that no learner's process may see even where Python lies there
    group    a control group to limit submissions in, from sandbox.cgroup.claim
    mark     by which the next run finds processes that this one should leave behind
    """

    seed: int
    timeout: float = 30.0
    device: str = "cpu"
    unsafe: bool = False
    hide: tuple[Path, ...] = ()
    group: str = ""
    mark: str = ""

    @property
    def terms(self) -> dict:
        """Under what terms learners' code runs, as plain JSON."""
        terms = {"sandbox": not self.unsafe, "control_groups": bool(self.group)}
        return terms | {"device": self.device}


def own_seed(secret: int, lab: str, student: str) -> int:
    """The seed of one learner's private cases in one lab, 0 ≤ seed < 2³¹.

    Who knows theirs can tell neither the secret nor another's.
    """
    text = f"{lab}\n{student}".encode()
    digest = hmac.digest(str(secret).encode(), text, "sha256")
    return int.from_bytes(digest[:4], "big") >> 1
