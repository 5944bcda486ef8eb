"""
The only room that talks to a system's own HTTP API.

In: a door made from a live pod, and a call a system declared. Out: a bounded reply. It follows no redirect,
resolves no name, and takes no address from an alert.
"""

from remediator.endpoints.http import HttpEndpoints

__all__ = ["HttpEndpoints"]
