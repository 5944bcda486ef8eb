"""Which files are read, and how often."""

from __future__ import annotations

import os
from pathlib import Path

from remediator.rulebook import Problem


def test_a_folder_is_read_with_all_below_it_but_what_is_not_a_rule(tmp_path, write, load_all):
    """Rule tests, alerting rules, hidden files and other files are left alone."""
    write(name="etcd/a.yaml")
    write(("name: etcd", "name: other"), name="etcd/deep/b.yml")
    for name in ("etcd/tests/c.yaml", "etcd/alerts.yaml", "etcd/.hidden.yaml", ".git/d.yaml", "README.md"):
        write(text="not a rule", name=name)

    book = load_all(tmp_path)

    assert book.problems == ()
    assert [rule.source for rule in book.rules] == [f"{tmp_path}/etcd/a.yaml:1", f"{tmp_path}/etcd/deep/b.yml:1"]


def test_a_file_named_twice_is_read_once(tmp_path, write, load_all):
    """A folder and a file inside it do not make a rule its own double."""
    path = write()

    assert len(load_all(tmp_path, path, path).rules) == 1


def test_a_mounted_config_map_is_read_once(tmp_path, write, load_all):
    """The links that Kubernetes makes all lead to one snapshot, and the rule keeps the name its author knows."""
    write(name="mount/..2026_11_21/rule.yaml")
    mount = tmp_path / "mount"
    (mount / "..data").symlink_to("..2026_11_21")
    (mount / "rule.yaml").symlink_to("..data/rule.yaml")

    book = load_all(mount)

    assert book.problems == ()
    assert [rule.source for rule in book.rules] == [f"{mount}/rule.yaml:1"]


def test_folders_that_contain_each_other_end(tmp_path, write, load_all):
    """A link to a parent folder is not followed for ever."""
    write(name="a/rule.yaml")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to("self")

    assert len(load_all(tmp_path).rules) == 1


def test_no_path_at_all_is_a_problem(load_all):
    """A service without rules is a mistake, not a quiet service."""
    assert load_all().problems == (Problem("(no path)", 1, 1, "no rule found; expected files ending in .yaml"),)


def test_a_folder_without_rules_is_a_problem(tmp_path, load_all):
    """An empty mount does not pass for a rulebook."""
    assert load_all(tmp_path).problems == (
        Problem(str(tmp_path), 1, 1, "no rule found; expected files ending in .yaml"),
    )


def test_what_cannot_be_read_is_a_problem_beside_the_others(tmp_path, write, load_all):
    """A missing file and a pipe are told together with a wrong rule."""
    wrong = write(("system: etcd", "system: redis"))
    os.mkfifo(tmp_path / "pipe.yaml")

    problems = load_all(tmp_path / "gone.yaml", tmp_path / "pipe.yaml", wrong).problems

    assert [(Path(p.path).name, p.message.split(":")[0]) for p in problems] == [
        ("gone.yaml", "cannot be read"),
        ("pipe.yaml", "cannot be read"),
        ("rule.yaml", 'unknown system "redis"; expected one of "etcd", "kubernetes"'),
    ]
