"""The front that opens a Docker host's port, as systemd runs it in an image of ours: what it is, what lives through a rotation and what
does not through a revocation, that it comes back when it is killed and with the machine, and that it leaves with the extension.
BERTH_TEST_RELEASE names another release of the gallery than Debian-13."""
import os
import subprocess

import berth

NAME = "fronthost"
PORT = 4243
RELEASE = os.environ.get("BERTH_TEST_RELEASE", "Debian-13")
LIMIT = 900


class Front(berth.Case):
    @classmethod
    def prepare(cls):
        cls.world.create(NAME, "--wait", image=cls.world.image(release=RELEASE))
        cls.world.import_busybox(NAME)
        cls.docker("run", "-d", "--name", "keeper", "berth/busybox", "sleep", "1000000", limit=300)

    @classmethod
    def docker(cls, *argv, **options):
        return cls.world.docker("--context", NAME, *argv, **options).stdout.strip()

    def root(self, script, **options):
        return self.world.root(NAME, script, **options)

    def service(self, unit):
        """Its main process and what systemd thinks of it."""
        return self.root(f"systemctl show --value --property=MainPID,ActiveState {unit} | tr '\\n' ' '").split()

    def attach(self):
        """A process that repeats each line, and a stream to it."""
        stream = subprocess.Popen(["docker", "--context", NAME, "exec", "-i", "keeper", "/busybox", "cat"], env=self.world.env, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertTrue(self.lives(stream))
        return stream

    def lives(self, stream):
        try:
            stream.stdin.write("there\n")
            stream.stdin.flush()
        except BrokenPipeError:
            return False
        return stream.stdout.readline() == "there\n"

    def test_1_the_engine_keeps_to_its_socket(self):
        front, state = self.service("docker-tls.service")
        self.assertEqual(state, "active")
        listeners = self.root(f"ss -Hltnp 'sport = :{PORT}'")
        self.assertIn(f"pid={front},", listeners)
        self.assertNotIn("dockerd", self.root("ss -Hltnp"))
        # Root's key, and no more of root than a port and that.
        self.assertEqual(self.root(f"awk '/^CapEff/ {{print $2}}' /proc/{front}/status"), "0000000000000400")
        self.assertEqual(self.root("systemctl is-enabled stunnel4.service stunnel.target", check=False).split(), ["masked", "disabled"])
        print(self.root("systemctl show --property=ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic,"
                        f"MemoryCurrent docker-tls.service; grep -E 'VmRSS|Threads' /proc/{front}/status; systemctl --failed --no-legend"))

    def test_2_a_stream_lives_through_a_rotation(self):
        stream, services = self.attach(), [self.service(unit) for unit in ("docker.service", "docker-tls.service")]
        self.world.azure("vm", "docker", "certs", "rotate", NAME, limit=LIMIT)
        self.assertTrue(self.lives(stream))
        self.assertEqual([self.service(unit) for unit in ("docker.service", "docker-tls.service")], services)
        stream.communicate(timeout=120)

    def test_3_a_revoked_person_is_out_and_the_engine_goes_on(self):
        folder = self.world.folder / "alice"
        self.world.azure("vm", "docker", "certs", "issue", NAME, "alice", "-o", str(folder), limit=LIMIT)
        url = self.world.azure("vm", "docker", "url", NAME).stdout.strip()
        hers = subprocess.Popen(["docker", "--tlsverify", "-H", url, "exec", "-i", "keeper", "/busybox", "cat"], text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env=dict(self.world.env, DOCKER_CERT_PATH=str(folder)))
        self.assertTrue(self.lives(hers))
        engine = self.service("docker.service")
        self.world.azure("vm", "docker", "certs", "revoke", NAME, "alice", limit=LIMIT)
        self.assertFalse(self.lives(hers))
        hers.kill()
        self.assertEqual(self.service("docker.service"), engine)

    def test_4_killed_it_comes_back(self):
        front, _ = self.service("docker-tls.service")
        self.root(f"kill -9 {front}")
        berth.wait_until("another front", lambda: self.service("docker-tls.service")[0] not in ("0", front), LIMIT)
        berth.wait_until("an answer", lambda: self.docker("version", "--format", "{{.Server.Version}}", check=False), LIMIT)

    def test_5_it_comes_and_goes_with_the_engine(self):
        self.root("systemctl stop docker.service")
        self.assertEqual(self.service("docker-tls.service")[1], "inactive")
        self.root("systemctl start docker.service")
        berth.wait_until("an answer", lambda: self.docker("version", "--format", "{{.Server.Version}}", check=False), LIMIT)

    def test_6_and_with_the_machine(self):
        self.docker("kill", "keeper")  # it would not end by itself, which a machine that shuts down waits for
        self.world.azure("vm", "restart", NAME, "--wait", limit=LIMIT)
        self.assertIn("Server Version", self.docker("info"))
        self.assertEqual(self.service("docker-tls.service")[1], "active")

    def test_7_it_leaves_with_the_extension(self):
        self.world.arm("DELETE", f"/resourceGroups/{NAME}/providers/Microsoft.Compute/virtualMachines/{NAME}/extensions/DockerExtension")
        berth.wait_until("a closed port", lambda: self.service("docker-tls.service")[1] == "inactive", LIMIT)
        berth.wait_until("no files", lambda: not self.root("cd /etc/docker && find . -name '*.pem' -o -name tls-front.conf"), LIMIT)
        self.assertEqual(self.service("docker.service")[1], "active")


if __name__ == "__main__":
    berth.main()
