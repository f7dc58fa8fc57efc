#!/usr/bin/env python3
"""The packed handler against a real dockerd: TLS host from nothing, no change, rotation, a configuration that does
not start, update, uninstall, with a container that keeps its process id throughout.

Usage: real_engine.py FOLDER_WITH_PACKAGES WORK_FOLDER
Needs root (taken by sudo), for a mount namespace of its own; nothing of it is seen outside. The engine's programs come from the
packages that apt knows and are unpacked into WORK_FOLDER, not installed."""
import fcntl
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import time

from machine import (HANDLER, PORT, Platform, calls, docker, enter_namespace, furnish, make_certificates, measure, pem, run, served)


def expect(condition, what, detail=""):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        print(detail)
        log = f"/var/log/azure/{HANDLER}/docker-extension.log"
        for file in (log, "/run/fake/docker.service.journal"):
            if os.path.exists(file):
                print("".join(open(file).readlines()[-40:]))
        sys.exit(1)


def start_container(certificates, work):
    """A container of one static program that sleeps."""
    source = f"{work}/sleeper.c"
    with open(source, "w") as file:
        file.write("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    root = f"{work}/root"
    os.makedirs(root)
    run("clang-16", "-static", "-O1", "-o", f"{root}/sleeper", source)
    run("tar", "--create", "--file", f"{work}/image.tar", "--directory", root, "sleeper")
    docker(certificates, "import", f"{work}/image.tar", "sleeper")
    name = docker(certificates, "run", "--detach", "--network", "none", "--security-opt", "seccomp=unconfined", "sleeper", "/sleeper").strip()
    return lambda other: docker(other, "inspect", "--format", "{{.State.Running}} {{.State.Pid}}", name).strip()


def main():
    packages, work = map(os.path.abspath, sys.argv[1:3])
    os.makedirs(work, exist_ok=True)
    enter_namespace(work)
    programs = f"{work}/programs"
    furnish(programs, work)
    scratch = "/run/scratch"
    os.makedirs(scratch)
    first, second = f"{scratch}/first", f"{scratch}/second"
    make_certificates(first)
    make_certificates(second)
    platform = Platform(f"{packages}/bin/extensions/{HANDLER}_1.3.0.zip", scratch)

    expect(platform.operate("install").returncode == 0, "install ends well")
    platform.settings({"docker": {"port": str(PORT)}}, first)
    start = time.monotonic()
    done = platform.operate("enable")
    expect(done.returncode == 0 and platform.status()["status"] == "success", f"enable makes a TLS host ({time.monotonic() - start:.1f} s)", done.stderr)
    expect(served() == pem(f"{first}/server.pem"), "the port serves the certificate of the settings")
    expect("20.10" in docker(first, "version", "--format", "{{.Server.Version}}"), "a docker client with a client certificate gets in")
    try:
        with ssl._create_unverified_context().wrap_socket(socket.create_connection(("127.0.0.1", PORT), 10)) as plain:
            plain.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            let_in = b"200" in plain.recv(100)
    except ssl.SSLError:
        let_in = False
    expect(not let_in, "one without does not")
    expect(json.load(open("/etc/docker/daemon.json"))["labels"] == ["mine=1"], "the user's own key is still in daemon.json")

    before = len(calls())
    times, cpu = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(20):
        start = time.monotonic()
        done = platform.operate("enable")
        times.append((time.monotonic() - start) * 1000)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime) * 1000 / len(times)
    expect(done.returncode == 0 and len(calls()) == before, "enable with no change runs no program", done.stderr)
    _, memory = measure(scratch, 5, f"{platform.folder}/bin/docker-extension", "enable")
    times.sort()
    print(f"     no change: {cpu:.1f} ms of processor, median {times[10]:.1f} ms, most {times[-1]:.1f} ms, {memory / 1024:.1f} MiB resident")
    expect(cpu < 40, "with less than 40 ms of processor (aim: 10)")
    expect(memory < 6.5 * 1024, "and 6.5 MiB")
    expect(os.path.getsize(f"{platform.folder}/bin/docker-extension") <= 6_000_000, "the program has at most 6 MB")

    with open("/run/docker-ext/lock") as lock:  # it names the last enable's work
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.chmod("/etc/docker/key.pem", 0o600)  # something to do, and somebody at it
        start = time.monotonic()
        done = platform.operate("enable")
        print(f"     lock path: {(time.monotonic() - start) * 1000:.1f} ms, program: {os.path.getsize(platform.folder + '/bin/docker-extension') / 1e6:.2f} MB")
        expect(done.returncode == 0 and os.stat("/etc/docker/key.pem").st_mode & 0o777 == 0o600, "a second enable leaves the work to the first", done.stderr)
    os.chown("/etc/docker/key.pem", 1000, 1000)
    done = platform.operate("enable")
    key = os.stat("/etc/docker/key.pem")
    expect((done.returncode, key.st_mode & 0o777, key.st_uid, key.st_gid) == (0, 0o400, 0, 0), "a mode and an owner that were changed are set right", str(key))

    try:
        container = start_container(first, scratch)
    except subprocess.CalledProcessError as error:
        expect(False, "a container starts (nothing of what follows would prove anything)", error.stderr)
    state = container(first)
    expect(state.startswith("true "), "a container runs")

    platform.settings({"docker": {"port": PORT}}, second)
    done = platform.operate("enable")
    expect(done.returncode == 0 and served() == pem(f"{second}/server.pem"), "rotation takes effect", done.stderr)
    expect(container(second) == state, "the container keeps its process", container(second) + " was " + state)

    platform.settings({"docker": {"port": PORT, "options": ["--exec-opt=native.cgroupdriver=nonsense"]}}, first)
    done = platform.operate("enable")
    status = platform.status()
    expect(done.returncode == 1 and status["status"] == "error", "a configuration that does not start is an error", done.stderr)
    expect("cgroupdriver" in status["formattedMessage"]["message"], "the status says why", status["formattedMessage"]["message"])
    expect(served() == pem(f"{second}/server.pem"), "and the engine runs as before")
    expect(container(second) == state, "with the container")

    platform.settings({"docker": {"port": PORT, "options": ["--label=b=2"]}}, second)
    before = len(calls())
    expect(platform.operate("enable").returncode == 0 and "reload docker.service" in calls()[before:] and "restart docker.service" not in calls()[before:],
           "a label needs a reload only", str(calls()[before:]))

    old = platform.folder
    before = len(calls())
    platform.unpack("1.3.1", f"{packages}/test/extensions/{HANDLER}_1.3.1.zip")
    codes = [platform.operate("disable", old).returncode, platform.operate("update").returncode, platform.operate("uninstall", old).returncode]
    shutil.rmtree(old)
    codes.append(platform.operate("enable").returncode)
    touched = [call for call in calls()[before:] if call.split()[0] in ("stop", "start", "restart", "reload")]
    expect(codes == [0, 0, 0, 0] and not touched and platform.status()["formattedMessage"]["message"] == "Enable Docker succeeded",
           "an update in the agent's order leaves the engine alone", f"{codes} {touched} {platform.status()}")

    codes = [platform.operate("disable").returncode, platform.operate("uninstall").returncode]
    with socket.socket() as probe:
        closed = probe.connect_ex(("127.0.0.1", PORT)) != 0
    expect(codes == [0, 0] and closed, "uninstall closes the port", str(codes))
    expect(json.load(open("/etc/docker/daemon.json")) == {"labels": ["mine=1"]} and not os.path.exists("/etc/docker/key.pem"),
           "and leaves the user's files only", open("/etc/docker/daemon.json").read())
    alive = run("docker", "ps", "--quiet", "--no-trunc")
    expect(len(alive.split()) == 1, "and the container", alive)
    run("systemctl", "stop", "docker.service")


main()
