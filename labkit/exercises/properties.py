"""Properties that several exercises ask for."""

from labkit.checks.exercise import Cases, Replies, looks_at


@looks_at("repeat")
def the_same_every_time(cases: Cases, replies: Replies) -> str | None:
    for name, reply in replies.items():
        if not reply.get("repeat", True):
            return (
                f"In the case “{name}”, two calls with the same inputs gave different "
                "outputs: nothing here is left to chance."
            )
    return None
