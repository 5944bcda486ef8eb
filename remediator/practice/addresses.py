"""
Addresses for pods: a block of the loopback network that no other practice cluster uses.

In: pods. Out: an address for each. The block is held by a listening socket at its last address, so two processes can
never take the same one. Without sockets, addresses are only names.
"""

from __future__ import annotations

import socket

PORT = 2379
_GUARD = 254


class AddressBlock:
    """One /24. With `stable`, a pod keeps its address for ever; else each incarnation has a new one."""

    def __init__(self, prefix: str, guard: socket.socket | None, *, stable: bool) -> None:
        self._prefix = prefix
        self._guard = guard
        self._stable = stable
        self._known: dict[tuple[str, str], str] = {}
        self._next = 0

    def place(self, namespace: str, pod: str) -> str:
        """The address of a pod that is about to run."""
        key = (namespace, pod)
        if self._stable and key in self._known:
            return self._known[key]
        self._known[key] = f"{self._prefix}.{self._next % (_GUARD - 10) + 10}"
        self._next += 1
        return self._known[key]

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close()


def names_only() -> AddressBlock:
    return AddressBlock("10.244.0", None, stable=False)


def take_block(*, stable: bool) -> AddressBlock:
    """The first free block of 127.64.0.0/10."""
    for number in range(64 * 256, 128 * 256):
        prefix = f"127.{number // 256}.{number % 256}"
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind((f"{prefix}.{_GUARD}", PORT))
            guard.listen(1)
        except OSError:
            guard.close()
            continue
        return AddressBlock(prefix, guard, stable=stable)
    raise OSError(f"no block of 127.64.0.0/10 is free at port {PORT}; end other practice clusters")
