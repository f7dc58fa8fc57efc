"""The unmodified classic client, npm package azure-cli 0.10.20, does its commands against a region whose machines are played: exit
codes, and the lines that its user sees. Usage: classic_test.py PART, one of those at the end, each with a region of its own.

What a part saw is its section of docs/conformance.md (../table.py says how that is brought up to date). Every command of the
client's groups is in one part, and has a row there: a part fails when one is missing."""
import concurrent.futures
import http.client
import json
import pathlib
import re
import ssl
import subprocess
import sys
import time
import unittest

import classic_world

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from table import NOT_THERE, REFUSED, WORKS, Table  # noqa: E402

PASSWORD = "Passw0rd!"
CREATE = ("-e", "22", "-l", "West US")


class Part(unittest.TestCase):
    """One region, its tests in the order of their names. `groups`: whose commands it records."""
    groups, others = (), ()  # `others`: those that are another part's
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.world, cls.table = classic_world.ClassicWorld(), Table("classic: " + cls.name)

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def run_client(self, outcome, name, argv, says, note, row, **options):
        done = self.world.client(*name.split(), *argv, **options)
        self.assertEqual(done.code, 0 if outcome == WORKS else 1, done.all)
        at = 0
        for line in says:
            found = re.compile(line, re.M).search(done.all, at)
            self.assertTrue(found, f"{line!r} is missing in\n{done.all}")
            at = found.start()
        if row is not None and self.is_ours(name):
            flags = sorted({str(a) for a in argv if re.match(r"--?[A-Za-z]", str(a))} - {"-q", "--json"}, key=str.lower)
            self.table.row(row or " ".join([name, *flags]), outcome, note if note is not None else self.reason(done, says))
        return done

    def works(self, name, *argv, lines=(), absent=(), note="", row="", **options):
        """`lines` must stand in its output, one after the other; `row` is its name in the table, None for no row."""
        done = self.run_client(WORKS, name, argv, lines, note, row, **options)
        self.assertIn(f"info:    {name} command OK", done.out)
        for line in absent:
            self.assertNotRegex(done.all, line)
        return done

    def refused(self, name, *argv, says, note=None, row="", **options):
        """`says` is part of the error's line, which becomes the note."""
        done = self.run_client(REFUSED, name, argv, [r"^error:   .*" + says], note, row, **options)
        if "Couldn't upload" not in done.err:  # there the client prints one of its own
            self.assertNotIn("    at ", done.err)  # no stack trace
        return done

    def is_not_there(self, name, *argv, says, note, row="", **options):
        return self.run_client(NOT_THERE, name, argv, [says], note, row, **options)

    def is_ours(self, name):
        return name.startswith(tuple(g + " " for g in self.groups)) and not name.startswith(tuple(g + " " for g in self.others))

    def reason(self, done, says):
        line = [line for line in done.all.splitlines() if re.search(says[0], line)][-1]
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", line[len("error:   "):].replace(str(self.world.home), "~"))

    def test_999_every_command_of_its_groups_has_a_row(self):
        rows = self.table.rows
        missing = [c for c in classic_world.commands(*self.groups) if self.is_ours(c) and not any((r + " ").startswith(c + " ") for r in rows)]
        self.assertEqual(missing, [])
        self.table.finish()


