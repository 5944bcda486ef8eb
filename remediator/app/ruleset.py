"""The rules in force, and the dispatcher made of them. A reload replaces both whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediator.dispatch import Dispatched, Dispatcher
from remediator.model.alerts import Notification
from remediator.model.rules import Rule
from remediator.model.seams import Clock, Ids
from remediator.model.systems import AnySystem
from remediator.rulebook import load as load_rules
from remediator.settings import Settings


class Rules:
    """The rules in force. A reload replaces them whole, or not at all."""

    def __init__(self, settings: Settings, known: Mapping[str, AnySystem], clock: Clock, ids: Ids) -> None:
        self._settings, self._known, self._clock, self._ids = settings, known, clock, ids
        self.loaded: tuple[Rule, ...] = ()
        self._by_name: dict[str, Rule] = {}
        self._dispatcher = self._dispatcher_for(())

    def reload(self) -> Sequence[str]:
        """Load the files again; answers the problems, and with any the old rules stay."""
        book = load_rules(self._settings.rules, self._known, protected=self._settings.protected_namespaces)
        if book.problems:
            return [str(problem) for problem in book.problems]
        self.loaded = book.rules
        self._by_name = {rule.name: rule for rule in book.rules}
        self._dispatcher = self._dispatcher_for(book.rules)
        return ()

    def _dispatcher_for(self, rules: Sequence[Rule]) -> Dispatcher:
        return Dispatcher(rules, ids=self._ids, protected=self._settings.protected_namespaces, clock=self._clock)

    def get(self, name: str) -> Rule | None:
        return self._by_name.get(name)

    def dispatch(self, notification: Notification) -> Dispatched:
        return self._dispatcher.dispatch(notification)
