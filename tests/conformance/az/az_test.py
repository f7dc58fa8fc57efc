#!/usr/bin/env python3
"""Debian's unmodified az against a region of played machines: what a user types, how it ends, and what they see. The table in
docs/conformance.md comes from here (see ../table.py). A command takes a second, so parts that need nothing of each other run at once."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import documented  # noqa: E402
from fake_region import PROJECT, Client, FakeRegion, at_once  # noqa: E402
from table import NOT_THERE, Table  # noqa: E402

IMAGE = "Debian:debian-12:12-docker:latest"
PASSWORD = "Passw0rd-1234"
BY_PASSWORD = ["--image", IMAGE, "--admin-username", "azureuser", "--admin-password", PASSWORD]
PUBLISHER = "Microsoft.Azure.Extensions"

region = FakeRegion()
folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-az-"))
endpoint = region.facts["managementEndpoint"]
client_id, tenant = region.facts["clientId"], region.facts["tenantId"]
table = Table("az")


def clean_client(name):
    home = folder / name
    home.mkdir()
    return Client("az", ["az"], dict(region.env, AZURE_CONFIG_DIR=str(home / "config"), HOME=str(home), AZURE_CORE_COLLECT_TELEMETRY="no",
                                     REQUESTS_CA_BUNDLE=region.facts["caCertificate"], AZURE_CORE_ONLY_SHOW_ERRORS="true"), table)


def register(az):
    az.run(*documented.command("az cloud register", region.facts))
    az.run("cloud", "set", "-n", "Local")


def sign_in(az):
    register(az)
    az.run("login", "--service-principal", "-u", client_id, "-p", region.secret, "--tenant", tenant, says='"state": "Enabled"')


def group(az, name):
    az.run("group", "create", "-n", name, "-l", "westus", row="")


def create(az, group, name, *options, says='"powerState": "VM running"', **how):
    return az.run("vm", "create", "-g", group, "-n", name, *options, says=says, **how)


# --- parts

def signing_in(_):
    az = clean_client("others")
    az.part = "signing_in"
    az.run("cloud", "register", "-n", "Nowhere", "--endpoint-resource-manager", "https://127.0.0.1:1", rc=1, case="nobody answers there", says="127.0.0.1")
    register(az)
    az.run("login", "--service-principal", "-u", client_id, "-p", "wrong", rc=1, row="az login --service-principal", case="a wrong secret", says="AADSTS7000215")
    az.run("login", "-u", client_id, "-p", region.secret, row="az login -u -p", says='"state": "Enabled"')
    az.run("login", "--service-principal", "-u", client_id, "-p", region.facts["clientCertificateFile"], "--tenant", tenant, says='"state": "Enabled"')
    az.run("account", "get-access-token", says='"tokenType": "Bearer"')
    az.run("account", "clear")
    az.run("account", "show", rc=1, case="nobody is signed in", says="az login")
    device_code(az)
    az.run("account", "show", "--query", "user.type", row="az account show", says="user")
    az.run("logout")
    identity(az)
    az.failures += own_aliases()
    # The other way to tell az of a cloud: one document for all of them, which replaces its own list.
    other = clean_client("listed")
    other.part = "signing_in"
    other.env.update(ARM_CLOUD_METADATA_URL=f"{endpoint}/metadata/endpoints?api-version=2019-05-01", SSL_CERT_FILE=region.facts["caCertificate"])
    (folder / "listed/config").mkdir()  # az does not do it itself this way
    clouds = other.json("cloud", "list", row="az cloud list (by ARM_CLOUD_METADATA_URL)") or [{}]
    other.check("the list of clouds is the region's", [cloud.get("endpoints", {}).get("resourceManager", "").rstrip("/") for cloud in clouds] == [endpoint])


def device_code(az):
    """Signs in as a user does on another device: reads the code, sends it with the secret."""
    began = time.monotonic()
    with subprocess.Popen(["az", "login", "--use-device-code"], env=dict(az.env, AZURE_CORE_ONLY_SHOW_ERRORS="false"), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        told, code = "", None
        for line in asking.stderr:
            told += line
            code = re.search(r"enter the code (\S+) to", line)
            if code:
                break
        if code:
            subprocess.run(["curl", "-sS", "--cacert", region.facts["caCertificate"], endpoint + "/devicelogin", "-o", "/dev/null",
                            "-d", f"code={code[1]}", "--data-urlencode", "secret@-"], input=region.secret, text=True, check=True)
        out, err = asking.communicate(timeout=120)
    good = asking.returncode == 0 and '"state": "Enabled"' in out
    az.check(f"{time.monotonic() - began:5.1f} s  login --use-device-code" + ("" if good else f"\n{told}{err}{out}"), good)
    if good:
        table.row("az login --use-device-code", "works")


def identity(az):
    """As a web app of Azure does; a secret is in its environment."""
    az.env.update(APPSETTING_WEBSITE_SITE_NAME="local", MSI_ENDPOINT=endpoint + "/identity", MSI_SECRET="wrong")
    az.run("login", "--identity", rc=1, row="az login --identity", case="a wrong secret", says="invalid_client")
    az.env["MSI_SECRET"] = region.secret
    az.run("login", "--identity", row="az login --identity", says='"state": "Enabled"')
    az.run("group", "list", row="")
    az.run("logout", row="")


def own_aliases():
    """A cloud without the region's alias document: az takes its own list, of images that are not here."""
    az = clean_client("plain")
    az.part = "signing_in"
    az.run("cloud", "register", "-n", "Plain", "--profile", "2020-09-01-hybrid", "--endpoint-resource-manager", endpoint, row="")
    az.run("cloud", "set", "-n", "Plain", row="")
    az.run("login", "--service-principal", "-u", client_id, "-p", region.secret, "--tenant", tenant, row="")
    group(az, "P")
    create(az, "P", "X", "--image", "UbuntuLTS", *BY_PASSWORD[2:], rc=1, row="az vm create", case="an image of az's own list", says=["Canonical:UbuntuServer:18.04-LTS", "Debian:debian-12"])
    az.run("group", "delete", "-n", "P", "--yes", row="")
    return az.failures


