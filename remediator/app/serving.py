"""Run the service as a process: until it is told to stop, with a reload of the rules on request."""

from __future__ import annotations

import asyncio
import gc
import signal

import structlog

from remediator.app.wiring import service
from remediator.settings import Settings


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. SIGHUP reloads the rules, SIGUSR1 freezes."""
    loop = asyncio.get_running_loop()
    # One that arrives while the service is being made waits for its handler, instead of ending the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    async with service(settings) as running:
        _spare_the_collector()
        loop.add_signal_handler(signal.SIGUSR1, running.brakes.signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, running.ended.set)
        loop.add_signal_handler(signal.SIGHUP, running.reload)
        await running.ended.wait()
        structlog.get_logger().info("stopping")
    if running.failure is not None:
        raise running.failure


def _spare_the_collector() -> None:
    """
    Let the cyclic collector look at what comes and goes only, and less often.

    All that was imported stays until the end, and a delivery of a hundred alerts makes no cycles: searching both for
    some after every few alerts took a third of the receiver's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