class Account(Part):
    name, groups = "account", ("account", "storage account")

    def test_01_gotcha_16_the_publish_settings_are_read(self):
        self.assertEqual(self.world.imported.code, 0)
        self.table.row("account import", WORKS)
        self.works("account list", lines=[r"^data:    Local +[0-9a-f-]{36} +true +n/a"])
        self.works("account show", lines=["Name +: Local", "Has Certificate +: Yes"])
        self.works("account set", "Local", lines=['Setting subscription to "Local"', "Changes saved"])

    def test_02_environments(self):
        self.works("account env list", lines=["AzureCloud"])
        self.works("account env show", "AzureCloud", lines=["Name: +AzureCloud"])
        self.works("account env add", "Local", "--management-endpoint-url", "https://127.0.0.1:9", lines=["New environment Local created"])
        self.works("account env set", "Local", "--portal-url", "https://127.0.0.1:9")
        self.works("account env delete", "Local")

    def test_03_certificates(self):
        self.works("account cert export", "-f", "mine.pem", lines=["Certificate exported to mine.pem"])
        self.assertIn("BEGIN", (self.world.home / "mine.pem").read_text())
        self.works("account cert export", "-p", self.world.info["publishSettings"], "-f", "theirs.pem", lines=["Certificate exported to theirs.pem"])

    def test_04_a_certificate_of_somebody_else_is_refused_in_words(self):
        profile = self.world.home / ".azure/azureProfile.json"
        kept = profile.read_text()
        key, cert = self.world.folder / "k.pem", self.world.folder / "c.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", cert], check=True, capture_output=True)
        document = json.loads(kept)
        document["subscriptions"][0]["managementCertificate"] = {"key": key.read_text(), "cert": cert.read_text()}
        profile.write_text(json.dumps(document))
        try:
            self.refused("vm list", says="The server failed to authenticate the request")
        finally:
            profile.write_text(kept)

    def test_05_there_are_no_affinity_groups(self):
        self.works("account affinity-group list", lines=["No affinity groups defined"], note="there are none")
        self.refused("account affinity-group create", "ag", "-l", "West US", says="This region has no affinity groups")
        self.refused("account affinity-group show", "ag", says="The affinity group 'ag' does not exist")
        self.refused("account affinity-group delete", "-q", "ag", says="The affinity group 'ag' does not exist")

    def test_06_the_retired_services_page_is_opened(self):
        opener = self.world.folder / "bin"
        opener.mkdir()
        for name in ("open", "xdg-open"):
            (opener / name).write_text("#!/bin/sh\n")
            (opener / name).chmod(0o755)
        done = self.world.client("account", "download", env={"PATH": f"{opener}:{self.world.env['PATH']}"})
        self.assertIn("Launching browser to http://go.microsoft.com/", done.out)
        self.table.row("account download", NOT_THERE, "opens a page of the retired public service; the region's file is named by `azure region status`")

    def test_07_storage_accounts(self):
        self.works("storage account check", "mine", lines=["Availability: true"])
        self.works("storage account create", "mine", "-l", "East US", "--type", "LRS", "-e", "label", "-d", "words", lines=["Creating storage account"])
        self.refused("storage account create", "mine", "-l", "East US", "--type", "LRS", says="already taken", row=None)
        self.refused("storage account create", "other", "-a", "ag", "--type", "LRS", says="The affinity group 'ag' does not exist")
        self.works("storage account list", lines=["Name +Type", "^data:    mine +Standard_LRS +label +East US"])
        self.works("storage account set", "mine", "-e", "other", "-d", "words", "--type", "GRS")
        self.works("storage account show", "mine", lines=["mine"])
        self.works("storage account check", "mine", lines=["Availability: false", "already taken"])
        self.works("storage account keys list", "mine", lines=["Primary: \\S{80}", "Secondary: \\S{80}"])
        first = self.works("storage account keys list", "mine").out
        self.works("storage account keys renew", "mine", "--primary")
        self.assertNotEqual(self.works("storage account keys list", "mine").out, first)
        self.works("storage account keys renew", "mine", "--secondary")
        self.works("storage account connectionstring show", "mine", lines=["AccountName=mine;AccountKey="])
        self.works("storage account sas create", "b", "sco", "r", "2030-01-01", "-a", "mine", "-k", "QUFBQQ==", lines=["sig="], note="signs an address of the blob service, which is not there")
        for action in ("validate", "prepare", "commit", "abort"):
            self.refused(f"storage account {action}-migration", "mine", says="There is nothing to migrate")
        self.works("storage account delete", "-q", "mine")
        self.refused("storage account show", "mine", says="The storage account 'mine' was not found", row=None)

    def test_08_the_account_is_forgotten_last(self):
        self.works("account clear", "-q", lines=["Account settings cleared"])
        self.refused("vm list", says="There is no current subscription")