def catalog(az):
    az.run("account", "show", says=region.facts["subscriptionId"])
    az.run("account", "list", says='"isDefault": true')
    az.run("account", "set", "-s", region.facts["subscriptionId"])
    az.run("account", "list-locations", says='"displayName": "West US"')
    az.run("group", "exists", "-n", "G", says="false")
    az.run("group", "create", "-n", "G", "-l", "westus", "--tags", "a=b", says='"provisioningState": "Succeeded"')
    az.run("group", "create", "-n", "H", "-l", "atlantis", rc=1, case="a location that is not there", says="LocationNotAvailableForResourceType")
    az.run("group", "list", says='"name": "G"')
    az.run("group", "show", "-n", "G", says='"location": "westus"')
    az.run("group", "show", "-n", "none", rc=3, case="no such group", says="ResourceGroupNotFound")
    az.run("group", "update", "-n", "G", "--set", "tags.c=d", says='"c": "d"')
    az.run("group", "wait", "-n", "G", "--exists")
    az.run("tag", "list", says='"tagName": "a"')
    az.run("provider", "list", says="Microsoft.Compute")
    az.run("provider", "show", "-n", "Microsoft.Network", says='"registrationState": "Registered"')
    az.run("provider", "register", "-n", "Microsoft.Compute")
    az.run("vm", "image", "list", says="debian-12")
    az.run("vm", "image", "list", "--all", "-l", "westus", "--publisher", "Debian", says="12-docker")
    az.run("vm", "image", "list-publishers", "-l", "westus", says=PUBLISHER)
    az.run("vm", "image", "list-offers", "-l", "westus", "-p", "Debian", says="debian-12")
    az.run("vm", "image", "list-skus", "-l", "westus", "-p", "Debian", "-f", "debian-12", row="az vm image list-skus", says="12-docker")
    az.run("vm", "image", "show", "-l", "westus", "--urn", IMAGE, says='"operatingSystem": "Linux"')
    az.run("vm", "image", "show", "-l", "westus", "--urn", "Nobody:nothing:none:1.0", rc=3, case="no such image", says="NotFound")
    az.run("vm", "list-sizes", "-l", "westus", says="Standard_DS1_v2")
    az.run("vm", "list-skus", "-l", "westus", says="Standard_B2s")
    az.run("vm", "list-usage", "-l", "westus", says="Total Regional vCPUs")
    az.run("storage", "account", "create", "-g", "G", "-n", "berthstore", says="https://berthstore.blob.core.windows.net/")
    az.run("storage", "account", "list", says="berthstore")
    az.run("storage", "account", "show", "-g", "G", "-n", "berthstore", says='"name": "Standard_')
    az.run("storage", "account", "delete", "-g", "G", "-n", "berthstore", "--yes")
    az.run("vm", "availability-set", "create", "-g", "G", "-n", "set1", says='"platformFaultDomainCount": 2')
    az.run("vm", "availability-set", "list", "-g", "G", says="set1")
    az.run("vm", "availability-set", "delete", "-g", "G", "-n", "set1")
    az.run("resource", "list", "-g", "G")
    az.run("rest", "--method", "get", "--url", f"{endpoint}/subscriptions?api-version=2016-06-01", "--resource", "https://management.core.windows.net/", says="Enabled")
    az.run("aks", "list", rc=3, case="there are no clusters", says="InvalidResourceType")
    az.run("keyvault", "list", rc=1, outcome=NOT_THERE, says="The suffix 'keyvault_dns' for this cloud is not set")
    az.run("vmss", "list", rc=3, case="there are no scale sets", says="InvalidResourceType")
    az.run("group", "delete", "-n", "G", "--yes")
    az.run("group", "delete", "-n", "G", "--yes", rc=3, case="no such group", says="ResourceGroupNotFound")


