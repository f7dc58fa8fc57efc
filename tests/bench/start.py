"""Start-up and memory of the programs, and requests per second without a machine. BERTH_BIN names the folder of the programs."""
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import berth  # noqa: E402
from berth import BIN  # noqa: E402


def say(what, value):
    print(f"{what:<56} {value}", flush=True)


def memory_of(argv):
    """Peak resident memory of one run, in MB, from the child's own accounting."""
    pid = os.fork()
    if pid == 0:
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 1)
        os.execv(argv[0], argv)
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_maxrss / 1024


def start_up():
    argv = [str(BIN / "azure"), "--version"]
    times = []
    for _ in range(50):
        began = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - began) * 1000)
    say("azure --version, median of 50", f"{statistics.median(times):.1f} ms")
    say("azure --version, peak memory", f"{memory_of(argv):.1f} MB")


def region():
    world = berth.World(quiet=True)
    try:
        pid = int(world.region_info()["pid"].split()[0])
        time.sleep(2)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        say("berthd, idle", f"{resident / 1024:.1f} MB")
        info = world.region_info()
        secret = pathlib.Path(info["clientSecretFile"]).read_text()
        endpoint = info["managementEndpoint"].rstrip("/")
        token = json.loads(subprocess.run(
            ["curl", "-sS", "--cacert", info["caCertificate"], endpoint + "/adfs/oauth2/token/", "--data-urlencode", "client_secret@-",
             "-d", "grant_type=client_credentials", "-d", "client_id=" + info["clientId"]],
            input=secret, capture_output=True, text=True, check=True).stdout)["access_token"]
        url = f"{endpoint}/subscriptions/{info['subscriptionId']}/providers/Microsoft.Compute/virtualMachines?api-version=2023-03-01"
        count = 2000
        config = "".join(f'url = "{url}"\noutput = "/dev/null"\n' for _ in range(count))
        began = time.perf_counter()
        subprocess.run(["curl", "-sS", "--cacert", info["caCertificate"], "-H", f"Authorization: Bearer {token}", "-K", "-"],
                       input=config, text=True, check=True)
        say("GET virtualMachines, one kept connection", f"{count / (time.perf_counter() - began):.0f} requests/s")
    finally:
        world.close()


if __name__ == "__main__":
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    say("machine", f"{cpu}, {os.cpu_count()} cores")
    start_up()
    region()
