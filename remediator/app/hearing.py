"""Hear what the receiver and the API say of themselves: count it, and log what an operator must see."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
from structlog.typing import FilteringBoundLogger

from remediator.metrics import Metrics
from remediator.model.seams import Clock
from remediator.receiver.notices import (
    AccessDecided,
    AlertsReceived,
    BodyTooLarge,
    LateWrite,
    Notice,
    RequestAnswered,
    Unmatched,
)
from remediator.web.api import ApiAnswered


@dataclass(frozen=True)
class Ear:
    """Hears what the receiver says of itself: counts it, and logs what an operator must see."""

    metrics: Metrics
    clock: Clock
    log: FilteringBoundLogger = field(default_factory=lambda: structlog.get_logger().bind())
    """Bound once: most of what is heard is logged only when somebody debugs."""

    def __call__(self, notice: Notice) -> None:
        log = self.log
        match notice:
            case RequestAnswered():
                self.metrics.request_answered(notice.code, notice.seconds)
                log.debug("webhook", code=notice.code, sender=notice.sender, correlation_id=notice.correlation_id)
            case AlertsReceived():
                self.metrics.alerts_accepted(notice.firing, notice.resolved, self.clock.now())
            case Unmatched():
                self.metrics.unmatched.inc(notice.count)
            case AccessDecided() if notice.decision != "accepted":
                log.warning("webhook access", decision=notice.decision, sender=notice.sender)
            case BodyTooLarge():
                log.error("a delivery was too large and is lost; raise webhook.max_body_bytes", limit=notice.limit)
            case LateWrite():
                log.warning("a delivery was stored late", stored=notice.stored, problem=notice.problem)


def log_api(answered: ApiAnswered) -> None:
    structlog.get_logger().info(
        "api",
        method=answered.method,
        route=answered.route,
        permission=answered.permission,
        code=answered.code,
        sender=answered.sender,
        correlation_id=answered.correlation_id,
    )