def creating(az):
    group(az, "A")
    create(az, "A", "N", *BY_PASSWORD, "--public-ip-address-dns-name", "nhost", says=['"powerState": "VM running"', "nhost.cloudapp.net"])
    create(az, "A", "N2", "--image", "Debian:debian-12:12:latest", "--admin-username", "azureuser", "--generate-ssh-keys", "--data-disk-sizes-gb", "4", "--nsg", "")
    create(az, "A", "C", "--count", "2", *BY_PASSWORD, says='"name": "C1"')
    create(az, "A", "NW", "--no-wait", *BY_PASSWORD, says=None)
    az.run("vm", "wait", "-g", "A", "-n", "NW", "--created")
    create(az, "A", "V", "--validate", *BY_PASSWORD, says="Succeeded")
    data = folder / "cloud-init.txt"
    data.write_text("#cloud-config\n")
    create(az, "A", "CD", *BY_PASSWORD, "--custom-data", data, "--nsg-rule", "NONE", "--public-ip-sku", "Standard", "--size", "Standard_DS2_v2")
    key = folder / "ed25519.pub"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)[:-4]], check=True)
    create(az, "A", "K", "--image", IMAGE, "--admin-username", "azureuser", "--ssh-key-values", key, "--nsg", "NNSG", "--vnet-name", "NVNET", "--subnet", "NSubnet",
           "--public-ip-address", "", "--os-disk-name", "kdisk", "--computer-name", "kay", "--tags", "x=y", says=['"powerState": "VM running"', '"publicIpAddress": ""'])
    create(az, "A", "Z", *BY_PASSWORD, "--zone", "1", rc=1, case="there are no zones", says="zone")
    create(az, "A", "X", "--image", "Nobody:nothing:none:1.0", *BY_PASSWORD[2:], rc=1, row="az vm create", case="no such image", says=["InvalidTemplateDeployment", "Nobody:nothing:none:1.0"])
    create(az, "none", "X", *BY_PASSWORD, rc=2, row="az vm create", case="no such group", says="ResourceGroupNotFound")
    create(az, "A", "N3", *BY_PASSWORD, "--public-ip-address-dns-name", "nhost", rc=1, case="the name is taken", says="nhost")
    create(az, "A", "S", *BY_PASSWORD, "--size", "Standard_Z99", rc=1, case="no such size", says="Standard_Z99")
    az.run("vm", "list", "-g", "A", says='"name": "N2"')
    az.run("vm", "list", "-d", says='"powerState": "VM running"')
    az.run("vm", "list-ip-addresses", "-g", "A", "-n", "N", says='"ipAddress": "127.')
    az.run("vm", "open-port", "-g", "A", "-n", "N", "--port", "80", says="open-port-80")
    az.run("vm", "open-port", "-g", "A", "-n", "N2", "--port", "8080", "--priority", "901", says="open-port-8080")
    az.run("vm", "open-port", "-g", "A", "-n", "N", "--port", "81", "--priority", "900", rc=1, row="az vm open-port --priority", case="another rule has it", says="SecurityRuleConflict")
    az.run("vm", "list-vm-resize-options", "-g", "A", "-n", "N", says="Standard_A2")
    az.run("vm", "delete", "-g", "A", "-n", "C0", "--yes", "--no-wait")
    az.run("group", "delete", "-n", "A", "--yes", "--no-wait")
    az.run("group", "wait", "-n", "A", "--deleted")
    az.run("vm", "list", "-g", "A", rc=3, case="no such group", says="ResourceGroupNotFound")


