"""A region of played machines for clients that are not ours: berthd with its fake driver, in a world of its own. Images are
built by stand-ins of the build tools, so that nothing is fetched and nothing takes long."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BERTH_BIN", PROJECT / "build" / "bin"))

STAND_INS = {
    "unshare": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "setpriv": 'while [ "$1" != unshare ]; do shift; done; shift\n'
               'while [ "${1#--}" != "$1" ]; do shift; done\n[ "$1" != sh ] || exit 0\nexec "$@"',
    "newuidmap": "exit 0",
    "mmdebstrap": 'mkdir -p "$WORK/root"; echo kernel > "$WORK/kernel"; echo initrd > "$WORK/initrd"',
    "mke2fs": 'truncate -s 4M "$WORK/disk.raw"',
}


class FakeRegion:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-conformance-"))
        self.home = self.folder / "region"
        stand_ins = self.folder / "bin"
        stand_ins.mkdir()
        for name, script in STAND_INS.items():
            (stand_ins / name).write_text(f"#!/bin/sh\n{script}\n")
            (stand_ins / name).chmod(0o755)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("BERTH_", "AZURE_", "ARM_", "REQUESTS_", "NODE_")) and "proxy" not in k.lower()}
        self.env.update(HOME=str(self.folder), LC_ALL="C.UTF-8")
        env = dict(self.env, PATH=f"{stand_ins}:{os.environ['PATH']}", BERTH_IMAGES=str(self.folder / "images"))
        self.log = open(self.folder / "berthd.out", "w")
        self.process = subprocess.Popen([BIN / "berthd", "--driver", "fake", "--home", self.home], env=env, stdout=self.log, stderr=self.log)
        until = time.monotonic() + 60
        while not (self.home / "region.json").exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError("berthd did not start:\n" + (self.folder / "berthd.out").read_text())
            time.sleep(0.05)
        self.facts = json.loads((self.home / "region.json").read_text())
        self.secret = pathlib.Path(self.facts["clientSecretFile"]).read_text().strip()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("berthd did not end when asked to")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """Runs one client's commands and counts what was not as it should be."""

    def __init__(self, argv, env):
        self.argv, self.env, self.failures = argv, env, []

    def run(self, *words, rc=0, says=None, limit=300):
        began = time.monotonic()
        done = subprocess.run([*self.argv, *[str(w) for w in words]], capture_output=True, text=True, env=self.env, timeout=limit)
        text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        wanted = [says] if isinstance(says, str) else (says or [])
        missing = [w for w in wanted if w not in text]
        good = done.returncode == rc and not missing
        print(f"{'ok  ' if good else 'FAIL'} {time.monotonic() - began:5.1f} s  {' '.join(str(w) for w in words)}", flush=True)
        if not good:
            self.failures.append(words)
            print(f"     ended with {done.returncode}, wanted {rc}; not said: {missing}")
            print("     " + "\n     ".join(text[-3000:].splitlines()), flush=True)
        return done.stdout

    def json(self, *words, **options):
        text = self.run(*words, **options)
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            self.failures.append(words)
            print("     no JSON: " + text[:500])
            return None

    def check(self, what, holds):
        print(f"{'ok  ' if holds else 'FAIL'}          {what}", flush=True)
        if not holds:
            self.failures.append((what,))
