"""The unmodified classic client, npm package azure-cli 0.10.20, does its commands against a region whose machines are played: exit
codes, and the lines that its user sees. docs/conformance.md tells of every command."""
import json
import re
import subprocess
import unittest

import classic_world


class ClassicClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = classic_world.ClassicWorld()

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def works(self, name, *argv, lines=(), absent=(), **options):
        """`name` are the command's words; `lines` must stand in its output, one after the other."""
        done = self.world.client(*name.split(), *argv, **options)
        self.assertEqual(done.code, 0, done.all)
        self.check(done, lines, absent)
        self.assertIn(f"info:    {name} command OK", done.out)
        return done

    def refused(self, name, *argv, says, absent=(), **options):
        done = self.world.client(*name.split(), *argv, **options)
        self.assertEqual(done.code, 1, done.all)
        self.check(done, [says], absent)
        self.assertNotIn("    at ", done.err)  # no stack trace
        return done

    def check(self, done, lines, absent):
        at = 0
        for line in lines:
            found = re.compile(line, re.M).search(done.all, at)
            self.assertTrue(found, f"{line!r} is missing in\n{done.all}")
            at = found.start()
        for line in absent:
            self.assertNotRegex(done.all, line)

    # --- account

    def test_01_the_account(self):
        self.assertEqual(self.world.imported.code, 0)
        self.works("account list", lines=[r"^data:    Local +[0-9a-f-]{36} +true +n/a"])
        self.works("account show", lines=["Name +: Local", "Has Certificate +: Yes"])
        self.works("account set", "Local", lines=['Setting subscription to "Local"', "Changes saved"])
        self.works("account env list")
        self.works("account env show", "AzureCloud")
        self.works("account env add", "Local", "--management-endpoint-url", "https://127.0.0.1:9", lines=["New environment Local created"])
        self.works("account env set", "Local", "--portal-url", "https://127.0.0.1:9")

    def test_02_a_certificate_of_somebody_else_is_refused_in_words(self):
        profile = self.world.home / ".azure/azureProfile.json"
        kept = profile.read_text()
        key, cert = self.world.folder / "k.pem", self.world.folder / "c.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", cert], check=True, capture_output=True)
        document = json.loads(kept)
        document["subscriptions"][0]["managementCertificate"] = {"key": key.read_text(), "cert": cert.read_text()}
        profile.write_text(json.dumps(document))
        try:
            self.refused("vm list", says="error:   The server failed to authenticate the request")
        finally:
            profile.write_text(kept)

    # --- what there is

    def test_03_locations_and_images(self):
        self.works("vm location list", lines=["Getting locations", "^data:    West US"])
        self.works("vm image list", lines=["Name +Category +OS +Publisher", r"^data:    berth__\S+ +Public +Linux +Debian", "^data:    tiny +User +Linux"])
        self.works("vm image show", "TINY", lines=['category "User"', 'location 0 "West US"', 'name "tiny"', 'operatingSystemType "Linux"'])
        self.refused("vm image show", "nosuch", says="error:   The image 'nosuch' does not exist")
        self.works("vm extension list", lines=[r"Publisher +: Microsoft.Azure.Extensions"])
        self.works("vm extension list", "-n", "DockerExtension", "-p", "Microsoft.Azure.Extensions", "-a", lines=["Version +: 1.3.0"])
        self.works("vm list", lines=["No VMs found"])
        self.works("service list", lines=["No Cloud Services exist"])
        self.works("vm disk list", lines=["No disk images found"])

    # --- the article's command

    def test_04_docker_create(self):
        self.works("vm docker create", "-e", "22", "-l", "West US", "-p", "4243", "mydockerhost", "tiny", "ops", "Passw0rd!", lines=[
            'warn:    --vm-size has not been specified. Defaulting to "Small".', "Generating docker certificates", "Looking up image tiny",
            "Looking up cloud service", "cloud service mydockerhost not found", "Creating cloud service", "Creating VM"], absent=["Retrieving storage"])
        self.works("vm list", lines=["Name +Status +Location +DNS Name +IP Address",
                                     r"^data:    mydockerhost +ReadyRole +West US +mydockerhost.cloudapp.net +10.0.0.4"])
        self.works("vm show", "mydockerhost", lines=['DNSName "mydockerhost.cloudapp.net"', 'InstanceStatus "ReadyRole"', 'InstanceSize "Small"', 'Image "tiny"', '0 name "ssh"', '1 name "docker"'])
        self.works("vm extension get", "mydockerhost", lines=["Microsoft.Azure.Extensions +DockerExtension +DockerExtension +1.\\* +enable"])

    def test_05_the_disk_account_is_there_when_a_path_is_asked_for(self):
        self.works("vm create", "-e", "22", "-l", "West US", "-u", "/cont/blob.vhd", "-z", "Medium", "blobhost", "tiny", "ops", "Passw0rd!",
                   lines=["Retrieving storage accounts", "Creating VM"], absent=["Creating a new storage account"])
        self.works("vm show", "blobhost", lines=['InstanceSize "Medium"', r'mediaLink "https://portalvhds\w+.blob.region.invalid/cont/blob.vhd"'])
        self.works("vm delete", "-q", "-b", "blobhost", lines=["Deleting VM", "Deleting Cloud Service"])

    def test_06_raw_characters_in_a_password(self):
        self.works("vm create", "-e", "22", "-l", "West US", "rawhost", "tiny", "ops", "Pa&ss<w0rd!")
        self.works("vm delete", "-q", "-b", "rawhost")

    def test_07_a_public_ssh_key_and_generated_ones(self):
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", self.world.folder / "id"], check=True)
        self.works("vm docker create", "-e", "22", "-l", "West US", "-P", "-t", self.world.folder / "id.pub", "keyhost", "tiny", "ops",
                   lines=["Configuring certificate", "Creating VM"])
        self.works("service cert list", "--serviceName", "keyhost", lines=[r"keyhost +[0-9A-F]{40} +sha1"])
        self.works("vm delete", "-q", "-b", "keyhost")
        self.works("vm docker create", "-e", "22", "-l", "West US", "-P", "-G", "genhost", "tiny", "ops", lines=["private key for SSH authentication"])
        self.works("vm delete", "-q", "-b", "genhost")

    def test_08_what_the_client_does_not_check_is_said_at_once(self):
        create = ("-e", "22", "-l", "West US")
        self.refused("vm docker create", *create, "Bad_DNS", "tiny", "ops", "Passw0rd!", says="error:   The hosted service name 'Bad_DNS' is not valid")
        self.refused("vm docker create", *create, "-p", "abc", "badport", "tiny", "ops", "Passw0rd!", says="(?s)Deleting cloud service.*error:   .*'abc'")
        self.refused("vm docker create", *create, "-z", "Gigantic", "badsize", "tiny", "ops", "Passw0rd!", says="error:   There is no VM size 'Gigantic'")
        self.refused("vm docker create", *create, "badimage", "nosuch", "ops", "Passw0rd!", says='error:   Image "nosuch" not found')
        self.refused("vm docker create", *create, "mydockerhost", "tiny", "ops", "Passw0rd!", says='error:   A VM with dns prefix "mydockerhost" already exists')
        self.works("service list", lines=["mydockerhost"], absent=["badport", "badsize"])

    # --- life of a virtual machine

    def test_09_power(self):
        self.works("vm restart", "MYDOCKERHOST", lines=["Restarting VM"])
        self.works("vm shutdown", "mydockerhost", "-p", lines=["Shutting down VM"])
        self.works("vm list", lines=["mydockerhost +StoppedVM"])
        self.works("vm shutdown", "mydockerhost")
        self.works("vm list", "-d", "mydockerhost", lines=["mydockerhost +StoppedDeallocated"])
        self.works("vm start", "mydockerhost", lines=["Starting VM"])
        self.works("vm list", lines=["mydockerhost +ReadyRole"])
        self.works("vm start", "nosuch", lines=["warn:    No VMs found"])

    def test_10_endpoints(self):
        self.works("vm endpoint create", "mydockerhost", "8080", "80", "-n", "web", lines=["Reading network configuration", "Updating network configuration"])
        self.works("vm endpoint list", "mydockerhost", lines=[r"ssh +tcp +22 +22 +127\.", r"docker +tcp +4243 +4243", r"web +tcp +8080 +80"])
        self.works("vm endpoint show", "mydockerhost", "web", lines=["Local port +: 80"])
        self.works("vm endpoint delete", "mydockerhost", "web")
        self.works("vm endpoint list", "mydockerhost", absent=[r"^data:    web "])
        self.works("vm extension get", "mydockerhost", lines=["DockerExtension"])  # an update of endpoints leaves it alone

    def test_11_extensions(self):
        self.works("vm extension set", "mydockerhost", "DockerExtension", "Microsoft.Azure.Extensions", "1.*", "-i", '{"docker":{"port":"4243"},"compose":{}}', lines=["Updating vm extension"])
        self.refused("vm extension set", "mydockerhost", "Nothing", "Nobody", "1.0", says="There is no extension handler 'Nobody.Nothing'")

    def test_12_disks(self):
        self.works("vm disk list", "mydockerhost", lines=["Lun +Size", r"mydockerhost-\w+\.vhd|mydockerhost\S+ +Linux"])
        self.works("vm disk attach-new", "mydockerhost", "5", lines=["Adding Data-Disk"])
        self.works("vm disk list", "mydockerhost", lines=["^data:    0 +5 "])
        self.works("vm disk detach", "mydockerhost", "0", lines=["Removing Data-Disk"])
        names = re.findall(r"^data:    (\S+-0-\d{14}) ", self.works("vm disk list").out, re.M)
        data = [name for name in names if not name.startswith("mydockerhost-mydockerhost")][0]
        system = [name for name in names if name.startswith("mydockerhost-mydockerhost")][0]
        self.works("vm disk show", data, lines=["logicalSizeInGB|logicalDiskSizeInGB"])
        self.works("vm disk attach", "mydockerhost", data)
        self.works("vm disk detach", "mydockerhost", "0")
        self.works("vm disk delete", data, "-b", lines=[f"Disk deleted: {data}"])
        self.refused("vm disk delete", system, says="currently in use by virtual machine mydockerhost")

    def test_14_another_machine_in_the_same_service(self):
        self.works("vm docker create", "-c", "-e", "2222", "-p", "4244", "mydockerhost", "tiny", "ops", "Passw0rd!",
                   lines=["Found docker client certificates", "Found docker server certificates", "Getting cloud service properties", "Looking up deployment", "Creating VM"])
        self.works("vm list", lines=["mydockerhost +ReadyRole", "mydockerhost-2 +ReadyRole +West US +mydockerhost.cloudapp.net +10.0.0.5"])
        self.works("vm delete", "-q", "-b", "mydockerhost-2", absent=["Deleting Cloud Service"])

    def test_15_export_delete_and_create_again_from_the_disk(self):
        self.works("vm export", "mydockerhost", "role.json", lines=["exported to role.json"])
        self.works("vm delete", "-q", "mydockerhost", lines=["Deleting Cloud Service"])
        self.works("vm disk list", lines=[r"mydockerhost-mydockerhost-0-\d+ +Linux"])
        self.works("vm create-from", "mydockerhost", "role.json", "-l", "West US", lines=["Creating VM"])
        self.works("vm list", lines=["mydockerhost +ReadyRole"])

    def test_16_capture(self):
        self.works("vm shutdown", "mydockerhost", "-p")
        self.works("vm capture", "mydockerhost", "caught", "-o", "Generalized", lines=["Checking image with name caught exists", "Capturing VM"])
        self.works("vm image list", lines=["caught +User +Linux"])
        self.works("vm delete", "-q", "-b", "mydockerhost", lines=["Deleting VM", "Deleting Cloud Service"])
        self.works("service list", lines=["No Cloud Services exist"])
        self.works("vm image delete", "caught", lines=["Image deleted: caught"])

    def test_17_nothing_secret_is_in_the_log(self):
        log = (self.world.region / "berthd.log").read_text()
        for secret in ("Passw0rd!", "Pa&ss", "x-ms-parameter-set-name", "BEGIN"):
            self.assertNotIn(secret, log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
