"""Every crash point: for each verb that changes something, berthd is ended before (or in the middle of) the Nth call that changes a file
below its folder, for N = 1 until the verb is done; the same with calls that fail for want of space or with an I/O error, and with what
was not synced lost. After each: started again, nothing that was acknowledged is lost, nothing that was refused has happened, nothing is
there that belongs to nobody, nothing is half made, and the verb can be repeated.

Usage: crash_points.py [--full] [--seconds S] [--seed N] [--verb NAME] [--without NAME] [--mode MODE] [--point N]
Without --full a sample of the points, chosen by the seed, is tried for S seconds (120). A failure names what replays it."""
import argparse
import concurrent.futures
import contextlib
import http.client
import json
import mmap
import os
import pathlib
import random
import re
import shutil
import sqlite3
import ssl
import struct
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from arm_client import Arm  # noqa: E402
from every_kind import (SERVICES, Classic, ManyKinds, add_image, below, deployment_body, handler_package, make_everything, role_body,  # noqa: E402
                        send_package, service_body, NAMESPACE)
from fake_region import FakeRegion  # noqa: E402

SHIM = os.environ.get("FAULTY_DISK", "")
MODES = {"kill": 1, "torn": 2, "unsynced": 3, "nospace": 4, "ioerror": 5}
GONE = (ConnectionError, http.client.HTTPException, ssl.SSLError, OSError)
LIMIT = 60  # seconds until everything has come to rest

VM, NIC, DISK = "Microsoft.Compute/virtualMachines", "Microsoft.Network/networkInterfaces", "Microsoft.Compute/disks"
NSG, NET, IP = "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/virtualNetworks", "Microsoft.Network/publicIPAddresses"


class Refused(Exception):
    """The region said no, or that it failed."""


class Faults:
    """The counters that faulty_disk.c shares with us."""

    def __init__(self, file):
        file.write_bytes(bytes(32))
        with open(file, "r+b") as opened:
            self.map = mmap.mmap(opened.fileno(), 32)

    def arm(self, mode, at, last):
        self.map[:] = struct.pack("4q", 0, at, last, MODES[mode])

    def release(self):
        """Errors end: there is space again."""
        self.map[16:24] = struct.pack("q", 0)

    def disarm(self):
        count = struct.unpack("4q", self.map[:])[0]
        self.map[:] = bytes(32)
        return count


class World:
    """One region that is brought back to the same beginning before each point."""

    def __init__(self):
        self.region = FakeRegion(prepare=add_image)
        self.snapshot = self.region.folder / "snapshot"
        self.faults = Faults(self.region.folder / "faults")
        self.arm, self.classic = make_everything(self.region)
        prepare(self)
        going = come_to_rest(self.arm)
        assert not going, going
        self.region.stop()
        wrong = list(faults_of(self.region))
        assert not wrong, wrong
        shutil.copytree(self.region.home, self.snapshot, symlinks=True)

    def begin(self):
        shutil.rmtree(self.region.home)
        shutil.copytree(self.snapshot, self.region.home, symlinks=True)
        self.start(LD_PRELOAD=SHIM, FAULTY_DISK_CONTROL=str(self.region.folder / "faults"), FAULTY_DISK_ROOT=str(self.region.home))

    def start(self, **env):
        self.region.start(**env)
        self.arm = Caller(self.region)
        self.classic = Classic(self.region)

    def end(self):
        if self.region.process.poll() is None:
            self.region.process.kill()
        self.region.process.wait(30)
        until = time.monotonic() + LIMIT  # programs that it had started
        while any(self.is_child(process) for process in pathlib.Path("/proc").glob("[0-9]*")):
            assert time.monotonic() < until, "a program of the region runs on"
            time.sleep(0.02)

    def is_child(self, process):
        try:
            return str(self.region.home).encode() in (process / "cmdline").read_bytes()
        except OSError:
            return False

    def close(self):
        self.end()
        self.region.log.close()
        shutil.rmtree(self.region.folder, ignore_errors=True)

    # What a verb says to the region; throws Refused, or what a connection that breaks throws.
    def ask(self, method, path, body=None):
        status, text, headers = self.arm.call(method, path, body)
        if status >= 300 and not (method == "DELETE" and status == 404):
            raise Refused(f"{method} {path}: {status} {text.decode(errors='replace')}")
        if operation := headers.get("Azure-AsyncOperation"):
            until = time.monotonic() + LIMIT
            while (document := self.arm.json("GET", operation))["status"] == "InProgress":
                self.wait(until, document)
            if document["status"] != "Succeeded":
                raise Refused(f"{method} {path}: {document}")

    def wait(self, until, shown):
        left = until - time.monotonic()
        if left < 0:
            raise AssertionError(f"still in progress: {shown}")
        if left < LIMIT - 1:
            self.faults.release()  # a region waits for its disk
        time.sleep(0.01)

    def there(self, path):
        status, text, _ = self.arm.call("GET", path)
        if status not in (200, 404):
            raise AssertionError(f"GET {path}: {status} {text.decode(errors='replace')}")
        return json.loads(text) if status == 200 else None

    def ask_classic(self, method, path, body=None):
        status, text, headers = self.classic.call(method, path, body)
        if status >= 300 and not (method == "DELETE" and status == 404):
            raise Refused(f"{method} {path}: {status} {text}")
        if status == 202:
            until = time.monotonic() + LIMIT
            while "InProgress" in (text := self.classic.get("/operations/" + headers["x-ms-request-id"])):
                self.wait(until, text)
            if "Succeeded" not in text:
                raise Refused(f"{method} {path}: {text}")


