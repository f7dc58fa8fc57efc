"""What Resource Manager does under load, on played machines. Usage: load.py [VMS], 10,000 unless told otherwise; BERTH_BIN names
the folder of the programs (build/bin). Ends with 1 when an operation was lost or memory did not grow evenly."""
import concurrent.futures
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from arm_client import VERSION, Arm  # noqa: E402
from fake_region import FakeRegion  # noqa: E402

BATCH = 100  # machines of one deployment
LIMIT = 3600  # seconds for everything that was asked for at once
SAMPLES = 400


def say(what, value):
    print(f"{what:<56} {value}", flush=True)


def template(count):
    """`count` machines with what belongs to them, in one network."""
    copy = {"name": "all", "count": "[parameters('count')]"}

    def resource(kind, name, properties, after=(), **more):
        return {"type": kind, "apiVersion": "2021-05-01", "name": name, "location": "westus", "dependsOn": list(after), "properties": properties, **more}

    def identity(kind, name):
        return {"id": f"[resourceId('{kind}', {name})]"}

    each = {"copy": copy}
    nic, address, name = "concat(parameters('p'), '-nic', copyIndex())", "concat(parameters('p'), '-ip', copyIndex())", "concat(parameters('p'), '-vm', copyIndex())"
    return {"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
            "parameters": {"p": {"type": "string"}, "count": {"type": "int", "defaultValue": count}, "password": {"type": "securestring"}},
            "resources": [
                resource("Microsoft.Network/virtualNetworks", "[concat(parameters('p'), '-net')]",
                         {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/16"}}]}),
                resource("Microsoft.Network/networkSecurityGroups", "[concat(parameters('p'), '-nsg')]",
                         {"securityRules": [{"name": "ssh", "properties": {"priority": 1000, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
                                                                           "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22"}}]}),
                resource("Microsoft.Network/publicIPAddresses", f"[{address}]", {"dnsSettings": {"domainNameLabel": f"[{name}]"}}, **each),
                resource("Microsoft.Network/networkInterfaces", f"[{nic}]",
                         {"networkSecurityGroup": identity("Microsoft.Network/networkSecurityGroups", "concat(parameters('p'), '-nsg')"),
                          "ipConfigurations": [{"name": "one", "properties": {
                              "subnet": {"id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', concat(parameters('p'), '-net'), 's')]"},
                              "publicIPAddress": identity("Microsoft.Network/publicIPAddresses", address)}}]},
                         ["[concat(parameters('p'), '-net')]", "[concat(parameters('p'), '-nsg')]", f"[resourceId('Microsoft.Network/publicIPAddresses', {address})]"], **each),
                resource("Microsoft.Compute/virtualMachines", f"[{name}]",
                         {"hardwareProfile": {"vmSize": "Standard_B1s"}, "networkProfile": {"networkInterfaces": [identity("Microsoft.Network/networkInterfaces", nic)]},
                          "osProfile": {"computerName": f"[{name}]", "adminUsername": "ops", "adminPassword": "[parameters('password')]"},
                          "storageProfile": {"imageReference": {"publisher": "Debian", "offer": "debian-13", "sku": "13-docker", "version": "latest"},
                                             "osDisk": {"createOption": "FromImage"}}},
                         [f"[resourceId('Microsoft.Network/networkInterfaces', {nic})]"], **each)]}


def begin(arm, group, name, count):
    """Sends one deployment; the address of its operation, or None when it was not accepted."""
    body = {"properties": {"mode": "Incremental", "template": template(count),
                           "parameters": {"p": {"value": name}, "password": {"value": "Passw0rd-1234"}}}}
    status, text, headers = arm.call("PUT", f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}", body)
    if status != 201:
        print(text.decode()[:500], file=sys.stderr)
        return None
    return headers["Azure-AsyncOperation"]


def finish(arm, operations):
    """Polls until none of them runs any longer; how many of them succeeded."""
    succeeded, until = 0, time.monotonic() + LIMIT
    for operation in operations:
        while operation and time.monotonic() < until:
            status, text, _ = arm.call("GET", operation)
            outcome = json.loads(text)["status"] if status == 200 else f"HTTP {status}"
            if outcome != "InProgress":
                succeeded += outcome == "Succeeded"
                if outcome != "Succeeded":
                    print(text.decode()[:500], file=sys.stderr)
                break
            time.sleep(0.2)
    return succeeded


def grow(arm, group, have, wanted):
    """Makes machines until there are `wanted`."""
    number = 0
    while have < wanted:
        count = min(BATCH, wanted - have)
        succeeded = finish(arm, [begin(arm, group, f"{group}-{have}-{number}", count)])
        assert succeeded == 1, "a deployment that makes machines failed"
        have, number = have + count, number + 1


def count_machines(arm):
    count, path = 0, "/providers/Microsoft.Compute/virtualMachines"
    while path:
        page = arm.json("GET", path)
        count, path = count + len(page["value"]), page.get("nextLink")
    return count


def memory(region):
    """Resident memory of berthd, in KiB."""
    status = pathlib.Path(f"/proc/{region.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def list_page(arm, vms):
    path = "/providers/Microsoft.Compute/virtualMachines"
    taken = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        arm.call("GET", path)
        taken.append((time.perf_counter() - began) * 1000)
    page = len(arm.json("GET", path)["value"])

    def one(_):
        arm.call("GET", path)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        began = time.perf_counter()
        list(pool.map(one, range(SAMPLES)))
        rate = SAMPLES / (time.perf_counter() - began)
    say(f"GET virtualMachines of {vms}, a page of {page}: requests/s", f"{rate:.0f}")
    say("  median, p99", f"{statistics.median(taken):.1f} ms, {statistics.quantiles(taken, n=100)[98]:.1f} ms")


def deploy_at_once(arm, count):
    """All of them under way at the same time."""
    arm.json("PUT", "/resourceGroups/many", {"location": "westus"})
    before = count_machines(arm)
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        operations = list(pool.map(lambda i: begin(arm, "many", f"d{i}", 1), range(count)))
    accepted = time.perf_counter() - began
    succeeded = finish(arm, operations)
    took = time.perf_counter() - began
    made = count_machines(arm) - before
    say(f"{count} deployments of one VM at once", f"accepted in {accepted:.1f} s, done in {took:.1f} s ({count / took:.1f}/s)")
    say("  succeeded, machines made", f"{succeeded}, {made}")
    return succeeded == made == count


def main():
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    region = FakeRegion()
    good = True
    try:
        arm = Arm(region)
        arm.json("PUT", "/resourceGroups/g", {"location": "westus"})
        say("berthd without a machine", f"{memory(region) / 1024:.1f} MiB")
        have, known = 0, {}
        began = time.perf_counter()
        for vms in sorted({1, min(100, most), most // 2, most}):
            grow(arm, "g", have, vms)
            have = vms
            known[vms] = memory(region)
            if vms != most // 2:
                list_page(arm, vms)
        say(f"making {most} machines, {BATCH} a deployment", f"{time.perf_counter() - began:.0f} s")
        low = known[min(100, most)]
        first, second = ((known[most // 2] - low) / (most // 2 - 100), (known[most] - known[most // 2]) / (most - most // 2)) if most >= 1000 else (0, 0)
        say(f"berthd with {most} machines", f"{known[most] / 1024:.1f} MiB")
        say("  a machine, first half and second half", f"{first:.1f} KiB, {second:.1f} KiB")
        good = second <= first * 1.25 + 1
        good = deploy_at_once(arm, min(1000, most)) and good
        say("berthd after that", f"{memory(region) / 1024:.1f} MiB")
    finally:
        region.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