def living(az):
    group(az, "L")
    create(az, "L", "N", *BY_PASSWORD)
    az.run("vm", "show", "-g", "L", "-n", "N", says='"vmSize": "Standard_DS1_v2"')
    az.run("vm", "show", "-d", "-g", "L", "-n", "N", says='"publicIps": "127.')
    az.run("vm", "show", "-g", "L", "-n", "none", rc=3, case="no such machine", says="ResourceNotFound")
    az.run("vm", "get-instance-view", "-g", "L", "-n", "N", "-o", "table", says="VM running")
    for action, state in (("stop", "VM stopped"), ("start", "VM running"), ("restart", "VM running"), ("deallocate", "VM deallocated")):
        az.run("vm", action, "-g", "L", "-n", "N")
        az.run("vm", "show", "-d", "-g", "L", "-n", "N", "--query", "powerState", says=state)
    az.run("vm", "resize", "-g", "L", "-n", "N", "--size", "Standard_A2", says='"vmSize": "Standard_A2"')
    az.run("vm", "start", "-g", "L", "-n", "N")
    az.run("vm", "stop", "-g", "L", "-n", "N", "--skip-shutdown")
    az.run("vm", "show", "-d", "-g", "L", "-n", "N", "--query", "powerState", says="VM stopped")
    az.run("vm", "redeploy", "-g", "L", "-n", "N")
    az.run("vm", "show", "-d", "-g", "L", "-n", "N", "--query", "powerState", says="VM running")
    az.run("vm", "update", "-g", "L", "-n", "N", "--set", "tags.colour=blue", says='"colour": "blue"')
    az.run("vm", "disk", "attach", "-g", "L", "--vm-name", "N", "--name", "extra", "--new", "--size-gb", "4")
    az.run("vm", "show", "-g", "L", "-n", "N", "--query", "storageProfile.dataDisks[].name", says="extra")
    az.run("disk", "delete", "-g", "L", "-n", "extra", "--yes", rc=1, case="a machine has it", says="OperationNotAllowed")
    az.run("vm", "disk", "detach", "-g", "L", "--vm-name", "N", "--name", "extra")
    az.run("disk", "list", "-g", "L", says='"name": "extra"')
    az.run("disk", "show", "-g", "L", "-n", "extra", says='"diskSizeGb": 4')
    az.run("vm", "disk", "attach", "-g", "L", "--vm-name", "N", "--name", "extra", row="az vm disk attach")
    az.run("vm", "disk", "detach", "-g", "L", "--vm-name", "N", "--name", "extra")
    az.run("disk", "create", "-g", "L", "-n", "other", "--size-gb", "2", says='"diskState": "Unattached"')
    az.run("disk", "delete", "-g", "L", "-n", "extra", "--yes")
    az.run("vm", "run-command", "invoke", "-g", "L", "-n", "N", "--command-id", "RunShellScript", "--scripts", "echo $1", "--parameters", "a",
           says=["ProvisioningState/succeeded", "[stdout]"])
    az.run("vm", "run-command", "invoke", "-g", "L", "-n", "N", "--command-id", "RunPowerShellScript", "--scripts", "x", rc=3,
           row="az vm run-command invoke", case="a command for Windows", says="RunShellScript")
    az.run("vm", "extension", "list", "-g", "L", "--vm-name", "N", row="", says="[]")
    az.run("vm", "user", "update", "-g", "L", "-n", "N", "-u", "eve", "-p", PASSWORD, says='"provisioningState": "Succeeded"')
    az.run("vm", "user", "reset-ssh", "-g", "L", "-n", "N", says='"provisioningState": "Succeeded"')
    az.run("vm", "user", "delete", "-g", "L", "-n", "N", "-u", "eve", says='"provisioningState": "Succeeded"')
    az.run("vm", "run-command", "list", "-l", "westus", says="RunShellScript")
    az.run("vm", "run-command", "show", "-l", "westus", "--command-id", "ifconfig", says='"osType": "Linux"')
    az.run("vm", "boot-diagnostics", "enable", "-g", "L", "-n", "N")
    az.run("vm", "boot-diagnostics", "get-boot-log-uris", "-g", "L", "-n", "N", says=["serial.log", "screen.png"])
    az.run("vm", "boot-diagnostics", "get-boot-log", "-g", "L", "-n", "N")
    az.run("vm", "boot-diagnostics", "disable", "-g", "L", "-n", "N")
    az.run("vm", "show", "-g", "L", "-n", "N", "--query", "diagnosticsProfile.bootDiagnostics.enabled", says="false")
    az.run("vm", "secret", "list", "-g", "L", "-n", "N", row="az vm secret list", says="[]")
    az.run("vm", "identity", "assign", "-g", "L", "-n", "N", says="systemAssignedIdentity")
    az.run("vm", "delete", "-g", "L", "-n", "N", "--yes")
    az.run("vm", "show", "-g", "L", "-n", "N", rc=3, row="")
    az.run("vm", "delete", "-g", "L", "-n", "N", "--yes", row="az vm delete (no such machine)")
    az.run("vm", "start", "-g", "L", "-n", "N", rc=3, case="no such machine", says="ResourceNotFound")
    az.run("group", "delete", "-n", "L", "--yes")


