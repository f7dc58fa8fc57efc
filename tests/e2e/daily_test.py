"""A Docker host day by day: ssh, scp and logs by the system's OpenSSH, a person's certificate that is accepted and then refused, rotation,
a hand-over to another home, a published port, and the same name once more with another key; a container runs on through all of it but
the end."""
import subprocess

import berth

NAME = "daily"


class Daily(berth.Case):
    @classmethod
    def prepare(cls):
        cls.image = cls.world.image()
        cls.make()
        cls.world.import_busybox(NAME)
        cls.docker("run", "-d", "--name", "server", "-p", "8080:8080", "berth/busybox", "nc", "-lk", "-p", "8080", "-e", "/busybox", "echo", "served")
        cls.began = cls.docker("inspect", "--format", "{{.State.StartedAt}}", "server")

    @classmethod
    def make(cls):
        cls.world.azure("vm", "docker", "create", "-e", "22", "-G", "-P", "-l", "West US", NAME, cls.image, "ops", limit=berth.CREATE_LIMIT)

    @classmethod
    def docker(cls, *argv, **options):
        return cls.world.docker("--context", NAME, *argv, **options).stdout.strip()

    def azure(self, *argv, **options):
        return self.world.azure("vm", "docker", *argv, **options).stdout

    def tearDown(self):
        if self.docker("ps", "-q", check=False):
            self.assertEqual(self.docker("inspect", "--format", "{{.State.Running}} {{.State.StartedAt}}", "server"), "true " + self.began)

    def info_with(self, folder):
        env = dict(self.world.env, DOCKER_CERT_PATH=str(folder))
        url = self.azure("url", NAME).strip()
        return subprocess.run(["docker", "--tlsverify", "-H", url, "version", "--format", "{{.Server.Version}}"], env=env, capture_output=True,
                              text=True, timeout=120)

    def test_1_ssh_scp_and_logs(self):
        self.assertEqual(self.azure("ssh", NAME, "--", "hostname").strip(), NAME)
        self.assertEqual(self.world.azure("vm", "docker", "ssh", NAME, "--", "exit", "7", check=False).returncode, 7)
        self.azure("scp", f"{NAME}:/etc/hostname", "copied")
        self.assertEqual((self.world.home / "copied").read_text().strip(), NAME)
        self.assertIn("API listen on", self.azure("logs", NAME, "-n", "200"))
        self.assertIn("Enable", self.azure("logs", NAME, "--extension"))
        self.assertIn("ExtHandler", self.azure("logs", NAME, "--agent"))
        self.assertIn(NAME, self.azure("logs", NAME, "--serial", "-n", "2000"))
        self.assertIn(NAME, self.azure("list"))
        self.assertIn("server", self.azure("stats", NAME))

    def test_2_a_person_is_accepted_until_he_is_revoked(self):
        folder = self.world.folder / "alice"
        self.azure("certs", "issue", NAME, "alice", "-o", str(folder), limit=900)
        self.assertTrue(self.info_with(folder).stdout.strip())
        self.azure("certs", "revoke", NAME, "alice", limit=900)
        refused = self.info_with(folder)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("tls", refused.stderr.lower())
        self.assertTrue(self.docker("version", "--format", "{{.Server.Version}}"))

    def test_3_rotation(self):
        before = (self.world.home / ".docker/cert.pem").read_text()
        attached = subprocess.Popen(["docker", "--context", NAME, "exec", "-i", "server", "/busybox", "cat"], env=self.world.env, text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        attached.stdin.write("there\n")
        attached.stdin.flush()
        self.assertEqual(attached.stdout.readline(), "there\n")
        self.azure("certs", "rotate", NAME, "--client", limit=900)
        self.assertNotEqual((self.world.home / ".docker/cert.pem").read_text(), before)
        self.assertEqual(attached.communicate("still there", timeout=120)[0], "still there")
        self.assertTrue(self.docker("version", "--format", "{{.Server.Version}}"))

    def test_4_a_published_port(self):
        self.azure("port", "publish", NAME, "8080")
        ports = self.world.json("vm", "docker", "port", "list", NAME)
        place = next(one["reachableAt"] for one in ports if one["publicPort"] == "8080")
        self.assertIn("served", subprocess.run(["busybox", "nc", *place.split(":")], capture_output=True, text=True, timeout=60).stdout)
        self.azure("port", "remove", NAME, "8080")

    def test_5_hand_over_to_another_home(self):
        file, home = self.world.folder / "daily.berth", self.world.folder / "other"
        home.mkdir()
        self.world.azure("vm", "docker", "export", NAME, str(file), "--passphrase-file", "-", stdin="correct horse")
        env = dict(self.world.env, HOME=str(home), BERTH_HOME=str(home / "r"))
        subprocess.run([berth.BIN / "azure", "vm", "docker", "import", str(file), "--passphrase-file", "-"], input="correct horse", env=env,
                       check=True, text=True, timeout=60)
        seen = subprocess.run(["docker", "--context", NAME, "ps", "--format", "{{.Names}}"], env=env, capture_output=True, text=True, timeout=60)
        self.assertEqual(seen.stdout.strip(), "server")

    def test_6_env_is_for_one_shell(self):
        script = f'eval "$(azure vm docker env {NAME})"; docker ps --format "{{{{.Names}}}}"'
        self.assertEqual(self.world.run("bash", "-c", script).stdout.strip(), "server")

    def test_7_the_same_name_once_more_has_another_key_and_ssh_works(self):
        command = self.world.json("vm", "show", NAME)["sshCommand"]
        self.assertEqual(self.world.run("bash", "-c", command + " hostname").stdout.strip(), NAME)
        self.world.azure("vm", "delete", NAME, "--quiet", limit=300)
        self.make()
        command = self.world.json("vm", "show", NAME)["sshCommand"]
        self.assertEqual(self.world.run("bash", "-c", command + " hostname").stdout.strip(), NAME)
        self.world.azure("vm", "restart", NAME, "--wait", limit=600)
        self.assertTrue(self.docker("version", "--format", "{{.Server.Version}}"))
        self.world.azure("vm", "delete", NAME, "--quiet", limit=300)


if __name__ == "__main__":
    berth.main()
