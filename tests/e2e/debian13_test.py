"""Debian 13 from the gallery becomes a Docker host: the extension installs the engine of that release, and its compose. Where this
machine's package mirror does not serve the suite, the refusal has to name it."""
import json
import subprocess
import tempfile

import berth

NAME = "debian13"
LIMIT = 900  # seconds for one change: an emulated processor installs packages slowly


def served():
    """Whether a Debian mirror of this machine's apt configuration has the suite, asked as apt would."""
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(CODENAME)"], capture_output=True, text=True)
    lines = [line.split() for line in targets.stdout.splitlines()]
    mirrors = {words[0] for words in lines if len(words) == 3 and words[1] == "Debian" and words[2].isalpha()}
    with tempfile.TemporaryDirectory() as folder:
        return any(subprocess.run(["/usr/lib/apt/apt-helper", "download-file", f"{mirror.rstrip('/')}/dists/trixie/InRelease", f"{folder}/file"],
                                  capture_output=True, timeout=120).returncode == 0 for mirror in mirrors)


class Debian13(berth.Case):
    def docker(self, *argv, **options):
        return self.world.docker("--context", NAME, *argv, **options).stdout.strip()

    def test_it_becomes_a_docker_host_or_is_refused_by_the_name_of_the_suite(self):
        if served():
            self.becomes_a_docker_host()
        else:
            self.is_refused()

    def is_refused(self):
        done = self.world.create(NAME, image=self.world.image("plain", "Debian-13"), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("trixie", done.stderr)
        self.assertEqual(json.loads(self.world.azure("vm", "list", "--json").stdout), [])

    def becomes_a_docker_host(self):
        self.world.create(NAME, image=self.world.image("plain", "Debian-13"))
        self.assertIn("Debian GNU/Linux 13", self.docker("info"))
        self.world.import_busybox(NAME)
        self.assertIn("it runs", self.docker("run", "--rm", "berth/busybox", "echo", "it runs", limit=300))
        self.assertEqual(self.world.container_gets(NAME, "http://168.63.129.16/?comp=versions"), "", "a container asked the wire server")
        self.assertIn("Version", self.world.root(NAME, "curl -s 'http://168.63.129.16/?comp=versions'"))
        shown = self.world.json("vm", "docker", "show", NAME)
        self.assertTrue(shown["engine"]["answers"], shown["engine"])
        self.assertEqual(shown["containers"], {"total": 0, "running": 0})
        verdicts = {item["id"]: item["verdict"] for item in shown["security"]["items"]}
        for item in ("2.7-tls", "2.15-live-restore", "2.16-userland-proxy", "2.8-default-ulimits", "3.13-server-key", "5.22-seccomp", "cgroups"):
            self.assertEqual(verdicts.get(item), "pass", shown["security"])
        self.composes()

    def composes(self):
        """This release packs the second generation of compose, a plugin of the client."""
        settings = self.world.arm("GET", f"/resourceGroups/{NAME}/providers/Microsoft.Compute/virtualMachines/{NAME}/extensions/DockerExtension")
        public = settings["properties"]["settings"]
        public["compose"] = {"services": {"sleeper": {"image": "berth/busybox", "command": "sleep 1000000"}}}
        self.world.azure("vm", "extension", "set", NAME, "DockerExtension", "Microsoft.Azure.Extensions", "1.3", "-i", json.dumps(public), limit=LIMIT)
        self.assertEqual(self.docker("ps", "--filter", "label=com.docker.compose.project=compose", "--format", "{{.State}}"), "running")
        self.assertRegex(self.docker("inspect", "--format", '{{index .Config.Labels "com.docker.compose.version"}}', "compose-sleeper-1"), "^v?2[.]")
        ran = self.world.sudo(NAME, "grep -h command=.docker.compose /var/log/azure/Microsoft.Azure.Extensions.DockerExtension/docker-extension.log").stdout
        self.assertIn("command='docker compose --file", ran)


if __name__ == "__main__":
    berth.main()