def extensions(az):
    group(az, "E")
    create(az, "E", "N", *BY_PASSWORD)
    where = ["-l", "westus", "-p", PUBLISHER]
    az.run("vm", "extension", "image", "list-names", *where, says="DockerExtension")
    versions = az.json("vm", "extension", "image", "list-versions", *where, "-n", "DockerExtension", says='"name": "1.')
    newest = versions[-1]["name"] if versions else "none"
    az.run("vm", "extension", "image", "show", *where, "-n", "DockerExtension", "--version", newest, says='"operatingSystem": "Linux"')
    az.run("vm", "extension", "image", "list", "-l", "westus", "-p", PUBLISHER, says="DockerExtension")
    settings = folder / "settings.json"
    settings.write_text('{"docker":{"port":"2376"}}')
    docker = ["--publisher", PUBLISHER, "--name", "DockerExtension", "--vm-name", "N", "-g", "E"]
    az.run("vm", "extension", "set", *docker, "--settings", settings, "--protected-settings", '{"certs":{"ca":"Y2E=","cert":"Y2VydA==","key":"a2V5"}}',
           says='"provisioningState": "Succeeded"')
    az.run("vm", "extension", "set", *docker, "--version", newest.rsplit(".", 1)[0], "--no-auto-upgrade-minor-version", "--settings", settings, "--force-update",
           says='"autoUpgradeMinorVersion": false')
    az.run("vm", "extension", "set", *docker, "--version", "0.9", "--no-auto-upgrade-minor-version", rc=3, case="no such version", says="VMExtensionVersionNotFound")
    az.run("vm", "extension", "set", "--publisher", PUBLISHER, "--name", "CustomScript", "--version", "2.0", "--vm-name", "N", "-g", "E", "--settings",
           '{"commandToExecute": "id"}', row="az vm extension set (CustomScript)", says='"provisioningState": "Succeeded"')
    az.run("vm", "extension", "show", "--vm-name", "N", "-g", "E", "-n", "CustomScript", "--instance-view", row="", says="[stdout]")
    az.run("vm", "extension", "list", "--vm-name", "N", "-g", "E", says="DockerExtension")
    az.run("vm", "extension", "show", "--vm-name", "N", "-g", "E", "-n", "DockerExtension", "--instance-view", says="Enable succeeded")
    shown = az.run("vm", "extension", "show", "--vm-name", "N", "-g", "E", "-n", "DockerExtension", says='"port": "2376"')
    az.check("an extension shows no protected settings", "Y2VydA" not in shown)
    az.run("vm", "extension", "wait", "--vm-name", "N", "-g", "E", "-n", "DockerExtension", "--created")
    az.run("vm", "extension", "set", "--publisher", "Nobody", "--name", "Nothing", "--version", "1.0", "--vm-name", "N", "-g", "E", rc=3, case="no such extension", says="VMExtensionNotFound")
    az.run("vm", "extension", "set", "--publisher", "Nobody", "--name", "Nothing", "--vm-name", "N", "-g", "E", rc=1, case="no such publisher",
           says='Failed to find the latest version for the extension "Nothing"')
    az.run("vm", "extension", "delete", "--vm-name", "N", "-g", "E", "-n", "DockerExtension")
    az.run("vm", "extension", "delete", "--vm-name", "N", "-g", "E", "-n", "DockerExtension", row="az vm extension delete (no such extension)")
    az.run("vm", "extension", "show", "--vm-name", "N", "-g", "E", "-n", "DockerExtension", rc=3, case="no such extension", says="ResourceNotFound")
    az.run("group", "delete", "-n", "E", "--yes")


