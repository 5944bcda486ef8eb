"""
Rule files become validated rules.

In: paths and the known systems. Out: rules, or every problem at once as `file:line:column`. It never half-loads and
never evaluates code: matchers run in RE2, conditions in CEL.
"""

from remediator.rulebook.loading import Rulebook, load
from remediator.rulebook.problems import Problem
from remediator.rulebook.schema import json_schema

__all__ = ["Problem", "Rulebook", "json_schema", "load"]
