"""
Turn a watch request into its lines, without a socket.

In: the API server and the request. Out: the events that are due each time it is asked, as newline JSON. It never
waits: the caller asks again when something has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from remediator.model.seams import Clock
from remediator.practice.addressing import Request
from remediator.practice.apiserver import ApiServer
from remediator.practice.event_views import view
from remediator.practice.refusals import ApiError, bad_request
from remediator.practice.resources import of_plural
from remediator.practice.selectors import field_question, label_question
from remediator.practice.tables import table
from remediator.practice.watching import seen_as

_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class WatchFeed:
    """One open watch. Raises ApiError while it is made; later errors are lines, as on the real server."""

    def __init__(self, api: ApiServer, clock: Clock, request: Request) -> None:
        at = request.address
        self._api, self._clock, self._request = api, clock, request
        self._resource = of_plural(at.api_version, at.plural).resource
        self._fields = ",".join(p for p in (request.query.get("fieldSelector", ""), _own_name(at.name)) if p)
        self._has_labels = label_question(request.query.get("labelSelector", ""))
        self._has_fields = field_question(self._fields, self._resource.kind)
        self._first = True
        self.is_over = False
        self.wants_bookmarks = request.asks("allowWatchBookmarks")
        self.timeout = request.number("timeoutSeconds")
        start = request.query.get("resourceVersion", "")
        if not start.isdecimal() and start:
            raise bad_request(f'resourceVersion: Invalid value: "{start}": strconv.ParseUint: invalid syntax')
        self._sends_state = start in ("", "0") or request.asks("sendInitialEvents")
        self._at = int(start or 0)

    def due(self) -> list[bytes]:
        """The lines since the last time; after an ERROR line `is_over` is true."""
        lines: list[bytes] = []
        if self._first and self._sends_state:
            lines += self._state()
        self._first = False
        try:
            for change in self._api.history.after(self._at):
                self._at = change.version
                if kind := seen_as(change, self._resource, self._is_selected):
                    lines.append(self._line(kind, view(self._resource, change.manifest)))
        except ApiError as error:
            self.is_over = True
            lines.append(_encoded({"type": "ERROR", "object": error.as_status()}))
        return lines

    def bookmark(self, annotations: Mapping[str, str] | None = None) -> bytes:
        """Where the watch stands, for clients that asked for bookmarks."""
        resource = self._resource
        meta: dict[str, Any] = {"resourceVersion": str(self._at), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = dict(annotations)
        manifest = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        return _encoded({"type": "BOOKMARK", "object": manifest})

    def _state(self) -> list[bytes]:
        query, at = self._request.query, self._request.address
        labels = query.get("labelSelector", "")
        found = self._api.look_at(self._resource, at.namespace, labels=labels, fields=self._fields)
        self._at = self._api.resource_version
        lines = [self._line("ADDED", manifest) for manifest in found]
        if self._request.asks("sendInitialEvents"):
            lines.append(self.bookmark(_INITIAL_END))
        return lines

    def _is_selected(self, manifest: Mapping[str, Any]) -> bool:
        namespace = self._request.address.namespace
        is_here = namespace in ("", manifest["metadata"].get("namespace", ""))
        return is_here and self._has_labels(manifest) and self._has_fields(manifest)

    def _line(self, kind: str, manifest: Mapping[str, Any]) -> bytes:
        shown: Mapping[str, Any] = manifest
        if self._request.wants_table:
            meta = {"resourceVersion": manifest["metadata"]["resourceVersion"]}
            shown = table(self._resource, [manifest], meta, self._clock.now())
        return _encoded({"type": kind, "object": shown})


def _own_name(name: str) -> str:
    return f"metadata.name={name}" if name else ""


def _encoded(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"