class Service(Part):
    name, groups = "service", ("service",)

    def test_01_services(self):
        self.works("service list", lines=["No Cloud Services exist"])
        self.works("service create", "--location", "West US", "--label", "A label", "--description", "Some words", "empty", lines=["Creating cloud service", "Cloud service name empty"])
        self.refused("service create", "--location", "West US", "empty", says="The specified DNS name is already taken", row=None)
        self.refused("service create", "--location", "Atlantis", "other", says="The location 'Atlantis' is not available", row=None)
        self.refused("service create", "--location", "West US", "Bad_DNS", says="The hosted service name 'Bad_DNS' is not valid", row=None)
        self.refused("service create", "--affinitygroup", "ag", "other", says="The affinity group 'ag' does not exist")
        self.works("service list", lines=["Name +Location", "^data:    empty +West US"])
        self.works("service show", "EMPTY", lines=["Name empty", "Properties description Some words", "Properties location West US", "Properties label A label"])
        self.works("service delete", "-q", "empty", lines=["Deleting cloud service"])
        self.refused("service show", "empty", says="The hosted service 'empty' does not exist", row=None)

    def test_02_a_service_that_is_in_use(self):
        self.works("vm create", *CREATE, "web", "tiny", "ops", PASSWORD)
        self.refused("service delete", "-q", "web", says="cannot be deleted: it has the deployment 'web'", row=None)

    def test_03_certificates(self):
        key, cert, pfx = self.world.folder / "s.key", self.world.folder / "s.pem", self.world.folder / "s.pfx"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=s", "-keyout", key, "-out", cert], check=True, capture_output=True)
        subprocess.run(["openssl", "pkcs12", "-export", "-inkey", key, "-in", cert, "-passout", "pass:secret", "-out", pfx], check=True, capture_output=True)
        text = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha1"], check=True, capture_output=True, text=True).stdout
        thumbprint = text.split("=")[1].strip().replace(":", "")
        self.works("service cert list", lines=["No certificates defined"])
        self.refused("service cert create", "web", pfx, "wrong", says=".*(password|PFX|PKCS)", row=None)
        self.works("service cert create", "web", pfx, "secret", lines=["Creating certificate"])
        self.works("service cert list", "--serviceName", "web", lines=[f"^data:    web +{thumbprint} +sha1"])
        self.works("service cert get", "--service-name", "web", "--thumbprint", thumbprint, "--thumbprint-algorithm", "sha1")
        self.works("service cert delete", "-q", "-d", "web", thumbprint, lines=["Deleting certificate"])
        self.works("service cert list", lines=["No certificates defined"])
        self.refused("service cert get", "--service-name", "web", "--thumbprint", thumbprint, "--thumbprint-algorithm", "sha1", says="has no certificate", row=None)

    def test_04_load_balanced_sets(self):
        self.works("service load-balanced-set list", "web", lines=['No load balanced set found in the service "web"'])
        self.works("vm endpoint create", "web", "8000", "80", "-n", "http", "-b", "front")
        self.works("service load-balanced-set list", "web", lines=["Name +Port", "^data:    front +8000"])
        self.works("service load-balanced-set show", "web", "-b", "front", lines=["Name +: front", "VM name +: web", "Local port +: 80"])
        self.works("service load-balanced-set set", "web", "front", "-l", "8005", "-k", "81", "-o", "tcp", "-m", "12", "-t", "80", "-r", "http", "-p", "/up", "-e", "10", "-f", "20",
                   "-u", "Disabled", "-a", "sourceIP", lines=["Updating load balanced set"])
        self.works("vm endpoint list", "web", lines=["^data:    http +tcp +8005 +81 "])
        self.refused("service load-balanced-set set", "web", "nosuch", "-l", "8006", says="not found in the cloud service web", row=None)

    def test_05_there_are_no_internal_load_balancers(self):
        self.works("service internal-load-balancer list", "web", lines=["No internal load balancers defined"], note="there are none")
        self.refused("service internal-load-balancer add", "web", "inner", says="This region has no internal load balancers")
        self.works("service internal-load-balancer set", "web", "inner", "-a", "10.0.0.9", lines=["No matching internal load balancer defined"], note="there are none to change")
        self.works("service internal-load-balancer delete", "-q", "web", "inner", lines=["No matching internal load balancer defined"], note="there are none to delete")

    def test_06_deployments(self):
        self.works("service deployment get-by-name", "web", "web", lines=["roleName: 'web'", "instanceStatus: 'ReadyRole'"])
        self.works("service deployment get-by-slot", "web", "Production", lines=["roleName: 'web'"])
        for action in ("abort", "commit"):
            self.refused(f"service deployment {action}-migration", "web", "web", says="There is nothing to migrate")
        for action in ("prepare", "validate"):
            self.refused(f"service deployment {action}-migration", "web", "web", "default", "group", "subnet", "network", says="There is nothing to migrate")
        self.is_not_there("service get-deployment-event", "web", "2016-01-01T00:00:00Z", "2016-01-02T00:00:00Z", says="startTime.toISOString is not a function",
                          note="the client fails before it asks: startTime.toISOString is not a function")

    # --- what the client's connections need

    def connect(self, tls=None):
        profile = json.loads((self.world.home / ".azure/azureProfile.json").read_text())["subscriptions"][0]
        file = self.world.folder / "client.pem"
        file.write_text(profile["managementCertificate"]["key"] + profile["managementCertificate"]["cert"])
        context = ssl.create_default_context(cafile=self.world.info["caCertificate"])
        context.load_cert_chain(file)
        if tls:
            context.minimum_version = context.maximum_version = tls
        host, port = re.search(r"//([^:/]+):(\d+)", self.world.info["managementEndpoint"]).groups()
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=120)
        return connection, f"/{profile['id']}/services/hostedservices/web/deploymentslots/Production"

    def test_07_gotcha_13_one_connection_for_each_service_at_once(self):
        connections = [self.connect() for _ in range(100)]
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            def ask(which):
                connection, path = which
                connection.request("GET", path, headers={"x-ms-version": "2017-01-01", "Connection": "close"})
                answer = connection.getresponse()
                return answer.status, b"ReadyRole" in answer.read()
            self.assertEqual(set(pool.map(ask, connections)), {(200, True)})

    def test_08_gotcha_15_tls_1_2_will_do(self):
        connection, path = self.connect(ssl.TLSVersion.TLSv1_2)
        connection.request("GET", path)
        self.assertEqual(connection.getresponse().status, 200)
        self.assertEqual(connection.sock.version() if connection.sock else "TLSv1.2", "TLSv1.2")


