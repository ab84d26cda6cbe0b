"""The witness: every step of the foreign conversation by the specification, own cases, races, bounds, and its memory."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from witness_town import SIGNER, Stand, grow, new_log, stand

from custodes.errors import ConfigError, Outage, WouldCreate
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.cosigner import Cosigner
from custodes.ledger.log import Log
from custodes.ledger.merkle import EMPTY_ROOT
from custodes.ledger.note import COSIGNED_ED25519, ED25519, Key, Note, make_key, parse, parse_key, verify
from custodes.ledger.signer import Signer
from custodes.ledger.witness import MOST_BYTES, Answer, Bounds, Witness
from custodes.ledger.witness_messages import request_body
from custodes.ledger.witness_state import State

WITNESS = Cosigner("witness.example/w", b"\x03" * 32, b"\x04" * 32)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    with State.create(tmp_path / "state") as state:
        yield Witness(WITNESS, state, SIGNER.keys)


def size_of(answer: Answer) -> tuple[int, bytes, str]:
    return answer.status, answer.body, answer.kind


def signed(size: int, root: bytes, signer: Signer = SIGNER) -> bytes:
    return signer.sign(Checkpoint(signer.name, size, root).body()).to_bytes()


def test_witness_conversation(shared_data: Path, tmp_path: Path) -> None:
    script = json.loads((shared_data / "vectors/witness/add-checkpoint.json").read_text())
    assert len(script["steps"]) == 9
    with State.create(tmp_path / "state") as state:
        witness = Witness(WITNESS, state, [parse_key(script["log_vkey"])])
        for step in script["steps"]:
            body = step["body"].encode()
            answer = witness.add_checkpoint(body)
            assert answer.status == step["spec_status"], step["case"]
            if answer.status == 200:
                note = body.partition(b"\n\n")[2]
                opened = verify(parse(note + answer.body), WITNESS.keys)
                assert opened.verified == WITNESS.keys
                assert read_unverified(note).size == state.latest(script["origin"]).size  # type: ignore[union-attr]
            if "response" in step:
                assert (answer.body.decode(), answer.kind) == (step["response"], step["content_type"])


@pytest.mark.parametrize("key", [0, 1])
def test_the_log_may_sign_with_either_of_its_keys_and_a_wrong_line_of_the_other_is_refused(witness: Witness, key: int) -> None:
    whole = SIGNER.sign(Checkpoint(SIGNER.name, 1, b"r" * 32).body())
    wrong = SIGNER.sign(Checkpoint(SIGNER.name, 2, b"r" * 32).body())
    one, other = whole.signatures[key], wrong.signatures[1 - key]
    assert witness.add_checkpoint(request_body(0, [], Note(whole.text, (one, other)).to_bytes())).status == 403
    assert witness.add_checkpoint(request_body(0, [], Note(whole.text, (one,)).to_bytes())).status == 200


def test_same_size_with_another_root_is_422_and_both_notes_are_kept_as_proof(tmp_path: Path) -> None:
    with State.create(tmp_path / "state") as state:
        witness = Witness(WITNESS, state, SIGNER.keys)
        ours, theirs = signed(5, b"a" * 32), signed(5, b"b" * 32)
        assert witness.add_checkpoint(request_body(0, [], ours)).status == 200
        for _ in range(2):
            assert witness.add_checkpoint(request_body(5, [], theirs)).status == 422
        (fork,) = state.forks()
        assert fork.refused == theirs
        assert fork.seen.startswith(ours)
        assert len(verify(parse(fork.refused), SIGNER.keys).verified) == len(verify(parse(fork.seen), SIGNER.keys).verified) == 2
        assert state.latest(SIGNER.name).root == b"a" * 32  # type: ignore[union-attr]


def test_an_old_size_above_the_checkpoint_is_400(witness: Witness) -> None:
    assert witness.add_checkpoint(request_body(7, [], signed(5, b"a" * 32))).status == 400


def test_size_0_has_the_root_of_the_empty_tree(witness: Witness) -> None:
    assert witness.add_checkpoint(request_body(0, [], signed(0, b"a" * 32))).status == 422
    assert witness.add_checkpoint(request_body(0, [], signed(0, EMPTY_ROOT))).status == 200
    assert witness.add_checkpoint(request_body(0, [], signed(9, b"a" * 32))).status == 200  # from nothing there is no proof


def test_from_nothing_a_proof_is_422(witness: Witness) -> None:
    assert witness.add_checkpoint(request_body(0, [b"h" * 32], signed(5, b"a" * 32))).status == 422
    assert witness.latest("/" + sha256(SIGNER.name.encode()).hexdigest() + "/checkpoint").status == 404


@pytest.mark.parametrize(
    "body",
    [
        request_body(0, [b"h" * 32] * 64, signed(5, b"a" * 32)),
        b"old 01\n\n" + signed(5, b"a" * 32),
        b"old -1\n\n" + signed(5, b"a" * 32),
        b"old 9223372036854775808\n\n" + signed(5, b"a" * 32),
        b"old 0\n" + signed(5, b"a" * 32),
        b"old  0\n\n" + signed(5, b"a" * 32),
        b"old 0\nAAAA\n\n" + signed(5, b"a" * 32),
        b"old 0\n" + base64.b64encode(b"h" * 32).rstrip(b"=") + b"\n\n" + signed(5, b"a" * 32),
        b"old 0\n\n",
        b"",
        b"\xff\xfe",
        b"old 0\n\nno line end",
    ],
)
def test_what_is_malformed_is_400_and_changes_nothing(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400
    assert witness.add_checkpoint(request_body(0, [], signed(1, b"a" * 32))).status == 200


@pytest.mark.parametrize("note", [signed(5, b"a" * 32)[:-1], SIGNER.name.encode() + b"\n", signed(5, b"a" * 32).replace(b"=", b"")])
def test_a_note_that_nobody_can_have_signed_is_403(witness: Witness, note: bytes) -> None:
    assert witness.add_checkpoint(request_body(0, [], note)).status == 403


def test_63_hashes_are_read(witness: Witness) -> None:
    witness.add_checkpoint(request_body(0, [], signed(1, b"a" * 32)))
    assert witness.add_checkpoint(request_body(1, [b"h" * 32] * 63, signed(5, b"a" * 32))).status == 422


def test_a_signature_of_somebody_else_is_403_and_an_unknown_log_404(witness: Witness) -> None:
    other = Signer(SIGNER.name, b"\x08" * 32, b"\x09" * 32)
    assert witness.add_checkpoint(request_body(0, [], signed(5, b"a" * 32, other))).status == 403
    stranger = Signer("stranger.example/log", b"\x01" * 32, b"\x02" * 32)
    assert witness.add_checkpoint(request_body(0, [], signed(5, b"a" * 32, stranger))).status == 404


def test_a_checkpoint_with_a_signed_but_malformed_text_is_400(witness: Witness) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from custodes.ledger.note import Signature

    text = f"{SIGNER.name}\n05\n{base64.b64encode(b'a' * 32).decode()}\n"
    value = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32).sign(text.encode())
    note = Note(text, (Signature(SIGNER.name, SIGNER.keys[0].key_id, value),)).to_bytes()
    assert witness.add_checkpoint(request_body(0, [], note)).status == 400


def test_sending_the_recorded_checkpoint_again_is_200_with_the_time_of_now(tmp_path: Path) -> None:
    clock = iter((1000, 2000))
    with State.create(tmp_path / "state") as state:
        witness = Witness(WITNESS, state, SIGNER.keys, clock=lambda: next(clock))
        note = signed(5, b"a" * 32)
        for time_, old in ((1000, 0), (2000, 5)):
            answer = witness.add_checkpoint(request_body(old, [], note))
            assert answer.status == 200
            lines = parse(note + answer.body).signatures[2:]
            assert [int.from_bytes(line.value[:8], "big") for line in lines] == [time_, time_]


def test_the_latest_checkpoint_has_the_lines_of_the_log_and_of_the_witness_and_no_others(witness: Witness) -> None:
    note = signed(5, b"a" * 32)
    stranger = Cosigner("stranger.example/w", b"\x08" * 32, b"\x09" * 32)
    crowded = note + "".join(line.line() for line in stranger.cosign(parse(note).text, 1)).encode()
    assert witness.add_checkpoint(request_body(0, [], crowded)).status == 200
    answer = witness.latest("/" + sha256(SIGNER.name.encode()).hexdigest() + "/checkpoint")
    assert answer.status == 200
    opened = verify(parse(answer.body), [*SIGNER.keys, *WITNESS.keys])
    assert (len(opened.verified), opened.unverified) == (4, ())


def test_a_log_whose_name_no_cosignature_can_hold_is_refused_at_the_start(tmp_path: Path) -> None:
    with State.create(tmp_path / "state") as state, pytest.raises(ConfigError):
        Witness(WITNESS, state, [make_key("n" * 256, ED25519, b"k" * 32)])


def test_a_memory_is_made_once_and_a_lost_one_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(WouldCreate):
        State.open(tmp_path / "state")
    State.create(tmp_path / "state").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError):
        State.create(tmp_path / "state")
    (tmp_path / "other").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigError):
        State.open(tmp_path / "other")


def test_a_memory_that_cannot_be_written_is_an_outage_and_nothing_is_cosigned(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    witness = Witness(WITNESS, state, SIGNER.keys)
    state.close()
    with pytest.raises(Outage):
        witness.add_checkpoint(request_body(0, [], signed(5, b"a" * 32)))


def test_a_cosigners_keys_are_read_back_and_differ_by_their_names() -> None:
    again = Cosigner.from_bytes(WITNESS.to_bytes())
    assert again.keys == WITNESS.keys
    assert WITNESS.keys[0].kind == COSIGNED_ED25519
    with pytest.raises(ConfigError):
        Cosigner("two words", b"\x03" * 32, b"\x04" * 32)
    with pytest.raises(ConfigError):
        WITNESS.cosign("no checkpoint\n", 5)


# Over HTTP


def ask(url: str, body: bytes, path: str = "/add-checkpoint") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def points(log: Log, sizes: range) -> list[Checkpoint]:
    """Grow a log and sign it at each size."""
    made = []
    for size in sizes:
        grow(log, size - log.size)
        made.append(log.publish())
    return made


def race(one: Stand, log: Log, made: list[Checkpoint], requests: int) -> dict[int, int]:
    """Let eight threads show checkpoints, newer and older ones mixed, and say what each answer was and how far the witness was."""
    proofs = {(old, new): log.prove(old, new) for old in range(1, len(made) + 1) for new in range(old, len(made) + 1)}
    answers: dict[int, int] = {}
    wrong: list[str] = []
    left = iter(range(requests))
    turn = threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection(one.url.removeprefix("http://"), timeout=20)
        known = 0
        while True:
            with turn:
                at = next(left, None)
            if at is None:
                break
            new = min(len(made), max(1, known + at % 7 - 2))
            old = min(known, new)
            before = one.state.latest(SIGNER.name)
            connection.request(
                "POST", "/add-checkpoint", request_body(old, proofs.get((old, new), []) if old < new else [], made[new - 1].note)
            )
            answer = connection.getresponse()
            body = answer.read()
            after = one.state.latest(SIGNER.name)
            with turn:
                answers[answer.status] = answers.get(answer.status, 0) + 1
                if before and after and after.size < before.size:
                    wrong.append(f"{before.size} to {after.size}")
            known = int(body) if answer.status == 409 else new if answer.status == 200 else known
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    return answers


def test_witness_race(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log, stand(tmp_path, "w") as one:
        made = points(log, range(1, 61))
        answers = race(one, log, made, 1000)
        assert sum(answers.values()) == 1000
        assert set(answers) == {200, 409}
        last = one.state.latest(SIGNER.name)
        assert last is not None
        assert (last.root, answers[200] >= 10) == (made[last.size - 1].root, True)


def test_two_processes_memory_of_one_file_never_goes_back(tmp_path: Path) -> None:
    with new_log(tmp_path / "log") as log, State.create(tmp_path / "state") as first, State.open(tmp_path / "state") as second:
        made = points(log, range(1, 21))
        proofs = {(old, new): log.prove(old, new) for old in range(1, 20) for new in range(old + 1, 21)}
        witnesses = [Witness(WITNESS, state, SIGNER.keys) for state in (first, second)]
        given: list[int] = []

        def work(witness: Witness) -> None:
            known = 0
            while known < len(made):
                new = known + 1
                answer = witness.add_checkpoint(request_body(known, proofs.get((known, new), []), made[new - 1].note))
                assert answer.status in {200, 409}
                if answer.status == 200:
                    given.append(new)
                known = int(answer.body) if answer.status == 409 else new

        threads = [threading.Thread(target=work, args=(witness,)) for witness in witnesses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(given) == list(range(1, 21))  # each size once: who came second was told so


def test_it_answers_over_http_with_keep_alive_and_knows_only_its_two_places(tmp_path: Path) -> None:
    with stand(tmp_path, "w") as one:
        connection = http.client.HTTPConnection(one.url.removeprefix("http://"), timeout=5)
        for old, wanted in ((0, 200), (0, 409), (5, 200)):
            connection.request("POST", "/add-checkpoint", request_body(old, [], signed(5, b"a" * 32)))
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == wanted
            if wanted == 409:
                assert (data, answer.headers["Content-Type"]) == (b"5\n", "text/x.tlog.size")
        connection.request("GET", f"/{sha256(SIGNER.name.encode()).hexdigest()}/checkpoint")
        assert verify(parse(connection.getresponse().read()), one.cosigner.keys).verified == one.cosigner.keys
        connection.request("GET", "/elsewhere")
        assert connection.getresponse().status == 404
        connection.close()
        assert ask(one.url, b"", "/elsewhere")[0] == 404


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"Content-Length: {MOST_BYTES + 1}", 413),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length: -5", 400),
        ("Transfer-Encoding: chunked", 411),
        ("Accept: nothing", 411),
    ],
)
def test_a_body_of_no_announced_or_too_great_length_is_not_read(tmp_path: Path, head: str, status: int) -> None:
    with stand(tmp_path, "w") as one, socket.create_connection(("127.0.0.1", one.server.server_address[1]), 5) as raw:
        raw.sendall(f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n{head}\r\n\r\n".encode())
        assert raw.recv(100).split()[1] == str(status).encode()


def test_who_is_too_slow_is_cut_off_and_the_others_are_served(tmp_path: Path) -> None:
    with stand(tmp_path, "w", bounds=Bounds(request_s=1.5)) as one:
        address = ("127.0.0.1", one.server.server_address[1])
        with socket.create_connection(address, 60) as slow, socket.create_connection(address, 60) as silent:
            began = time.monotonic()
            slow.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
            assert ask(one.url, request_body(0, [], signed(5, b"a" * 32)))[0] == 200
            closed = False
            while not closed and time.monotonic() - began < 60:
                try:
                    slow.sendall(b"x")  # a byte now and then keeps no connection open
                    time.sleep(0.05)
                except OSError:
                    closed = True
            assert closed
            assert silent.recv(10) == b""


def test_more_connections_than_allowed_are_hung_up_on(tmp_path: Path) -> None:
    with stand(tmp_path, "w", bounds=Bounds(connections=2)) as one:
        address = ("127.0.0.1", one.server.server_address[1])
        with (
            socket.create_connection(address, 60),
            socket.create_connection(address, 60),
            socket.create_connection(address, 60) as third,
        ):
            assert third.recv(10) == b""


def test_a_stopping_server_answers_what_it_has_begun(tmp_path: Path) -> None:
    with stand(tmp_path, "w") as one:
        body = request_body(0, [], signed(5, b"a" * 32))
        with socket.create_connection(("127.0.0.1", one.server.server_address[1]), 5) as busy:
            busy.sendall(f"POST /add-checkpoint HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:50])
            time.sleep(0.2)
            one.server.stop()
            closing = threading.Thread(target=one.server.server_close)
            closing.start()
            busy.sendall(body[50:])
            assert b" 200 " in busy.recv(1000)
            closing.join()
    with pytest.raises(OSError, match="refused"):
        ask(one.url, body)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with stand(tmp_path, "w") as one, pytest.raises(ConfigError), stand(tmp_path, "v", port=one.server.server_address[1]):
        pass


def test_a_key_of_another_type_is_not_taken_for_the_logs(tmp_path: Path) -> None:
    fake = Key(SIGNER.name, WITNESS.keys[0].key_id, COSIGNED_ED25519, WITNESS.keys[0].public)
    with State.create(tmp_path / "state") as state:
        witness = Witness(WITNESS, state, [fake])
        assert witness.add_checkpoint(request_body(0, [], signed(5, b"a" * 32))).status == 403
