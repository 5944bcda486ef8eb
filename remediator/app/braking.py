"""Make the brakes from the settings, and log what an operator must read of them."""

from __future__ import annotations

import structlog

from remediator.brakes.config_map import ConfigMapBrake
from remediator.brakes.file import FileBrake
from remediator.brakes.latching import Latch, Switches
from remediator.brakes.watching import Brakes, Noticed
from remediator.model.objects import CONFIG_MAP, ObjectRef
from remediator.model.seams import Brake, Clock, ClusterView
from remediator.settings import Settings


def brakes_of(settings: Settings, view: ClusterView, store: Switches, clock: Clock) -> Brakes:
    file = FileBrake(settings.freeze_file, on=settings.own.pod_name)
    brakes: list[Brake] = [file]
    if settings.freeze_config_map:
        namespace, name = settings.freeze_config_map
        brakes.append(ConfigMapBrake(view, ObjectRef(CONFIG_MAP, name, namespace)))
    return Brakes(brakes, file, Latch(store, clock), clock, log_brake)


def log_brake(noticed: Noticed) -> None:
    log = structlog.get_logger().bind(what=noticed.what, by=noticed.by, why=noticed.why)
    if noticed.what in ("not recorded", "in memory only"):
        log.error("brake")
    else:
        log.warning("brake")
