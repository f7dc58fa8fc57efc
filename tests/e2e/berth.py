"""A private world for one end-to-end test: its own HOME, its own region, the real programs of build/bin, real virtual
machines. What it made is gone when it ends, and it says so when something is left."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BERTH_BIN", PROJECT / "build" / "bin"))
PASSWORD = "Str0ng!pass-" + "e2e"
CREATE_LIMIT = 1500  # seconds: the image is built once, and the machine may be loaded


def mirror_hosts():
    """The hosts of the package mirror, from this machine's own apt configuration: the only way out a guest gets."""
    out = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=True)
    hosts = {m[1] for m in (re.match(r"https?://([^/:]+)", line) for line in out.stdout.splitlines()) if m}
    return sorted(hosts) or ["localhost"]


def templates(memory_mib=None):
    """The folders of the Debian 13 Docker image's templates, or of those for machines of that much memory."""
    images = pathlib.Path(os.environ.get("BERTH_IMAGES") or pathlib.Path.home() / ".cache/berth/images")
    return [manifest.parent for manifest in images.glob("Debian-13-docker-*/templates/*/template.json")
            if memory_mib is None or f"\\n{memory_mib}M\\n" in manifest.read_text()]


def remove_templates(memory_mib):
    """For tests of the first machine of a size. No other test has machines of that size."""
    for folder in templates(memory_mib):
        shutil.rmtree(folder)


