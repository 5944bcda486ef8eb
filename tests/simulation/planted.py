"""
Bugs planted on purpose: the checker is only worth what it finds.

Each is a wrapper in one of the service's seams and the promise that it breaks; those that need somebody else to show
are in the module beside.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from tests.simulation.bugs import (
    AckFirst,
    Blind,
    ByName,
    Dropping,
    Forgetful,
    LateIntent,
    LocksByRun,
    LostIsNo,
    Remembering,
    Retrying,
    blind_health,
    keeps_nothing,
    never_done,
    without,
    wrong_member,
)
from tests.simulation.faults import Fault
from tests.simulation.planted_with_others import WITH_OTHERS
from tests.simulation.planting import Planted
from tests.simulation.service import Seams

NO_BUG = Planted("", "the service as it is", (), Seams(), store=None)
HELD_BEFORE_WRITING = (Fault("reads-503", "commit", 8, 20.0), Fault("resolve", "commit", 9))
PLANTED = (
    Planted("drops-uid", "writes carry no uid", ("uid",), Seams(transport=partial(Dropping, "uid"))),
    Planted(
        "drops-version", "writes carry no version", ("version",), Seams(transport=partial(Dropping, "resourceVersion"))
    ),
    Planted("retries-writes", "a 5xx is sent again", ("one-send",), Seams(transport=Retrying), ("refuse-504",)),
    Planted("stale-reads", "reads come from a cache", ("fresh",), Seams(transport=Remembering)),
    Planted("late-intent", "the intent is committed after the call", ("intent-first",), Seams(store=LateIntent)),
    Planted(
        "locks-by-run", "no target is ever busy", ("exclusive", "limits"), Seams(store=LocksByRun), ("second-alert",)
    ),
    Planted("forgets-episodes", "every delivery makes a run", ("one-run",), Seams(store=Forgetful)),
    Planted(
        "acks-first",
        "a delivery is acknowledged before it is stored",
        ("acked-kept",),
        Seams(store=AckFirst),
        (Fault("crash-before-commit", "commit", 1),),
    ),
    Planted("by-name", "objects are found by name", ("incarnation",), Seams(access=ByName), ("remake-pod",)),
    Planted(
        "lost-is-no",
        "a lost answer counts as not applied",
        ("truthful-step",),
        Seams(access=LostIsNo),
        ("applied-lost",),
    ),
    Planted("no-freeze", "nobody asks about the freeze", ("frozen",), Seams(guards=without("freeze")), ("freeze",)),
    Planted("no-file", "nobody looks for the file", ("frozen",), Seams(brake=Blind), ("freeze-file",)),
    Planted("no-config-map", "nobody looks for the ConfigMap", ("frozen",), Seams(brake=Blind), ("freeze-configmap",)),
    Planted("no-mode", "nobody asks whether it is armed", ("disarmed",), Seams(guards=without("mode")), ("disarm",)),
    Planted("no-pause", "nobody asks about a pause", ("paused",), Seams(guards=without("pause")), ("pause-set",)),
    Planted(
        "no-episode",
        "nobody asks whether the alert still fires",
        ("resolved",),
        Seams(guards=without("episode")),
        HELD_BEFORE_WRITING,
    ),
    Planted(
        "no-limits", "nobody counts", ("limits",), Seams(guards=without("limits", "cooldown")), ("relapse",), "three"
    ),
    Planted(
        "wide-scope",
        "a rule acts outside its namespaces",
        ("scope",),
        Seams(rule=lambda r: replace(r, namespaces=("milvus", "staging"))),
        cluster="elsewhere",
    ),
    Planted(
        "never-done",
        "a verb never sees its own effect",
        ("truthful-step", "one-effect"),
        Seams(systems=never_done),
        ("applied-lost",),
    ),
    Planted("keeps-nothing", "the volume is not retained", ("data-kept",), Seams(systems=keeps_nothing)),
    Planted(
        "wrong-member",
        "a healthy member's pod is deleted",
        ("healthy-member",),
        Seams(systems=wrong_member),
        cluster="three",
    ),
    Planted("blind-health", "everything looks well", ("truthful-run",), Seams(systems=blind_health)),
    Planted(
        "endless-patience",
        "a held run never gives up",
        ("stuck",),
        Seams(rule=lambda r: replace(r, patience=timedelta(days=30))),
        (Fault("freeze", "at", 5.0),),
    ),
    *WITH_OTHERS,
)
