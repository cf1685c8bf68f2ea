"""
Every library calls both services under pins, in both ways of pinning.

It may import the stage. No library is told anything that its users could not tell it.
"""

import ssl
import warnings
from dataclasses import dataclass

from pinwarden_demo.libraries import LIBRARIES, Round, every_library, play_round
from pinwarden_demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What was measured.

    Attributes:
        per_context, process_wide: calls to both services as they are.
        expired_per_context, expired_process_wide: calls to a service that presents the right key in a certificate
            that has expired.
    """

    per_context: Round
    process_wide: Round
    expired_per_context: Round
    expired_process_wide: Round

    @property
    def leaked(self) -> int:
        """Application bytes that reached who must get none."""
        return self.expired_per_context.bytes_read + self.expired_process_wide.bytes_read


def measure(stage: Stage, sabotaged: bool) -> Facts:
    """Play the step; sabotaged: the application switches certificate checks off, as if pins replaced them."""
    payments, orders = stage.payments, stage.orders
    services, urls = (payments.service, orders.service), (payments.url, orders.url)
    context = stage.pins.ssl_context(stage.context())
    for_expired = stage.pins.ssl_context(_unchecking(stage.context()) if sabotaged else stage.context())
    with stage.process() as process, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # urllib3 complains about the sabotage, and rightly so
        per_context = play_round(every_library(context, *urls), *services)
        process_wide = play_round(process.every_library(*urls), *services)
        expired = stage.ca.issue(payments.name, key=payments.service.identity.key, expired=True)
        with payments.service.presenting(expired):
            return Facts(
                per_context=per_context,
                process_wide=process_wide,
                expired_per_context=play_round(every_library(for_expired, payments.url), payments.service),
                expired_process_wide=play_round(
                    process.every_library(payments.url, verify=not sabotaged), payments.service
                ),
            )


def tell(facts: Facts) -> list[str]:
    """Return the facts as sentences."""
    right, expired = (facts.per_context, facts.process_wide), (facts.expired_per_context, facts.expired_process_wide)
    through, sent = sum(one.through for one in right), sum(one.sent for one in right)
    passed, tried = sum(one.through for one in expired), sum(one.sent for one in expired)
    return [
        (
            f"{', '.join(LIBRARIES)}, each by a pinned context and by pins.enforce() for the whole process: "
            f"{through} of {sent} calls passed."
        ),
        f"Right key, expired certificate: {tried - passed} of {tried} calls refused, {facts.leaked} bytes sent.",
    ]


def _unchecking(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
