#!/usr/bin/env python3
"""The packed handler against a real dockerd: TLS host from nothing, no change, rotation, a configuration that does
not start, update, uninstall, with a container that keeps its process id throughout.

Usage: real_engine.py FOLDER_WITH_PACKAGES WORK_FOLDER
Needs root, for a mount namespace of its own; nothing of it is seen outside. The engine's programs come from the
packages that apt knows and are unpacked into WORK_FOLDER, not installed. Exit code 77 means: cannot run here."""
import base64, fcntl, glob, json, os, resource, shutil, socket, ssl, subprocess, sys, time, zipfile

HANDLER = "Microsoft.Azure.Extensions.DockerExtension"
LIB = "/var/lib/waagent"
PORT = 23760
PACKAGES = ["docker.io", "containerd", "runc", "tini", "libdevmapper1.02.1"]
HERE = os.path.dirname(os.path.abspath(__file__))


def skip(why):
    print("cannot run here:", why)
    sys.exit(77)


def run(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


def unpack_engine(work):
    """dockerd and what it runs, in one folder."""
    programs = f"{work}/programs"
    if os.path.exists(f"{programs}/dockerd"):
        return programs
    packages = f"{work}/packages"
    os.makedirs(packages, exist_ok=True)
    try:
        run("apt-get", "download", *PACKAGES, cwd=packages)
    except (OSError, subprocess.CalledProcessError) as error:
        skip(f"apt-get download: {getattr(error, 'stderr', error)}")
    tree = f"{work}/tree"
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    for package in glob.glob(f"{packages}/*.deb"):
        archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
        subprocess.run(["tar", "--extract", "--directory", tree, "--wildcards", "./usr/bin/*", "./usr/sbin/*"], stdin=archive.stdout,
                       stderr=subprocess.DEVNULL)  # a package may have none
        archive.wait()
    shutil.rmtree(f"{work}/new", ignore_errors=True)
    os.makedirs(f"{work}/new")
    for file in glob.glob(f"{tree}/usr/*bin/*"):
        if not os.path.islink(file):
            os.rename(file, f"{work}/new/{os.path.basename(file)}")
    os.rename(f"{work}/new", programs)
    return programs


def enter_namespace(work):
    """Once more, with mounts of our own that nobody else sees."""
    if os.environ.get("REAL_ENGINE_INSIDE"):
        return
    if os.geteuid() != 0:
        skip("not root")
    if not shutil.which("ip"):
        skip("no ip (package iproute2)")
    if subprocess.run(["unshare", "--mount", "--net", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        skip("no namespaces")
    unpack_engine(work)
    environment = {**os.environ, "REAL_ENGINE_INSIDE": "1"}
    sys.exit(subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                             sys.executable, *sys.argv], env=environment, timeout=500).returncode)


def furnish(programs, work):
    """A machine with an engine that was never started."""
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for folder in ("/etc", "/var", "/usr/local"):  # what is written there stays in memory and in here
        layer = f"/run/layers{folder}"
        os.makedirs(f"{layer}/upper")
        os.makedirs(f"{layer}/work")
        try:
            run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={folder},upperdir={layer}/upper,workdir={layer}/work", folder)
        except subprocess.CalledProcessError as error:
            skip(f"no overlay over {folder}: {error.stderr}")
    for folder in ("/etc/docker", "/etc/systemd/system", "/var/lib/docker", "/var/lib/docker-ext", LIB, "/var/log/azure", "/usr/local/sbin"):
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    os.makedirs("/run/systemd/system")
    os.makedirs("/usr/local/bin", exist_ok=True)
    run("mount", "--bind", programs, "/usr/local/bin")
    for name in ("systemctl", "journalctl"):
        shutil.copy(f"{HERE}/fake-{name}", f"/usr/local/sbin/{name}")
        os.chmod(f"/usr/local/sbin/{name}", 0o755)
    with open("/etc/systemd/system/docker.service", "w") as unit:
        unit.write("[Service]\nType=notify\nExecStart=/usr/local/bin/dockerd -H unix:///run/docker.sock --iptables=false --bridge=none "
                   "--storage-driver=vfs\n")
    with open("/etc/docker/daemon.json", "w") as file:
        file.write('{\n  "labels": ["mine=1"]\n}\n')
    run("systemctl", "daemon-reload")


def openssl(*arguments, **more):
    return run("openssl", *arguments, **more)


class Platform:
    """Does what the guest agent and the region do."""

    def __init__(self, packages, work):
        self.packages, self.work, self.number = packages, work, -1
        openssl("req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=TenantEncryptionCert", "-keyout", f"{work}/t.key", "-out", f"{work}/t.crt")
        fingerprint = openssl("x509", "-in", f"{work}/t.crt", "-noout", "-fingerprint", "-sha1")
        self.thumbprint = fingerprint.split("=")[1].strip().replace(":", "")
        shutil.copy(f"{work}/t.crt", f"{LIB}/{self.thumbprint}.crt")
        shutil.copy(f"{work}/t.key", f"{LIB}/{self.thumbprint}.prv")
        self.unpack("1.3.0", f"{packages}/bin/extensions/{HANDLER}_1.3.0.zip")

    def unpack(self, version, package):
        before = getattr(self, "folder", None)
        self.folder = f"{LIB}/{HANDLER}-{version}"
        zipfile.ZipFile(package).extractall(self.folder)
        os.chmod(f"{self.folder}/bin/docker-extension", 0o755)
        for name in ("config", "status"):
            if before:
                shutil.copytree(f"{before}/{name}", f"{self.folder}/{name}")
            else:
                os.makedirs(f"{self.folder}/{name}")
        if before:
            shutil.copy(f"{before}/mrseq", self.folder)
        environment = {"logFolder": f"/var/log/azure/{HANDLER}", "configFolder": f"{self.folder}/config", "statusFolder": f"{self.folder}/status",
                       "heartbeatFile": f"{self.folder}/heartbeat.log"}
        json.dump([{"name": HANDLER, "version": 1.0, "handlerEnvironment": environment}], open(f"{self.folder}/HandlerEnvironment.json", "w"))

    def settings(self, public, certificates):
        self.number += 1
        secret = {"certs": {name: base64.b64encode(open(f"{certificates}/{file}.pem", "rb").read()).decode()
                            for name, file in (("ca", "ca"), ("cert", "server"), ("key", "server-key"))}}
        blob = subprocess.run(["openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", f"{self.work}/t.crt"],
                              input=json.dumps(secret).encode(), check=True, capture_output=True).stdout
        whole = {"runtimeSettings": [{"handlerSettings": {"publicSettings": public, "protectedSettings": base64.b64encode(blob).decode(),
                                                          "protectedSettingsCertThumbprint": self.thumbprint}}]}
        json.dump(whole, open(f"{self.folder}/config/{self.number}.settings", "w"))

    def operate(self, operation, folder=None):
        folder = folder or self.folder
        environment = {"ConfigSequenceNumber": str(self.number), "PATH": "/usr/bin:/bin"}
        return subprocess.run([f"{folder}/bin/docker-extension", operation], cwd=folder, env=environment, capture_output=True, text=True, timeout=200)

    def status(self):
        return json.load(open(f"{self.folder}/status/{self.number}.status"))[0]["status"]


def make_certificates(folder):
    os.makedirs(folder)
    def key(name):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/{name}.pem")
    key("ca-key")
    openssl("req", "-x509", "-new", "-key", f"{folder}/ca-key.pem", "-days", "2", "-subj", "/CN=Test CA", "-out", f"{folder}/ca.pem")
    for name, use in (("server", "serverAuth"), ("client", "clientAuth")):
        key(f"{name}-key")
        openssl("req", "-new", "-key", f"{folder}/{name}-key.pem", "-subj", f"/CN={name}", "-out", f"{folder}/{name}.csr")
        with open(f"{folder}/{name}.ext", "w") as extensions:
            extensions.write(f"extendedKeyUsage={use}\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca-key.pem", "-CAcreateserial",
                "-days", "2", "-extfile", f"{folder}/{name}.ext", "-out", f"{folder}/{name}.pem")


def docker(certificates, *arguments):
    return run("docker", "--tlsverify", "--tlscacert", f"{certificates}/ca.pem", "--tlscert", f"{certificates}/client.pem", "--tlskey",
               f"{certificates}/client-key.pem", "-H", f"tcp://127.0.0.1:{PORT}", *arguments, timeout=60)


def served(port=PORT):
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)