class Machines(Part):
    name, groups = "vm", ("vm",)
    others = ("vm endpoint", "vm disk", "vm extension", "vm image", "vm location", "vm static-ip", "vm public-ip")

    def docker(self, *argv, **options):
        return self.works("vm docker create", *argv, **options)

    def test_01_nothing_is_there(self):
        self.works("vm list", lines=["No VMs found"])
        self.works("vm start", "nosuch", lines=["warn:    No VMs found"], row=None)

    def test_02_the_articles_command(self):
        self.docker(*CREATE, "-p", "4243", "mydockerhost", "tiny", "ops", PASSWORD, lines=[
            'warn:    --vm-size has not been specified. Defaulting to "Small".', "Generating docker certificates", "Looking up image tiny",
            "Looking up cloud service", "cloud service mydockerhost not found", "Creating cloud service", "Creating VM"], absent=["Retrieving storage"])
        self.works("vm list", lines=["Name +Status +Location +DNS Name +IP Address", r"^data:    mydockerhost +ReadyRole +West US +mydockerhost.cloudapp.net +10.0.0.4"])
        self.works("vm show", "mydockerhost", lines=['DNSName "mydockerhost.cloudapp.net"', 'InstanceStatus "ReadyRole"', 'InstanceSize "Small"', 'Image "tiny"', '0 name "ssh"', '1 name "docker"'])
        self.works("vm show", "-d", "mydockerhost", "mydockerhost", lines=['VMName "mydockerhost"'])

    # --- what the client makes of certificates: in the folder of its first host, unless said otherwise

    def openssl(self, *argv):
        return subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True, text=True).stdout

    def subject(self, certificate):
        return self.openssl("x509", "-in", certificate, "-noout", "-subject", "-nameopt", "multiline")

    def test_03_gotcha_17_server_certificates_have_a_common_name_only(self):
        folder = self.world.home / ".docker"
        text = self.openssl("x509", "-in", folder / "mydockerhost-server-cert.pem", "-noout", "-text")
        self.assertIn("Version: 1 (0x0)", text)
        self.assertNotIn("X509v3", text)  # no alternative name, and no other extension
        self.assertRegex(self.subject(folder / "mydockerhost-server-cert.pem"), r"commonName += \*\.cloudapp\.net\n")
        self.assertRegex(self.subject(folder / "ca.pem"), r"commonName += \*\n")
        self.openssl("rsa", "-in", folder / "ca-key.pem", "-passin", "pass:Docker123", "-noout", "-check")

    def test_03_gotcha_18_files_are_named_as_typed_and_the_machine_by_its_first_part(self):
        folder = self.world.folder / "typed"
        self.docker(*CREATE, "-C", folder, "Typed.cloudapp.net", "tiny", "ops", PASSWORD)
        names = {file.name for file in folder.iterdir()}
        self.assertLessEqual({"Typed.cloudapp.net-server-cert.pem", "Typed.cloudapp.net-server-key.pem", "ca.pem", "cert.pem", "key.pem"}, names)
        self.works("vm list", lines=[r"^data:    Typed +ReadyRole +West US +typed.cloudapp.net"])
        self.works("vm delete", "-q", "-b", "typed")

    def test_03_gotcha_19_a_second_host_uses_the_authority_unless_a_file_of_the_client_is_missing(self):
        folder = self.world.folder / "authority"
        create = lambda host, says: self.docker(*CREATE, "-C", folder, host, "tiny", "ops", PASSWORD, lines=[says])
        create("first", "Generating docker certificates")
        authority, client = (folder / "ca.pem").read_text(), (folder / "cert.pem").read_text()
        create("second", "Found docker client certificates")
        self.assertEqual(((folder / "ca.pem").read_text(), (folder / "cert.pem").read_text()), (authority, client))
        self.openssl("verify", "-CAfile", folder / "ca.pem", folder / "second-server-cert.pem")
        (folder / "cert.pem").unlink()
        create("third", "Generating docker certificates")
        self.assertNotEqual((folder / "ca.pem").read_text(), authority)
        with self.assertRaises(subprocess.CalledProcessError):  # the first host is lost
            self.openssl("verify", "-CAfile", folder / "ca.pem", folder / "first-server-cert.pem")
        for host in ("first", "second", "third"):
            self.works("vm delete", "-q", "-b", host, lines=["Deleting VM", "Deleting Cloud Service"])

    def test_03_gotcha_25_a_slash_in_the_name_of_a_certificate_begins_another_part_of_its_subject(self):
        for host, name, parts in (("plainname", "other.example", ["commonName += other.example"]),
                                  ("slash", "other.example/O=somebody", ["commonName += other.example\n", "organizationName += somebody"])):
            folder = self.world.folder / host
            self.docker(*CREATE, "-N", name, "-C", folder, host, "tiny", "ops", PASSWORD)
            for part in parts:
                self.assertRegex(self.subject(folder / f"{host}-server-cert.pem"), part)
            self.works("vm delete", "-q", "-b", host)

    def test_04_every_option_of_docker_create(self):
        data = self.world.folder / "custom"
        data.write_text("#!/bin/sh\n")
        self.docker(*CREATE, "-z", "Medium", "-n", "otherName", "-A", "set", "-d", data, "-u", "https://account.blob.core.windows.net/vhds/a.vhd", "-s", "Local", "full.cloudapp.net", "tiny", "ops", PASSWORD)
        self.works("vm show", "-d", "full", "otherName", lines=['DNSName "full.cloudapp.net"', 'InstanceSize "Medium"', 'mediaLink "https://account.blob.core.windows.net/vhds/a.vhd"'])
        self.works("vm delete", "-q", "-b", "-d", "full", "otherName")
        self.docker("-E", "-l", "West US", "closed", "tiny", "ops", PASSWORD)
        self.works("vm endpoint list", "closed", lines=["docker +tcp"], absent=["ssh"])
        self.works("vm delete", "-q", "-b", "closed")

    def test_05_a_public_ssh_key_and_generated_ones(self):
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", self.world.folder / "id"], check=True)
        self.docker(*CREATE, "-P", "-t", self.world.folder / "id.pub", "keyhost", "tiny", "ops", lines=["Configuring certificate", "Creating VM"])
        self.works("service cert list", "--serviceName", "keyhost", lines=[r"keyhost +[0-9A-F]{40} +sha1"])
        self.works("vm delete", "-q", "-b", "keyhost")
        self.docker(*CREATE, "-P", "-G", "genhost", "tiny", "ops", lines=["private key for SSH authentication"])
        self.works("vm delete", "-q", "-b", "genhost")

    def test_06_what_the_client_does_not_check_is_said_at_once(self):
        def refused(*argv, says):
            self.refused("vm docker create", *CREATE, *argv, "tiny" if "nosuch" not in argv else "nosuch", "ops", PASSWORD, says=says, row=None)
        refused("Bad_DNS", says="The hosted service name 'Bad_DNS' is not valid")
        refused("-p", "abc", "badport", says="'abc'")
        refused("-z", "Gigantic", "badsize", says="There is no VM size 'Gigantic'")
        refused("mydockerhost", says='A VM with dns prefix "mydockerhost" already exists')
        self.refused("vm docker create", *CREATE, "badimage", "nosuch", "ops", PASSWORD, says='Image "nosuch" not found', row=None)
        self.works("service list", lines=["mydockerhost"], absent=["badport", "badsize"])

    def test_07_what_this_region_has_not(self):
        for command in ("vm docker create", "vm create"):
            self.refused(command, "-e", "22", "-a", "ag", "none", "tiny", "ops", PASSWORD, says="No affinity group found with name ag")
            self.refused(command, *CREATE, "-R", "reserved", "none", "tiny", "ops", PASSWORD, says="The reserved address 'reserved' does not exist")
            self.refused(command, *CREATE, "-w", "nosuch", "none", "tiny", "ops", PASSWORD, says="Virtual network with name nosuch not found", row=None)
            # Its gallery is long gone: nothing of this machine asks for it.
            self.is_not_there(command, *CREATE, "-o", "none", "tiny", "ops", PASSWORD, says="Failed to validate Community image", note="a gallery of the public service that is gone",
                              env={"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"})
        self.refused("vm create", *CREATE, "-i", "address", "none", "tiny", "ops", PASSWORD, says="The role 'none' cannot have a public address of its own")
        self.refused("vm create", *CREATE, "-w", "mydockerhost-vnet", "-b", "default", "-f", "eth1:default:::", "none", "tiny", "ops", PASSWORD,
                     says="The role 'none' cannot have more than one network interface")

    def test_08_create(self):
        self.works("vm create", *CREATE, "-u", "/cont/blob.vhd", "-z", "Medium", "blobhost", "tiny", "ops", PASSWORD, lines=["Retrieving storage accounts", "Creating VM"],
                   absent=["Creating a new storage account"])
        self.works("vm show", "blobhost", lines=['InstanceSize "Medium"', r'mediaLink "https://portalvhds\w+.blob.region.invalid/cont/blob.vhd"'])
        self.works("vm delete", "-q", "-b", "blobhost")
        data = self.world.folder / "custom"
        self.works("vm create", "-l", "West US", "-E", "-n", "avs", "-A", "set", "-d", data, "-g", "ops", "-p", PASSWORD, "--disable-boot-diagnostics", "avs", "tiny")
        self.works("vm show", "avs", absent=["BootDiagnosticsEnabled true"])
        self.works("vm set", "-B", "true", "avs", lines=["Updating VM"])
        self.works("vm show", "avs", lines=["BootDiagnosticsEnabled true"])
        self.works("vm delete", "-q", "-b", "avs")

    def test_09_gotcha_05_raw_characters_in_a_password(self):
        self.works("vm create", *CREATE, "rawhost", "tiny", "ops", "Pa&ss<w0rd!")
        self.works("vm delete", "-q", "-b", "rawhost")

    def test_10_networks(self):
        self.docker(*CREATE, "-w", "mydockerhost-vnet", "-b", "default", "subnet", "tiny", "ops", PASSWORD, lines=["Looking up virtual network"])
        self.docker(*CREATE, "-w", "mydockerhost-vnet", "-S", "10.0.0.40", "fixed", "tiny", "ops", PASSWORD)
        self.works("vm list", lines=["fixed +ReadyRole +West US +fixed.cloudapp.net +10.0.0.40"])
        self.works("vm create", *CREATE, "-w", "mydockerhost-vnet", "plain", "tiny", "ops", PASSWORD)
        self.works("vm create", *CREATE, "-w", "mydockerhost-vnet", "-S", "10.0.0.41", "fixed2", "tiny", "ops", PASSWORD)
        self.refused("vm create", *CREATE, "-w", "mydockerhost-vnet", "-S", "10.0.0.41", "fixed3", "tiny", "ops", PASSWORD, says="10.0.0.41", row=None)
        for name in ("subnet", "fixed", "plain", "fixed2"):
            self.works("vm delete", "-q", "-b", name)

    def test_11_power(self):
        self.works("vm restart", "MYDOCKERHOST", lines=["Restarting VM"])
        self.works("vm shutdown", "mydockerhost", "-p", lines=["Shutting down VM"])
        self.works("vm list", lines=["mydockerhost +StoppedVM"])
        self.works("vm shutdown", "mydockerhost")
        self.works("vm list", "-d", "mydockerhost", lines=["mydockerhost +StoppedDeallocated"])
        self.works("vm start", "mydockerhost", lines=["Starting VM"])
        self.works("vm list", lines=["mydockerhost +ReadyRole"])

    def test_12_another_machine_in_the_same_service(self):
        self.docker("-c", "-e", "2222", "-p", "4244", "mydockerhost", "tiny", "ops", PASSWORD,
                    lines=["Found docker client certificates", "Found docker server certificates", "Getting cloud service properties", "Looking up deployment", "Creating VM"])
        self.works("vm list", lines=["mydockerhost +ReadyRole", "mydockerhost-2 +ReadyRole +West US +mydockerhost.cloudapp.net +10.0.0.5"])
        self.refused("vm create", "-c", "-e", "2222", "-n", "third", "mydockerhost", "tiny", "ops", PASSWORD, says="Port 2222 is already used by endpoint 'ssh'", row=None)
        self.works("vm create", "-c", "-e", "2223", "-n", "third", "mydockerhost", "tiny", "ops", PASSWORD)
        for name in ("mydockerhost-2", "third"):
            self.works("vm delete", "-q", "-b", name, absent=["Deleting Cloud Service"])

    def test_13_export_delete_and_create_again_from_the_disk(self):
        self.works("vm disk attach-new", "mydockerhost", "5", row=None)
        blob = re.search(r"^data:    0 +5 +(\S+)", self.works("vm disk list", "mydockerhost", row=None).out, re.M).group(1)
        self.works("vm export", "mydockerhost", "role.json", lines=["exported to role.json"])
        self.works("vm delete", "-q", "mydockerhost", lines=["Deleting Cloud Service"])
        self.works("vm disk list", lines=[r"mydockerhost-mydockerhost-0-\d+ +Linux"])
        self.works("vm create-from", "mydockerhost", "role.json", "-l", "West US", lines=["Creating VM"])
        self.works("vm list", lines=["mydockerhost +ReadyRole"])
        self.works("vm disk list", "mydockerhost", lines=[f"^data:    0 +5 +{re.escape(blob)}"], row=None)

    def test_14_capture(self):
        self.refused("vm capture", "mydockerhost", "caught", "-t", says="mydockerhost is running and cannot be captured now", row="vm capture (of a running machine)")
        self.works("vm shutdown", "mydockerhost", "-p")
        self.works("vm capture", "mydockerhost", "special", "-o", "Specialized", "-e", "A label", lines=["Checking image with name special exists", "Capturing VM"])
        self.works("vm image list", lines=["special +User +Linux"])
        self.works("vm create", *CREATE, "copy", "special", lines=["Creating VM"], row="vm create (of a specialized image)")
        self.works("vm delete", "-q", "-b", "copy")
        self.works("vm capture", "mydockerhost", "general", "-o", "Generalized", lines=["Capturing VM"])
        self.refused("vm capture", "mydockerhost", "tiny", "-o", "Generalized", says="An image named 'tiny' exists already", row=None)
        self.works("vm create", *CREATE, "copy", "general", "ops", PASSWORD, row="vm create (of a generalized image)")
        self.works("vm delete", "-q", "-b", "copy")
        self.works("vm capture", "mydockerhost", "caught", "-t", lines=["Capturing VM"])
        self.works("vm list", absent=["mydockerhost"])
        self.works("vm image list", lines=["caught +User +Linux"])

    # --- one region, two clients

    def test_15_a_host_of_the_classic_client_is_one_of_ours(self):
        self.docker(*CREATE, "-p", "4243", "classic", "tiny", "ops", PASSWORD)
        ours = self.world.ours("vm", "list")
        self.assertRegex(ours.all, r"classic +running +westus +classic.cloudapp.net")
        self.assertRegex(self.world.ours("vm", "show", "classic").all, "Image +tiny")
        self.assertEqual(self.world.ours("vm", "delete", "-q", "classic").code, 0)
        self.works("vm list", absent=["classic"])
        self.works("service list", absent=["^data:    classic "])

    def test_16_a_host_of_our_client_is_one_of_the_classic_one(self):
        self.world.create_ours("ours", PASSWORD)
        self.works("vm list", lines=[r"^data:    ours +ReadyRole +West US +ours.cloudapp.net"])
        self.works("vm show", "ours", lines=['DNSName "ours.cloudapp.net"', 'Image "tiny"'])
        self.works("vm restart", "ours")
        self.works("vm delete", "-q", "-b", "ours", lines=["Deleting VM", "Deleting Cloud Service"])
        self.assertNotRegex(self.world.ours("vm", "list").all, "^data:    ours ")

    def test_20_gotcha_20_nothing_secret_is_in_the_log(self):
        log = (self.world.region / "berthd.log").read_text()
        for secret in (PASSWORD, "Pa&ss", "x-ms-parameter-set-name", "BEGIN"):
            self.assertNotIn(secret, log)

    def test_21_gotcha_24_its_first_run_asks_about_telemetry_and_waits(self):
        kept = self.world.home / ".azure/telemetry.json"
        said = kept.read_text()
        kept.unlink()
        asked = self.world.client("vm", "list", quick=False)
        self.assertRegex(asked.all, "data collection|telemetry")
        self.assertGreater(asked.seconds, 30)
        kept.unlink(missing_ok=True)
        self.world.client("telemetry", "--disable")
        quiet = self.world.client("vm", "list", quick=False)
        self.assertNotRegex(quiet.all, "data collection|telemetry")
        self.assertIn("info:    vm list command OK", quiet.out)
        kept.write_text(said)

    def test_21_gotcha_24_a_proxy_keeps_the_client_from_the_region(self):
        self.refused("vm list", says="tunneling socket could not be established", row=None, env={"HTTPS_PROXY": "http://127.0.0.1:9"})
        self.works("vm list")