def templates(az):
    group(az, "T")
    linux, docker = PROJECT / "docs/templates/linux-vm.json", PROJECT / "docs/templates/docker-host.json"
    parameters = ["-p", "adminUsername=ops", f"adminPasswordOrKey={PASSWORD}", "authenticationType=password", "dnsLabelPrefix=plain"]
    az.run("deployment", "group", "validate", "-g", "T", "-f", linux, *parameters, row="az deployment group validate", says="Succeeded")
    az.run("deployment", "group", "what-if", "-g", "T", "-f", linux, *parameters, "--no-pretty-print", row="az deployment group what-if", says='"changeType": "Create"')
    az.run("deployment", "group", "create", "-g", "T", "-n", "plain", "-f", linux, *parameters, row="az deployment group create", says="ssh ops@plain.cloudapp.net")
    key = folder / "rsa.pub"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(key)[:-4]], check=True)
    file = folder / "parameters.json"
    file.write_text(json.dumps({"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#", "contentVersion": "1.0.0.0",
                                "parameters": {"adminUsername": {"value": "ops"}, "adminPasswordOrKey": {"value": key.read_text()}, "vmName": {"value": "keyed"}}}))
    az.run("deployment", "group", "create", "-g", "T", "-f", linux, "-p", f"@{file}", row="az deployment group create (-p @FILE)", says='"value": "keyed-')
    certificate = "Y2VydA=="
    shown = az.run("deployment", "group", "create", "-g", "T", "-n", "host", "-f", docker, "-p", "adminUsername=ops", f"adminPassword={PASSWORD}",
                   "dnsNameForPublicIP=dock", f"caCertificate={certificate}", f"serverCertificate={certificate}", f"serverKey={certificate}",
                   'compose={"web":{"image":"nginx"}}', row="az deployment group create", says=["tcp://dock.cloudapp.net:2376", '"provisioningState": "Succeeded"'])
    az.check("a deployment shows no secret", PASSWORD not in shown and certificate not in shown)
    az.run("vm", "extension", "show", "--vm-name", "dockerhost", "-g", "T", "-n", "DockerExtension", row="az vm extension show", says='"image": "nginx"')
    az.run("network", "nsg", "rule", "list", "-g", "T", "--nsg-name", "dockerhost-rules", says="port-2376")
    az.run("deployment", "group", "list", "-g", "T", says='"name": "plain"')
    shown = az.run("deployment", "group", "show", "-g", "T", "-n", "host", says='"provisioningState": "Succeeded"')
    az.check("a deployment that is read again shows no secret", PASSWORD not in shown and certificate not in shown)
    az.run("deployment", "operation", "group", "list", "-g", "T", "-n", "host", says="virtualMachines/extensions")
    az.run("deployment", "group", "create", "-g", "T", "-f", docker, "-p", "adminUsername=ops", "adminPassword=x", "dnsNameForPublicIP=dock2", rc=1,
           row="az deployment group create", case="a password that is too simple", says="complexity")
    az.run("deployment", "group", "create", "-g", "T", "-f", docker, "-p", "adminUsername=ops", f"adminPassword={PASSWORD}", "dnsNameForPublicIP=dock2", "dockerPort=0",
           rc=1, row="az deployment group create", case="a parameter below its minimum", says=["InvalidTemplate", "dockerPort"])
    loop = folder / "loop.json"
    loop.write_text(json.dumps({"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": [
        {"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2021-05-01", "name": name, "location": "westus", "dependsOn": [other]}
        for name, other in (("one", "two"), ("two", "one"))]}))
    az.run("deployment", "group", "create", "-g", "T", "-f", loop, rc=1, row="az deployment group create", case="resources that wait for each other", says=["InvalidTemplate", "one"])
    az.run("deployment", "group", "export", "-g", "T", "-n", "host", rc=1, case="templates are not kept", says="TemplateNotKept")
    az.run("deployment", "group", "show", "-g", "T", "-n", "none", rc=3, case="no such deployment", says="DeploymentNotFound")
    az.run("deployment", "group", "delete", "-g", "T", "-n", "plain")
    az.run("resource", "list", "-g", "T", says="Microsoft.Compute/virtualMachines")
    az.run("resource", "show", "-g", "T", "-n", "plain-none", "--resource-type", "Microsoft.Compute/virtualMachines", rc=3, case="no such resource", says="ResourceNotFound")
    az.run("resource", "show", "-g", "T", "-n", "dockerhost", "--resource-type", "Microsoft.Compute/virtualMachines", says='"vmSize": "Standard_B2s"')
    empty = folder / "empty.json"
    empty.write_text('{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": []}')
    az.run("deployment", "group", "create", "-g", "T", "-f", empty, "--mode", "Complete", says='"mode": "Complete"')
    az.check("complete mode leaves nothing else", not az.json("resource", "list", "-g", "T"))
    az.run("group", "delete", "-n", "T", "--yes")