class Caller(Arm):
    """Sends nothing twice: a connection that breaks is what the test is about."""

    def send(self, method, path, body, headers):
        return self.exchange(method, path, body, headers)


# --- the verbs: what is asked, and whether it is done (None: neither done nor not begun)

def put(path, body, done=None):
    def act(world):
        world.ask("PUT", path, body(world) if callable(body) else body)

    def is_done(world):
        document = world.there(path)
        return document is not None and (done is None or done(document))
    return act, is_done


def delete(path):
    return lambda world: world.ask("DELETE", path), lambda world: world.there(path) is None


def power(name, verb, *states):
    def is_done(world):
        view = world.there(below("g", VM, name) + "/instanceView")
        return any(status["code"] == f"PowerState/{state}" for status in view["statuses"] for state in states)
    return lambda world: world.ask("POST", below("g", VM, name) + "/" + verb), is_done


def sleeps(world, name):
    return "HibernationState/Hibernated" in [status["code"] for status in world.there(below("g", VM, name) + "/instanceView")["statuses"]]


def bodies(world):
    return ManyKinds(world.arm)


def succeeded(document):
    return document["properties"].get("provisioningState") == "Succeeded"


def size_of(wanted):
    return lambda document: succeeded(document) and document["properties"]["hardwareProfile"]["vmSize"] == wanted


def resized(world, size):
    return bodies(world).machine("g", "web1", "nic", size, world.there(below("g", VM, "web1"))["properties"]["storageProfile"]["dataDisks"])


def without_a_disk(world):
    disks = [disk for disk in world.there(below("g", VM, "web1"))["properties"]["storageProfile"]["dataDisks"] if disk["lun"] != 3]
    return bodies(world).machine("g", "web1", "nic", disks=disks)


def new_machine(world):
    """With an interface of its own, made before."""
    return bodies(world).machine("g", "web9", "spare", disks=[{"lun": 0, "createOption": "Empty", "diskSizeGB": 1}])


def template(world):
    return bodies(world).deployment([
        {"type": IP, "apiVersion": "2021-05-01", "name": "deployed-ip", "location": "westus", "properties": {}},
        {"type": "Microsoft.Resources/deployments", "apiVersion": "2021-04-01", "name": "below", "properties": bodies(world).deployment(
            [{"type": "Microsoft.Compute/availabilitySets", "apiVersion": "2021-05-01", "name": "deployed-set", "location": "westus", "properties": {}}])["properties"]}])


def image(name):
    return lambda world: any(each["name"] == name for each in world.there("/providers/Berth.Local/osImages")["value"])


def disk_file(world):
    file = world.region.folder / "import.raw"
    if not file.exists():
        file.write_bytes(b"\0" * 510 + b"\x55\xaa" + b"\0" * ((1 << 20) - 512))
    return {"properties": {"file": str(file), "label": "imported"}}


