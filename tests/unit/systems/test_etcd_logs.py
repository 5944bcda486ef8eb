"""The last words of a dead etcd: what each real text means, and what it never means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.systems.etcd.logs import LOOKALIKES, UNREADABLE, LastWords, read_last_words

INITIALIZED = (
    '{"level":"info","ts":"2026-11-21T01:46:08.818521Z","caller":"etcdmain/etcd.go:116",'
    '"msg":"server has been already initialized","data-dir":"/bitnami/etcd/data","dir-type":"member"}'
)
RESTARTING = (
    '{"level":"info","ts":"2026-11-21T01:46:08.825204Z","caller":"etcdserver/raft.go:540",'
    '"msg":"restarting local member","cluster-id":"9491c1ff1b697b36","local-member-id":"81eeb85ca4d9f5e8",'
    '"commit-index":10}'
)
REMOVED = (
    '{"level":"warn","ts":"2026-11-21T01:46:08.839530Z","caller":"etcdserver/server.go:1154",'
    '"msg":"server error","error":"the member has been permanently removed from the cluster"}'
)
REMOVE_DATA = (
    '{"level":"warn","ts":"2026-11-21T01:46:08.839684Z","caller":"etcdserver/server.go:1155",'
    '"msg":"data-dir used by this member must be removed"}'
)
REMOVED_MEMBER = (
    '{"level":"info","ts":"2026-11-21T01:46:08.842994Z","caller":"membership/cluster.go:472",'
    '"msg":"removed member","cluster-id":"9491c1ff1b697b36","local-member-id":"81eeb85ca4d9f5e8",'
    '"removed-remote-peer-id":"81eeb85ca4d9f5e8","removed-remote-peer-urls":["http://127.0.0.1:23892"]}'
)
OLD_REMOVED = "2026-11-21 01:46:08.839530 E | etcdserver: the member has been permanently removed from the cluster"
OLD_REMOVE_DATA = "2026-11-21 01:46:08.839684 I | etcdserver: the data-dir used by this member must be removed."
INACTIVE = (
    '{"level":"warn","caller":"rafthttp/peer_status.go:66","msg":"peer became inactive (message send to peer failed)",'
    '"peer-id":"63bf3a31c5c38528","error":"failed to dial 63bf3a31c5c38528 on stream Message '
    '(the member has been permanently removed from the cluster)"}'
)
REJECTED = (
    '{"level":"warn","caller":"rafthttp/http.go:394","msg":"rejected stream from remote peer because it was removed",'
    '"local-member-id":"63bf3a31c5c38528","remote-peer-id-stream-handler":"63bf3a31c5c38528",'
    '"remote-peer-id-from":"81eeb85ca4d9f5e8"}'
)
BEGINNING = [INITIALIZED, RESTARTING]
REAL = [*BEGINNING, REMOVED, REMOVE_DATA, REMOVED_MEMBER]


def words(*lines: str) -> LastWords:
    return read_last_words("\n".join(lines) + "\n")


# --- the removal -------------------------------------------------------------------------------------------


def test_a_removed_member_of_3_5_says_so_with_its_dead_id():
    """The sample of a real 3.5.16: removed, its id, nothing that looks like something else."""
    assert words(*REAL) == LastWords(available=True, removed=True, dead_id=0x81EEB85CA4D9F5E8, line=REMOVED)


@pytest.mark.parametrize(
    "lines",
    [
        [*BEGINNING, REMOVE_DATA, REMOVED, REMOVED_MEMBER],
        [*BEGINNING, REMOVED_MEMBER, REMOVED, REMOVE_DATA],
        [*BEGINNING, REMOVED, REMOVED_MEMBER, REMOVE_DATA],
        [*BEGINNING, REMOVE_DATA, REMOVED_MEMBER, REMOVED],
    ],
)
def test_the_two_sentences_may_stand_in_either_order(lines):
    """3.4 and 3.5 put them before or after `removed member`."""
    assert words(*lines) == words(*REAL)


@pytest.mark.parametrize(
    "callers", [("server.go:1078", "server.go:1079"), ("server.go:1156", "server.go:1157"), ("x.go:1", "y.go:2")]
)
def test_line_numbers_of_a_release_do_not_matter(callers):
    """3.4.23, 3.5.30 and releases to come: only the messages count."""
    first = REMOVED.replace("server.go:1154", callers[0])
    second = REMOVE_DATA.replace("server.go:1155", callers[1])

    assert words(*BEGINNING, first, second).removed


def test_the_plain_text_of_3_4_says_so_too_and_tells_no_id():
    """capnslog, without --logger=zap: the member's id is not in these lines."""
    assert words("etcdmain: etcd Version: 3.4.23", OLD_REMOVED, OLD_REMOVE_DATA) == LastWords(
        available=True, removed=True, dead_id=0, line=OLD_REMOVED
    )


