"""Remediator: an Alertmanager receiver that proves, plans, guards, fixes and verifies."""

__version__ = "0.1.0"
