"""Publishing with witnesses: quorums met and not, liars, the slow and the dead, forks and restored backups."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from witness_town import SIGNER, Stand, grow, liar, mute, new_log, policy_of, policy_text, stand

from custodes.errors import BadSignature, ConfigError, LedgerRewritten
from custodes.ledger.checkpoint import Checkpoint, open_checkpoint, read_unverified
from custodes.ledger.cosigner import Cosigner
from custodes.ledger.fsck import fsck
from custodes.ledger.log import Log
from custodes.ledger.note import Unsigned, parse, verify
from custodes.ledger.policy import Policy, parse_policy
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer
from custodes.ledger.witness_client import WitnessClient
from custodes.verify.check import check

Answer = Callable[[str, bytes], tuple[int, bytes, str]]
TEXT = "text/plain"
SIZE = "text/x.tlog.size"
LIAR = Cosigner("liar.example/w", b"\x05" * 32, b"\x06" * 32)


def client(policy: Policy, *, strict: bool = True, within_s: float = 20.0) -> WitnessClient:
    return WitnessClient(policy, strict=strict, within_s=within_s)


def shown(log: Log) -> Checkpoint:
    return read_unverified(log.published.read())


def alone(url: str, key: int = 0) -> Policy:
    """The policy of a log that asks the liar alone."""
    return parse_policy(f"witness liar {LIAR.keys[key].vkey()} {url}\nquorum liar\n".encode())


def note_of(body: bytes) -> str:
    return body.partition(b"\n\n")[2].decode().partition("\n\n")[0] + "\n"


def sound(log: Log) -> None:
    report = fsck(log.path)
    assert (report.exit_code, report.problems) == (0, [])


def test_a_quorum_of_three_publishes_a_note_that_the_readers_policy_believes(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log, stand(tmp_path, "a") as a, stand(tmp_path, "b") as b, stand(tmp_path, "c") as c:
        asker = client(policy_of([a, b, c]))
        for size in (5, 6, 300, 300):
            grow(log, size - log.size)
            assert log.publish(asker).size == size
            _, opened = open_checkpoint(log.published.read(), SIGNER.name, SIGNER.keys, [one.cosigner.keys[0] for one in (a, b, c)])
            assert (len(opened.verified), opened.unverified) == (5, ())  # keys that the policy does not name are not published
            sound(log)
        report = check(log.path, policy_text([a, b, c], log=True).encode())
        assert report.exit_code == 0, report.as_text()
        assert [one.state.latest(SIGNER.name).size for one in (a, b, c)] == [300] * 3  # type: ignore[union-attr]
        assert [record.size for record in read_signed(log.path / "signed")] == [0, 5, 6, 300]


def test_a_witness_may_be_asked_for_both_of_its_keys_at_once(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log, stand(tmp_path, "a") as a:
        log.publish(client(parse_policy(f"{a.lines(0)}{a.lines(1)}group both all a a-pq\nquorum both\n".encode())))
        assert verify(parse(log.published.read()), a.cosigner.keys).verified == a.cosigner.keys


def test_one_witness_down_does_not_matter_to_two_of_three_and_two_do(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log, stand(tmp_path, "a") as a, stand(tmp_path, "b") as b:
        with stand(tmp_path, "c") as c:
            policy = policy_of([a, b, c], 2)
        asker = client(policy)
        assert log.publish(asker).size == shown(log).size == 5
        b.server.stop()
        b.server.server_close()
        grow(log, 3)
        assert log.publish(asker).size == 8
        assert shown(log).size == 5  # strict: the last that the quorum has seen stays up
        assert asker.met == {SIGNER.name: False}
        assert set(filter(None, (seat.trouble for seat in asker.seats)))
        sound(log)
        assert "wait for enough witnesses" in "".join(fsck(log.path).notes)
        with Log.open(log.path, SIGNER) as again:  # nor does a start put it up
            assert shown(again).size == 5
        assert log.publish(client(policy, strict=False)).size == shown(log).size == 8  # degraded
        report = check(log.path, (policy_text([a, b, c], 2, log=True)).encode())
        assert report.exit_code == 2
        assert "quorum" in report.as_text()
        sound(log)


def test_witnesses_that_come_back_are_caught_up_in_one_step(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log:
        with stand(tmp_path, "a") as a:
            policy, port = policy_of([a]), a.server.server_address[1]
            log.publish(client(policy))
        for _ in range(4):
            grow(log, 100)
            log.publish(client(policy))
        assert (shown(log).size, log.checkpoint.size) == (5, 405)
        with stand(tmp_path, "a", port=port, new=False) as a:
            log.publish(client(policy))  # nothing new to sign, and still to be shown
            assert shown(log).size == 405
            assert a.state.latest(SIGNER.name).size == 405  # type: ignore[union-attr]


def test_a_rest_is_kept_between_tries_and_then_the_witness_is_asked_again(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log:
        with stand(tmp_path, "a") as a:
            policy, port = policy_of([a]), a.server.server_address[1]
        asker = client(policy)
        log.publish(asker)
        (seat,) = asker.seats
        assert seat.failures == 1
        log.publish(asker)
        assert seat.failures == 1  # not asked again within a second
        with stand(tmp_path, "a", port=port, new=False):
            seat.rests_until = 0.0
            log.publish(asker)
        assert (seat.failures, seat.trouble, shown(log).size) == (0, "", 5)


def test_witnesses_without_a_url_cannot_be_a_quorum() -> None:
    with pytest.raises(ConfigError, match="cannot meet the quorum"):
        client(parse_policy(f"witness a {LIAR.keys[0].vkey()}\nquorum a\n".encode()))
    for url in ("ftp://a/", "nonsense", "http://a/?b=c", "http://me@a/", "http://a:port/"):
        with pytest.raises(ConfigError, match="URL"):
            client(parse_policy(f"witness a {LIAR.keys[0].vkey()} {url}\nquorum a\n".encode()))


def cosigned(time_: float | None = None, text: str | None = None, who: Cosigner = LIAR) -> Answer:
    return lambda _, body: (
        200,
        "".join(line.line() for line in who.cosign(text or note_of(body), int(time.time() if time_ is None else time_))).encode(),
        TEXT,
    )


def altered(_: str, body: bytes) -> tuple[int, bytes, str]:
    first, _second = LIAR.cosign(note_of(body), int(time.time()))
    return 200, replace(first, value=first.value[:-1] + bytes((first.value[-1] ^ 1,))).line().encode(), TEXT


LIES: dict[str, Answer] = {
    "a damaged signature": altered,
    "another key": cosigned(who=Cosigner("liar.example/w", b"\x07" * 32, b"\x07" * 32)),
    "another log": cosigned(text=f"other.example/log\n5\n{'A' * 43}=\n"),
    "another size": cosigned(text=f"{SIGNER.name}\n7\n{'A' * 43}=\n"),
    "yesterday": cosigned(time.time() - 86_400),
    "tomorrow": cosigned(time.time() + 86_400),
    "no time": cosigned(0),
    "nothing": lambda *_: (200, b"", TEXT),
    "a text before the line": lambda p, b: (200, b"more\n\n" + cosigned()(p, b)[1], TEXT),
    "a page": lambda *_: (200, b"<html>welcome</html>", "text/html"),
    "too much": lambda *_: (200, b"x" * 400_000, TEXT),
    "a redirect": lambda *_: (302, b"", TEXT),
    "404": lambda *_: (404, b"", TEXT),
    "403": lambda *_: (403, b"", TEXT),
    "500": lambda *_: (500, b"", TEXT),
    "a size that is none": lambda *_: (409, b"five\n", SIZE),
    "a size with a leading zero": lambda *_: (409, b"05\n", SIZE),
    "a size in a page": lambda *_: (409, b"5\n", "text/html"),
    "a conflict with itself": lambda *_: (409, b"0\n", SIZE),
    "no to a first checkpoint": lambda *_: (422, b"", TEXT),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_witness_costs_its_cosignature_and_nothing_else(tmp_path: Path, lie: str) -> None:
    with new_log(tmp_path / "log", 5) as log, liar(LIES[lie]) as url, stand(tmp_path, "a") as a:
        asker = client(alone(url))
        assert log.publish(asker).size == 5
        assert (shown(log).size, asker.met) == (0, {SIGNER.name: False})
        assert asker.seats[0].trouble
        both = parse_policy(f"{a.lines()}witness liar {LIAR.keys[0].vkey()} {url}\ngroup g 1 a liar\nquorum g\n".encode())
        assert log.publish(client(both)).size == shown(log).size == 5
        opened = verify(parse(log.published.read()), [*SIGNER.keys, a.cosigner.keys[0]])
        assert opened.unverified == ()  # no line of the liar
        assert not (log.path / "fork.json").exists()
        sound(log)


def test_a_good_line_beside_lines_of_strangers_counts(tmp_path: Path) -> None:
    stranger = Cosigner("stranger.example/w", b"\x07" * 32, b"\x07" * 32)

    def answer(path: str, body: bytes) -> tuple[int, bytes, str]:
        return 200, cosigned(who=stranger)(path, body)[1] + cosigned()(path, body)[1], TEXT

    with new_log(tmp_path / "log", 5) as log, liar(answer) as url:
        log.publish(client(alone(url)))
        assert shown(log).size == 5
        with pytest.raises(Unsigned):
            verify(parse(log.published.read()), stranger.keys)


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf", False),
        (b"nonsense\r\n", False),
    ],
    ids=["hangs", "drips", "dies in the middle of its answer", "speaks no HTTP"],
)
def test_a_witness_that_hangs_or_dies_is_waited_for_no_longer_than_allowed(tmp_path: Path, first: bytes, drip: bool) -> None:
    with new_log(tmp_path / "log", 5) as log, mute(first, drip=drip) as url, stand(tmp_path, "a") as a:
        began = time.monotonic()
        asker = client(alone(url), within_s=0.5)
        log.publish(asker)
        assert time.monotonic() - began < 30  # else it would wait until the end of this test
        assert shown(log).size == 0
        both = parse_policy(f"{a.lines()}witness liar {LIAR.keys[0].vkey()} {url}\ngroup g 1 a liar\nquorum g\n".encode())
        began = time.monotonic()
        log.publish(client(both, within_s=90))
        assert shown(log).size == 5
        assert time.monotonic() - began < 60  # a quorum that is met does not wait for the last


def test_appends_go_on_while_a_witness_hangs(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log:
        with mute() as url:
            asker = client(alone(url), within_s=120)
            publishing = threading.Thread(target=log.publish, args=(asker,))
            publishing.start()
            while log.size < 105:
                grow(log, 10)
            assert publishing.is_alive()  # it hangs all the same: nothing here waited for it
        publishing.join()
        with Log.open(log.path) as other:  # and other processes are not kept out
            assert other.size == log.size
        sound(log)


def test_two_writers_with_witnesses_publish_in_turn(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log, Log.open(tmp_path / "log", SIGNER) as other, stand(tmp_path, "a") as a:
        wrong: list[BaseException] = []

        def work(mine: Log, asker: WitnessClient) -> None:
            try:
                for _ in range(15):
                    grow(mine, 3)
                    mine.publish(asker)
            except BaseException as found:  # noqa: BLE001  # it is looked at below
                wrong.append(found)

        threads = [threading.Thread(target=work, args=(one, client(policy_of([a]), within_s=20))) for one in (log, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert (shown(log).size, a.state.latest(SIGNER.name).size) == (90, 90)  # type: ignore[union-attr]
        sound(log)


def test_one_client_serves_two_logs(tmp_path: Path) -> None:
    second = Signer("test.example/log/index", b"\x0a" * 32, b"\x0b" * 32)
    keys = [*SIGNER.keys, *second.keys]
    with (
        new_log(tmp_path / "log", 5) as log,
        Log.create(tmp_path / "index", second.name, second) as index,
        stand(tmp_path, "a", keys) as a,
    ):
        asker = client(policy_of([a]))
        index.append_batch(b"{}", [0, 2])
        assert (log.publish(asker).size, index.publish(asker).size) == (shown(log).size, shown(index).size) == (5, 1)
        assert asker.met == {SIGNER.name: True, second.name: True}


def test_a_witness_that_lost_nothing_but_its_process_goes_on(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log:
        with stand(tmp_path, "a") as a:
            policy, port = policy_of([a]), a.server.server_address[1]
            asker = client(policy)
            log.publish(asker)
        grow(log, 5)
        with stand(tmp_path, "a", port=port, new=False):
            log.publish(asker)
            assert shown(log).size == 10


def test_a_409_with_a_size_of_ours_is_gone_on_from(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log, stand(tmp_path, "a") as a, stand(tmp_path, "b") as b:
        log.publish(client(policy_of([a])))
        grow(log, 5)
        log.publish(client(policy_of([b])))  # b starts at 10, a is still at 5
        grow(log, 5)
        asker = client(policy_of([a, b]))
        (first, second) = asker.seats
        first.known[SIGNER.name], second.known[SIGNER.name] = 10, 5  # both wrong
        log.publish(asker)
        assert shown(log).size == 15


# Second histories


def forks(tmp_path: Path, shared: int) -> tuple[Log, Log]:
    """Two logs under one key that share their first entries and differ after them."""
    new_log(tmp_path / "one", shared).close()
    with Log.open(tmp_path / "one", SIGNER) as log:
        if shared:
            log.publish()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = Log.open(tmp_path / "one", SIGNER), Log.open(tmp_path / "two", SIGNER)
    grow(one, 5, "one")
    grow(two, 5, "two")
    return one, two


@pytest.mark.parametrize("shared", [0, 4])
@pytest.mark.parametrize("more", [0, 3])
def test_split_view_two_forks(tmp_path: Path, shared: int, more: int) -> None:
    one, two = forks(tmp_path, shared)
    with one, two, stand(tmp_path, "a") as a:
        one.publish(client(policy_of([a])))
        assert shown(one).size == shared + 5
        two.publish()  # the second history was signed at the same size, for other readers, and perhaps goes on
        if more:
            grow(two, more, "two")
        with pytest.raises(LedgerRewritten) as caught:
            two.publish(client(policy_of([a])))
        assert caught.value.exit_code == 3
        refuse_for_good(two, a, shared + 5)
        sound(one)
        assert a.state.latest(SIGNER.name).root == one.checkpoint.root  # type: ignore[union-attr]
        assert len(a.state.forks()) == 1  # the witness holds the proof, too
        # What the second one could publish by itself nobody believes.
        report = check(two.path, policy_text([a], log=True).encode())
        assert report.exit_code == 3


def test_a_second_history_that_was_never_signed_is_not_signed_either(tmp_path: Path) -> None:
    one, two = forks(tmp_path, 4)
    with one, two, stand(tmp_path, "a") as a:
        one.publish(client(policy_of([a])))
        with pytest.raises(LedgerRewritten, match="has cosigned size 9"):
            two.publish(client(policy_of([a])))
        assert read_signed(two.path / "signed")[-1].size == 4


def refuse_for_good(log: Log, a: Stand, size: int) -> None:
    evidence = json.loads((log.path / "fork.json").read_text())
    assert (evidence["schema"], evidence["witness"], evidence["theirs_signed_by_this_log"]) == ("custodes.fork/1", "a", True)
    theirs, ours = (read_unverified(evidence[name].encode()) for name in ("theirs", "ours"))
    for note in (theirs, ours):
        assert len(verify(parse(note.note), SIGNER.keys).verified) == 2
    assert (theirs.size, theirs.root) != (ours.size, ours.root)
    records = len(read_signed(log.path / "signed"))
    grow(log, 1)  # appending goes on
    for asker in (None, client(policy_of([a]))):
        with pytest.raises(LedgerRewritten, match=r"fork\.json"):
            log.publish(asker)
    with Log.open(log.path, SIGNER) as again, pytest.raises(LedgerRewritten):
        again.publish()
    assert len(read_signed(log.path / "signed")) == records
    assert read_signed(log.path / "signed")[-1].size == size
    assert fsck(log.path).exit_code == 3


def test_a_size_that_was_never_signed_stops_the_log_and_shows_who_claims_it(tmp_path: Path) -> None:
    with new_log(tmp_path / "log", 5) as log, liar(lambda *_: (409, b"3\n", SIZE)) as url:
        log.publish()
        grow(log, 1)
        with pytest.raises(LedgerRewritten) as caught:
            log.publish(client(alone(url)))
        assert "find out which of the two errs" in caught.value.hint
        evidence = json.loads((log.path / "fork.json").read_text())
        assert (evidence["size"], evidence["theirs"], evidence["theirs_signed_by_this_log"]) == (3, None, False)
        assert fsck(log.path).exit_code == 2  # claimed, not proven
        (log.path / "fork.json").write_text("{")
        assert fsck(log.path).exit_code == 2
        (log.path / "fork.json").unlink()  # two people found out that the witness erred
        log.publish()
        sound(log)


def test_a_refused_proof_is_a_fork_only_if_the_size_before_is_refused_too(tmp_path: Path) -> None:
    def picky(path: str, body: bytes) -> tuple[int, bytes, str]:
        old, size = int(body.split()[1]), int(note_of(body).splitlines()[1])
        if old in {0, size}:
            return cosigned()(path, body)
        return 422, b"", TEXT

    with new_log(tmp_path / "log", 5) as log, liar(picky) as url:
        asker = client(alone(url))
        log.publish(asker)
        grow(log, 5)
        log.publish(asker)
        assert shown(log).size == 5
        assert "refused a proof from a checkpoint that it accepts" in asker.seats[0].trouble
        assert not (log.path / "fork.json").exists()


def test_an_answer_that_comes_late_is_still_heard(tmp_path: Path) -> None:
    enough = threading.Event()

    def slow(_: str, body: bytes) -> tuple[int, bytes, str]:
        if body:
            enough.wait(60)
        return 409, b"3\n", SIZE

    with new_log(tmp_path / "log", 5) as log, liar(slow) as url, stand(tmp_path, "a") as a:
        text = f"{a.lines()}witness liar {LIAR.keys[0].vkey()} {url}\ngroup g 1 a liar\nquorum g\n"
        asker = client(parse_policy(text.encode()))
        asker.seats[1].known[SIGNER.name] = 0
        assert log.publish().size == 5
        assert log.publish(asker).size == 5  # enough without the slow one
        enough.set()

        def until_it_is_heard() -> None:
            for _ in range(600):
                grow(log, 1)
                log.publish(asker)
                time.sleep(0.1)

        with pytest.raises(LedgerRewritten):
            until_it_is_heard()
        assert (log.path / "fork.json").exists()


# Restored backups


@pytest.mark.parametrize("with_signed", [False, True], ids=["old data, new signed", "old data, old signed, honest witness"])
def test_restored_backup_refused(tmp_path: Path, with_signed: bool) -> None:
    folder = tmp_path / "log"
    with stand(tmp_path, "a") as a:
        with new_log(folder, 5) as log:
            log.publish(client(policy_of([a])))
        shutil.copytree(folder, tmp_path / "backup")
        with Log.open(folder, SIGNER) as log:
            grow(log, 5)
            log.publish(client(policy_of([a])))
            newest = (folder / "signed").read_bytes()
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "backup", folder)
        if not with_signed:
            (folder / "signed").write_bytes(newest)
            with pytest.raises(LedgerRewritten, match="size 10 was signed") as caught:
                Log.open(folder, SIGNER)
        else:
            with Log.open(folder, SIGNER) as log:
                grow(log, 1, "another")
                with pytest.raises(LedgerRewritten, match="has cosigned size 10") as caught:
                    log.publish(client(policy_of([a])))
                assert not (folder / "fork.json").exists()  # refilled from a mirror, it may go on
                assert log.checkpoint.size == 5
            records = read_signed(folder / "signed")
            assert [record.size for record in records] == [0, 5]
        assert caught.value.exit_code == 3


def test_a_backup_that_grew_past_the_lost_part_is_found_out_by_a_witness_that_comes_later(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with new_log(folder, 5) as log:
        log.publish()
    shutil.copytree(folder, tmp_path / "backup")
    with stand(tmp_path, "a") as a:
        policy, port = policy_of([a]), a.server.server_address[1]
        with Log.open(folder, SIGNER) as log:
            grow(log, 5)
            log.publish(client(policy))
    with Log.open(tmp_path / "backup", SIGNER) as log:
        asker = client(policy)
        for _ in range(2):
            grow(log, 5, "another")
            log.publish(asker)  # nobody to ask
        with stand(tmp_path, "a", port=port, new=False):
            grow(log, 1)
            asker.seats[0].rests_until = 0.0
            with pytest.raises(LedgerRewritten):
                log.publish(asker)
        assert (log.path / "fork.json").exists()


def test_after_a_crash_between_signing_and_asking_the_next_publish_shows_it(tmp_path: Path) -> None:
    class Crash(Exception):
        pass

    class Crashing(WitnessClient):
        def cosign(self, log: Log, point: Checkpoint) -> bytes | None:
            raise Crash(log, point)

    with stand(tmp_path, "a") as a:
        with new_log(tmp_path / "log", 5) as log:
            log.publish(client(policy_of([a])))
            grow(log, 5)
            with pytest.raises(Crash):
                log.publish(Crashing(policy_of([a]), strict=True))
            assert (log.checkpoint.size, shown(log).size) == (10, 5)
        with Log.open(tmp_path / "log", SIGNER) as log:
            assert shown(log).size == 5
            log.publish(client(policy_of([a])))
            assert shown(log).size == 10


# What fsck makes of it


@pytest.fixture
def witnessed(tmp_path: Path) -> Path:
    with new_log(tmp_path / "log", 5) as log, stand(tmp_path, "a") as a:
        log.publish(client(parse_policy(f"{a.lines(0)}{a.lines(1)}group both all a a-pq\nquorum both\n".encode())))
    return tmp_path / "log"


@pytest.mark.parametrize("name", ["checkpoint", "witnesses"])
def test_fsck_misses_no_changed_byte_of_a_cosigned_checkpoint(witnessed: Path, name: str) -> None:
    data = (witnessed / name).read_bytes()
    assert fsck(witnessed).exit_code == 0
    for at in [*range(100), *range(100, len(data), max(1, len(data) // 60))]:
        for flip in (0x01, 0x80):
            (witnessed / name).write_bytes(data[:at] + bytes((data[at] ^ flip,)) + data[at + 1 :])
            assert fsck(witnessed).exit_code == 3, (at, flip)
    (witnessed / name).write_bytes(data)
    assert fsck(witnessed).exit_code == 0


def test_fsck_refuses_a_line_that_no_witness_of_the_log_has_made(witnessed: Path) -> None:
    data = (witnessed / "checkpoint").read_bytes()
    text = parse(data).text
    (witnessed / "checkpoint").write_bytes(data + LIAR.cosign(text, 1)[0].line().encode())
    assert fsck(witnessed).exit_code == 3
    (witnessed / "checkpoint").write_bytes(data)
    (witnessed / "witnesses").unlink()
    assert fsck(witnessed).exit_code == 3


def test_publishing_without_witnesses_leaves_cosignatures_where_they_are(witnessed: Path) -> None:
    data = (witnessed / "checkpoint").read_bytes()
    with Log.open(witnessed, SIGNER) as log:
        log.publish()
        assert log.published.read() == data
        with pytest.raises(BadSignature):
            open_checkpoint(data, "other", SIGNER.keys)
