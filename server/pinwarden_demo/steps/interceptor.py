"""
Put an interceptor in the way, with pins and without.

It may import the stage. The calls and the interceptor are the same in both cases.
"""

from dataclasses import dataclass, replace

from pinwarden_demo.libraries import LIBRARIES, Round, every_library, play_round
from pinwarden_demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What was measured.

    Attributes:
        host: whom the interceptor plays.
        per_context, process_wide: calls through the interceptor by an application that is pinned.
        unpinned: the same calls by one that is not.
    """

    host: str
    per_context: Round
    process_wide: Round
    unpinned: Round

    @property
    def leaked(self) -> int:
        """Application bytes that reached who must get none."""
        return self.per_context.bytes_read + self.process_wide.bytes_read


def measure(stage: Stage, sabotaged: bool) -> Facts:
    """Play the step; sabotaged: the application forgets to arm its contexts and never calls ``enforce()``."""
    url, unpinned = stage.payments.url, stage.context()
    context = unpinned if sabotaged else stage.pins.ssl_context(stage.context())
    application = replace(stage.application, enforce=not sabotaged)
    with stage.process(application) as process, stage.payments.wire.leading_to(stage.payments.interceptor) as attacker:
        return Facts(
            host=stage.payments.name,
            per_context=play_round(every_library(context, url), attacker),
            unpinned=play_round(every_library(unpinned, url), attacker),
            process_wide=play_round(process.every_library(url), attacker),
        )


def tell(facts: Facts) -> list[str]:
    """Return the facts as sentences."""
    pinned = (facts.per_context, facts.process_wide)
    refused, sent = sum(one.sent - one.through for one in pinned), sum(one.sent for one in pinned)
    errors = ", ".join(sorted({name for one in pinned for name in one.errors}))
    return [
        f"The interceptor presents its own certificate for {facts.host}, from a CA that the application trusts.",
        (
            f"{', '.join(LIBRARIES)}, both ways: {refused} of {sent} calls refused{f' ({errors})' if errors else ''}; "
            f"it read {facts.leaked} bytes."
        ),
        (
            f"Without pins: {facts.unpinned.through} of {facts.unpinned.sent} calls passed through it unnoticed; "
            f"it read {facts.unpinned.bytes_read} bytes."
        ),
    ]
