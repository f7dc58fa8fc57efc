"""A region of played machines for clients that are not ours: berthd with its fake driver, in a world of its own. Images are
built by stand-ins of the build tools, so that nothing is fetched and nothing takes long."""
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import traceback

from table import REFUSED, WORKS

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
    def __init__(self, prepare=lambda home: None):
        """`prepare` is given the region's folder once it serves."""
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
        self.env_of_region = env
        self.log = open(self.folder / "berthd.out", "w")
        self.start()
        prepare(self.home)

    def start(self, **more_env):
        """Starts berthd on the region's folder, as often as it has ended."""
        (self.home / "region.json").unlink(missing_ok=True)  # of one that was killed
        self.process = subprocess.Popen([BIN / "berthd", "--driver", "fake", "--hosts-file", "none", "--home", self.home],
                                        env=dict(self.env_of_region, **more_env), stdout=self.log, stderr=self.log)
        until = time.monotonic() + 60
        while not (self.home / "region.json").exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError("berthd did not start:\n" + (self.folder / "berthd.out").read_text())
            time.sleep(0.02)
        self.facts = json.loads((self.home / "region.json").read_text())
        self.secret = pathlib.Path(self.facts["clientSecretFile"]).read_text().strip()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("berthd did not end when asked to")

    def close(self):
        try:
            self.stop()
        finally:
            self.log.close()
            shutil.rmtree(self.folder, ignore_errors=True)


# Options that say only which thing is meant; the others name what a row of the table is about.
WHICH = {"-g", "-n", "-l", "-o", "-p", "-q", "-u", "-y", "--yes", "--vm-name", "--name", "--image", "--admin-username", "--admin-password", "--query", "--tenant"}


class Client:
    """Runs one client's commands, counts what was not as it should be, and writes into the table what was."""

    def __init__(self, name, argv, env, table):
        self.name, self.argv, self.env, self.table = name, argv, env, table
        self.part, self.failures = "", []

    def copy(self, part, folder):
        """The same client, signed in as this one is, for a part that runs beside others."""
        shutil.copytree(self.env["AZURE_CONFIG_DIR"], folder / "config")
        other = Client(self.name, self.argv, dict(self.env, AZURE_CONFIG_DIR=str(folder / "config"), HOME=str(folder)), self.table)
        other.part = part
        return other

    def say(self, good, what):
        print(f"{'ok  ' if good else 'FAIL'} {self.part:10} {what}\n", end="", flush=True)

    def row_of(self, words):
        """"az vm create --count" of a whole command."""
        command = list(itertools.takewhile(lambda word: re.fullmatch("[a-z][a-z-]*", word), words))
        options = [word for word in words[len(command):] if re.fullmatch("--?[a-z][a-z-]*", word) and word not in WHICH]
        return " ".join([self.name, *command, *dict.fromkeys(options)])

    def run(self, *words, rc=0, says=None, row=None, case="", outcome=None, limit=300):
        """`row`: what the table calls it ("" for no row at all); `case`: when it ends so, for what is refused; `outcome`: when it is
        neither, for a client that breaks by itself."""
        words = [str(word) for word in words]
        began = time.monotonic()
        done = subprocess.run([*self.argv, *words], capture_output=True, text=True, env=self.env, timeout=limit)
        text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        wanted = [says] if isinstance(says, str) else (says or [])
        missing = [w for w in wanted if w not in text]
        good = done.returncode == rc and not missing
        self.say(good, f"{time.monotonic() - began:5.1f} s  {' '.join(words)}")
        if not good:
            self.failures.append(words)
            print(f"     ended with {done.returncode}, wanted {rc}; not said: {missing}\n     " + "\n     ".join(text[-3000:].splitlines()), flush=True)
        elif row != "":
            name = (row or self.row_of(words)) + (f" ({case})" if case else "")
            if rc == 0:
                self.table.row(name, outcome or WORKS)
            else:
                self.table.row(name, outcome or REFUSED, f"exit code {rc}: {' … '.join(wanted)}")
        return done.stdout

    def json(self, *words, **options):
        text = self.run(*words, **options)
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            self.check("JSON comes from " + " ".join(str(w) for w in words), False)
            return None

    def check(self, what, holds):
        self.say(holds, "         " + what)
        if not holds:
            self.failures.append(what)


def at_once(client, parts, folder):
    """Runs the parts, each a function of a client, as many at a time as there are processors. Returns how much was wrong."""
    def run_one(part):
        own = client.copy(part.__name__, folder / part.__name__)
        try:
            part(own)
        except Exception:  # a part that broke off is one more thing that was wrong; the others go on
            traceback.print_exc()
            own.failures.append(part.__name__)
        return own.failures

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        return [failure for failures in pool.map(run_one, parts) for failure in failures]
