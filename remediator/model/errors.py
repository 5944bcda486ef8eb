"""
Say whose move it is.

Every error the house raises on purpose is one of these; each names the thing, what was wrong and what to do.
Foreign exceptions are translated into them, chained, in the room that imports the foreign library.

    RemediatorError
    ├── ConfigError        the operator edits a setting
    ├── RuleError          the rule's author edits a file
    ├── BadNotification    the sender's body is wrong
    ├── IllegalMove        our bug: a move the run's table does not have
    ├── StoreUnavailable   the store cannot promise anything just now
    │   ├── LostRun        another worker holds the run
    │   ├── DamagedRecord  one stored value is not what was written
    │   └── StoreDamaged   nothing of the store can be built upon until an operator has looked
    ├── PermitRefused      a write outside its permit, or after it ran out
    └── RemoteError        the cluster or a system's own API
        ├── Temporary          the world is not ready; ask again after a while
        ├── Permanent          asking again is useless
        │   ├── NotFound
        │   ├── Conflict           another object, or a newer one, under that name
        │   └── Forbidden
        └── AnswerLost         a write was sent and may have been applied
"""

from __future__ import annotations

from typing import ClassVar


class RemediatorError(Exception):
    """Something Remediator can explain went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)


class ConfigError(RemediatorError):
    """A setting is wrong."""


class RuleError(RemediatorError):
    """A rule file is wrong."""


class BadNotification(RemediatorError):
    """The body is not an Alertmanager v4 notification."""


class IllegalMove(RemediatorError):
    """The run's table has no such move."""


class StoreUnavailable(RemediatorError):
    """The store cannot promise anything just now."""


class LostRun(StoreUnavailable):
    """Another worker holds this run, or it has moved on."""


class DamagedRecord(StoreUnavailable):
    """One stored value cannot be read; the others can."""


class StoreDamaged(StoreUnavailable):
    """
    The store as a whole is not what was written, or can no longer be written: nothing may be built upon it.

    Asking again is useless. Its history may still be shown.
    """


class PermitRefused(RemediatorError):
    """A write was attempted outside its permit."""


class RemoteError(RemediatorError):
    """The cluster or a system's own API did not answer as hoped."""

    code: ClassVar[str] = "error"


class Temporary(RemoteError):
    """The world is not ready; ask again."""

    code: ClassVar[str] = "temporary"

    def __init__(self, message: str, *, after: float = 1.0) -> None:
        super().__init__(message)
        self.after = after


class Permanent(RemoteError):
    """Asking again is useless."""

    code: ClassVar[str] = "permanent"


class NotFound(Permanent):
    """There is no such object."""

    code: ClassVar[str] = "not_found"


class Conflict(Permanent):
    """Another object, or a newer version, stands under that name."""

    code: ClassVar[str] = "conflict"


class Forbidden(Permanent):
    """The API server does not let this service do that."""

    code: ClassVar[str] = "forbidden"


class AnswerLost(RemoteError):
    """A write was sent and nobody knows whether it was applied."""

    code: ClassVar[str] = "answer_lost"