class World:
    def __init__(self, **options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="be-", dir="/tmp"))
        self.home = self.folder / "home"
        self.region = self.folder / "r"
        self.home.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("BERTH_", "DOCKER_", "AZURE_"))}
        self.env.update(HOME=str(self.home), BERTH_HOME=str(self.region), PATH=f"{BIN}:{os.environ['PATH']}", LC_ALL="C.UTF-8")
        images = os.environ.get("BERTH_IMAGES")
        self.env["BERTH_IMAGES"] = images or str(pathlib.Path.home() / ".cache/berth/images")
        self.egress = options.get("egress", ",".join(mirror_hosts()))
        self.quiet = options.get("quiet", False)
        self.start()

    def start(self):
        self.azure("region", "start", "--egress", self.egress)

    def run(self, *argv, stdin=None, limit=120, check=True):
        """Runs a program in this world; its output goes to the test's log as well, unless the world is quiet."""
        began = time.monotonic()
        done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=limit, env=self.env, cwd=self.home)
        if self.quiet and done.returncode == 0:
            return done
        print(f"$ {' '.join(str(a) for a in argv)}   -> {done.returncode} in {time.monotonic() - began:.1f} s", flush=True)
        for line in (done.stdout + done.stderr).splitlines()[-60:]:
            print("  | " + line, flush=True)
        if check and done.returncode != 0:
            self.tell_logs()
            raise AssertionError(f"{argv[0]} {argv[1:]} ended with {done.returncode}")
        return done

    def azure(self, *argv, **options):
        return self.run(BIN / "azure", *argv, **options)

    def json(self, *argv, **options):
        return json.loads(self.azure(*argv, "--json", **options).stdout)

    def docker(self, *argv, **options):
        return self.run("docker", *argv, **options)

    def image(self, kind="docker", release="Debian-13"):
        """The name of a gallery image, found as the article finds it."""
        for line in self.azure("vm", "image", "list").stdout.splitlines():
            words = line.split()
            if len(words) > 1 and release in words[1] and (("docker" in words[1]) == (kind == "docker")):
                return words[1]
        raise AssertionError(f"no such image in the gallery: {release}, {kind}")

    def create(self, name, *options, image=None, ssh_port=22, limit=CREATE_LIMIT, check=True, wait=True):
        """With wait, it ends when the agent has reported, too."""
        return self.azure("vm", "docker", "create", "-e", ssh_port, "-l", "West US", *(["--wait"] if wait else []), *options, name, image or self.image(), "ops",
                          "--password-file", "-", stdin=PASSWORD, limit=limit, check=check)

    def import_busybox(self, name):
        """Gives the engine of a host an image that needs no registry: berth/busybox."""
        tar = self.folder / "busybox.tar"
        self.run("tar", "-C", "/bin", "-cf", tar, "busybox")
        self.docker("--context", name, "import", "-c", 'ENTRYPOINT ["/busybox"]', tar, "berth/busybox")

    def container_gets(self, name, url, *options, wait=8):
        """What a container of a host gets from a web server within `wait` seconds: status line, headers and body. Not by busybox' wget, which
        crashes where there are no name services to look up a port in."""
        host, _, path = url.removeprefix("http://").partition("/")
        host, _, port = host.partition(":")
        request = f"GET /{path} HTTP/1.0\r\nHost: {host}\r\nMetadata: true\r\n\r\n"
        return self.docker("--context", name, "run", "--rm", "-i", *options, "berth/busybox", "nc", "-w", wait, host, port or "80", stdin=request,
                           check=False, limit=300).stdout

    def show(self, name):
        return self.json("vm", "show", name)

    def ssh(self, name, command, ssh_port=22, limit=180, check=True):
        address, port = self.port(name, ssh_port)
        return self.run("sshpass", "-p", PASSWORD, "ssh", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                        "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", f"ops@{address}", command, limit=limit, check=check)

    def sudo(self, name, command, **options):
        return self.ssh(name, f"echo '{PASSWORD}' | sudo -S -p '' sh -c \"{command}\"", **options)

    def root(self, name, script, **options):
        """Runs a shell script in the machine as root, and gives what it printed."""
        text = base64.b64encode(script.encode()).decode()
        return self.sudo(name, f"echo {text} | base64 -d | sh", **options).stdout.strip()

    def port(self, name, port):
        """Where a public port of a host really is: (address, port)."""
        for group in self.arm("GET", "/resourcegroups")["value"]:
            for address in self.arm("GET", f"/resourceGroups/{group['name']}/providers/Microsoft.Network/publicIPAddresses")["value"]:
                properties = address["properties"]
                if (properties.get("dnsSettings") or {}).get("domainNameLabel") != name:
                    continue
                for local in properties.get("localPorts", []):
                    if local["port"] == port:
                        return properties["ipAddress"], local["hostPort"]
        raise AssertionError(f"{name} has no port {port}")

    def region_info(self):
        return json.loads((self.region / "region.json").read_text())

    def arm(self, method, path, body=None, file=None):
        """One Resource Manager request, as any other client would make it: curl with a token. The body is JSON, or a file."""
        info = self.region_info()
        endpoint = info["managementEndpoint"].rstrip("/")
        secret = pathlib.Path(info["clientSecretFile"]).read_text()
        token = json.loads(subprocess.run(
            ["curl", "-sS", "--cacert", info["caCertificate"], endpoint + "/adfs/oauth2/token/", "--data-urlencode", "client_secret@-",
             "-d", "grant_type=client_credentials", "-d", "client_id=" + info["clientId"], "-d", "scope=https://management.core.windows.net//.default"],
            input=secret, capture_output=True, text=True, check=True).stdout)["access_token"]
        url = endpoint + (path if path.startswith("/subscriptions/") else f"/subscriptions/{info['subscriptionId']}{path}")
        url += ("&" if "?" in url else "?") + "api-version=2023-03-01"
        argv = ["curl", "-sS", "--cacert", info["caCertificate"], "-X", method, "-H", "@-", url]
        if body is not None:
            argv += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        elif file is not None:
            argv += ["-H", "Content-Type: application/octet-stream", "--data-binary", f"@{file}"]
        out = subprocess.run(argv, input=f"Authorization: Bearer {token}\n", capture_output=True, text=True, check=True).stdout
        return json.loads(out) if out else {}

    def processes(self):
        """Processes that belong to this world: (pid, command line)."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.region) in line:
                found.append((int(entry.name), line))
        return found

    def files_with(self, *needles):
        """Files of this world that hold one of these byte strings."""
        found = []
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 30 and path.suffix != ".qcow2":
                data = path.read_bytes()
                found += [(path, needle) for needle in needles if needle in data]
        return found

    def tell_logs(self):
        for log in [self.region / "berthd.log", *self.region.glob("net/*/switch.log"), *self.region.glob("vm/*/qemu.log"),
                    *self.region.glob("vm/*/serial.log")]:
            if log.is_file():
                print(f"--- {log}", flush=True)
                for line in log.read_text(errors="replace").splitlines()[-40:]:
                    print("  | " + line, flush=True)

    def close(self):
        """Deletes the region and proves that nothing of it is left."""
        try:
            self.azure("region", "delete", "--quiet", limit=300)
            for _ in range(100):
                if not self.processes():
                    break
                time.sleep(0.1)
            left = self.processes()
            assert not left, f"left running: {left}"
            assert not self.region.exists(), f"left behind: {list(self.region.rglob('*'))[:20]}"
            assert str(self.region) not in pathlib.Path("/etc/hosts").read_text()
        finally:
            for pid, _ in self.processes():
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            shutil.rmtree(self.folder, ignore_errors=True)


class Case(unittest.TestCase):
    """Tests that share a world: it is made, `prepare` fills it, and it goes whatever happens."""

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass


def wait_until(what, condition, limit):
    """Waits for an event; `limit` in seconds is for a machine under load."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {limit} s")


def main():
    """A test that was skipped proves nothing: it fails the run."""
    result = unittest.main(verbosity=2, failfast=True, argv=sys.argv, exit=False).result
    sys.exit(0 if result.wasSuccessful() and not result.skipped else 1)