def package(world):
    answer = world.there("/providers/Berth.Local/extensions")
    return next((each["properties"] for each in answer["value"] if each["properties"]["type"] == "Shell"), None)


def publish(world):
    try:
        send_package(world.arm, handler_package("second"), replace="&replace=true")
    except AssertionError as refused:
        raise Refused(str(refused)) from None
    extension = below("g", VM, "web1") + "/extensions/shell"
    until = time.monotonic() + LIMIT
    while world.there(extension)["properties"]["provisioningState"] in ("Creating", "Updating") and time.monotonic() < until:
        time.sleep(0.01)


def published(world):
    return package(world)["installedVersion"] == "1.0.0.1"


SPARE_RULES = {"location": "westus", "properties": {"securityRules": [
    {"name": "new", "properties": {"priority": 300, "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "sourcePortRange": "*",
                                   "destinationPortRange": "4243", "sourceAddressPrefix": "10.9.0.0/16", "destinationAddressPrefix": "*"}}]}}


def classic(method, path, body, done):
    return lambda world: world.ask_classic(method, path, body), done


def classic_has(path, text):
    def done(world):
        status, answer, _ = world.classic.call("GET", path)
        return status == 200 and text in answer
    return done


VERBS = {
    "group create": put("/resourceGroups/fresh", {"location": "westus", "tags": {"a": "b"}}),
    "group delete": delete("/resourceGroups/g"),
    "rules change": put(below("g", NSG, "rules"), SPARE_RULES, lambda document: [rule["name"] for rule in document["properties"]["securityRules"]] == ["new"]),
    "rules delete": delete(below("g", NSG, "alone")),
    "network create": put(below("g", NET, "fresh"), lambda world: bodies(world).network()),
    "address create": put(below("g", IP, "fresh"), {"location": "westus", "properties": {"dnsSettings": {"domainNameLabel": "fresh"}}}),
    "address delete": delete(below("g", IP, "alone")),
    "interface create": put(below("g", NIC, "fresh"), lambda world: bodies(world).interface("g", None)),
    "interface delete": delete(below("g", NIC, "spare")),
    "disk create": put(below("g", DISK, "fresh"), {"location": "westus", "properties": {"diskSizeGB": 1, "creationData": {"createOption": "Empty"}}}, succeeded),
    "disk grow": put(below("g", DISK, "alone"), {"location": "westus", "properties": {"diskSizeGB": 3, "creationData": {"createOption": "Empty"}}},
                     lambda document: document["properties"]["diskSizeGB"] == 3),
    "disk delete": delete(below("g", DISK, "alone")),
    "vm create": put(below("g", VM, "web9"), new_machine, succeeded),
    "vm delete": delete(below("g", VM, "web1")),
    "vm resize": put(below("g", VM, "web1"), lambda world: resized(world, "Standard_B2s"), size_of("Standard_B2s")),
    "vm detach": put(below("g", VM, "web1"), without_a_disk, lambda document: succeeded(document) and len(document["properties"]["storageProfile"]["dataDisks"]) == 1),
    "vm restart": power("web1", "restart", "running"),
    "vm stop": power("web1", "powerOff", "stopped"),
    "vm deallocate": power("web1", "deallocate", "deallocated"),
    "vm start": power("off", "start", "running"),
    "vm hibernate": (lambda world: world.ask("POST", below("g", VM, "web1") + "/deallocate?hibernate=true"), lambda world: sleeps(world, "web1")),
    "vm wake": power("asleep", "start", "running"),
    "extension set": put(below("g", VM, "web1") + "/extensions/shell", lambda world: bodies(world).extension("second"),
                         lambda document: succeeded(document) and document["properties"]["settings"]["who"] == "second"),
    "extension delete": delete(below("g", VM, "web1") + "/extensions/shell"),
    "extension publish": (publish, published),
    "deployment": put(below("g", "Microsoft.Resources/deployments", "fresh"), template, succeeded),
    "storage account create": put(below("g", "Microsoft.Storage/storageAccounts", "fresh1"), {"location": "westus", "sku": {"name": "Standard_LRS"}, "kind": "Storage"}),
    "image capture": put(below("g", "Microsoft.Compute/images", "again"),
                         lambda world: {"location": "westus", "properties": {"sourceVirtualMachine": bodies(world).id("g", VM, "golden")}}, succeeded),
    "image delete": delete(below("g", "Microsoft.Compute/images", "captured")),
    "image import": (lambda world: world.ask("PUT", "/providers/Berth.Local/osImages/imported", disk_file(world)), image("imported")),
    "classic service create": classic("POST", SERVICES, service_body("cloud9"), classic_has(SERVICES + "/cloud9", "cloud9")),
    "classic deployment create": classic("POST", SERVICES + "/bare/deployments", deployment_body("bare"),
                                         classic_has(SERVICES + "/bare/deploymentslots/production", "<PowerState>Started")),
    "classic role add": classic("POST", SERVICES + "/cloud1/deployments/cloud1/roles", f"<PersistentVMRole {NAMESPACE}>{role_body('third', 2223)}</PersistentVMRole>",
                                classic_has(SERVICES + "/cloud1/deploymentslots/production", "<RoleName>third</RoleName>")),
    "classic deployment delete": (lambda world: world.ask_classic("DELETE", SERVICES + "/cloud1/deployments/cloud1?comp=media"),
                                  lambda world: world.classic.call("GET", SERVICES + "/cloud1/deploymentslots/production")[0] == 404),
}


