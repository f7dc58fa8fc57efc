"""A region that has one of everything, made through both dialects, and all that it answers about it."""
import base64
import http.client
import io
import json
import pathlib
import re
import ssl
import subprocess
import sys
import time
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from arm_client import Arm  # noqa: E402

NAMESPACE = 'xmlns="http://schemas.microsoft.com/windowsazure" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
SERVICES = "/services/hostedservices"


def add_image(home, name="tiny"):
    """An image of the user, as the gallery keeps it: just large enough to be taken for a disk."""
    folder = home / "images" / name
    folder.mkdir(parents=True)
    disk = bytearray(1 << 20)
    disk[510:512] = b"\x55\xaa"
    (folder / "disk").write_bytes(disk)
    (folder / "image.json").write_text(json.dumps({
        "name": name, "label": "A tiny image", "family": "Test", "sizeGib": 1, "docker": True, "added": "2026-01-01T00:00:00.000Z",
        "format": "raw", "disk": "disk", "kernel": "", "initrd": "", "commandLine": ""}))


def handler_package(remark="first"):
    """The zip of a handler that does nothing."""
    manifest = [{"handlerManifest": {f"{verb}Command": "h" for verb in ("install", "enable", "update", "disable", "uninstall")}}]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        program = zipfile.ZipInfo("h")
        program.external_attr = 0o755 << 16
        archive.writestr(program, f"#!/bin/sh\n# {remark}\n")
        archive.writestr(zipfile.ZipInfo("HandlerManifest.json"), json.dumps(manifest))  # no time in it: the same bytes each time
    return out.getvalue()


def below(group, kind, name):
    return f"/resourceGroups/{group}/providers/{kind}/{name}"


class ManyKinds:
    """Bodies of requests for one subscription."""

    def __init__(self, arm):
        self.arm = arm
        self.subscription = f"/subscriptions/{arm.region.facts['subscriptionId']}"

    def id(self, group, kind, name):
        return {"id": self.subscription + below(group, kind, name)}

    def rules(self, source="10.1.2.0/24"):
        def rule(name, priority, **more):
            return {"name": name, "properties": {"priority": priority, "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "sourcePortRange": "*",
                                                 "destinationPortRange": "22", "sourceAddressPrefix": source, "destinationAddressPrefix": "*", **more}}
        return {"location": "westus", "tags": {"a": "b"}, "properties": {"securityRules": [
            rule("ssh", 100, description="one source"),
            rule("many", 110, protocol="Udp", destinationPortRanges=["53", "8000-8010"], sourceAddressPrefixes=["10.2.0.0/16", "10.3.0.0/16"]),
            rule("no", 120, access="Deny", direction="Outbound", sourcePortRange="1000-2000", destinationAddressPrefix="Internet")]}}

    def network(self, group="g"):
        return {"location": "westus", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": [
            {"name": "first", "properties": {"addressPrefix": "10.1.0.0/24"}},
            {"name": "second", "properties": {"addressPrefix": "10.1.1.0/24",
                                              "networkSecurityGroup": self.id(group, "Microsoft.Network/networkSecurityGroups", "rules")}}]}}

    def interface(self, group, address, subnet="first", **more):
        configuration = {"subnet": self.id(group, "Microsoft.Network/virtualNetworks", f"net/subnets/{subnet}"), **more}
        if address:
            configuration["publicIPAddress"] = self.id(group, "Microsoft.Network/publicIPAddresses", address)
        return {"location": "westus", "properties": {
            "enableIPForwarding": True, "networkSecurityGroup": self.id(group, "Microsoft.Network/networkSecurityGroups", "rules"),
            "ipConfigurations": [{"name": "one", "properties": configuration}]}}

    def machine(self, group, name, nic, size="Standard_B1s", disks=()):
        return {"location": "westus", "tags": {"role": "web"}, "properties": {
            "hardwareProfile": {"vmSize": size}, "networkProfile": {"networkInterfaces": [self.id(group, "Microsoft.Network/networkInterfaces", nic)]},
            "osProfile": {"computerName": name, "adminUsername": "ops", "adminPassword": "Passw0rd-1234"},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
            "storageProfile": {"imageReference": {"osImage": "tiny"},
                               "osDisk": {"createOption": "FromImage", "caching": "ReadOnly", "deleteOption": "Delete"}, "dataDisks": list(disks)}}}

    def balancer(self, group="g"):
        own = self.id(group, "Microsoft.Network/loadBalancers", "lb")["id"]
        front = {"id": own + "/frontendIPConfigurations/front"}
        return {"location": "westus", "properties": {
            "frontendIPConfigurations": [{"name": "front", "properties": {"publicIPAddress": self.id(group, "Microsoft.Network/publicIPAddresses", "lb-ip")}}],
            "backendAddressPools": [{"name": "pool"}],
            "inboundNatRules": [{"name": "ssh", "properties": {"frontendIPConfiguration": front, "protocol": "Tcp", "frontendPort": 2200, "backendPort": 22}}],
            "probes": [{"name": "probe", "properties": {"protocol": "Tcp", "port": 80, "intervalInSeconds": 15, "numberOfProbes": 2}}]}}

    def extension(self, settings="first"):
        return {"location": "westus", "properties": {"publisher": "Contoso.Test", "type": "Shell", "typeHandlerVersion": "1.0", "autoUpgradeMinorVersion": True,
                                                     "settings": {"who": settings, "docker": {"port": 4243}}, "protectedSettings": {"secret": "hidden"}}}

    def deployment(self, resources, outputs=None):
        return {"properties": {"mode": "Incremental", "parameters": {"who": {"value": "me"}}, "template": {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
            "parameters": {"who": {"type": "string"}, "secret": {"type": "securestring", "defaultValue": "hidden"}},
            "resources": resources, "outputs": outputs or {}}}}


