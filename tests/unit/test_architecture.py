"""What the house promises of itself and the import contracts cannot see."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import remediator
from remediator import guards, systems
from remediator.model.systems import System

HOUSE = Path(remediator.__file__).parent
MODULES = sorted(HOUSE.rglob("*.py"))
EVERYTHING = {"Exception", "BaseException"}


def names(path: Path) -> str:
    return path.relative_to(HOUSE.parent).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def caught(handler: ast.ExceptHandler) -> set[str]:
    """The names an `except` catches; a bare one catches everything."""
    if handler.type is None:
        return {"BaseException"}
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {kind.attr if isinstance(kind, ast.Attribute) else ast.unparse(kind) for kind in kinds}


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether it ends by raising what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def keeps_everything(module: ast.Module) -> Iterator[ast.AST]:
    """Handlers that catch everything and keep it, and `suppress` of everything."""
    for node in ast.walk(module):
        if isinstance(node, ast.ExceptHandler) and caught(node) & EVERYTHING and not passes_on(node):
            yield node
        suppresses = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress")
        if suppresses and {ast.unparse(arg) for arg in node.args} & EVERYTHING:
            yield node


def test_everything_is_caught_in_the_named_places_and_nowhere_else():
    """The page on the house names each place, and each has exactly one."""
    page = (HOUSE.parent / "docs" / "architecture.md").read_text("utf-8")
    told = page.partition("## Where everything may be caught")[2]
    named = sorted(f"remediator/{place}" for place in re.findall(r"`(\w+/\w+\.py)`", told))

    found = sorted(names(path) for path in MODULES for _ in keeps_everything(tree(path)))

    assert found == named
    assert len(named) == 4


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("try: pass\nexcept Exception: pass", 1),
        ("try: pass\nexcept: pass", 1),
        ("try: pass\nexcept (ValueError, builtins.BaseException) as e: log(e)", 1),
        ("with contextlib.suppress(Exception): pass", 1),
        ("try: pass\nexcept BaseException:\n    undo()\n    raise", 0),
        ("try: pass\nexcept BaseException as e:\n    raise Other from e", 1),
        ("try: pass\nexcept (ValueError, OSError): pass", 0),
        ("with contextlib.suppress(OSError): pass", 0),
    ],
)
def test_the_search_for_such_handlers_finds_them(code, count):
    """It would notice each way to keep everything, and lets an undo pass that raises again."""
    assert len(list(keeps_everything(ast.parse(code)))) == count


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_every_module_says_what_it_is(path):
    """It opens with a docstring of at least one sentence."""
    said = ast.get_docstring(tree(path))

    assert said
    assert re.search(r"\w[.:?](\s|\Z)", said)


def test_every_guard_module_makes_one_guard_of_its_own_name():
    """Discovery needs no list."""
    found = {
        m.name: importlib.import_module(f"{guards.__name__}.{m.name}") for m in pkgutil.iter_modules(guards.__path__)
    }

    assert {name: module.GUARD.name for name, module in found.items()} == {name: name for name in found}


def test_every_system_module_makes_one_system_of_its_own_name():
    """And its verbs carry its name, so that no two systems can name one verb."""
    found = {
        m.name: importlib.import_module(f"{systems.__name__}.{m.name}").SYSTEM
        for m in pkgutil.iter_modules(systems.__path__)
    }

    assert systems.discover() == found
    for name, system in found.items():
        assert isinstance(system, System)
        assert system.name == name
        assert system.what
        assert all(verb.startswith(f"{name}.") for verb in system.verbs)


def test_a_system_with_a_target_has_all_that_a_run_asks_of_it():
    """Half a system would fail in the middle of a run."""
    for system in systems.discover().values():
        whole = [system.locate, system.survey, system.probes, system.fault, system.remedies, system.health]
        assert all(whole) or not any(whole), system.name


CLOCKS = re.compile(r"\b(datetime\.now|datetime\.utcnow|time\.time|time\.monotonic|uuid\.|random\.|secrets\.)")


@pytest.mark.parametrize("room", ["model", "dispatch", "guards", "runs", "systems", "rulebook"])
def test_the_deciding_rooms_read_no_clock_and_draw_no_lots(room):
    """Time, randomness and ids are handed in."""
    for path in sorted((HOUSE / room).rglob("*.py")):
        code = ast.unparse(tree(path))
        assert not CLOCKS.search(code), names(path)
