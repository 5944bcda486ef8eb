"""
Keep those up to date who remember how far the journal's file had come, and believe the one who knows better.

In: the file's custody, and a witness in the cluster if the settings name one. Out: witnesses that know of everything, a
minute late at most; or a journal that is written no more, because it is an old copy. One that cannot be asked is
complained of, and stops nothing.
"""

from __future__ import annotations

from remediator.kube.client import KubeClient
from remediator.kube.witness import ConfigMapWitness
from remediator.logs import complain
from remediator.model.errors import RemoteError, StoreUnavailable
from remediator.model.objects import CONFIG_MAP, ObjectRef
from remediator.model.seams import Clock, Witness
from remediator.settings import Settings
from remediator.store.sqlite.custody import Custody
from remediator.store.sqlite.soundness import not_the_one

TOLD_SECONDS = 60.0


def cluster_witness_of(settings: Settings, kube: KubeClient) -> ConfigMapWitness | None:
    if settings.witness_config_map is None:
        return None
    namespace, name = settings.witness_config_map
    return ConfigMapWitness(kube, ObjectRef(CONFIG_MAP, name, namespace))


async def keep_witnesses(custody: Custody, cluster: Witness | None, clock: Clock) -> None:
    """Each minute they know of everything; of what may have had an effect the one beside the journal knew before."""
    while True:
        await clock.sleep(TOLD_SECONDS)
        try:
            await custody.testify(await custody.mark())
        except StoreUnavailable as error:
            complain("the journal's witness could not be brought up to date", error)
        if cluster is not None:
            await hear(custody, cluster)


async def hear(custody: Custody, witness: Witness) -> None:
    """Ask a witness far away, and then tell it. One that knows better ends all writing."""
    try:
        known = await witness.read()
        why = await custody.objection(known) if known else ""
        if why:
            custody.condemn(not_the_one(custody.path, f"{why} ({witness.name})"))
        else:
            await witness.write(await custody.mark())
    except (StoreUnavailable, RemoteError) as error:
        complain(f"{witness.name} could not be asked whether the journal is an old copy, or not be told", error)