def prepare(world):
    """What the verbs need besides one of everything."""
    arm = world.arm
    make = ManyKinds(arm)
    arm.done("PUT", below("g", NSG, "alone"), SPARE_RULES)
    arm.done("PUT", below("g", IP, "alone"), {"location": "westus", "properties": {"dnsSettings": {"domainNameLabel": "alone"}}})
    arm.done("PUT", below("g", DISK, "alone"), {"location": "westus", "properties": {"diskSizeGB": 1, "creationData": {"createOption": "Empty"}}})
    for name in ("spare", "of-off", "of-asleep"):
        arm.done("PUT", below("g", NIC, name), make.interface("g", None))
    arm.done("PUT", below("g", VM, "off"), make.machine("g", "off", "of-off"))
    arm.done("POST", below("g", VM, "off") + "/deallocate")
    arm.done("PUT", below("g", VM, "asleep"), make.machine("g", "asleep", "of-asleep"))
    arm.done("POST", below("g", VM, "asleep") + "/deallocate?hibernate=true")
    world.classic.done("POST", SERVICES, service_body("bare"))


# --- what must hold of a region at rest

def come_to_rest(arm):
    """Waits until no operation goes on; returns what still does after LIMIT."""
    until, going = time.monotonic() + LIMIT, []
    while time.monotonic() < until:
        with contextlib.closing(sqlite3.connect(f"file:{arm.region.home}/region.db?mode=ro", uri=True)) as store:
            rows = store.execute("SELECT kind, key, document FROM document WHERE kind = 'operation' OR kind LIKE '%-going' OR kind LIKE '%-pending'").fetchall()
        going = [f"{kind} {key}" for kind, key, text in rows if kind != "operation" or json.loads(text)["status"] == 0]
        if not going:
            return []
        time.sleep(0.02)
    return going


