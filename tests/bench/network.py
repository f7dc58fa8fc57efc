#!/usr/bin/env python3
"""Measures the virtual network without a machine's emulated processor: network namespaces stand for the guests, their tap devices are
joined to the switch as QEMU's cards are. TCP into a guest through a forwarded port, out of it, and between two; the processor time of
the switch for each gigabyte; what a neighbour notices of a flood of connections; QEMU's own user network in the same run, as a ratio.
BERTH_BIN names the folder of the programs; BERTH_BEFORE, if set, that of an earlier berth-switch to compare with. Needs root."""
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ.get("BERTH_BIN", "build/bin")).resolve()
MEGABYTES = int(os.environ.get("BERTH_BENCH_MB", "300"))
ROUNDS = 5
PROBES = 300
SUBNET, GATEWAY = "172.30.0.0/16", "172.30.0.1"
GUESTS = {"bench-a": "172.30.0.4", "bench-b": "172.30.0.5"}
HOST = "198.18.77.1"  # an address of this machine that is not loopback, from the range for benchmarks (RFC 2544)
PORT = 5000

RECEIVE = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    left = int.from_bytes(peer.recv(8, socket.MSG_WAITALL), "big")
    buffer = bytearray(1 << 20)
    while left > 0:
        left -= peer.recv_into(buffer) or left
    peer.sendall(b"!")
    peer.close()
"""
SEND = """
import socket, sys, time
size = int(sys.argv[3])
until = time.monotonic() + 20
while True:  # the network may just be coming up
    try:
        peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
        break
    except OSError:
        if time.monotonic() > until:
            raise
        time.sleep(0.1)
began = time.monotonic()
with peer:
    peer.sendall(size.to_bytes(8, "big"))
    block = bytes(1 << 18)
    for _ in range(size // len(block)):
        peer.sendall(block)
    peer.recv(1)
print(time.monotonic() - began)
"""
# A thousand bare SYNs at a time, to ports of the host where nothing listens and to addresses beyond that answer nothing.
FLOOD = """
import os, random, socket, struct, sys
source, host = sys.argv[1:3]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
def total(data):
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    s = (s >> 16) + (s & 0xffff)
    return ~(s + (s >> 16)) & 0xffff
packets = []
for i in range(1000):
    target = host if i % 2 else f"203.0.113.{i % 250 + 1}"
    tcp = struct.pack("!HHIIBBHHH", random.randrange(1024, 65536), random.randrange(1024, 65536), i, 0, 0x50, 2, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(tcp))
    packets.append((tcp[:16] + struct.pack("!H", total(pseudo + tcp)) + tcp[18:], (target, 0)))
print("ready", flush=True)
while True:
    for packet, target in packets:
        try:
            raw.sendto(packet, target)
        except OSError:
            pass
"""
PROBE = """
import socket, statistics, sys, time
times = []
for _ in range(int(sys.argv[3])):
    began = time.monotonic()
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 60) as peer:
        peer.sendall((0).to_bytes(8, "big"))
        peer.recv(1)
    times.append((time.monotonic() - began) * 1000)
    time.sleep(0.01)
