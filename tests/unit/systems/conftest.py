"""A small etcd to look at and to act on."""

from __future__ import annotations

import pytest

from tests.unit.systems.etcd_world import EtcdWorld


@pytest.fixture
def etcd() -> EtcdWorld:
    return EtcdWorld()
