"""A machine of one's own for the packed handler: a mount and network namespace with a real dockerd under a played service
manager, and what the guest agent and the region do. The engine's programs come from the packages that apt knows and are
unpacked, not installed; nothing is seen outside."""
import base64
import glob
import json
import os
import resource
import shutil
import ssl
import subprocess
import sys
import zipfile

HANDLER = "Microsoft.Azure.Extensions.DockerExtension"
LIB = "/var/lib/waagent"
PORT = 23760
PACKAGES = ["docker.io", "containerd", "runc", "tini", "libdevmapper1.02.1"]
HERE = os.path.dirname(os.path.abspath(__file__))
RECIPE = f"{HERE}/../../src/images/recipe/root"


def give_up(why):
    sys.exit(f"This test cannot run here: {why}.")


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
        give_up(f"apt-get download: {getattr(error, 'stderr', error)}")
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
        os.execvp("sudo", ["sudo", "-n", sys.executable, *sys.argv])
    if not shutil.which("ip"):
        give_up("no ip (package iproute2)")
    if subprocess.run(["unshare", "--mount", "--net", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        give_up("no namespaces")
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
            give_up(f"no overlay over {folder}: {error.stderr}")
    for folder in ("/etc/docker", "/etc/systemd/system", "/var/lib/docker", "/var/lib/docker-ext", LIB, "/var/log/azure", "/usr/local/sbin"):
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    os.makedirs("/run/systemd/system")
    os.makedirs("/usr/local/bin", exist_ok=True)
    run("mount", "--bind", programs, "/usr/local/bin")
    for name in ("systemctl", "journalctl"):
        shutil.copy(f"{HERE}/fake-{name}", f"/usr/local/sbin/{name}")
        os.chmod(f"/usr/local/sbin/{name}", 0o755)
    # Root of a container may not raise its limits above those that it has: this machine's user chose some for containers.
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with open("/etc/systemd/system/docker.service", "w") as unit:
        unit.write("[Service]\nType=notify\nExecStart=/usr/local/bin/dockerd -H unix:///run/docker.sock --iptables=false --bridge=none "
                   f"--storage-driver=vfs --default-ulimit=nofile={min(open_files, 1024)}:{min(open_files, 4096)}\n")
    with open("/etc/docker/daemon.json", "w") as file:
        file.write('{\n  "labels": ["mine=1"]\n}\n')
    run("systemctl", "daemon-reload")


def install_front():
    """What an image of ours has before its engine. The program itself is this machine's (package stunnel4)."""
    if not os.path.exists("/usr/bin/stunnel4"):
        give_up("no stunnel4 (package stunnel4)")
    for folder, name in (("/usr/local/lib/docker-tls", "front.conf"), ("/etc/systemd/system", "docker-tls.service")):
        os.makedirs(folder, exist_ok=True)
        shutil.copy(f"{RECIPE}{folder}/{name}", folder)
    run("systemctl", "daemon-reload")


def openssl(*arguments, **more):
    return run("openssl", *arguments, **more)


class Platform:
    """Does what the guest agent and the region do."""

    def __init__(self, package, work):
        self.work, self.number = work, -1
        openssl("req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=TenantEncryptionCert", "-keyout", f"{work}/t.key", "-out", f"{work}/t.crt")
        fingerprint = openssl("x509", "-in", f"{work}/t.crt", "-noout", "-fingerprint", "-sha1")
        self.thumbprint = fingerprint.split("=")[1].strip().replace(":", "")
        shutil.copy(f"{work}/t.crt", f"{LIB}/{self.thumbprint}.crt")
        shutil.copy(f"{work}/t.key", f"{LIB}/{self.thumbprint}.prv")
        self.unpack("1.3.0", package)

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


def make_certificates(folder, authority=None, called="Test CA"):
    """An authority, or that of another folder, with a server's and a client's certificate."""
    os.makedirs(folder)
    def key(name):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/{name}.pem")
    if authority:
        for name in ("ca", "ca-key"):
            shutil.copy(f"{authority}/{name}.pem", folder)
    else:
        key("ca-key")
        openssl("req", "-x509", "-new", "-key", f"{folder}/ca-key.pem", "-days", "2", "-subj", f"/CN={called}", "-out", f"{folder}/ca.pem")
    for name, use in (("server", "serverAuth"), ("client", "clientAuth")):
        key(f"{name}-key")
        openssl("req", "-new", "-key", f"{folder}/{name}-key.pem", "-subj", f"/CN={name}", "-out", f"{folder}/{name}.csr")
        with open(f"{folder}/{name}.ext", "w") as extensions:
            extensions.write(f"extendedKeyUsage={use}\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca-key.pem", "-CAcreateserial",
                "-days", "2", "-extfile", f"{folder}/{name}.ext", "-out", f"{folder}/{name}.pem")


def docker_command(certificates, *arguments, port=PORT):
    return ["docker", "--tlsverify", "--tlscacert", f"{certificates}/ca.pem", "--tlscert", f"{certificates}/client.pem", "--tlskey",
            f"{certificates}/client-key.pem", "-H", f"tcp://127.0.0.1:{port}", *arguments]


def docker(certificates, *arguments, port=PORT):
    return run(*docker_command(certificates, *arguments, port=port), timeout=60)


def served(port=PORT):
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)


def pem(file):
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(open(file).read()))


def calls():
    return open("/run/fake/calls").read().split("\n")[:-1]


def measure(work, runs, *argv):
    """Runs the program that often, one after the other: (milliseconds of each, KiB that one had at most). By a launcher that is
    small itself: what a child had before exec counts too, and what starting it costs."""
    launcher = f"{work}/launcher"
    if not os.path.exists(launcher):
        with open(f"{launcher}.c", "w") as file:
            file.write(r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(int n, char **argv) {
  (void)n;
  for (int left = atoi(argv[1]); left > 0; --left) {
    struct timespec began, ended;
    struct rusage used;
    int code;
    clock_gettime(CLOCK_MONOTONIC, &began);
    const pid_t child = vfork();
    if (child == 0) {
      execv(argv[2], argv + 2);
      _exit(127);
    }
    wait4(child, &code, 0, &used);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (code != 0) return 1;
    printf("%.3f %ld\n", (ended.tv_sec - began.tv_sec) * 1e3 + (ended.tv_nsec - began.tv_nsec) / 1e6, used.ru_maxrss);
  }
}
""")
        run("clang-16", "-static", "-O1", "-o", launcher, f"{launcher}.c")
    done = subprocess.run([launcher, str(runs), *argv], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env={"ConfigSequenceNumber": "0"})
    lines = [line.split() for line in done.stdout.splitlines()]
    return [float(line[0]) for line in lines], max(int(line[1]) for line in lines)