times.sort()
print(statistics.median(times), times[len(times) * 99 // 100])
"""


def sh(*argv):
    subprocess.run([str(a) for a in argv], check=True)


def inside(guest, *argv):
    return ["ip", "netns", "exec", guest, *map(str, argv)] if guest else [str(a) for a in argv]


def wait_for(path):
    until = time.monotonic() + 20
    while not os.path.exists(path):
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.05)


class Bench:
    """Two guests at one network, which a subclass provides."""

    def __init__(self, work):
        self.work = work
        self.children = []

    def spawn(self, argv, **options):
        child = subprocess.Popen([str(a) for a in argv], **options)
        self.children.append(child)
        return child

    def end(self, child):
        child.terminate()
        child.wait(60)
        self.children.remove(child)

    def server(self, guest, address):
        child = self.spawn(inside(guest, sys.executable, "-c", RECEIVE, address, PORT), stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        return child

    def plug(self, guest, path):
        self.spawn(inside(guest, self.work / "tap_to_switch", "tap0", path))
        wait_for(path)

    def seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def transfer(self, guest, address, port=PORT):
        """(MB/s, seconds of the network's processor time for a GB)."""
        before = self.seconds()
        size = MEGABYTES << 20
        took = float(subprocess.run(inside(guest, sys.executable, "-c", SEND, address, port, size), capture_output=True, check=True, timeout=600).stdout)
        return size / took / 1e6, (self.seconds() - before) / (size / 1e9)

    def probe(self):
        """Milliseconds for a connection from the second guest to this machine and an answer: (median, 99th percentile)."""
        out = subprocess.run(inside("bench-b", sys.executable, "-c", PROBE, HOST, PORT, PROBES), capture_output=True, check=True, timeout=600).stdout
        return tuple(map(float, out.split()))

    def close(self):
        for child in list(self.children):
            self.end(child)


class Switch(Bench):
    def __init__(self, work, program, name):
        super().__init__(work)
        folder = work / name
        folder.mkdir()
        sockets = {guest: str(folder / f"{guest}.sock") for guest in GUESTS}
        (folder / "switch.json").write_text(json.dumps({"subnet": SUBNET, "egress": {"policy": "full", "hosts": []}, "ports": [
            {"id": guest, "mac": f"00:0d:3a:00:00:{n:02x}", "address": address, "hostName": guest, "machineSocket": sockets[guest],
             "wireServer": str(folder / "w"), "hostPlugin": str(folder / "p"), "metadata": str(folder / "m"),
             "forwards": [{"protocol": "tcp", "hostAddress": self.address, "hostPort": PORT + n, "guestPort": PORT, "sources": []}]}
            for n, (guest, address) in enumerate(GUESTS.items())]}))
        for guest in GUESTS:
            self.plug(guest, sockets[guest])
        self.spawn([program, folder], stderr=open(work / f"{name}.log", "w"))
        wait_for(folder / "control.sock")
        self.pid = int((folder / "switch.pid").read_text().split()[0])

    address = "127.77.0.1"


class UserNetwork(Bench):
    """QEMU's own user network, in a QEMU without a machine."""
    address = "127.77.0.2"

    def __init__(self, work):
        super().__init__(work)
        path = str(work / "qemu.sock")
        self.plug("bench-a", path)
        self.pid = self.spawn(["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
                                   "-netdev", f"user,id=u,net={SUBNET},host={GATEWAY},dns=172.30.0.3,dhcpstart=172.30.0.10,"
                                              f"hostfwd=tcp:{self.address}:{PORT}-{GUESTS['bench-a']}:{PORT}",
                                   "-netdev", f"stream,id=s,server=off,addr.type=unix,addr.path={path}",
                                   "-netdev", "hubport,id=h0,hubid=0,netdev=u", "-netdev", "hubport,id=h1,hubid=0,netdev=s"], stderr=subprocess.DEVNULL).pid


def make_guests():
    sh("ip", "address", "add", f"{HOST}/32", "dev", "lo")
    for n, (guest, address) in enumerate(GUESTS.items()):
        sh("ip", "netns", "add", guest)
        for words in ("tuntap add dev tap0 mode tap", f"link set tap0 address 00:0d:3a:00:00:{n:02x}", f"address add {address}/16 dev tap0",
                      "link set lo up", "link set tap0 up", f"route add default via {GATEWAY}"):
            sh("ip", "-n", guest, *words.split())


def remove_guests():
    for guest in GUESTS:
        subprocess.run(["ip", "netns", "delete", guest], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "address", "delete", f"{HOST}/32", "dev", "lo"], stderr=subprocess.DEVNULL)


def measure(make, ways, results, name):
    bench = make()
    try:
        servers = [bench.server(None, HOST), *(bench.server(guest, GUESTS[guest]) for guest in (GUESTS if "between" in ways else ["bench-a"]))]
        for way in ways:
            where = {"in": (None, bench.address), "out": ("bench-a", HOST), "between": ("bench-b", GUESTS["bench-a"])}[way]
            results.setdefault((name, way), []).append(bench.transfer(*where))
        for server in servers:
            bench.end(server)
    finally:
        bench.close()


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="bn-", dir="/tmp"))
    work.chmod(0o755)
    remove_guests()
    try:
        sh("clang-16", "-O2", "-o", work / "tap_to_switch", pathlib.Path(__file__).with_name("tap_to_switch.c"))
        make_guests()
        before = os.environ.get("BERTH_BEFORE")
        count = iter(range(1000))
        kinds = {"ours": lambda: Switch(work, BIN / "berth-switch", f"now{next(count)}")}
        if before:
            kinds["before"] = lambda: Switch(work, pathlib.Path(before).resolve() / "berth-switch", f"old{next(count)}")
        kinds["QEMU's own"] = lambda: UserNetwork(work)
        results = {}
        for _ in range(ROUNDS):  # in turn, so that whatever else the machine does meets all of them
            for name, make in kinds.items():
                (work / "qemu.sock").unlink(missing_ok=True)
                measure(make, ["in", "out"] if name == "QEMU's own" else ["in", "out", "between"], results, name)
        for (name, way), runs in results.items():
            print(f"{way + ', ' + name:<28} {statistics.median(r[0] for r in runs):7.0f} MB/s   {statistics.median(r[1] for r in runs):6.2f} s of processor time a GB   (median of {len(runs)}, {MEGABYTES} MiB each)")
        for other in [k for k in kinds if k != "ours"]:
            for way in ("in", "out", "between"):
                if (other, way) in results:
                    pairs = list(zip(results["ours", way], results[other, way]))
                    print(f"{way}: ours to {other + ':':<12} {statistics.median(a[0] / b[0] for a, b in pairs):5.2f} of the throughput, {statistics.median(a[1] / b[1] for a, b in pairs):5.2f} of the processor time")
        for name in [k for k in kinds if k != "QEMU's own"]:
            bench = kinds[name]()
            try:
                bench.server(None, HOST)
                quiet = bench.probe()
                flood = bench.spawn(inside("bench-a", "nice", "-n", "19", sys.executable, "-c", FLOOD, GUESTS["bench-a"], HOST), stdout=subprocess.PIPE)
                assert flood.stdout.readline() == b"ready\n"
                time.sleep(2)
                loud = bench.probe()
                status = pathlib.Path(f"/proc/{bench.pid}/status").read_text()
                memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
                print(f"a neighbour's connection, {name}: quiet {quiet[0]:.2f} ms (p99 {quiet[1]:.2f}), beside a flood of SYNs {loud[0]:.2f} ms (p99 {loud[1]:.2f}): {loud[0] / quiet[0]:.2f} times; the switch then has {int(memory) / 1024:.0f} MiB")
            finally:
                bench.close()
    finally:
        remove_guests()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
