#!/usr/bin/env python3
"""The packed handler, the real front and a real dockerd, as on an image of ours: what docker's streams need of what stands between,
rotation and revocation, who is refused, and what is closed when something is missing.

Usage: front.py FOLDER_WITH_PACKAGES WORK_FOLDER
As real_engine.py, whose WORK_FOLDER it can share."""
import filecmp
import glob
import json
import os
import pty
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import warnings

from machine import (HANDLER, PORT, RECIPE, Platform, calls, docker, docker_command, enter_namespace, furnish, install_front, make_certificates,
                     openssl, pem, run, served)

OTHER_PORT = PORT + 1
FRONT = "/etc/docker/tls-front.conf"


def expect(condition, what, detail=""):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        print(detail)
        for file in (f"/var/log/azure/{HANDLER}/docker-extension.log", *glob.glob("/run/fake/*.journal")):
            if os.path.exists(file):
                print(file, "".join(open(file, errors="replace").readlines()[-40:]), sep="\n")
        sys.exit(1)


def process_of(unit):
    return int(open(f"/run/fake/{unit}.pid").read())


def done_to_services(before):
    """What the handler did to them since."""
    return [call for call in calls()[before:] if call.split()[0] in ("start", "stop", "restart", "reload", "reload-or-restart")]


def is_open(port=PORT):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_let_in(certificates=None, old=False):
    """Whether a client with these, or without any, gets an answer; what stopped it, else. An old one speaks TLS 1.1."""
    context = ssl._create_unverified_context()
    if old:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    if certificates:
        context.load_cert_chain(f"{certificates}/client.pem", f"{certificates}/client-key.pem")
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", PORT), 10)) as client:
            client.sendall(b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n")
            return b"200" in client.recv(100), ""
    except OSError as error:
        return False, str(error)


class Stream:
    """An attached process that repeats each line: a connection that docker hijacked."""

    def __init__(self, certificates, container):
        self.process = subprocess.Popen(docker_command(certificates, "exec", "--interactive", container, "/bin/cat"), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def lives(self):
        try:
            self.process.stdin.write(b"still there\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return self.process.stdout.readline() == b"still there\n"

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def make_image(work):
    root = f"{work}/root"
    os.makedirs(f"{root}/bin")
    busybox = "/bin/busybox" if os.path.exists("/bin/busybox") else "/usr/bin/busybox"
    shutil.copy(busybox, f"{root}/bin/busybox")
    for name in ("sh", "cat", "sleep", "echo", "touch", "test"):
        os.symlink("busybox", f"{root}/bin/{name}")
    run("tar", "--create", "--file", f"{work}/image.tar", "--directory", root, ".")
    return f"{work}/image.tar"


QUIET = ("--network", "none", "--security-opt", "seccomp=unconfined")


def try_streams(certificates, work):
    with open(f"{work}/big", "wb") as file:
        file.write(os.urandom(1 << 20) * 40)
    docker(certificates, "import", make_image(work), "small")
    docker(certificates, "run", "--detach", "--name", "stays", *QUIET, "small", "/bin/sh", "-c", "while :; do sleep 1000; done")

    with open(f"{work}/big") as source, open(f"{work}/echo", "wb") as target:
        subprocess.run(docker_command(certificates, "exec", "--interactive", "stays", "/bin/cat"), stdin=source, stdout=target, check=True, timeout=120)
    expect(filecmp.cmp(f"{work}/big", f"{work}/echo", False), "40 MB go through a process and come back, to the last byte")

    docker(certificates, "cp", f"{work}/big", "stays:/big")
    docker(certificates, "cp", "stays:/big", f"{work}/copy")
    expect(filecmp.cmp(f"{work}/big", f"{work}/copy", False), "docker cp, there and back")

    os.makedirs(f"{work}/context")
    os.link(f"{work}/big", f"{work}/context/big")
    with open(f"{work}/context/Dockerfile", "w") as file:
        file.write("FROM small\nADD big /\n")
    for buildkit in "01":  # which talks to the client by streams of its own
        run(*docker_command(certificates, "build", "--tag", f"built{buildkit}", f"{work}/context"), env={**os.environ, "DOCKER_BUILDKIT": buildkit}, timeout=120)
    expect({"built0", "built1"} <= set(docker(certificates, "images").split()), "docker build, the old way and with BuildKit")

    # Standard input ends, and the answer comes when somebody else lets it.
    half = subprocess.Popen(docker_command(certificates, "run", "--interactive", "--rm", "--name", "half", *QUIET, "small", "/bin/sh", "-c",
                                           "cat; until test -e /go; do sleep 0.1; done; echo done"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    half.stdin.write("asked\n")
    half.stdin.close()
    said = half.stdout.readline()
    docker(certificates, "exec", "half", "/bin/touch", "/go")
    said += half.stdout.read()
    expect(said == "asked\ndone\n" and half.wait(60) == 0, "one half of a stream closes, the other one goes on", said)
    limits = dict(line.split(" = ") for line in open(FRONT).read().splitlines() if line.startswith("TIMEOUT"))
    expect(min(int(limits["TIMEOUTidle"]), int(limits["TIMEOUTclose"])) > 20 * 24 * 3600, "for weeks, if it must", str(limits))

    ours, theirs = pty.openpty()
    shell = subprocess.Popen(docker_command(certificates, "run", "--interactive", "--tty", "--rm", *QUIET, "small", "/bin/sh"), stdin=theirs, stdout=theirs,
                             stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, b"exit 7\n")
    shown = b""
    try:
        while chunk := os.read(ours, 1000):
            shown += chunk
    except OSError:
        pass  # the other side closed it
    expect(shell.wait(60) == 7, "a terminal", shown)


def main():
    packages, work = map(os.path.abspath, sys.argv[1:3])
    os.makedirs(work, exist_ok=True)
    enter_namespace(work)
    furnish(f"{work}/programs", work)
    scratch = "/run/scratch"
    os.makedirs(scratch)
    first, renewed, foreign, both = (f"{scratch}/{name}" for name in ("first", "renewed", "foreign", "both"))
    make_certificates(first)
    make_certificates(renewed, first)
    make_certificates(foreign, called="Other CA")
    make_certificates(both, first)
    with open(f"{both}/ca.pem", "a") as file:
        file.write(open(f"{foreign}/ca.pem").read())
    platform = Platform(f"{packages}/bin/extensions/{HANDLER}_1.3.0.zip", scratch)

    def apply(certificates, port=PORT):
        """What it did to the services."""
        platform.settings({"docker": {"port": port}}, certificates)
        before = len(calls())
        done = platform.operate("enable")
        expect(done.returncode == 0 and platform.status()["status"] == "success", "     (enable)", f"{done.stderr} {platform.status()}")
        return done_to_services(before)

    # The engine itself, as a handler of before left it.
    apply(first)
    expect(json.load(open("/etc/docker/daemon.json")).get("tlsverify"), "without a front the engine serves TLS")
    docker(first, "import", make_image(f"{scratch}/before"), "early")
    docker(first, "run", "--detach", "--name", "early", *QUIET, "early", "/bin/sh", "-c", "while :; do sleep 1000; done")
    born = docker(first, "inspect", "--format", "{{.State.Pid}}", "early")
    install_front()
    done = apply(first)
    expect(done == ["restart docker.service", "start docker-tls.service"], "the front takes the port over, with one restart of the engine", str(done))
    expect("tlsverify" not in open("/etc/docker/daemon.json").read() and not glob.glob("/etc/systemd/system/docker.service.d/*"), "whose own is gone")
    expect(served() == pem(f"{first}/server.pem") and docker(first, "inspect", "--format", "{{.State.Pid}}", "early") == born, "containers go on")
    before = len(calls())
    expect(platform.operate("enable").returncode == 0 and len(calls()) == before, "enable with no change runs no program")
    os.remove("/var/lib/docker-ext/state.json")
    expect(apply(first) == [], "and whoever wrote the same files before, nothing is done to a service")

    expect(is_let_in(first)[0], "a client with a certificate gets in")
    for what, how in (("without a certificate", {}), ("of another authority", {"certificates": foreign}),
                      ("with TLS 1.1", {"certificates": first, "old": True})):
        let_in, why = is_let_in(**how)
        expect(not let_in and why, f"one {what} does not, and is told why: {why}")
    with socket.create_connection(("127.0.0.1", PORT), 10) as plain:
        plain.sendall(b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
    expect(b"200" not in answer and b"OK" not in answer, "nor one without TLS", answer)
    silent = [socket.create_connection(("127.0.0.1", PORT), 10) for _ in range(300)]
    expect(is_let_in(first)[0], "one gets in beside 300 that say nothing")
    for client in silent:
        client.close()

    try_streams(first, scratch)

    stream, engine, front = Stream(first, "stays"), process_of("docker.service"), process_of("docker-tls.service")
    expect(stream.lives(), "a stream lives")
    done = apply(renewed)
    expect(done == ["reload-or-restart docker-tls.service"] and served() == pem(f"{renewed}/server.pem"), "a new certificate is served", str(done))
    expect(stream.lives() and (engine, front) == (process_of("docker.service"), process_of("docker-tls.service")), "and the stream lives on")
    done = apply(both)
    expect(is_let_in(foreign)[0] and stream.lives(), "one more authority is let in, and the stream lives on", f"{done} {is_let_in(foreign)}")
    shutil.copy(f"{first}/ca.pem", foreign)  # by which she knows the host
    guest = Stream(foreign, "stays")
    expect(guest.lives(), "a stream of hers")
    done = apply(first)
    expect(done == ["restart docker-tls.service"] and not is_let_in(foreign)[0], "an authority that goes lets nobody in", str(done))
    expect(not guest.lives(), "and who came in by it is out")
    guest.process.kill()
    stream.process.kill()

    done = apply(first, OTHER_PORT)
    expect(done == ["restart docker-tls.service"] and is_open(OTHER_PORT) and not is_open(), "another port is a restart of the front", str(done))
    apply(first)

    front = process_of("docker-tls.service")
    os.kill(front, signal.SIGKILL)
    os.waitpid(front, 0)  # we are the first process in here: it is ours since its own parent ended
    expect(not is_open(), "where the front was killed nothing listens")
    expect(platform.operate("enable").returncode == 0 and is_let_in(first)[0], "enable starts it")
    for name in ("key", "cert", "ca"):
        saved = open(f"/etc/docker/{name}.pem").read()
        for broken in (None, "", "-----BEGIN nothing"):
            if broken is None:
                os.remove(f"/etc/docker/{name}.pem")
            else:
                with open(f"/etc/docker/{name}.pem", "w") as file:
                    file.write(broken)
            failed = subprocess.run(["systemctl", "restart", "docker-tls.service"]).returncode != 0
            expect(failed and not is_open(), f"with {name}.pem {'gone' if broken is None else repr(broken)} nothing listens")
        with open(f"/etc/docker/{name}.pem", "w") as file:
            file.write(saved)
    expect(platform.operate("enable").returncode == 0 and is_let_in(first)[0], "enable puts it all right")

    # A certificate that the front does not take: the port goes on as it was.
    weak = f"{scratch}/weak"
    make_certificates(weak, first)
    openssl("req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", f"{weak}/server-key.pem", "-subj", "/CN=weak", "-out", f"{weak}/server.csr")
    openssl("x509", "-req", "-in", f"{weak}/server.csr", "-CA", f"{weak}/ca.pem", "-CAkey", f"{weak}/ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile",
            f"{weak}/server.ext", "-out", f"{weak}/server.pem")
    platform.settings({"docker": {"port": PORT}}, weak)
    done = platform.operate("enable")
    status = platform.status()
    expect(done.returncode == 1 and "key too small" in status["formattedMessage"]["message"], "a weak key is refused by name",
           status["formattedMessage"]["message"])
    expect(is_let_in(first)[0] and served() == pem(f"{first}/server.pem"), "and the port is as it was")

    apply(first)
    born = docker(first, "inspect", "--format", "{{.State.Pid}}", "early")
    codes = [platform.operate("disable").returncode, platform.operate("uninstall").returncode]
    expect(codes == [0, 0] and not is_open() and not os.path.exists(FRONT) and not os.path.exists("/etc/docker/key.pem"), "uninstall takes the front along",
           str(codes))
    alive = run("docker", "inspect", "--format", "{{.State.Pid}}", "early")
    expect(alive == born and process_of("docker.service"), "and leaves engine and containers")
    run("systemctl", "stop", "docker.service")

    # As a machine of ours that goes on from a template: the image's daemon.json, the engine up, and files by somebody else.
    keys = json.load(open(f"{RECIPE}/etc/docker/daemon.json"))
    del keys["default-ulimits"]  # this machine's unit sets them by a flag
    json.dump(keys, open("/etc/docker/daemon.json", "w"))
    for name, file in (("ca", "ca"), ("cert", "server"), ("key", "server-key")):
        shutil.copy(f"{first}/{file}.pem", f"/etc/docker/{name}.pem")
    with open("/usr/local/lib/docker-tls/front.conf") as template, open(FRONT, "w") as file:
        file.write(template.read().replace("@ACCEPT@", f"0.0.0.0:{PORT}"))
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "docker.service")
    before = [process_of(unit) for unit in ("docker.service", "docker-tls.service")]
    done = apply(first)
    expect(done == [] and before == [process_of(unit) for unit in ("docker.service", "docker-tls.service")] and is_let_in(first)[0],
           "an extension that comes to a machine which has it all changes nothing", str(done))
    run("systemctl", "stop", "docker.service")


main()
