"""Exercise 4.3.4: the learning rate's warm-up and its decay along a cosine."""

import math

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


def half_cosine(t):
    return (1 + math.cos(math.pi * t)) / 2


def straight(step, warmup_steps):
    return step / warmup_steps


def scheduled(step, warmup_steps, total_steps, rise=straight, fall=half_cosine):
    """The right factor, or with another rise or another fall."""
    if step >= total_steps:
        return 0.0
    if step < warmup_steps:
        return rise(step, warmup_steps)
    return fall((step - warmup_steps) / (total_steps - warmup_steps))


class Schedule(Exercise):
    """warmup_cosine(step, warmup_steps, total_steps): part of the peak rate."""

    number = "4.3.4"

    @staticmethod
    def warmup_cosine(step, warmup_steps, total_steps):
        return scheduled(step, warmup_steps, total_steps)

    reference = {"warmup_cosine": warmup_cosine}

    def draw_cases(self, draw: Draw):
        W = int(draw.integers(20, 60, 1))
        rest = int(draw.integers(100, 400, 1))
        S = W + rest

        def case(name, step, warmup=W, edge=False):
            steps = {"step": step, "warmup_steps": warmup, "total_steps": S}
            return Case(
                name, "warmup_cosine", steps, gradients=False, edge=edge, tolerance=1e-6
            )

        for step, what in (
            (0, "the first"),
            (W // 3, "in the warm-up"),
            (W - 1, "the last of the warm-up"),
            (W, "the peak"),
            (W + rest // 3, "on the way down"),
            (W + 2 * rest // 3, "further down"),
            (S - 1, "the last"),
            (S, "the end"),
            (S + rest // 4, "after the end"),
        ):
            yield case(f"step {step} of {S}, warm-up {W}: {what}", step)
        yield case(f"step 0 of {S}, without warm-up", 0, warmup=0, edge=True)


@Schedule.mistake
def no_warmup(step, warmup_steps, total_steps):
    """You left the warm-up out: your factor begins at 1."""
    return scheduled(step, 0, total_steps)


@Schedule.mistake
def warmup_at_full_rate(step, warmup_steps, total_steps):
    """You give 1 during the warm-up. There the factor rises in a straight line from 0
    to 1."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: 1.0)


@Schedule.mistake
def warmup_at_zero(step, warmup_steps, total_steps):
    """You give 0 during the warm-up. There the factor rises in a straight line from 0
    to 1. A division of whole numbers, //, gives 0 too."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: 0.0)


@Schedule.mistake
def warmup_one_early(step, warmup_steps, total_steps):
    """Your warm-up is one step early: you divide step + 1. Here step 0 has the factor
    0."""
    return scheduled(
        step, warmup_steps, total_steps, rise=lambda s, w: min(1.0, (s + 1) / w)
    )


@Schedule.mistake
def warmup_one_short(step, warmup_steps, total_steps):
    """You divide by warmup_steps − 1: your factor reaches 1 a step before the warm-up
    is over."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: s / (w - 1))


@Schedule.mistake
def warmup_one_long(step, warmup_steps, total_steps):
    """You divide by warmup_steps + 1: the warm-up ends below 1, and the factor
    jumps."""
    return scheduled(step, warmup_steps, total_steps, rise=lambda s, w: s / (w + 1))


@Schedule.mistake
def warmup_of_total(step, warmup_steps, total_steps):
    """You divide by total_steps during the warm-up. It lasts warmup_steps."""
    return scheduled(step, warmup_steps, total_steps, lambda s, w: s / total_steps)


@Schedule.mistake
def warmup_curved(step, warmup_steps, total_steps):
    """You let the warm-up follow a cosine too. It is a straight line."""

    def rise(s, w):
        return (1 - math.cos(math.pi * s / w)) / 2

    return scheduled(step, warmup_steps, total_steps, rise)


@Schedule.mistake
def warmup_downwards(step, warmup_steps, total_steps):
    """Your warm-up falls from 1 to 0. It rises: step / warmup_steps."""
    return scheduled(step, warmup_steps, total_steps, lambda s, w: 1 - s / w)


@Schedule.mistake
def cosine_from_step_zero(step, warmup_steps, total_steps):
    """Your cosine begins at step 0 instead of at the end of the warm-up: the factor
    jumps down there. Count from warmup_steps."""
    if step >= warmup_steps:
        return scheduled(step, 0, total_steps)
    return scheduled(step, warmup_steps, total_steps)


@Schedule.mistake
def warmup_times_cosine(step, warmup_steps, total_steps):
    """You multiply a warm-up and a cosine that both begin at step 0. The one follows
    the other: the cosine begins where the warm-up ends."""
    rise = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    return rise * scheduled(step, 0, total_steps)


@Schedule.mistake
def never_reaches_zero(step, warmup_steps, total_steps):
    """You divide by total_steps, though only total_steps − warmup_steps steps are left
    for the cosine: it is still above 0 when the steps are over."""
    if step < warmup_steps:
        return step / warmup_steps
    return half_cosine(min(1.0, (step - warmup_steps) / total_steps))


@Schedule.mistake
def jumps_to_zero(step, warmup_steps, total_steps):
    """You divide by total_steps, though only total_steps − warmup_steps steps are left
    for the cosine: your factor jumps to 0 at the end instead of gliding there."""
    if step >= total_steps:
        return 0.0
    return never_reaches_zero(step, warmup_steps, total_steps)


@Schedule.mistake
def zero_one_early(step, warmup_steps, total_steps):
    """You reach 0 one step too early, at total_steps − 1. The factor is 0 from step
    total_steps on."""
    return scheduled(step, warmup_steps, total_steps - 1)


@Schedule.mistake
def zero_one_late(step, warmup_steps, total_steps):
    """You reach 0 one step too late, at total_steps + 1. The factor is 0 from step
    total_steps on."""
    return scheduled(step, warmup_steps, total_steps + 1)


@Schedule.mistake
def goes_up_again(step, warmup_steps, total_steps):
    """Your factor goes up again after total_steps: a cosine does. From step total_steps
    on it is 0."""
    if step < warmup_steps:
        return step / warmup_steps
    return half_cosine((step - warmup_steps) / (total_steps - warmup_steps))


@Schedule.mistake
def one_after_the_end(step, warmup_steps, total_steps):
    """You give 1 after total_steps. From there on the factor is 0."""
    if step > total_steps:
        return 1.0
    return scheduled(step, warmup_steps, total_steps)


@Schedule.mistake
def nothing_after_the_end(step, warmup_steps, total_steps):
    """You return nothing from total_steps on. The factor is 0 there."""
    if step < total_steps:
        return scheduled(step, warmup_steps, total_steps)


@Schedule.mistake
def in_degrees(step, warmup_steps, total_steps):
    """You gave the cosine degrees. math.cos wants radians: π, not 180, is half a
    turn."""
    return scheduled(
        step,
        warmup_steps,
        total_steps,
        fall=lambda t: (1 + math.cos(180 * t)) / 2,
    )


@Schedule.mistake
def pi_forgotten(step, warmup_steps, total_steps):
    """You left π out: cos(t) for t from 0 to 1 falls to 0.54 only."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: (1 + math.cos(t)) / 2
    )


@Schedule.mistake
def whole_turn(step, warmup_steps, total_steps):
    """You let the cosine make a whole turn (2π): it comes back up to 1. Half a turn, π,
    goes from 1 to 0."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: half_cosine(2 * t))


@Schedule.mistake
def quarter_turn(step, warmup_steps, total_steps):
    """You used a quarter of a turn, cos(π t / 2): also from 1 to 0, but steepest at the
    end. Wanted is (1 + cos(π t)) / 2, which ends gently."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: math.cos(math.pi * t / 2)
    )


@Schedule.mistake
def below_zero(step, warmup_steps, total_steps):
    """Your cosine falls to −1: a negative learning rate climbs. Lift and halve it:
    (1 + cos(π t)) / 2."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: math.cos(math.pi * t)
    )


@Schedule.mistake
def cut_off_at_zero(step, warmup_steps, total_steps):
    """You cut the cosine off at 0, so that half of the steps have the rate 0. Lift and
    halve it instead: (1 + cos(π t)) / 2."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: max(0, math.cos(math.pi * t))
    )


@Schedule.mistake
def not_halved(step, warmup_steps, total_steps):
    """You forgot the half: 1 + cos(π t) begins at 2."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 2 * half_cosine(t))


@Schedule.mistake
def half_misplaced(step, warmup_steps, total_steps):
    """You halved only the cosine: 1 + cos(π t) / 2 goes from 1.5 to 0.5. Halve the
    sum: (1 + cos(π t)) / 2."""
    return scheduled(
        step, warmup_steps, total_steps, fall=lambda t: 1 + math.cos(math.pi * t) / 2
    )


@Schedule.mistake
def minus_cosine(step, warmup_steps, total_steps):
    """Your factor rises after the warm-up: the sign of the cosine is wrong."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 1 - half_cosine(t))


@Schedule.mistake
def straight_down(step, warmup_steps, total_steps):
    """You let the factor fall in a straight line. After the warm-up it follows half a
    cosine."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 1 - t)


@Schedule.mistake
def stays_at_one(step, warmup_steps, total_steps):
    """You keep the factor at 1 after the warm-up. From there it falls along a
    cosine."""
    return scheduled(step, warmup_steps, total_steps, fall=lambda t: 1.0)


@Schedule.mistake
def warmup_of_no_steps(step, warmup_steps, total_steps):
    """You divide by warmup_steps though it may be 0. Without warm-up the cosine begins
    at once, at 1: ask step < warmup_steps before you divide."""
    rise = step / warmup_steps
    return rise if rise < 1 else scheduled(step, warmup_steps, total_steps)