def test_colours_of_the_wrapper_are_stripped():
    """Bitnami's wrapper paints its lines; the text is read as if it had not."""
    painted = f"\x1b[38;5;6metcd \x1b[38;5;5m08:52:28.56 \x1b[0mINFO  ==> x\n\x1b[31m{REMOVED}\x1b[0m"
    split = REMOVE_DATA.replace("data-dir used", "data-dir \x1b[1mused\x1b[0m")

    assert read_last_words(f"{painted}\n{split}") == LastWords(available=True, removed=True, line=REMOVED)


@pytest.mark.parametrize("only", [REMOVED, REMOVE_DATA, OLD_REMOVED, OLD_REMOVE_DATA])
def test_one_sentence_alone_proves_nothing(only):
    """Both, near each other, or no removal."""
    assert words(*BEGINNING, only) == LastWords(available=True, removed=False, dead_id=0x81EEB85CA4D9F5E8, line=only)


@pytest.mark.parametrize(("between", "removed"), [(0, True), (4, True), (5, False), (80, False)])
def test_the_sentences_must_stand_within_five_lines(between, removed):
    """Two lines of different days in one tail are not one death."""
    assert words(REMOVED, *[INITIALIZED] * between, REMOVE_DATA).removed is removed
    assert words(REMOVE_DATA, *[INITIALIZED] * between, REMOVED).removed is removed


def test_blank_lines_do_not_stand_between():
    """Only lines with something on them count."""
    assert words(REMOVED, *["", "  "] * 20, REMOVE_DATA).removed


def test_a_running_member_that_hears_of_its_removal_has_not_died_of_it():
    """The form of a peer becoming inactive is no death sentence by itself."""
    assert not words(*BEGINNING, INACTIVE).removed
    assert words(*BEGINNING, INACTIVE, REMOVE_DATA).removed


def test_a_peers_log_of_a_removed_member_is_not_that_members_death():
    """The survivors write that they rejected one; they were not removed."""
    assert words(*BEGINNING, REJECTED) == LastWords(
        available=True, removed=False, dead_id=0x63BF3A31C5C38528, line=REJECTED
    )


def test_the_race_that_ends_with_listener_failed_is_still_a_removal():
    """3.5.30 sometimes leaves with 1 and a last line of its own."""
    last = '{"level":"fatal","msg":"listener failed","error":"server is stopping"}'

    assert words(*REAL, last).removed


def test_the_newest_id_counts():
    """A log that holds two lives names the id of the later one; ids may have fewer than 16 digits."""
    other = RESTARTING.replace("81eeb85ca4d9f5e8", "94aa132c970063f")

    assert words(RESTARTING, other, REMOVED, REMOVE_DATA).dead_id == 0x94AA132C970063F


@pytest.mark.parametrize("text", ["", "\n", "   \n\t\n"])
def test_an_empty_log_was_read_and_says_nothing(text):
    """Not removed, nothing else either, and yet known."""
    assert read_last_words(text) == LastWords(available=True)
    assert read_last_words(text) != UNREADABLE


def test_a_log_without_the_text_tells_its_last_line():
    """A person sees what it said instead."""
    assert words(*BEGINNING) == LastWords(available=True, removed=False, dead_id=0x81EEB85CA4D9F5E8, line=RESTARTING)


# --- what looks like it ------------------------------------------------------------------------------------