def pem(file):
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(open(file).read()))


def calls():
    return open("/run/fake/calls").read().split("\n")[:-1]


def expect(condition, what, detail=""):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        print(detail)
        log = f"/var/log/azure/{HANDLER}/docker-extension.log"
        for file in (log, "/run/fake/journal"):
            if os.path.exists(file):
                print("".join(open(file).readlines()[-40:]))
        sys.exit(1)


def resident_memory(argv, work):
    """KiB that the program had at most. A launcher that is small itself: what a child had before exec counts too."""
    source = f"{work}/launcher.c"
    with open(source, "w") as file:
        file.write("#include <stdio.h>\n#include <sys/resource.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
                   "int main(int n, char **argv) { struct rusage u; (void)n; if (fork() == 0) { execv(argv[1], argv + 1); _exit(127); }"
                   " wait(0); getrusage(RUSAGE_CHILDREN, &u); printf(\"%ld\\n\", u.ru_maxrss); }\n")
    run("clang-16", "-static", "-O1", "-o", f"{work}/launcher", source)
    return int(run(f"{work}/launcher", *argv, env={"ConfigSequenceNumber": "0"}))


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
    scratch = f"/run/scratch"
    os.makedirs(scratch)
    first, second = f"{scratch}/first", f"{scratch}/second"
    make_certificates(first)
    make_certificates(second)
    platform = Platform(packages, scratch)

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
    memory = resident_memory([f"{platform.folder}/bin/docker-extension", "enable"], scratch)
    times.sort()
    print(f"     no change: {cpu:.1f} ms of processor, median {times[10]:.1f} ms, most {times[-1]:.1f} ms, {memory / 1024:.1f} MiB resident")
    expect(cpu < 40, "with less than 40 ms of processor (aim: 10)")
    expect(memory < 12 * 1024, "and 12 MiB (aim: 6)")

    with open("/run/docker-ext/lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()} 0 {platform.folder}\n")
        lock.truncate()
        lock.flush()
        os.chmod("/etc/docker/key.pem", 0o600)  # something to do, and somebody at it
        start = time.monotonic()
        done = platform.operate("enable")
        print(f"     lock path: {(time.monotonic() - start) * 1000:.1f} ms, program: {os.path.getsize(platform.folder + '/bin/docker-extension') / 1e6:.2f} MB")
        expect(done.returncode == 0 and os.stat("/etc/docker/key.pem").st_mode & 0o777 == 0o600, "a second enable leaves the work to the first", done.stderr)
    expect(platform.operate("enable").returncode == 0 and os.stat("/etc/docker/key.pem").st_mode & 0o777 == 0o400, "a mode that was changed is set right")

    container = None
    try:
        container = start_container(first, scratch)
        state = container(first)
        expect(state.startswith("true "), "a container runs")
    except subprocess.CalledProcessError as error:
        print("     no container can run here:", error.stderr.strip()[-300:])

    platform.settings({"docker": {"port": PORT}}, second)
    done = platform.operate("enable")
    expect(done.returncode == 0 and served() == pem(f"{second}/server.pem"), "rotation takes effect", done.stderr)
    if container:
        expect(container(second) == state, "the container keeps its process", container(second) + " was " + state)

    platform.settings({"docker": {"port": PORT, "options": ["--exec-opt=native.cgroupdriver=nonsense"]}}, first)
    done = platform.operate("enable")
    status = platform.status()
    expect(done.returncode == 1 and status["status"] == "error", "a configuration that does not start is an error", done.stderr)
    expect("cgroupdriver" in status["formattedMessage"]["message"], "the status says why", status["formattedMessage"]["message"])
    expect(served() == pem(f"{second}/server.pem"), "and the engine runs as before")
    if container:
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
    if container:
        alive = run("docker", "ps", "--quiet", "--no-trunc")
        expect(len(alive.split()) == 1, "and the container", alive)
    run("systemctl", "stop", "docker.service")


main()
