"""The article, word for word, by the client that it was written for: unmodified, with its pauses, against real virtual machines."""
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import berth  # noqa: E402
import clients  # noqa: E402

NAME = "articlehost"


class Article(berth.Case):
    @classmethod
    def prepare(cls):
        cls.client = clients.ClassicClient(cls.world, "asm")

    def test_1_the_article(self):
        listed = self.client("vm", "image", "list")
        image = re.search(r"^data:    (berth__Debian-13\S*docker\S*)", listed, re.M)[1]
        created = self.client("vm", "docker", "create", "-e", "22", "-p", "4243", "-l", "West US", NAME, image, "ops", berth.PASSWORD)
        self.assertIn("vm docker create command OK", created)
        self.assertRegex(self.client("vm", "list"), NAME + r" +ReadyRole +West US +" + NAME + ".cloudapp.net")

    def test_2_docker_answers_with_the_certificates_that_the_client_made(self):
        address, port = self.world.port(NAME, 4243)
        url = f"tcp://{address}:{port}"
        if os.geteuid() == 0:
            url = f"tcp://{NAME}.cloudapp.net:{port}"
        self.assertIn("Server Version", self.world.docker("--tls", "-H", url, "info").stdout)
        # The client's server certificate has a common name only, which docker does not compare; OpenSSL checks its issuer.
        folder = self.world.home / ".docker"
        done = self.world.run("openssl", "s_client", "-connect", f"{address}:{port}", "-CAfile", folder / "ca.pem", "-cert", folder / "cert.pem",
                              "-key", folder / "key.pem", "-verify_return_error", "-brief", stdin="")
        self.assertIn("Verification: OK", done.stdout + done.stderr)

    def test_3_ssh_answers(self):
        self.assertIn(NAME, self.world.ssh(NAME, "hostname").stdout)

    def test_4_an_endpoint_opens_and_closes_on_the_running_machine(self):
        self.client("vm", "endpoint", "create", NAME, "2200", "22", "-n", "again")
        address, port = self.world.port(NAME, 2200)
        banner = self.world.run("timeout", "30", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}; head -c 4 <&3").stdout
        self.assertEqual(banner, "SSH-")
        self.client("vm", "endpoint", "delete", NAME, "again")
        self.assertIn("Server Version", self.world.docker("--tls", "-H", "tcp://%s:%s" % self.world.port(NAME, 4243), "info").stdout)

    def test_5_our_own_client_sees_it_and_the_classic_one_deletes_it(self):
        self.assertIn(NAME, self.world.azure("vm", "list").stdout)
        self.client("vm", "delete", "-q", "-b", NAME)
        self.assertNotIn(NAME, self.world.azure("vm", "list").stdout)
        self.assertIn("No Cloud Services exist", self.client("service", "list"))


if __name__ == "__main__":
    berth.main()
