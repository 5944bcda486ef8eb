"""Drive one run from its alert to its outcome: locate, diagnose, plan, ask, carry out, verify."""
