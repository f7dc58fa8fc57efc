#!/usr/bin/env python3
"""A Docker host by the classic client in its Resource Manager mode, unmodified and with its pauses, on a real virtual machine."""
import pathlib
import socket
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import berth  # noqa: E402
import clients  # noqa: E402

NAME = "npmhost"
IMAGE = "Debian:debian-13:13-docker:latest"
PASSWORD = "Passw0rd!1234"  # the client knows few special characters


class DockerHost(berth.Case):
    @classmethod
    def prepare(cls):
        cls.client = clients.ClassicClient(cls.world, "arm")
        cls.client("group", "create", "NG", "westus")

    def test_1_docker_create(self):
        created = self.client("vm", "docker", "create", "-g", "NG", "-n", NAME, "-l", "westus", "-y", "Linux", "-Q", IMAGE, "-u", "ops", "-p", PASSWORD,
                              "-z", "Standard_A2", "-f", "nic", "-i", "ip", "-w", NAME, "-F", "net", "-P", "10.0.0.0/16", "-j", "inner", "-k", "10.0.0.0/24")
        self.assertIn("vm docker create command OK", created)

    def test_2_docker_answers_with_the_certificates_that_the_client_made(self):
        address, port = self.world.port(NAME, 2376)
        self.assertIn("Server Version", self.world.docker("--tls", "-H", f"tcp://{address}:{port}", "info").stdout)
        # Its CA and its server certificate have the same name, so nothing can verify the one by the other: it must be the very one.
        folder = self.world.home / ".docker"
        anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        anyone.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        with socket.create_connection((address, port), 60) as plain, anyone.wrap_socket(plain) as secure:
            self.assertEqual(secure.getpeercert(True), ssl.PEM_cert_to_DER_cert((folder / f"{NAME}-server-cert.pem").read_text()))

    def test_3_nothing_is_left_of_a_group_that_was_deleted(self):
        self.client("group", "delete", "-q", "NG")
        self.assertFalse([line for _, line in self.world.processes() if "qemu-system" in line])


if __name__ == "__main__":
    berth.main()
