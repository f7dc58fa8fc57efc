"""Machines that do not boot: how soon Docker answers, and what a host costs. The image and its template are there before the first figure.
BERTH_BIN names the folder of the programs; BERTH_ALIVE how many hosts are to be alive at once (none by default)."""
import math
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import berth  # noqa: E402

ROUNDS = 20
WATCHED = 30  # seconds


def say(what, value):
    print(f"{what:<72} {value}", flush=True)


def spread(times):
    times = sorted(times)
    return f"median {statistics.median(times):.2f} s, p99 {times[math.ceil(len(times) * 0.99) - 1]:.2f} s"


def reported(world, name):
    return "1.3.0: Succeeded" in world.azure("vm", "docker", "show", name).stdout


def machine(world, name):
    return next(pid for pid, command in world.processes() if f"guest={name}" in command)


def private_mib(pid):
    """What it has written; what it only reads of the template's file is the host's page cache, for all that read it."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def create(world, name):
    """Seconds until the command ended, and until the user's docker was answered; a sample counts only with a right answer."""
    began = time.perf_counter()
    out = world.create(name, wait=False).stdout
    ended = time.perf_counter()
    assert "Giving it an identity" in out, out
    answer = world.docker("--context", name, "info", "--format", "{{.Name}}").stdout.strip()
    assert answer == name, answer
    return ended - began, time.perf_counter() - began


def one_after_the_other(world):
    ended, answered = [], []
    for i in range(ROUNDS):
        name = f"bench{i}"
        times = create(world, name)
        ended.append(times[0])
        answered.append(times[1])
        world.azure("vm", "delete", name, "--quiet", limit=300)
    say(f"vm docker create, {ROUNDS} one after the other", spread(ended))
    say("... until `docker info` of the user's own client has answered", spread(answered))


def one_host(world):
    began = time.perf_counter()
    create(world, "alone")
    first = private_mib(machine(world, "alone"))
    berth.wait_until("the report", lambda: reported(world, "alone"), 300)
    say("agent and extension have reported, after the command began", f"{time.perf_counter() - began:.1f} s")
    time.sleep(WATCHED)
    pid = machine(world, "alone")
    before = processor_seconds(pid)
    time.sleep(WATCHED)
    say("private memory of a host that has just answered; idle, all reported", f"{first:.0f} MiB; {private_mib(pid):.0f} MiB")
    say(f"processor of an idle host, over {WATCHED} s", f"{(processor_seconds(pid) - before) / WATCHED * 100:.1f} % of a core")
    world.azure("vm", "delete", "alone", "--quiet", limit=300)


def asleep(world):
    create(world, "sleeper")
    berth.wait_until("the report", lambda: reported(world, "sleeper"), 300)
    to_sleep, to_answer = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        world.azure("vm", "docker", "sleep", "sleeper", limit=300)
        to_sleep.append(time.perf_counter() - began)
        written = sum(file.stat().st_size for file in (world.region / "vm").glob("*/hibernation"))
        began = time.perf_counter()
        assert world.docker("--context", "sleeper", "info", "--format", "{{.Name}}", limit=300).stdout.strip() == "sleeper"
        to_answer.append(time.perf_counter() - began)
    say(f"vm docker sleep, {ROUNDS} times", spread(to_sleep))
    say("... what it wrote, the last time", f"{written / 2**20:.0f} MiB")
    say("`docker info` of a host that sleeps, until it has answered", spread(to_answer))
    world.azure("vm", "delete", "sleeper", "--quiet", limit=300)


def alive(world, count):
    began = time.perf_counter()
    for i in range(count):
        create(world, f"alive{i}")
    made = time.perf_counter() - began
    berth.wait_until("all reports", lambda: all(reported(world, f"alive{i}") for i in range(count)), 3600)
    for i in range(count):
        assert world.docker("--context", f"alive{i}", "info", "--format", "{{.Name}}", limit=300).stdout.strip() == f"alive{i}"
    used = sum(private_mib(machine(world, f"alive{i}")) for i in range(count))
    say(f"{count} hosts alive and all answering: made in; private memory of all", f"{made:.0f} s; {used / 1024:.1f} GiB")


def main():
    world = berth.World(quiet=True)
    try:
        world.azure("vm", "image", "warm", world.image(), limit=berth.CREATE_LIMIT)
        one_after_the_other(world)
        one_host(world)
        asleep(world)
        if count := int(os.environ.get("BERTH_ALIVE", "0")):
            alive(world, count)
    finally:
        world.close()


if __name__ == "__main__":
    main()