def images(az):
    group(az, "I")
    create(az, "I", "N", *BY_PASSWORD)
    az.run("image", "create", "-g", "I", "-n", "golden", "--source", "N", rc=1, case="the machine is not generalized", says=["OperationNotAllowed", "not generalized"])
    az.run("vm", "deallocate", "-g", "I", "-n", "N")
    az.run("vm", "generalize", "-g", "I", "-n", "N")
    az.run("vm", "get-instance-view", "-g", "I", "-n", "N", "--query", "instanceView.statuses[].code", says="OSState/generalized")
    az.run("image", "create", "-g", "I", "-n", "golden", "--source", "N", says='"provisioningState": "Succeeded"')
    az.run("image", "list", "-g", "I", says="golden")
    az.run("image", "show", "-g", "I", "-n", "golden", says='"osState": "Generalized"')
    create(az, "I", "F", "--image", "golden", *BY_PASSWORD[2:], row="az vm create --image IMAGE")
    az.run("vm", "start", "-g", "I", "-n", "N", rc=1, case="it is generalized", says="OperationNotAllowed")
    create(az, "I", "U", "--image", "UbuntuLTS", *BY_PASSWORD[2:], rc=1, row="az vm create", case="an alias that is not the region's", says=['Invalid image "UbuntuLTS"', "Debian-12"])
    az.run("image", "delete", "-g", "I", "-n", "golden")
    az.run("image", "show", "-g", "I", "-n", "golden", rc=3, case="it was deleted", says="ResourceNotFound")
    az.run("group", "delete", "-n", "I", "--yes")


