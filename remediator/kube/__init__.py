"""
The only room that talks to the API server.

In: references and permits. Out: live objects, or the house's own errors. Importing it is cheap: the heavy
Kubernetes library is loaded when a client connects and not before.
"""

from remediator.kube.access import KubeAccess, KubeAsked
from remediator.kube.client import KubeClient
from remediator.kube.events import EventRecorder
from remediator.kube.watching import WatchEvent, watch

__all__ = ["EventRecorder", "KubeAccess", "KubeAsked", "KubeClient", "WatchEvent", "watch"]