def make_by_resource_manager(arm):
    make, bodies = arm.done, ManyKinds(arm)
    make("PUT", "/resourceGroups/g", {"location": "westus", "tags": {"team": "one"}})
    make("PUT", "/resourceGroups/empty", {"location": "northeurope"})
    make("PUT", below("g", "Microsoft.Network/networkSecurityGroups", "rules"), bodies.rules())
    make("PUT", below("g", "Microsoft.Network/virtualNetworks", "net"), bodies.network())
    for name, properties in {"ip": {"dnsSettings": {"domainNameLabel": "web1"}, "publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 7}, "lb-ip": {}}.items():
        make("PUT", below("g", "Microsoft.Network/publicIPAddresses", name), {"location": "westus", "sku": {"name": "Standard"}, "properties": properties})
    make("PUT", below("g", "Microsoft.Network/networkInterfaces", "nic"),
         bodies.interface("g", "ip", privateIPAllocationMethod="Static", privateIPAddress="10.1.0.77"))
    make("PUT", below("g", "Microsoft.Network/loadBalancers", "lb"), bodies.balancer())
    balanced = bodies.interface("g", None, "second")
    one = balanced["properties"]["ipConfigurations"][0]["properties"]
    one["loadBalancerBackendAddressPools"] = [bodies.id("g", "Microsoft.Network/loadBalancers", "lb/backendAddressPools/pool")]
    one["loadBalancerInboundNatRules"] = [bodies.id("g", "Microsoft.Network/loadBalancers", "lb/inboundNatRules/ssh")]
    make("PUT", below("g", "Microsoft.Network/networkInterfaces", "balanced"), balanced)
    make("PUT", below("g", "Microsoft.Storage/storageAccounts", "account1"), {"location": "westus", "kind": "Storage", "sku": {"name": "Standard_LRS"}, "tags": {"x": "y"}})
    make("PUT", below("g", "Microsoft.Compute/availabilitySets", "set"), {"location": "westus", "sku": {"name": "Aligned"}, "properties": {"platformFaultDomainCount": 3}})
    make("PUT", below("g", "Microsoft.Compute/disks", "data"),
         {"location": "westus", "sku": {"name": "Premium_LRS"}, "properties": {"diskSizeGB": 2, "creationData": {"createOption": "Empty"}}})
    machine = bodies.machine("g", "web1", "nic", disks=[
        {"lun": 3, "createOption": "Attach", "caching": "ReadWrite", "managedDisk": bodies.id("g", "Microsoft.Compute/disks", "data")},
        {"lun": 0, "name": "fresh", "createOption": "Empty", "diskSizeGB": 1, "deleteOption": "Delete"}])
    machine["properties"]["availabilitySet"] = bodies.id("g", "Microsoft.Compute/availabilitySets", "set")
    make("PUT", below("g", "Microsoft.Compute/virtualMachines", "web1"), machine)
    make("PUT", below("g", "Microsoft.Compute/virtualMachines", "web2"), bodies.machine("g", "web2", "balanced"))
    send_package(arm, handler_package())
    make("PUT", below("g", "Microsoft.Compute/virtualMachines", "web1/extensions/shell"), bodies.extension())
    make("PUT", below("g", "Microsoft.Network/networkInterfaces", "third"), bodies.interface("g", None))
    make("PUT", below("g", "Microsoft.Compute/virtualMachines", "golden"), bodies.machine("g", "golden", "third"))
    for verb in ("deallocate", "generalize"):
        make("POST", below("g", "Microsoft.Compute/virtualMachines", f"golden/{verb}"))
    make("PUT", below("g", "Microsoft.Compute/images", "captured"),
         {"location": "westus", "properties": {"sourceVirtualMachine": bodies.id("g", "Microsoft.Compute/virtualMachines", "golden")}})
    inner = bodies.deployment([{"type": "Microsoft.Compute/availabilitySets", "apiVersion": "2021-05-01", "name": "inner", "location": "westus", "properties": {}}])
    resources = [{"type": "Microsoft.Resources/deployments", "apiVersion": "2021-04-01", "name": "nested", "properties": inner["properties"]}]
    make("PUT", below("g", "Microsoft.Resources/deployments", "all"), bodies.deployment(resources, {"told": {"type": "string", "value": "[parameters('who')]"}}))


def send_package(arm, zipped, version="1.0.0", replace=""):
    path = f"/subscriptions/{arm.region.facts['subscriptionId']}/providers/Berth.Local/extensions/Contoso.Test/Shell/{version}?api-version=2023-03-01{replace}"
    status, text, _ = arm.send("PUT", path, zipped, {"Authorization": "Bearer " + arm.token, "Content-Type": "application/zip"})
    if status >= 300:
        raise AssertionError(f"{path}: {status} {text.decode()}")
    return json.loads(text)


class Classic:
    """The classic API of a region, by the certificate of its publish-settings file."""

    def __init__(self, region):
        self.region = region
        text = pathlib.Path(region.facts["publishSettings"]).read_text()
        pfx = base64.b64decode(re.search(r'ManagementCertificate="([^"]*)"', text)[1])
        pem = region.folder / "management.pem"
        if not pem.exists():
            pem.write_bytes(subprocess.run(["openssl", "pkcs12", "-legacy", "-nodes", "-passin", "pass:"], input=pfx, capture_output=True, check=True).stdout)
        self.tls = ssl.create_default_context(cafile=region.facts["caCertificate"])
        self.tls.load_cert_chain(pem)

    def call(self, method, path, body=None):
        host, port = re.search(r"//([^:/]+):(\d+)", self.region.facts["managementEndpoint"]).groups()
        connection = http.client.HTTPSConnection(host, int(port), context=self.tls, timeout=120)
        try:
            connection.request(method, f"/{self.region.facts['subscriptionId']}{path}", body, {"x-ms-version": "2014-06-01", "Content-Type": "application/xml"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def get(self, path):
        status, text, _ = self.call("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {text}")
        return text

    def done(self, method, path, body=None, limit=120):
        status, text, headers = self.call(method, path, body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {text}")
        if status == 202:
            until = time.monotonic() + limit
            while "InProgress" in (text := self.get("/operations/" + headers["x-ms-request-id"])):
                if time.monotonic() > until:
                    raise AssertionError("still in progress: " + text)
                time.sleep(0.02)
            if "Succeeded" not in text:
                raise AssertionError(f"{method} {path}: {text}")


def service_body(name):
    label = base64.b64encode(name.encode()).decode()
    return f"<CreateHostedService {NAMESPACE}><ServiceName>{name}</ServiceName><Label>{label}</Label><Description>What it is for</Description><Location>West US</Location></CreateHostedService>"


def role_body(name, port=22):
    return f"""<RoleName>{name}</RoleName><RoleType>PersistentVMRole</RoleType><ConfigurationSets><ConfigurationSet>\
<ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType><HostName>{name}</HostName><UserName>ops</UserName><UserPassword>Passw0rd!</UserPassword>\
</ConfigurationSet><ConfigurationSet><ConfigurationSetType>NetworkConfiguration</ConfigurationSetType><InputEndpoints><InputEndpoint><LocalPort>22</LocalPort>\
<Name>ssh</Name><Port>{port}</Port><Protocol>tcp</Protocol><EndpointAcl><Rules><Rule><Order>1</Order><Action>permit</Action><RemoteSubnet>127.0.0.0/8</RemoteSubnet>\
<Description>this host</Description></Rule></Rules></EndpointAcl></InputEndpoint></InputEndpoints></ConfigurationSet></ConfigurationSets>\
<DataVirtualHardDisks><DataVirtualHardDisk><HostCaching>ReadOnly</HostCaching><DiskLabel>more</DiskLabel><Lun>2</Lun><LogicalDiskSizeInGB>1</LogicalDiskSizeInGB>\
</DataVirtualHardDisk></DataVirtualHardDisks><OSVirtualHardDisk><SourceImageName>tiny</SourceImageName></OSVirtualHardDisk><RoleSize>Small</RoleSize>"""


def deployment_body(name):
    return f"<Deployment {NAMESPACE}><Name>{name}</Name><DeploymentSlot>Production</DeploymentSlot><Label>{name}</Label><RoleList><Role>{role_body(name)}</Role></RoleList></Deployment>"


def make_by_the_classic_api(classic):
    classic.done("POST", SERVICES, service_body("cloud1"))
    classic.done("POST", SERVICES + "/cloud1/deployments", deployment_body("cloud1"))
    classic.done("POST", SERVICES + "/cloud1/deployments/cloud1/roles", f"<PersistentVMRole {NAMESPACE}>{role_body('second', 2222)}</PersistentVMRole>")
    label = base64.b64encode(b"An account").decode()
    classic.done("POST", "/services/storageservices", f"<CreateStorageServiceInput {NAMESPACE}><ServiceName>classic1</ServiceName><Description>words</Description>"
                 f"<Label>{label}</Label><Location>West US</Location></CreateStorageServiceInput>")
    classic.get("/services/storageservices/classic1/keys")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x", "-outform", "DER"],
                          capture_output=True, check=True).stdout
    classic.done("POST", SERVICES + "/cloud1/certificates", f"<CertificateFile {NAMESPACE}><Data>{base64.b64encode(made).decode()}</Data>"
                 "<CertificateFormat>cer</CertificateFormat><Password></Password></CertificateFile>")


# --- what it answers

def all_of_resource_manager(arm):
    """Every document that Resource Manager gives of what there is, by its address."""
    answers = {}

    def keep(path, needed=True):
        status, text, _ = arm.call("GET", path)
        if status != 200 and needed:
            raise AssertionError(f"GET {path}: {status} {text.decode()}")
        answers[path] = json.loads(text) if status == 200 else status
        return answers[path]

    groups = keep("/resourcegroups")["value"]
    for path in ("/resources", "/tagNames", "/providers/Berth.Local/osImages", "/providers/Berth.Local/extensions", "/locations"):
        keep(path)
    for group in groups:
        of_group = f"/resourceGroups/{group['name']}"
        keep(of_group)
        for deployment in keep(of_group + "/deployments")["value"]:
            keep(f"{of_group}/deployments/{deployment['name']}")
            keep(f"{of_group}/deployments/{deployment['name']}/operations")
        for resource in keep(of_group + "/resources")["value"]:
            own = resource["id"].split("/", 3)[3]
            whole = keep("/" + own)
            keep("/" + own.rsplit("/", 1)[0])
            properties = whole.get("properties", {})
            for part in ("subnets", "securityRules", "inboundNatRules", "backendAddressPools", "frontendIPConfigurations"):
                for each in properties.get(part, []) if isinstance(properties.get(part), list) else []:
                    if "name" in each:
                        keep(f"/{own}/{part}/{each['name']}", needed=False)
            if resource["type"].lower() == "microsoft.compute/virtualmachines":
                keep(f"/{own}/instanceView")
                keep(f"/{own}?$expand=instanceView")
                for extension in keep(f"/{own}/extensions").get("value", []):
                    keep(f"/{own}/extensions/{extension['name']}?$expand=instanceView")
    return answers


def all_of_the_classic_api(classic):
    answers = {}

    def keep(path):
        answers[path] = classic.get(path)
        return answers[path]

    for path in ("", "/certificates", "/services/images", "/services/vmimages", "/services/disks", "/services/networking/virtualnetwork", "/services/networking/media",
                 "/services/networking/reservedips", "/services/resourceextensions", "/affinitygroups"):
        keep(path)
    for service in re.findall("<ServiceName>([^<]*)", keep(SERVICES)):
        keep(f"{SERVICES}/{service}?embed-detail=true")
        keep(f"{SERVICES}/{service}/certificates")
        if "<Deployment>" in answers[f"{SERVICES}/{service}?embed-detail=true"]:
            slot = keep(f"{SERVICES}/{service}/deploymentslots/production")
            deployment = re.search("<Name>([^<]*)", slot)[1]
            for role in re.findall("<RoleName>([^<]*)</RoleName>", slot):
                answers[f"role {role}"] = classic.get(f"{SERVICES}/{service}/deployments/{deployment}/roles/{role}")
    for account in re.findall("<ServiceName>([^<]*)", keep("/services/storageservices")):
        keep(f"/services/storageservices/{account}")
        if not account.startswith("portalvhds"):
            keep(f"/services/storageservices/{account}/keys")
    for disk in re.findall("<Disk>.*?<Name>([^<]*)", answers["/services/disks"], re.S):
        keep(f"/services/disks/{disk}")
    return answers


def without_etags(value):
    if isinstance(value, dict):
        return {k: without_etags(v) for k, v in value.items() if k.lower() != "etag"}
    return [without_etags(v) for v in value] if isinstance(value, list) else value


def differences(before, after):
    """Lines that say what is not the same."""
    def walk(path, a, b):
        if isinstance(a, dict) and isinstance(b, dict):
            for key in sorted(set(a) | set(b)):
                yield from walk(f"{path} {key}", a.get(key, "(missing)"), b.get(key, "(missing)"))
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for number, (x, y) in enumerate(zip(a, b)):
                yield from walk(f"{path}[{number}]", x, y)
        elif a != b:
            yield f"{path}: {a!r} became {b!r}"
    return list(walk("", before, after))


def make_everything(region):
    """Returns both clients of a region whose home has the image "tiny"."""
    arm = Arm(region)
    make_by_resource_manager(arm)
    classic = Classic(region)
    make_by_the_classic_api(classic)
    return arm, classic


def all_of(arm, classic):
    return {**all_of_resource_manager(arm), **all_of_the_classic_api(classic)}
