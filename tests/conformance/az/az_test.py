#!/usr/bin/env python3
"""Debian's unmodified az against a region: what a user types, and what they see. Needs the package azure-cli, and takes
minutes (each az command takes a second or more): runs when BERTH_TEST_AZ is set."""
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from fake_region import Client, FakeRegion  # noqa: E402

if not os.environ.get("BERTH_TEST_AZ") or not shutil.which("az"):
    print("BERTH_TEST_AZ is not set, or az is not installed (package azure-cli): nothing was tested")
    sys.exit(77)

region = FakeRegion()
folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-az-"))
endpoint = region.facts["managementEndpoint"]
env = dict(region.env, AZURE_CONFIG_DIR=str(folder / "config"), AZURE_CORE_COLLECT_TELEMETRY="no",
           REQUESTS_CA_BUNDLE=region.facts["caCertificate"], AZURE_CORE_ONLY_SHOW_ERRORS="true")
az = Client(["az"], env)
IMAGE = "Debian:debian-12:12-docker:latest"

TEMPLATE = """{
  // A comment, as az takes it.
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {
    "adminPassword": { "type": "securestring" },
    "name": { "type": "string", "defaultValue": "[concat('vm', uniqueString(resourceGroup().id))]" },
    "location": { "type": "string", "defaultValue": "[resourceGroup().location]" }
  },
  "variables": {
    "network": "[concat(parameters('name'), '-net')]",
    "subnetId": "[resourceId('Microsoft.Network/virtualNetworks/subnets', variables('network'), 'inner')]"
  },
  "resources": [
    { "type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2019-11-01", "name": "[concat(parameters('name'), '-ip')]",
      "location": "[parameters('location')]", "properties": { "dnsSettings": { "domainNameLabel": "[toLower(parameters('name'))]" } } },
    { "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2019-11-01", "name": "[variables('network')]",
      "location": "[parameters('location')]",
      "properties": { "addressSpace": { "addressPrefixes": [ "10.0.0.0/16" ] },
        "subnets": [ { "name": "inner", "properties": { "addressPrefix": "10.0.0.0/24" } } ] } },
    { "type": "Microsoft.Network/networkInterfaces", "apiVersion": "2019-11-01", "name": "[concat(parameters('name'), '-nic')]",
      "location": "[parameters('location')]",
      "dependsOn": [ "[concat('Microsoft.Network/publicIPAddresses/', parameters('name'), '-ip')]", "[variables('network')]" ],
      "properties": { "ipConfigurations": [ { "name": "one", "properties": {
        "publicIPAddress": { "id": "[resourceId('Microsoft.Network/publicIPAddresses', concat(parameters('name'), '-ip'))]" },
        "subnet": { "id": "[variables('subnetId')]" } } } ] } },
    { "type": "Microsoft.Compute/virtualMachines", "apiVersion": "2019-12-01", "name": "[parameters('name')]",
      "location": "[parameters('location')]",
      "dependsOn": [ "[concat('Microsoft.Network/networkInterfaces/', parameters('name'), '-nic')]" ],
      "properties": { "hardwareProfile": { "vmSize": "Standard_B2s" },
        "osProfile": { "computerName": "[parameters('name')]", "adminUsername": "ops", "adminPassword": "[parameters('adminPassword')]" },
        "storageProfile": { "imageReference": { "publisher": "Debian", "offer": "debian-12", "sku": "12-docker", "version": "latest" },
          "osDisk": { "createOption": "FromImage" }, "dataDisks": [ { "lun": 0, "createOption": "Empty", "diskSizeGB": 4 } ] },
        "networkProfile": { "networkInterfaces": [ { "id": "[resourceId('Microsoft.Network/networkInterfaces', concat(parameters('name'), '-nic'))]" } ] } } },
    { "type": "Microsoft.Compute/virtualMachines/extensions", "apiVersion": "2019-12-01", "name": "[format('{0}/DockerExtension', parameters('name'))]",
      "location": "[parameters('location')]", "dependsOn": [ "[concat('Microsoft.Compute/virtualMachines/', parameters('name'))]" ],
      "properties": { "publisher": "Microsoft.Azure.Extensions", "type": "DockerExtension", "typeHandlerVersion": "1.0",
        "autoUpgradeMinorVersion": true, "settings": {} } }
  ],
  "outputs": { "host": { "type": "string", "value": "[reference(concat(parameters('name'), '-ip')).dnsSettings.fqdn]" } }
}
"""


def sign_in():
    az.run("cloud", "register", "-n", "Local", "--profile", "2020-09-01-hybrid", "--endpoint-resource-manager", endpoint,
           "--endpoint-vm-image-alias-doc", endpoint + "/aliases.json")
    az.run("cloud", "set", "-n", "Local")
    az.run("login", "--service-principal", "-u", region.facts["clientId"], "-p", "wrong", "--tenant", region.facts["tenantId"],
           rc=1, says="AADSTS7000215")
    az.run("login", "--service-principal", "-u", region.facts["clientId"], "-p", region.secret, "--tenant", region.facts["tenantId"],
           says='"state": "Enabled"')
    az.run("account", "show", says=region.facts["subscriptionId"])
    az.run("account", "list-locations", says='"displayName": "West US"')


