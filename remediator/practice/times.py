"""Times as Kubernetes and etcd write them. In: aware UTC times. Out: text."""

from __future__ import annotations

from datetime import datetime


def rfc3339(moment: datetime) -> str:
    """To the second, as metav1.Time."""
    return f"{moment.isoformat(timespec='seconds')[:19]}Z"


def micro_time(moment: datetime) -> str:
    """To the microsecond, as metav1.MicroTime and etcd's log."""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def go_duration(seconds: int) -> str:
    """As Go prints a duration of whole seconds: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