def faults_of(region):
    """Lines that say what is not as it must be in a region's folder."""
    with contextlib.closing(sqlite3.connect(f"file:{region.home}/region.db?mode=ro", uri=True)) as store:
        rows = {}
        for kind, key, text in store.execute("SELECT kind, key, document FROM document"):
            rows.setdefault(kind, {})[key] = text
    parsed = {kind: {key: json.loads(text) for key, text in rows.get(kind, {}).items()} for kind in ("vm", "disk", "interface", "network", "address", "group", "inert", "security-group")}

    def key_of(ref):
        return f"{ref['group']}/{ref['name']}".lower()

    for kind in rows:
        if kind.startswith("set-aside"):
            yield f"set aside: {kind} {list(rows[kind])}"
    for kind, table in parsed.items():
        for key, row in table.items():
            if kind != "group" and f"{row['group']}/{row['group']}".lower() not in parsed["group"]:
                yield f"{kind} {key} is in no group"
    files = {f.name for f in (region.home / "disks").iterdir()} if (region.home / "disks").exists() else set()
    wanted = set()
    for key, disk in parsed["disk"].items():
        name = (disk["file"] or f"disks/{disk['guid']}.qcow2").split("/")[1]
        wanted.add(name)
        user = parsed["vm"].get(key_of(disk["vm"])) if disk["vm"]["name"] else None
        if disk["vm"]["name"] and not user:
            yield f"disk {key} is of a VM that is not there"
        if user and key not in [key_of(user["os_disk"]), *(key_of(data["disk"]) for data in user["data_disks"])]:
            yield f"disk {key} is of a VM that knows nothing of it"
        never_made = user and user["provisioning"] == 3 and not user["provisioned"]
        if disk["file"] and name not in files and not never_made:
            yield f"disk {key} has no file"
    for name in sorted(files - wanted):
        yield f"disks/{name} belongs to nobody"
    ids = set()
    for key, vm in parsed["vm"].items():
        ids.add(vm["id"])
        if vm["provisioning"] in (0, 1, 4):
            yield f"vm {key} is in progress for ever"
        for extension in vm["extensions"]:
            if extension["provisioning"] in (0, 1, 4):
                yield f"extension {extension['name']} of {key} is in progress for ever"
        runs = (region.home / "vm" / vm["id"] / "running").exists()
        if runs != (vm["power"] == 1):
            yield f"vm {key} {'runs' if runs else 'does not run'}, its record says power {vm['power']}"
        sleeps = (region.home / "vm" / vm["id"] / "hibernation").exists()
        if sleeps != (vm["power"] == 7):
            yield f"vm {key} {'sleeps' if sleeps else 'does not sleep'}, its record says power {vm['power']}"
        for kind, refs in (("disk", [vm["os_disk"], *(data["disk"] for data in vm["data_disks"])]), ("interface", vm["interfaces"])):
            for ref in refs:
                if key_of(ref) not in parsed[kind]:
                    yield f"vm {key} has a {kind} {key_of(ref)} that is not there"
    for key, nic in parsed["interface"].items():
        if nic["vm"]["name"] and key_of(nic["vm"]) not in parsed["vm"]:
            yield f"interface {key} is of a VM that is not there"
    for folder in (region.home / "vm").iterdir() if (region.home / "vm").exists() else []:
        if folder.name not in ids:
            yield f"vm/{folder.name} belongs to nobody"
    for vm_id in rows.get("vm-key", {}):
        if vm_id not in ids:
            yield f"there is a key of a VM {vm_id} that is not there"
    for kind in rows:
        if kind.startswith("dialect "):
            for key in rows[kind]:
                group = key.split("/")[0]
                if "/" in key and f"{group}/{group}".lower() not in parsed["group"]:
                    yield f"{kind} {key} is of a group that is not there"
    images = {f.name for f in (region.home / "images").iterdir() if not f.name.startswith(".lock") and not (f / "deleted").exists()}
    managed = {row["name"] for row in parsed["inert"].values() if row["type"].lower() == "microsoft.compute/images"}
    for name in sorted(images - managed - {"tiny", "imported"}):
        yield f"images/{name} belongs to nobody"
    for name in sorted(managed - images):
        yield f"image {name} has no files"
    for draft in [*region.home.rglob(".*.??????"), *region.home.rglob("*.new")]:
        if draft.name != "region.db.backup.new":
            yield f"{draft.relative_to(region.home)} was left"


# --- one point