class Devices(Part):
    name = "parts of a vm"
    groups = Machines.others

    def test_01_locations_and_images(self):
        self.works("vm location list", lines=["Getting locations", "^data:    West US"])
        self.works("vm image list", lines=["Name +Category +OS +Publisher", r"^data:    berth__\S+ +Public +Linux +Debian", "^data:    tiny +User +Linux"])
        self.works("vm image show", "TINY", lines=['category "User"', 'location 0 "West US"', 'name "tiny"', 'operatingSystemType "Linux"'])
        self.refused("vm image show", "nosuch", says="The image 'nosuch' does not exist", row=None)
        self.works("vm create", *CREATE, "web", "tiny", "ops", PASSWORD)

    def test_02_blobs_are_refused(self):
        disk = self.world.folder / "disk.vhd"
        disk.write_bytes(bytes(1 << 20) + vhd_footer(1 << 20))
        for what in ("image", "disk"):
            self.refused(f"vm {what} create", "new", disk, "-o", "Linux", "-l", "West US", says="This region has no blob service")
            self.is_not_there(f"vm {what} create", "new", "-u", "https://account.blob.region.invalid/a.vhd", "-o", "Linux", says="Path must be a string",
                              note="the client fails before it asks: Path must be a string")
        self.is_not_there("vm disk upload", disk, "https://127.0.0.1:9/vhds/a.vhd", "AAAA", says="^error:", note="there is no blob service to send it to")

    def test_03_extensions(self):
        self.works("vm extension list", lines=[r"Publisher +: Microsoft.Azure.Extensions"])
        self.works("vm extension list", "-n", "DockerExtension", "-p", "Microsoft.Azure.Extensions", "-a", lines=["Version +: 1.3.0"])
        self.works("vm extension list", "-n", "DockerExtension", "-p", "Microsoft.Azure.Extensions", "-e", "1.3.0", lines=["Version +: 1.3.0"])
        docker = ("web", "DockerExtension", "Microsoft.Azure.Extensions", "1.*")
        public, private = self.world.folder / "public.json", self.world.folder / "private.json"
        public.write_text('{"docker":{"port":"4243"}}')
        private.write_text('{"certs":{"ca":"Y2E=","cert":"Y2U=","key":"a2U="}}')
        self.works("vm extension set", *docker, "-i", public.read_text(), "-t", private.read_text(), lines=["Updating vm extension"])
        self.works("vm extension set", *docker, "-c", public, "-e", private)
        self.works("vm extension get", "web", lines=["Publisher +Extension name", "Microsoft.Azure.Extensions +DockerExtension +DockerExtension +1.\\* +Enable"])
        self.works("vm extension set", "-b", *docker, lines=["Disabling vm extension"])
        self.works("vm extension get", "-n", "DockerExtension", "-p", "Microsoft.Azure.Extensions", "web", lines=["Disable"])
        self.works("vm extension set", "-u", *docker, lines=["Uninstalling vm extension"])
        self.works("vm extension get", "web", lines=["No extensions found"])
        self.works("vm extension set", "-r", "mine", "-i", public.read_text(), *docker)
        self.works("vm extension get", "-r", "mine", "web", lines=["DockerExtension +mine"])
        self.refused("vm extension set", "web", "Nothing", "Nobody", "1.0", says="There is no extension handler 'Nobody.Nothing'", row=None)
        self.refused("vm extension set-chef", "web", "-V", "1210.12", "-O", public, "-c", public, says="There is no extension handler 'Chef.Bootstrap.WindowsAzure.LinuxChefClient'")
        self.works("vm extension get-chef", "web", lines=["No extensions found"], note="there is none")

    def test_04_endpoints(self):
        self.works("vm endpoint create", "web", "8080", "80", "-n", "http", lines=["Reading network configuration", "Updating network configuration"])
        self.works("vm endpoint create", "web", "8081", "-k", "81", "-o", "udp", "-m", "5", "-u", "Disabled")
        self.works("vm endpoint create", "web", "8082", "82", "-b", "front", "-a", "sourceIP", "-t", "82", "-r", "http", "-p", "/up", "-e", "10", "-f", "20", note="nothing here acts on the probe")
        self.refused("vm endpoint create", "web", "8083", "-i", "inner", says="An internal load balancer .* with name inner not found")
        self.works("vm endpoint list", "web", lines=[r"ssh +tcp +22 +22 +127\.", r"http +tcp +8080 +80", r"udp-8081-81 +udp +8081 +81", "8082 +82 .*Yes"])
        self.works("vm endpoint show", "web", "http", lines=["Local port +: 80"])
        self.works("vm endpoint create-multiple", "web", "9001:91:tcp:10:::::::::,9002:92:udp::::::::::")
        self.works("vm endpoint list", "web", lines=["tcp-9001-91 +tcp +9001 +91", "udp-9002-92 +udp +9002 +92"])
        self.works("vm endpoint set", "web", "http", "-n", "https", "-l", "8443", "-k", "443", "-o", "tcp", "-m", "10")
        self.works("vm endpoint list", "web", lines=["https +tcp +8443 +443"], absent=["^data:    http "])
        self.works("vm endpoint delete", "web", "https")
        self.works("vm endpoint list", "web", absent=["^data:    https "])
        self.works("vm extension get", "web", lines=["mine"])  # a change of endpoints leaves it alone

    def test_05_a_set_of_two_machines_is_refused(self):
        self.works("vm create", "-c", "-e", "2222", "-n", "web2", "web", "tiny", "ops", PASSWORD)
        self.refused("vm endpoint create", "web2", "8082", "82", "-b", "front", says="this region does not spread connections over several virtual machines",
                     row="vm endpoint create -b (a set of two machines)")
        self.works("vm delete", "-q", "-b", "web2")

    def test_06_access_lists(self):
        self.works("vm endpoint acl-rule create", "web", "ssh", "1", "permit", "10.0.0.0/8", "-r", "ours")
        self.works("vm endpoint acl-rule create", "web", "ssh", "2", "deny", "0.0.0.0/0")
        self.refused("vm endpoint acl-rule create", "web", "ssh", "3", "deny", "10.0.0.0/99", says="cidr part 99 should be a number", row=None)
        self.works("vm endpoint acl-rule list", "web", "ssh", lines=["1 +permit +10.0.0.0/8 +ours", "2 +deny +0.0.0.0/0"])
        self.works("vm endpoint acl-rule set", "web", "ssh", "1", "-w", "5", "-a", "deny", "-t", "11.0.0.0/8", "-r", "theirs")
        self.works("vm endpoint acl-rule list", "web", "ssh", lines=["deny +11.0.0.0/8 +theirs"])
        self.works("vm endpoint acl-rule delete", "-q", "web", "ssh", "2")
        self.works("vm endpoint acl-rule list", "web", "ssh", absent=["0.0.0.0/0"])

    def test_07_addresses(self):
        self.works("vm static-ip show", "web", lines=["No static IP address set for VM web"])
        self.refused("vm static-ip set", "web", "10.0.0.50", says="The VM does not belong to any virtual networks", row="vm static-ip set (in a service's own network)")
        self.works("vm create", *CREATE, "-w", "web-vnet", "inner", "tiny", "ops", PASSWORD)
        self.refused("vm static-ip set", "inner", "10.0.0.50", says="Shut it down first", row="vm static-ip set (of a running machine)")
        self.works("vm shutdown", "inner")
        self.works("vm static-ip set", "inner", "10.0.0.50", lines=["Updating network configuration"])
        self.works("vm static-ip show", "inner", lines=['Network StaticIP "10.0.0.50"'])
        self.works("vm start", "inner")
        self.works("vm list", lines=["inner +ReadyRole .* 10.0.0.50"])
        self.works("vm endpoint create", "inner", "8080", "80")
        self.works("vm static-ip show", "inner", lines=['Network StaticIP "10.0.0.50"'])  # a change of endpoints leaves it alone
        self.works("vm static-ip remove", "inner", lines=["Updating network configuration"])
        self.works("vm static-ip show", "inner", lines=["No static IP address set for VM inner"])
        self.works("vm public-ip list", "web", lines=["No public IP addresses found"], note="there are none beside the service's")
        self.refused("vm public-ip set", "web", "address", says="The role 'web' cannot have a public address of its own")
        self.refused("vm public-ip delete", "-q", "web", "address", says="No PublicIP with name address found")

    def test_08_disks(self):
        self.works("vm disk list", "web", lines=["Lun +Size", r"web\S+ +Linux"])
        self.works("vm disk attach-new", "web", "5", lines=["Adding Data-Disk"])
        self.works("vm disk attach-new", "web", "6", "https://account.blob.core.windows.net/vhds/second.vhd", "-c", "ReadOnly", row="vm disk attach-new -c")
        self.works("vm disk list", "web", lines=["^data:    0 +5 ", "^data:    1 +6 +second.vhd"])
        self.works("vm disk update", "web", "0", "-c", "ReadWrite", lines=["Updating Data-Disk"])
        self.works("vm show", "web", lines=['DataDisks 0 hostCaching "ReadWrite"', 'DataDisks 1 hostCaching "ReadOnly"'])
        self.works("vm disk detach", "web", "0", lines=["Removing Data-Disk"])
        names = re.findall(r"^data:    (\S+-\d{14}) ", self.works("vm disk list").out, re.M)
        data = next(name for name in names if name.startswith("web-0-"))
        system = next(name for name in names if name.startswith("web-web-"))
        self.works("vm disk show", data, lines=["logicalSizeInGB|logicalDiskSizeInGB"])
        self.works("vm disk attach", "web", data, "-c", "None")
        self.refused("vm disk delete", data, says="currently in use by virtual machine web", row=None)
        self.works("vm disk detach", "web", "2")  # the client counts on, not into gaps
        self.works("vm disk delete", data, "-b", lines=[f"Disk deleted: {data}"])
        self.refused("vm disk delete", system, says="currently in use by virtual machine web", row=None)

    def test_09_images_go_last(self):
        self.works("vm image delete", "tiny", lines=["Image deleted: tiny"])  # the machines made of it go on
        self.works("vm shutdown", "web", "-p")
        self.works("vm capture", "web", "caught", "-o", "Generalized")
        self.works("vm image show", "caught", lines=['name "caught"'])
        self.works("vm image delete", "-b", "caught", lines=["Image deleted: caught"])
        for name in ("web", "inner"):
            self.works("vm delete", "-q", "-b", name)


def vhd_footer(size):
    """What the client looks for at the end of a disk file: a fixed VHD's."""
    footer = bytearray(512)
    footer[0:8], footer[10:14] = b"conectix", b"\0\2\0\1"
    footer[8:16] = (2).to_bytes(4, "big") + (0x10000).to_bytes(4, "big")
    footer[16:24] = b"\xff" * 8
    footer[40:48] = footer[48:56] = size.to_bytes(8, "big")
    footer[60:64] = (2).to_bytes(4, "big")
    footer[64:68] = (~sum(footer) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(footer)


PARTS = {"account": Account, "service": Service, "vm": Machines, "devices": Devices}

if __name__ == "__main__":
    began = time.monotonic()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(PARTS[sys.argv[1]])
    good = unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
    print(f"{sys.argv[1]}: {time.monotonic() - began:.0f} s")
    sys.exit(not good)