def networks(az):
    group(az, "W")
    az.run("network", "vnet", "create", "-g", "W", "-n", "net", "--address-prefixes", "10.9.0.0/16", "--subnet-name", "s1", "--subnet-prefixes", "10.9.1.0/24", says="10.9.1.0/24")
    az.run("network", "vnet", "subnet", "create", "-g", "W", "--vnet-name", "net", "-n", "s2", "--address-prefixes", "10.9.2.0/24", says='"name": "s2"')
    az.run("network", "vnet", "subnet", "create", "-g", "W", "--vnet-name", "net", "-n", "s3", "--address-prefixes", "10.9.2.0/25", rc=1,
           case="it overlaps another", says="NetcfgSubnetRangesOverlap")
    az.run("network", "vnet", "list", "-g", "W", says='"name": "net"')
    az.run("network", "vnet", "show", "-g", "W", "-n", "net", says="10.9.0.0/16")
    az.run("network", "vnet", "subnet", "list", "-g", "W", "--vnet-name", "net", says="10.9.2.0/24")
    az.run("network", "nsg", "create", "-g", "W", "-n", "rules")
    az.run("network", "nsg", "rule", "create", "-g", "W", "--nsg-name", "rules", "-n", "web", "--priority", "300", "--destination-port-ranges", "80", "443",
           "--source-address-prefixes", "127.0.0.0/8", says='"access": "Allow"')
    az.run("network", "nsg", "rule", "create", "-g", "W", "--nsg-name", "rules", "-n", "again", "--priority", "300", rc=1, case="another rule has the priority", says="SecurityRuleConflict")
    broken = {"rc": 1, "says": "No module named 'azure.mgmt.network", "outcome": NOT_THERE}  # in Debian's package
    az.run("network", "nsg", "rule", "update", "-g", "W", "--nsg-name", "rules", "-n", "web", "--access", "Deny", row="az network nsg rule update", **broken)
    az.run("network", "nsg", "rule", "show", "-g", "W", "--nsg-name", "rules", "-n", "web", **broken)
    az.run("network", "public-ip", "show", "-g", "W", "-n", "none", **broken)
    az.run("network", "public-ip", "delete", "-g", "W", "-n", "none", **broken)
    az.run("network", "nic", "show", "-g", "W", "-n", "none", **broken)
    az.run("network", "nic", "delete", "-g", "W", "-n", "none", **broken)
    az.run("network", "nsg", "rule", "list", "-g", "W", "--nsg-name", "rules", says='"name": "web"')
    az.run("network", "nsg", "rule", "delete", "-g", "W", "--nsg-name", "rules", "-n", "web")
    az.run("network", "nsg", "show", "-g", "W", "-n", "rules", says="defaultSecurityRules")
    az.run("network", "nsg", "list", "-g", "W", says='"name": "rules"')
    az.run("network", "public-ip", "create", "-g", "W", "-n", "ip", "--dns-name", "whost", says="whost.cloudapp.net")
    az.run("network", "public-ip", "create", "-g", "W", "-n", "ip2", "--dns-name", "whost", rc=1, case="the name is taken", says="whost")
    az.run("network", "public-ip", "list", "-g", "W", says='"ipAddress": "127.')
    az.run("network", "nic", "create", "-g", "W", "-n", "nic", "--vnet-name", "net", "--subnet", "s1", "--network-security-group", "rules", "--public-ip-address", "ip",
           says='"privateIpAddress": "10.9.1.')
    az.run("network", "nic", "list", "-g", "W", says='"name": "nic"')
    gone = ["resource", "delete", "-g", "W", "--resource-type"]
    az.run(*gone, "Microsoft.Network/publicIPAddresses", "-n", "ip", rc=1, row="az resource delete", case="an interface has the address", says="Some resources failed to be deleted")
    az.run("network", "vnet", "delete", "-g", "W", "-n", "net", rc=1, case="an interface is in it", says="InUse")
    az.run("network", "nsg", "delete", "-g", "W", "-n", "rules", rc=1, case="an interface has it", says="InUse")
    az.run("network", "lb", "create", "-g", "W", "-n", "lb", "--public-ip-address", "lbip", "--frontend-ip-name", "front", "--backend-pool-name", "", says="frontendIPConfigurations")
    az.run("network", "lb", "inbound-nat-rule", "create", "-g", "W", "--lb-name", "lb", "-n", "ssh", "--protocol", "Tcp", "--frontend-port", "50022", "--backend-port", "22",
           "--frontend-ip-name", "front", says='"frontendPort": 50022')
    az.run("network", "lb", "list", "-g", "W", says='"name": "lb"')
    create(az, "W", "M", *BY_PASSWORD, "--nics", "nic")
    az.run(*gone, "Microsoft.Network/networkInterfaces", "-n", "nic", rc=1, row="az resource delete", case="a machine has the interface", says="Some resources failed to be deleted")
    az.run("vm", "delete", "-g", "W", "-n", "M", "--yes")
    az.run(*gone, "Microsoft.Network/networkInterfaces", "-n", "nic", row="az resource delete")
    az.run(*gone, "Microsoft.Network/publicIPAddresses", "-n", "ip", row="az resource delete")
    az.run("network", "nsg", "delete", "-g", "W", "-n", "rules")
    az.run("network", "vnet", "delete", "-g", "W", "-n", "net")
    az.run("group", "delete", "-n", "W", "--yes")


try:
    az = clean_client("first")
    sign_in(az)
    wanted = [globals()[name] for name in sys.argv[1:]] or [living, networks, templates, catalog, creating, extensions, images, signing_in]
    failures = az.failures or at_once(az, wanted, folder)
finally:
    region.close()
    shutil.rmtree(folder, ignore_errors=True)
if failures:
    sys.exit(f"{len(failures)} commands did not do what they should")
if not sys.argv[1:]:
    table.finish()