def try_point(world, verb, mode, point, last=None):
    """Returns how many calls the verb made, or None when it was cut; and the lines that say what was wrong."""
    act, done = VERBS[verb]
    world.begin()
    trouble, said = [], "nothing"
    before = done(world)
    world.faults.arm(mode, point, last if last is not None else point)
    try:
        act(world)
        said = "done"
    except Refused as refused:
        said = f"refused ({refused})"
    except GONE:
        said = "nothing"
    count = world.faults.disarm()
    reached = count >= point
    if mode in ("nospace", "ioerror") and world.region.process.poll() is None:
        drafts_stay = last is not None and last > point  # on a disk that removes nothing; the next start does
        trouble += [f"{line} (before the restart)" for line in rest(world, said, before, done)
                    if not (drafts_stay and (line.endswith(" was left") or line.endswith(".new belongs to nobody")))]
    stopped = verb == "vm restart" and said.startswith("refused")  # its start failed: now it is for the user to start it
    world.end()
    try:
        world.start()
    except AssertionError as error:
        return count, reached, [f"it does not start again: {error}"]
    trouble += rest(world, said, before, done)
    if not trouble:
        try:
            if stopped and not done(world):
                power("web1", "start", "running")[0](world)
            elif verb not in ("vm restart",) or said != "done":
                act(world)
        except Refused as refused:
            if not done(world):
                trouble.append(f"it cannot be repeated: {refused}")
        trouble += [f"{line} (after it was repeated)" for line in rest(world, "done", before, done)]
    world.end()
    return count, reached, trouble


def rest(world, said, before, done):
    lines = [f"{each} goes on for ever" for each in come_to_rest(world.arm)]
    lines += faults_of(world.region)
    now = done(world)
    if said == "done" and not now:
        lines.append("it was acknowledged and is not so")
    if said.startswith("refused (POST") or said.startswith("refused (PUT") or said.startswith("refused (DELETE"):
        if now and not before and "is known when the region starts again" not in said and "still in progress" not in said and re.search(r": [45]\d\d ", said):
            lines.append(f"it was {said} and happened all the same")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verb", action="append", choices=VERBS)
    parser.add_argument("--without", action="append", choices=VERBS, default=[])
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--point", type=int)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if not SHIM or not pathlib.Path(SHIM).exists():
        sys.exit("FAULTY_DISK names no library: build the target faulty_disk")
    verbs, modes = [verb for verb in options.verb or VERBS if verb not in options.without], options.mode or list(MODES)
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.workers) as pool:
        worlds = list(pool.map(lambda _: World(), range(options.workers)))
    local, spare = threading.local(), list(worlds)
    until = float("inf") if options.full or options.point else time.monotonic() + options.seconds
    tried, failures, lock = {}, [], threading.Lock()

    def one(verb, mode, point):
        """How many calls the verb makes; None when there was no time."""
        if time.monotonic() > until:
            return None
        if not hasattr(local, "world"):
            with lock:
                local.world = spare.pop()
        last = point if point % 2 else 10**9  # one call that fails, or all from there on
        try:
            count, reached, trouble = try_point(local.world, verb, mode, point, last)
        except Exception as error:  # what the region answers that it must not
            died = local.world.region.process.poll()
            local.world.end()
            count, reached, trouble = 0, True, [f"{type(error).__name__}: {error}"]
            if died is not None:
                said = (local.world.region.folder / "berthd.out").read_text()
                trouble += [f"berthd ended with {died}", *said.splitlines()[-15:]]
            traceback.print_exc()
        with lock:
            if reached:
                tried[mode] = tried.get(mode, 0) + 1
            if trouble:
                failures.append((verb, mode, point))
                print(f"FAIL {verb}, {mode} at call {point} (--verb '{verb}' --mode {mode} --point {point})\n     " + "\n     ".join(trouble[:20]), flush=True)
        return count

    with concurrent.futures.ThreadPoolExecutor(max_workers=options.workers) as pool:
        if options.point:
            points = [(verb, mode, options.point) for verb in verbs for mode in modes]
        else:
            # How many calls each verb makes, by a run in which none fails.
            counts = dict(zip(verbs, pool.map(lambda verb: one(verb, "kill", 10**9), verbs)))
            print("calls: " + ", ".join(f"{verb} {count}" for verb, count in counts.items()), flush=True)
            points = [(verb, mode, point) for verb in verbs for mode in modes for point in range(1, (counts[verb] or 0) + 1)]
            if not options.full:
                random.Random(options.seed).shuffle(points)
        list(pool.map(lambda each: one(*each), points))
    for world in worlds:
        world.close()
    total = sum(tried.values())
    print(f"{total} of {len(points)} crash points of {len(verbs)} verbs tried ({', '.join(f'{mode} {count}' for mode, count in sorted(tried.items()))}), "
          f"{len(failures)} failed, seed {options.seed}", flush=True)
    if total == 0:
        sys.exit("no point was tried")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
