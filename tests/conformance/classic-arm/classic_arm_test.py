#!/usr/bin/env python3
"""The npm client azure-cli 0.10.20, unmodified, in its Resource Manager mode against a region of played machines: how its commands
end and what their user sees. The table in docs/conformance.md comes from here (see ../table.py)."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "classic")]
import classic_world  # noqa: E402
from fake_region import Client, FakeRegion, at_once  # noqa: E402
from resource_manager import hook, sign_in  # noqa: E402
from table import NOT_THERE, Table  # noqa: E402

classic_world.install_client()
modules = classic_world.CLIENT / "node_modules"
region = FakeRegion()
folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-npm-"))
table = Table("classic-arm")
IMAGE = "Debian:debian-12:12-docker:latest"
PASSWORD = "Passw0rd!1234"
BY_PASSWORD = ["-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-p", PASSWORD]


def clean_client():
    env = dict(region.env, AZURE_CONFIG_DIR=str(folder / "config"), NODE_EXTRA_CA_CERTS=region.facts["caCertificate"], HOME=str(folder))
    return Client("azure", [*hook(folder), str(modules / "azure-cli/bin/azure")], env, table)


def group(azure, name):
    azure.run("group", "create", name, "westus", row="")


def network(prefix):
    return ["-F", f"{prefix}vnet", "-P", "10.0.0.0/16", "-j", f"{prefix}snet", "-k", "10.0.0.0/24"]


def catalog(azure):
    azure.run("account", "list", says=region.facts["subscriptionId"])
    azure.run("location", "list", says="West US")
    azure.run("provider", "list", says="Microsoft.Compute")
    azure.run("provider", "show", "Microsoft.Network", says="Registered")
    azure.run("group", "create", "CG", "westus", says="group create command OK")
    azure.run("group", "list", says="CG")
    azure.run("vm", "sizes", "-l", "westus", row="azure vm sizes", says="Standard_A1")
    azure.run("vm", "image", "list", "westus", "Debian", row="azure vm image list", says="12-docker")
    azure.run("vm", "image", "list-publishers", "westus", row="azure vm image list-publishers", says="Debian")
    azure.run("vm", "image", "list-offers", "westus", "Debian", row="azure vm image list-offers", says="debian-12")
    azure.run("vm", "image", "list-skus", "westus", "Debian", "debian-12", row="azure vm image list-skus", says="12-docker")
    azure.run("vm", "extension-image", "list", "westus", "Microsoft.Azure.Extensions", row="azure vm extension-image list", says="DockerExtension")
    azure.run("storage", "account", "create", "-g", "CG", "-l", "westus", "--sku-name", "LRS", "--kind", "Storage", "catstore", row="azure storage account create", says="OK")
    azure.run("storage", "account", "list", says="catstore")
    azure.run("group", "delete", "-q", "CG", says="group delete command OK")
    azure.run("group", "delete", "-q", "CG", rc=1, case="no such group", says="could not be found")


def docker_host(azure):
    group(azure, "DG")
    create = ["-g", "DG", "-n", "dk1", *BY_PASSWORD, "-f", "dk1nic", "-i", "dk1pip", "-w", "dk1dns", *network("dk1")]
    azure.run("vm", "docker", "create", *create, row="azure vm docker create", says="vm docker create command OK")
    azure.run("vm", "docker", "create", *create, rc=1, row="azure vm docker create", case="the machine is there", says="already exists")
    azure.run("vm", "extension", "get", "DG", "dk1", says="DockerExtension")
    public, private = folder / "a.json", folder / "b.json"
    public.write_text('{"docker":{"port":"2376"}}')
    private.write_text('{"certs":{"ca":"Y2E=","cert":"Y2VydA==","key":"a2V5"}}')
    azure.run("vm", "extension", "set", "DG", "dk1", "DockerExtension", "Microsoft.Azure.Extensions", "1.3", "--public-config-path", public,
              "--private-config-path", private, says="vm extension set command OK")
    azure.run("vm", "extension", "set", "DG", "dk1", "Nothing", "Nobody", "1.0", rc=1, case="no such extension", says="Nobody.Nothing")
    azure.run("vm", "show", "DG", "dk1", says="dk1dns")
    azure.run("vm", "list-ip-address", "DG", "dk1", says="127.")
    for action in ("stop", "start", "restart", "deallocate", "start"):
        azure.run("vm", action, "DG", "dk1", says=f"vm {action} command OK")
    azure.run("vm", "get-instance-view", "DG", "dk1", says="running")
    azure.run("vm", "set", "DG", "dk1", "-z", "Standard_A2", row="azure vm set -z", says="OK")
    azure.run("vm", "disk", "list", "DG", "dk1", says="dk1")
    # It makes the name of the new one from the blob that it named for the first; here all disks are managed.
    azure.run("vm", "disk", "attach-new", "DG", "dk1", "4", row="azure vm disk attach-new", says="vm disk attach-new command OK")
    azure.run("network", "public-ip", "list", "DG", says="dk1pip")
    azure.run("vm", "delete", "-q", "DG", "dk1", says="vm delete command OK")
    azure.run("vm", "show", "DG", "dk1", rc=1, case="no such machine", says="No VMs found")
    azure.run("vm", "start", "DG", "dk1", rc=1, case="no such machine", says="not found")
    azure.run("network", "nic", "delete", "-q", "DG", "dk1nic", row="azure network nic delete", says="OK")


def machines(azure):
    group(azure, "MG")
    azure.run("vm", "create", "-g", "MG", "-n", "v2", *BY_PASSWORD, "-o", "dk2stor", "-z", "Standard_A1", "-f", "v2nic", *network("m"),
              row="azure vm create -p", says="vm create command OK")
    key = folder / "id_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", key], check=True)
    azure.run("vm", "create", "-g", "MG", "-n", "v3", "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-M", f"{key}.pub", "-o", "dk2stor",
              "-f", "v3nic", "-F", "mvnet", "-j", "msnet", row="azure vm create -M", says="vm create command OK")
    azure.run("vm", "create", "-g", "MG", "-n", "v4", *BY_PASSWORD[:5], "Nobody:nothing:none:latest", *BY_PASSWORD[6:], "-o", "dk2stor", "-f", "v4nic", "-F", "mvnet",
              "-j", "msnet", rc=1, row="azure vm create", case="no such image", says="Nobody")
    azure.run("vm", "create", "-g", "MG", "-n", "v5", *BY_PASSWORD, "-o", "dk2stor", "-f", "v2nic", rc=1, row="azure vm create", case="another machine has the interface", says="v2nic")
    azure.run("vm", "quick-create", "-g", "MG", "-n", "quick", "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "azureuser", "-p", PASSWORD,
              row="azure vm quick-create", says="vm quick-create command OK")
    azure.run("vm", "list", "MG", says="VM running")
    azure.run("vm", "list", says="VM running")
    template = folder / "t.json"
    template.write_text("""{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",
      "parameters":{"n":{"type":"string"}},"variables":{},"resources":[{"type":"Microsoft.Network/networkSecurityGroups","apiVersion":"2015-06-15",
      "name":"[parameters('n')]","location":"[resourceGroup().location]","properties":{}}],
      "outputs":{"id":{"type":"string","value":"[resourceId('Microsoft.Network/networkSecurityGroups', parameters('n'))]"}}}""")
    azure.run("group", "deployment", "create", "-g", "MG", "-n", "D", "-f", template, "-p", '{"n":{"value":"nsg1"}}', row="azure group deployment create",
              says="group deployment create command OK")
    azure.run("group", "deployment", "create", "-g", "MG", "-n", "D2", "-f", template, "-p", '{"n":{"value":5}}', rc=1, row="azure group deployment create",
              case="a parameter of another type", says="'n'")
    azure.run("group", "deployment", "show", "MG", "D", says="Succeeded")
    azure.run("network", "nsg", "show", "MG", "nsg1", says="nsg1")
    azure.run("network", "vnet", "list", "MG", says="mvnet")


try:
    azure = clean_client()
    sign_in(azure, region.facts, region.secret)
    wanted = [globals()[name] for name in sys.argv[1:]] or [docker_host, machines, catalog]
    failures = azure.failures or at_once(azure, wanted, folder)
finally:
    region.close()
    shutil.rmtree(folder, ignore_errors=True)
if failures:
    sys.exit(f"{len(failures)} commands did not do what they should")
if not sys.argv[1:]:
    # Its own faults, which no region can mend.
    table.row("azure group show", NOT_THERE, "client.resourceGroups.listResources is not a function")
    table.row("azure group deployment list", NOT_THERE, "client.deployments.list is not a function")
    table.finish()
