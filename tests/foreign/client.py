"""A client that knows only the protos: gRPC of PyPI, stubs made here and now. It starts a
development server of its own, and creates, looks up, renews, keeps alive, watches and revokes.

Called by tests/foreign/run, with the `tenure` binary and the folder of the protos.
"""

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import grpc
import grpc_tools
from grpc_tools import protoc

WAIT_S = 20


def stubs(protos: Path, out: Path) -> None:
    """Generates the stubs of all public protos."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(p.relative_to(protos)) for p in (protos / "tenure/v1").glob("*.proto"))
    options = [f"-I{protos}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *options, *files]) != 0:
        sys.exit("the stubs can't be made")
    sys.path.insert(0, str(out))


class Server:
    """A development server: plain text on loopback, gone at the end."""

    def __init__(self, binary: str, home: str):
        # Its root token and its log are read here; nothing is left in the user's home.
        env = dict(os.environ, HOME=home)
        command = [binary, "server", "-dev", "-dev-listen-address=127.0.0.1:0"]
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        self.address = self._find(lines, re.compile(r"https?://(127\.0\.0\.1:\d+)"))
        token = Path(home) / ".tenure-token"
        self.root = token.read_text().strip()

    def _read(self, lines: queue.Queue) -> None:
        for line in self.process.stdout:
            lines.put(line)
        lines.put(None)

    def _find(self, lines: queue.Queue, wanted: re.Pattern) -> str:
        seen = []
        while True:
            line = lines.get(timeout=WAIT_S)
            if line is None:
                sys.exit("the server ended:\n" + "".join(seen))
            seen.append(line)
            found = wanted.search(line)
            if found and "TENURE_ADDR" in line:
                return found.group(1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=WAIT_S)


def check(holds: bool, what: object) -> None:
    if not holds:
        raise AssertionError(what)


def refused(call) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError("it was carried out")


def run(server: Server) -> None:
    from google.protobuf import duration_pb2
    from tenure.v1 import lease_pb2, lease_pb2_grpc, policy_pb2, policy_pb2_grpc
    from tenure.v1 import token_pb2, token_pb2_grpc

    channel = grpc.insecure_channel(server.address)
    tokens = token_pb2_grpc.TokenServiceStub(channel)
    leases = lease_pb2_grpc.LeaseServiceStub(channel)
    policies = policy_pb2_grpc.PolicyServiceStub(channel)
    seconds = lambda count: duration_pb2.Duration(seconds=count)

    def by(token: str) -> dict:
        return {"metadata": [("authorization", f"Bearer {token}")], "timeout": WAIT_S}

    root = by(server.root)
    text = 'path "sys/leases/*" { capabilities = ["read", "update", "list"] }'
    policies.WritePolicy(policy_pb2.WritePolicyRequest(name="foreign", policy=text), **root)
    made = tokens.CreateToken(
        token_pb2.CreateTokenRequest(policies=["foreign"], ttl=seconds(600)), **root
    )
    own = by(made.auth.client_token)
    info = tokens.LookupSelf(token_pb2.LookupSelfRequest(), **own)
    check("foreign" in str(info), info)
    tokens.RenewSelf(token_pb2.RenewSelfRequest(increment=seconds(900)), **own)

    watch = leases.Watch(lease_pb2.WatchRequest(prefix="foreign"), **own)
    first = next(watch)
    check(not first.events and first.revision > 0, first)
    ids = []
    for number in range(3):
        request = lease_pb2.GrantLeaseRequest(
            path=f"foreign/{number}", payload=b"a payload", ttl=seconds(300)
        )
        ids.append(leases.GrantLease(request, **own).lease_id)
    found = leases.LookupLease(lease_pb2.LookupLeaseRequest(lease_id=ids[0]), **own)
    check(found.lease.payload == b"a payload", "another payload")

    def messages():
        for _ in range(2):
            renewals = [lease_pb2.LeaseRenewal(lease_id=id, increment=seconds(500)) for id in ids]
            yield lease_pb2.KeepAliveRequest(renewals=renewals)

    answers = list(leases.KeepAlive(messages(), **own))
    check(len(answers) == 2, answers)
    for result in answers[0].results:
        check(result.reason == "" and result.lease_duration.seconds == 500, result)
    leases.RevokeLease(lease_pb2.RevokeLeaseRequest(lease_id=ids[0]), **own)

    seen = []
    while len(seen) < 10:
        message = next(watch)
        seen.extend(message.events)
    kinds = [lease_pb2.LeaseEventKind.Name(event.kind).rsplit("_", 1)[1] for event in seen]
    check(kinds == ["GRANTED"] * 3 + ["RENEWED"] * 6 + ["REVOKED"], kinds)
    check(seen[-1].lease_id == ids[0], seen[-1])
    # Resumed from the middle: what came later, once.
    start = seen[2].revision + 1
    again = leases.Watch(lease_pb2.WatchRequest(prefix="foreign", start_revision=start), **own)
    later = []
    while len(later) < 7:
        later.extend(next(again).events)
    check(later == seen[3:], "a resumed watch shows something else")
    again.cancel()

    tokens.RevokeSelf(token_pb2.RevokeSelfRequest(), **own)
    ended = refused(lambda: [None for _ in watch])
    check(ended == grpc.StatusCode.UNAUTHENTICATED, ended)
    gone = refused(lambda: tokens.LookupSelf(token_pb2.LookupSelfRequest(), **own))
    check(gone == grpc.StatusCode.UNAUTHENTICATED, gone)


def main() -> None:
    binary, protos = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        out, home = Path(folder) / "stubs", Path(folder) / "home"
        out.mkdir()
        home.mkdir()
        stubs(protos, out)
        server = Server(binary, str(home))
        try:
            run(server)
        finally:
            server.stop()
    print("a foreign client: created, looked up, renewed, kept alive, watched, resumed, revoked")


if __name__ == "__main__":
    main()
