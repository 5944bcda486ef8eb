"""Seeded simulation of the whole service in virtual time: `python -m tests.simulation --seeds 100`."""
