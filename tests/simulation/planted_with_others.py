"""
Bugs that show where there are others: a second replica, a person, GitOps, a store that is away, a clock that is set.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.simulation.bugs import without
from tests.simulation.bugs_with_others import (
    AnyYes,
    Chatty,
    Deaf,
    Forked,
    FromCache,
    Grasping,
    Greedy,
    Hopeful,
    ListsByName,
    Polite,
    Refunding,
    Signing,
    Sure,
    Uncounted,
    Unfenced,
    Unrecorded,
    WallClock,
    YesAfterNo,
    blindfold,
    keeps_old_rule,
)
from tests.simulation.faults import Fault
from tests.simulation.planting import Planted
from tests.simulation.service import Seams

HALTED = (Fault("reads-hang", "send", 2, 60.0), Fault("halt", "send", 2, 5.0))
"""The one that takes over has not stored anything yet when the other wakes."""
NO_COOLDOWN = timedelta(0)
FOUGHT = (Fault("fight", "at", 1.0), Fault("flap", "at", 30.0, 400.0))

WITH_OTHERS = (
    # a second replica
    Planted(
        "no-margin",
        "a call may last until the very end of the lease",
        ("lease",),
        Seams(bounds=lambda b: replace(b, lease_margin=0.0)),
        store="shared",
    ),
    Planted("never-loses", "renewals are taken for granted", ("lease", "fence"), Seams(store=Sure), store="shared"),
    Planted(
        "no-fence", "a claim leaves the version as it is", ("fence",), Seams(store=Unfenced), HALTED, store="shared"
    ),
    Planted("shares-claims", "a run in hand is claimed again", ("one-holder",), Seams(store=Greedy), store="shared"),
    Planted("tries-for-ever", "no try is counted", ("tries",), Seams(store=Uncounted), (Fault("poison", "at", 1.0),)),
    Planted("keeps-locks", "a target stays locked", ("let-go",), Seams(store=Grasping)),
    # the journal
    Planted(
        "refunds",
        "the start of a run that failed is taken back",
        ("limits",),
        Seams(store=Refunding, rule=lambda r: replace(r, cooldown=NO_COOLDOWN)),
        FOUGHT,
        "three",
    ),
    Planted("no-record", "outcomes leave no record", ("audit-count",), Seams(store=Unrecorded)),
    Planted("forked-trail", "a record is chained past another", ("audit-chain",), Seams(store=Forked)),
    Planted(
        "acks-anyway",
        "a store that is away is taken for success",
        ("acked-kept",),
        Seams(store=Polite),
        (Fault("store-down", "at", 0.0, 30.0),),
    ),
    Planted("keeps-annotations", "annotations are kept as labels", ("secret",), Seams(store=Chatty)),
    # people
    Planted("any-yes", "a yes counts for any plan", ("approval",), Seams(store=AnyYes), reply="other-plan"),
    Planted("yes-after-no", "the last word counts", ("denied",), Seams(store=YesAfterNo), store="shared", reply="race"),
    Planted("deaf", "nobody hears a cancellation", ("cancelled",), Seams(store=Deaf), (Fault("cancel", "send", 1),)),
    Planted(
        "keeps-old-rule",
        "a rule is never read again",
        ("rule",),
        Seams(rules=keeps_old_rule),
        (Fault("rule-removed", "send", 1),),
    ),
    Planted(
        "fights",
        "nobody counts, so what is put back is changed again and again",
        ("fight",),
        Seams(guards=without("limits", "cooldown")),
        FOUGHT,
        "three",
    ),
    # clocks
    Planted(
        "wall-clock",
        "a minute is measured on the wall",
        ("steady",),
        Seams(clock=WallClock),
        (Fault("clock-forward", "at", 50.0),),
        "three",
    ),
    # reads and writes
    Planted("from-cache", "reads need not be the newest", ("fresh",), Seams(transport=FromCache)),
    Planted(
        "as-it-was",
        "what cannot be read is as it was",
        ("unknown",),
        Seams(transport=Hopeful),
        (Fault("reads-503", "commit", 8, 60.0),),
    ),
    Planted("signs", "a patch says who made it", ("contained",), Seams(transport=Signing)),
    Planted("lists-by-name", "an object is what a list has under its name", ("fresh",), Seams(access=ListsByName)),
    Planted(
        "blindfold",
        "what was interrupted is sent again",
        ("looked-up",),
        Seams(systems=blindfold),
        (Fault("crash-in-flight", "send", 2),),
    ),
)
