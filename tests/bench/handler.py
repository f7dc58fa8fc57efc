#!/usr/bin/env python3
"""Measures the packed Docker extension handler against a real dockerd: an enable with no change, one that finds another at
work, the size of its program. BERTH_BIN names the folder of the programs. Needs root, for a mount namespace of its own, and
apt, for the engine's packages, which are unpacked beside the programs and not installed."""
import fcntl
import os
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "docker"))
from machine import HANDLER, PORT, Platform, calls, enter_namespace, furnish, make_certificates, measure, run  # noqa: E402

BIN = pathlib.Path(os.environ.get("BERTH_BIN", "build/bin")).resolve()
RUNS = 200


def say(what, value):
    print(f"{what:<62} {value}", flush=True)


def say_runs(what, times, memory):
    times = sorted(times)
    say(f"{what}, median of {len(times)}", f"{statistics.median(times):.1f} ms wall ({times[len(times) * 95 // 100]:.1f} ms at the 95th percentile)")
    say(f"{what}, peak memory", f"{memory / 1024:.1f} MB")


def main():
    work = BIN.parent / "bench-handler"
    work.mkdir(exist_ok=True)
    enter_namespace(work)
    furnish(f"{work}/programs", work)
    scratch = "/run/scratch"
    os.makedirs(scratch)
    make_certificates(f"{scratch}/certificates")
    package = max((BIN / "extensions").glob(f"{HANDLER}_*.zip"), key=lambda file: [int(n) for n in re.findall(r"\d+", file.stem.split("_")[-1])])
    platform = Platform(package, scratch)
    program = f"{platform.folder}/bin/docker-extension"
    platform.settings({"docker": {"port": str(PORT)}}, f"{scratch}/certificates")
    began = time.monotonic()
    done = platform.operate("enable")
    assert done.returncode == 0, done.stderr
    say("docker-extension enable, a TLS host from nothing", f"{time.monotonic() - began:.1f} s")

    before = len(calls())
    say_runs("docker-extension enable, nothing changed", *measure(scratch, RUNS, program, "enable"))
    say("... programs that it ran", len(calls()) - before)

    with open("/run/docker-ext/lock") as lock:  # it names the last enable's work
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.chmod("/etc/docker/key.pem", 0o600)  # something to do, and somebody at it
        say_runs("docker-extension enable, another is at work", *measure(scratch, RUNS, program, "enable"))
        assert os.stat("/etc/docker/key.pem").st_mode & 0o777 == 0o600, "it did the other's work"
    run("systemctl", "stop", "docker.service")
    say("docker-extension, stripped", f"{os.path.getsize(program) / 1e6:.2f} MB")


main()