def groups_and_catalog():
    az.run("group", "exists", "-n", "G", says="false")
    az.run("group", "create", "-n", "G", "-l", "westus", "--tags", "a=b", says='"provisioningState": "Succeeded"')
    az.run("group", "list", says='"name": "G"')
    az.run("group", "show", "-n", "G", says='"location": "westus"')
    az.run("group", "show", "-n", "none", rc=3, says="ResourceGroupNotFound")
    az.run("provider", "list", says="Microsoft.Compute")
    az.run("provider", "register", "-n", "Microsoft.Compute")
    az.run("vm", "image", "list", says="debian-12")
    az.run("vm", "image", "list", "--all", "-l", "westus", "-p", "Debian", says="12-docker")
    az.run("vm", "image", "show", "-l", "westus", "--urn", IMAGE, says='"operatingSystem": "Linux"')
    az.run("vm", "image", "list-publishers", "-l", "westus", says="Microsoft.Azure.Extensions")
    az.run("vm", "list-sizes", "-l", "westus", says="Standard_DS1_v2")
    az.run("vm", "list-skus", "-l", "westus", says="Standard_B2s")
    az.run("vm", "list-usage", "-l", "westus", says="Total Regional vCPUs")


def machines():
    az.run("vm", "create", "-g", "G", "-n", "N", "--image", IMAGE, "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234",
           "--public-ip-address-dns-name", "nhost", says=['"powerState": "VM running"', "nhost.cloudapp.net"])
    az.run("vm", "create", "-g", "G", "-n", "N2", "--image", "Debian:debian-12:12:latest", "--admin-username", "azureuser",
           "--generate-ssh-keys", "--data-disk-sizes-gb", "4", "--nsg", "", says='"powerState": "VM running"')
    az.run("vm", "create", "-g", "G", "-n", "C", "--count", "2", "--image", IMAGE, "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234")
    az.run("vm", "create", "-g", "G", "-n", "NW", "--no-wait", "--image", IMAGE, "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234")
    az.run("vm", "wait", "-g", "G", "-n", "NW", "--created")
    az.run("vm", "create", "-g", "G", "-n", "V", "--validate", "--image", IMAGE, "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234")
    az.run("vm", "create", "-g", "G", "-n", "X", "--image", "Nobody:nothing:none:1.0", "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234",
           rc=1, says="InvalidTemplateDeployment")
    az.run("vm", "create", "-g", "none", "-n", "X", "--image", IMAGE, "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234",
           rc=2, says="ResourceGroupNotFound")
    az.run("vm", "list", "-g", "G", says='"name": "N2"')
    az.run("vm", "list", "-d", says='"powerState": "VM running"')
    az.run("vm", "show", "-d", "-g", "G", "-n", "N", says='"publicIps": "127.')
    az.run("vm", "show", "-g", "G", "-n", "none", rc=3, says="ResourceNotFound")
    az.run("vm", "get-instance-view", "-g", "G", "-n", "N", "-o", "table", says="VM running")
    az.run("vm", "list-ip-addresses", "-g", "G", "-n", "N", says='"ipAddress": "127.')
    az.run("vm", "open-port", "-g", "G", "-n", "N", "--port", "80", says="open-port-80")
    az.run("vm", "open-port", "-g", "G", "-n", "N2", "--port", "8080", "--priority", "901", says="open-port-8080")
    az.run("network", "nsg", "rule", "list", "-g", "G", "--nsg-name", "NNSG", says="open-port-80")
    for action, state in (("stop", "VM stopped"), ("start", "VM running"), ("restart", "VM running"), ("deallocate", "VM deallocated"), ("start", "VM running")):
        az.run("vm", action, "-g", "G", "-n", "N")
        az.run("vm", "show", "-d", "-g", "G", "-n", "N", "--query", "powerState", says=state)
    az.run("vm", "redeploy", "-g", "G", "-n", "N")
    az.run("vm", "update", "-g", "G", "-n", "N", "--set", "tags.colour=blue", says='"colour": "blue"')
    az.run("vm", "resize", "-g", "G", "-n", "N", "--size", "Standard_A2", says='"vmSize": "Standard_A2"')
    az.run("vm", "disk", "attach", "-g", "G", "--vm-name", "N", "--name", "extra", "--new", "--size-gb", "4")
    az.run("vm", "show", "-g", "G", "-n", "N", "--query", "storageProfile.dataDisks[].name", says="extra")
    az.run("vm", "disk", "detach", "-g", "G", "--vm-name", "N", "--name", "extra")
    az.run("disk", "list", "-g", "G", says='"name": "extra"')
    az.run("vm", "run-command", "invoke", "-g", "G", "-n", "N", "--command-id", "RunShellScript", "--scripts", "id", rc=1, says="RunCommandNotSupported")
    az.run("vm", "boot-diagnostics", "enable", "-g", "G", "-n", "N")
    az.run("vm", "boot-diagnostics", "get-boot-log-uris", "-g", "G", "-n", "N", says="serial.log")


