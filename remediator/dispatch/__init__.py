"""
A notification's alerts become candidates for runs, or recorded reasons why not.

In: a notification and the rules. Out: candidates, resolutions, skipped alerts. It looks only at labels and times, and
never at the group's status.
"""

from remediator.dispatch.dispatching import Dispatched, Dispatcher, Skipped
from remediator.dispatch.index import RuleIndex

__all__ = ["Dispatched", "Dispatcher", "RuleIndex", "Skipped"]
