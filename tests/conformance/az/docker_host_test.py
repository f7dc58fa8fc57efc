#!/usr/bin/env python3
"""A Docker host by Debian's unmodified az, on a real virtual machine: az vm create, az vm extension set, docker info."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import berth  # noqa: E402
import clients  # noqa: E402

NAME = "azhost"
IMAGE = "Debian:debian-13:13-docker:latest"


class DockerHost(berth.Case):
    @classmethod
    def prepare(cls):
        cls.az = clients.Az(cls.world)
        cls.az("group", "create", "-n", "G", "-l", "westus")

    def certificates(self, address):
        """A CA, a server and a client certificate in ~/.docker, by openssl. Returns what the extension takes."""
        folder = self.world.home / ".docker"
        folder.mkdir()
        openssl = lambda *argv: self.world.run("openssl", *argv)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a CA", "-days", "2", "-keyout", folder / "ca-key.pem", "-out", folder / "ca.pem")
        for file, subject, extensions in (("server", NAME, f"subjectAltName=DNS:{NAME}.cloudapp.net,IP:{address}\nextendedKeyUsage=serverAuth\n"),
                                          ("", "client", "extendedKeyUsage=clientAuth\n")):
            key, request, certificate = (folder / f"{file}{'-' if file else ''}{what}" for what in ("key.pem", "request.pem", "cert.pem"))
            (folder / "extensions").write_text(extensions)
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}", "-keyout", key, "-out", request)
            openssl("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca-key.pem", "-CAcreateserial", "-days", "2",
                    "-extfile", folder / "extensions", "-out", certificate)
        read = lambda name: self.world.run("base64", "-w0", folder / name).stdout
        return {"certs": {"ca": read("ca.pem"), "cert": read("server-cert.pem"), "key": read("server-key.pem")}}

    def test_1_a_host_by_create_and_extension_set(self):
        made = self.az("vm", "create", "-g", "G", "-n", NAME, "--image", IMAGE, "--size", "Standard_B2s", "--admin-username", "ops",
                       "--admin-password", berth.PASSWORD, "--public-ip-address-dns-name", NAME)
        self.assertEqual(made["powerState"], "VM running")
        protected = self.world.folder / "protected.json"
        protected.touch(0o600)
        protected.write_text(json.dumps(self.certificates(made["publicIpAddress"])))
        done = self.az("vm", "extension", "set", "-g", "G", "--vm-name", NAME, "--publisher", "Microsoft.Azure.Extensions", "--name", "DockerExtension",
                       "--settings", '{"docker":{"port":"2376"}}', "--protected-settings", f"@{protected}")
        self.assertEqual(done["provisioningState"], "Succeeded")
        self.az("vm", "open-port", "-g", "G", "-n", NAME, "--port", "2376")

    def test_2_docker_answers_and_is_who_its_certificate_says(self):
        address, port = berth.wait_until("the port is open", lambda: self.port(2376), 120)
        name = f"{NAME}.cloudapp.net" if os.geteuid() == 0 else address
        self.assertIn("Server Version", self.world.docker("--tlsverify", "-H", f"tcp://{name}:{port}", "info").stdout)

    def port(self, number):
        try:
            return self.world.port(NAME, number)
        except AssertionError:
            return None

    def test_3_a_disk_comes_and_goes_while_the_machine_runs(self):
        disks = lambda: self.world.ssh(NAME, "lsblk -dbno SIZE").stdout.split()
        self.az("vm", "disk", "attach", "-g", "G", "--vm-name", NAME, "--name", "extra", "--new", "--size-gb", "3")
        berth.wait_until("the guest sees the disk", lambda: str(3 << 30) in disks(), 120)
        self.az("vm", "disk", "detach", "-g", "G", "--vm-name", NAME, "--name", "extra")
        berth.wait_until("the disk is gone from the guest", lambda: str(3 << 30) not in disks(), 120)

    def test_4_what_the_machine_wrote_and_shows(self):
        self.az("vm", "boot-diagnostics", "enable", "-g", "G", "-n", NAME)
        self.assertIn("Azure Linux Agent Version", str(self.az("vm", "boot-diagnostics", "get-boot-log", "-g", "G", "-n", NAME)))
        screen = self.az("vm", "boot-diagnostics", "get-boot-log-uris", "-g", "G", "-n", NAME)["consoleScreenshotBlobUri"]
        picture = self.world.folder / "screen.png"
        self.world.run("curl", "-sSf", "--cacert", self.world.region_info()["caCertificate"], "-o", picture, screen)
        self.assertTrue(picture.read_bytes().startswith(b"\x89PNG"))

    def test_5_nothing_is_left_of_a_group_that_was_deleted(self):
        self.az("group", "delete", "-n", "G", "--yes")
        self.assertEqual(self.az("vm", "list"), [])
        self.assertFalse([line for _, line in self.world.processes() if "qemu-system" in line])


if __name__ == "__main__":
    berth.main()