TABLE = [
    (
        "already_bootstrapped",
        (
            '{"level":"fatal","msg":"discovery failed","error":"member 63bf3a31c5c38528 has already been bootstrapped",'
            '"stacktrace":"go.etcd.io/etcd"}'
        ),
    ),
    ("already_bootstrapped", "C | etcdmain: member 94aa132c970063f has already been bootstrapped"),
    (
        "registration_missing",
        (
            '"error":"error validating peerURLs {ClusterID:9491c1ff1b697b36 Members:[&{ID:63bf3a31c5c38528 '
            "RaftAttributes:{PeerURLs:[http://e-0:2380] IsLearner:false}}] RemovedMemberIDs:[]}: member count is "
            'unequal"'
        ),
    ),
    ("registration_missing", 'couldn\'t find local name "e-0" in the initial cluster configuration'),
    ("stale_peer_identity", '{"level":"warn","msg":"ignored streaming request; ID mismatch"}'),
    ("stale_peer_identity", '{"level":"warn","msg":"failed to find remote peer in cluster"}'),
    ("cluster_id_mismatch", '{"level":"warn","msg":"request sent was ignored due to cluster ID mismatch"}'),
    ("cluster_id_mismatch", '{"level":"warn","msg":"prober detected","error":"cluster ID mismatch"}'),
    (
        "data_corruption",
        '{"level":"fatal","error":"database file (/bitnami/etcd/data/member/snap/db) of the backend is missing"}',
    ),
    ("data_corruption", '{"level":"panic","msg":"failed to recover v3 backend from snapshot"}'),
    ("data_corruption", "etcdserver: checksum mismatch"),
    ("data_corruption", '{"level":"fatal","msg":"failed to read WAL","error":"walpb: crc mismatch"}'),
    ("data_corruption", "panic: freepages: failed to get all reachable pages"),
    ("quota_exceeded", '{"level":"warn","error":"etcdserver: mvcc: database space exceeded"}'),
    ("quota_exceeded", '{"level":"warn","msg":"alarm raised","alarm":"NOSPACE"}'),
    (
        "database_locked",
        '{"level":"info","msg":"db file is flocked by another process, or taking too long","path":"/data/db"}',
    ),
    (
        "disk_fault",
        '{"level":"fatal","msg":"failed to save Raft hard state and entries","error":"write wal: input/output error"}',
    ),
    ("disk_fault", '{"level":"fatal","error":"write /data/wal/1.tmp: no space left on device"}'),
    ("disk_fault", "open /data/member/snap/db: read-only file system"),
    ("bootstrap_dns", "Headless service domain does not have an IP per initial member in the cluster"),
    ("configuration_error", "flag provided but not defined: -listen-peer-url"),
    ("configuration_error", '{"level":"warn","error":"tls: private key does not match public key"}'),
    ("configuration_error", '{"error":"x509: certificate has expired or is not yet valid"}'),
    ("configuration_error", '{"level":"fatal","msg":"error verifying flags"}'),
]


@pytest.mark.parametrize(("name", "line"), TABLE)
def test_each_lookalike_is_recognised_by_its_own_words(name, line):
    """Exactly that fault, never another and never a removal."""
    assert words(INITIALIZED, line) == LastWords(
        available=True, removed=False, lookalikes=((name, line[:300]),), line=line
    )


def test_every_lookalike_has_a_sample_here():
    """One that is added without a text is not proven."""
    assert {name for name, _ in TABLE} == {fault.name for fault in LOOKALIKES}


@pytest.mark.parametrize(("name", "line"), TABLE)
def test_a_lookalike_is_seen_beside_a_removal(name, line):
    """A log may hold both; only what peers say while they turn a removed member away belongs to the removal."""
    said = words(*REAL, line)

    expected = [] if name == "stale_peer_identity" else [name]
    assert (said.removed, [fault for fault, _ in said.lookalikes]) == (True, expected)


def test_the_real_removal_looks_like_nothing_else():
    """None of the texts of a removed member is taken for another fault."""
    for line in [*REAL, OLD_REMOVED, OLD_REMOVE_DATA, INACTIVE, REJECTED]:
        assert words(line).lookalikes == ()


def test_a_lookalike_shows_its_newest_line_cut_short():
    """A person reads the last occurrence, and not a megabyte of it."""
    old, new = "checksum mismatch: old", "checksum mismatch: " + "x" * 1000

    assert words(old, new, INITIALIZED).lookalikes == (("data_corruption", new[:300]),)


@given(st.text(max_size=400))
def test_no_text_without_the_sentence_tells_of_a_removal(text):
    """Over any text: read without an error, and no removal out of nothing."""
    said = read_last_words(text)

    assert said.available
    assert not said.removed


@pytest.mark.parametrize("fault", LOOKALIKES, ids=lambda fault: fault.name)
def test_no_pattern_has_a_gap_without_bound(fault):
    """A pod writes what it likes: a line of a megabyte must not keep the service from everything else."""
    assert not re.search(r"[*+]|\{\d+,\}", fault.pattern.pattern.replace("\\", ""))