def extensions():
    az.run("vm", "extension", "image", "list-names", "-l", "westus", "-p", "Microsoft.Azure.Extensions", says="DockerExtension")
    az.run("vm", "extension", "image", "list-versions", "-l", "westus", "-p", "Microsoft.Azure.Extensions", "-n", "DockerExtension", says='"name": "1.')
    settings = folder / "settings.json"
    settings.write_text('{"docker":{"port":"2376"}}')
    az.run("vm", "extension", "set", "--publisher", "Microsoft.Azure.Extensions", "--name", "DockerExtension", "--vm-name", "N", "-g", "G",
           "--settings", settings, "--protected-settings", '{"certs":{"ca":"Y2E=","cert":"Y2VydA==","key":"a2V5"}}', says='"provisioningState": "Succeeded"')
    az.run("vm", "extension", "list", "--vm-name", "N", "-g", "G", says="DockerExtension")
    az.run("vm", "extension", "show", "--vm-name", "N", "-g", "G", "-n", "DockerExtension", "--instance-view", says="Enable succeeded")
    az.run("vm", "extension", "set", "--publisher", "Nobody", "--name", "Nothing", "--version", "1.0", "--vm-name", "N", "-g", "G", rc=3, says="VMExtensionNotFound")
    az.run("vm", "extension", "delete", "--vm-name", "N", "-g", "G", "-n", "DockerExtension")
    az.run("vm", "extension", "delete", "--vm-name", "N", "-g", "G", "-n", "DockerExtension")


def deployments():
    template = folder / "host.json"
    template.write_text(TEMPLATE)
    az.run("deployment", "group", "validate", "-g", "G", "-f", template, "-p", "adminPassword=Passw0rd-1234", "name=tmpl", says="Succeeded")
    az.run("deployment", "group", "create", "-g", "G", "-n", "D", "-f", template, "-p", "adminPassword=Passw0rd-1234", "name=tmpl", says="tmpl.cloudapp.net")
    az.run("deployment", "group", "list", "-g", "G", says='"name": "D"')
    shown = az.run("deployment", "group", "show", "-g", "G", "-n", "D", says='"provisioningState": "Succeeded"')
    az.check("the deployment shows no password", "Passw0rd" not in shown)
    az.run("deployment", "operation", "group", "list", "-g", "G", "-n", "D", says="virtualMachines/extensions")
    az.run("deployment", "group", "create", "-g", "G", "-n", "D2", "-f", template, "-p", "name=tmpl", "adminPassword=x", rc=1, says="complexity")
    az.run("deployment", "group", "show", "-g", "G", "-n", "none", rc=3, says="DeploymentNotFound")
    az.run("resource", "list", "-g", "G", says="Microsoft.Compute/virtualMachines")
    az.run("tag", "list", says='"tagName": "a"')


def images():
    az.run("vm", "deallocate", "-g", "G", "-n", "N2")
    az.run("vm", "generalize", "-g", "G", "-n", "N2")
    az.run("image", "create", "-g", "G", "-n", "golden", "--source", "N2", says='"provisioningState": "Succeeded"')
    az.run("image", "list", "-g", "G", says="golden")
    az.run("vm", "create", "-g", "G", "-n", "FromImage", "--image", "golden", "--admin-username", "azureuser", "--admin-password", "Passw0rd-1234",
           says='"powerState": "VM running"')
    az.run("image", "delete", "-g", "G", "-n", "golden")


def networks():
    az.run("network", "vnet", "list", "-g", "G", says='"name": "NVNET"')
    az.run("network", "nsg", "show", "-g", "G", "-n", "NNSG", says="defaultSecurityRules")
    az.run("network", "public-ip", "list", "-g", "G", says="nhost")
    az.run("storage", "account", "list")
    az.run("rest", "--method", "get", "--url", f"{endpoint}/subscriptions?api-version=2016-06-01", "--resource", "https://management.core.windows.net/", says="Enabled")


def endings():
    az.run("vm", "delete", "-g", "G", "-n", "N", "--yes")
    az.run("vm", "show", "-g", "G", "-n", "N", rc=3, says="ResourceNotFound")
    az.run("vm", "delete", "-g", "G", "-n", "N", "--yes")
    az.run("group", "delete", "-n", "G", "--yes")
    az.run("group", "exists", "-n", "G", says="false")
    az.run("group", "delete", "-n", "G", "--yes", rc=3, says="ResourceGroupNotFound")


try:
    for part in (sign_in, groups_and_catalog, machines, extensions, deployments, images, networks, endings):
        part()
finally:
    region.close()
    shutil.rmtree(folder, ignore_errors=True)
if az.failures:
    sys.exit(f"{len(az.failures)} commands did not do what they should")
