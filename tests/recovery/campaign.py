"""Eight clients change a region while its process is killed again and again. After each kill it is started again, and nothing that was
acknowledged to any of them is lost or has come back, nothing is left behind, nothing is half made.

Usage: campaign.py [--kills N] [--clients N] [--seed N]"""
import argparse
import json
import random
import sys
import threading
import time
import traceback

from crash_points import DISK, GONE, IP, LIMIT, NIC, NSG, VM, Refused, World, bodies, come_to_rest, faults_of
from every_kind import below

NAMES = ("one", "two")


class Known:
    """What a client knows of one resource: the revisions that it may have; None: it may be absent."""

    def __init__(self):
        self.may_be = {None}


class Client(threading.Thread):
    """Works in a group of its own, as long as the region runs; what a broken connection leaves open, the next look decides."""

    def __init__(self, world, number, seed, turns):
        super().__init__(daemon=True)
        self.world, self.group, self.random, self.turns = world, f"c{number}", random.Random(seed * 1000 + number), turns
        self.known, self.revision, self.acknowledged, self.trouble = {}, 0, 0, []

    # --- what is asked

    def path(self, kind, name):
        return below(self.group, kind, name)

    def body(self, kind, name, revision):
        make = bodies(self.world)
        document = {
            IP: lambda: {"location": "westus", "properties": {}},
            NSG: lambda: make.rules(),
            DISK: lambda: {"location": "westus", "properties": {"diskSizeGB": 1, "creationData": {"createOption": "Empty"}}},
            NIC: lambda: self.interface(make),
            VM: lambda: make.machine(self.group, name, "nic-" + name),
        }[kind]()
        document["tags"] = {"revision": str(revision)}
        return document

    def interface(self, make):
        document = make.interface("g", None)
        del document["properties"]["networkSecurityGroup"]
        return document

    def put(self, kind, name):
        self.revision += 1
        revision, known = self.revision, self.known.setdefault((kind, name), Known())
        before, known.may_be = known.may_be, known.may_be | {revision}
        try:
            self.world.ask("PUT", self.path(kind, name), self.body(kind, name, revision))
        except Refused as refused:
            # A refusal changed nothing; an operation that failed may have left the resource, and says so in it.
            if "'status': 'Failed'" not in str(refused):
                known.may_be = before
            return
        known.may_be = {revision}
        self.acknowledged += 1

    def delete(self, kind, name):
        known = self.known.setdefault((kind, name), Known())
        before, known.may_be = known.may_be, known.may_be | {None}
        try:
            self.world.ask("DELETE", self.path(kind, name))
        except Refused as refused:
            if "'status': 'Failed'" not in str(refused):
                known.may_be = before
            return
        known.may_be = {None}
        self.acknowledged += 1

    def power(self, name):
        try:
            self.world.ask("POST", self.path(VM, name) + "/" + self.random.choice(["start", "restart", "powerOff", "deallocate", "deallocate?hibernate=true"]))
            self.acknowledged += 1
        except Refused:
            pass

    def step(self):
        what, name = self.random.random(), self.random.choice(NAMES)
        if what < 0.25:
            self.put(self.random.choice([IP, NSG, DISK]), name)
        elif what < 0.4:
            self.delete(self.random.choice([IP, NSG, DISK]), name)
        elif what < 0.65:
            self.put(NIC, "nic-" + name)
            self.put(VM, name)
        elif what < 0.75:
            self.delete(VM, name)
        else:
            self.power(name)

    # --- when

    def run(self):
        while self.turns.begin():
            try:
                while True:
                    self.step()
            except GONE:
                pass  # the region is dead
            except Exception:
                self.trouble.append(traceback.format_exc())
            self.turns.end()

    def look(self):
        """What is there, compared with what was acknowledged; what was open is known from here on."""
        for (kind, name), known in self.known.items():
            document = self.world.there(self.path(kind, name))
            revision = None if document is None else int(document["tags"]["revision"])
            if revision not in known.may_be:
                yield f"{self.group}: {kind} {name} has revision {revision}, acknowledged was {known.may_be}"
            known.may_be = {revision}


class Turns:
    """All clients begin together and wait for each other."""

    def __init__(self, clients):
        self.clients, self.working, self.turn, self.over = clients, 0, 0, False
        self.condition = threading.Condition()
        self.seen = threading.local()

    def begin(self):
        with self.condition:
            self.condition.wait_for(lambda: self.over or self.turn != getattr(self.seen, "turn", 0))
            self.seen.turn = self.turn
            return not self.over

    def end(self):
        with self.condition:
            self.working -= 1
            self.condition.notify_all()

    def go(self, over=False):
        with self.condition:
            self.over, self.turn, self.working = over, self.turn + 1, self.clients
            self.condition.notify_all()

    def all_ended(self):
        with self.condition:
            return self.condition.wait_for(lambda: self.working == 0, 2 * LIMIT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    world = World()
    world.start()
    turns, chance = Turns(options.clients), random.Random(options.seed)
    clients = [Client(world, number, options.seed, turns) for number in range(options.clients)]
    for client in clients:
        world.arm.done("PUT", f"/resourceGroups/{client.group}", {"location": "westus"})
        client.start()
    trouble, kills = [], 0
    while kills < options.kills and not trouble:
        turns.go()
        time.sleep(chance.uniform(0.05, 0.8))  # the kill comes at any moment; nothing waits for this
        world.region.process.kill()
        kills += 1
        world.end()
        if not turns.all_ended():
            trouble.append("a client hangs although the region is dead")
            break
        world.start()
        trouble += [f"{each} goes on for ever" for each in come_to_rest(world.arm)]
        trouble += faults_of(world.region)
        for client in clients:
            trouble += client.trouble
            trouble += client.look()
        if kills % 50 == 0:
            print(f"{kills} kills, {sum(client.acknowledged for client in clients)} operations acknowledged", flush=True)
    turns.go(over=True)
    world.close()
    print(f"{kills} kills of a region with {options.clients} clients, {sum(client.acknowledged for client in clients)} operations acknowledged, "
          f"{len(trouble)} faults, seed {options.seed}", flush=True)
    for line in trouble[:20]:
        print("FAIL " + line, flush=True)
    sys.exit(1 if trouble or sum(client.acknowledged for client in clients) == 0 else 0)


if __name__ == "__main__":
    main()
