"""The door for Alertmanager: authenticate, bound, parse, ask dispatch, file, answer. Never talks to a cluster."""
