"""Debian 12 from the gallery is a Docker host with that release's engine (20.10) and its compose, and a docker client that refuses such an
engine is told so in words. Every other test takes Debian 13."""
import json

import berth

NAME = "debian12"
LIMIT = 900  # seconds for one change: an emulated processor installs packages slowly


class Debian12(berth.Case):
    @classmethod
    def prepare(cls):
        cls.world.create(NAME, image=cls.world.image(release="Debian-12"))

    def docker(self, *argv, **options):
        return self.world.docker("--context", NAME, *argv, **options).stdout.strip()

    def test_1_it_is_a_docker_host_with_the_engine_of_its_release(self):
        self.assertIn("Debian GNU/Linux 12", self.docker("info"))
        self.assertRegex(self.docker("version", "--format", "{{.Server.Version}}"), r"^20[.]10[.]")
        self.world.import_busybox(NAME)
        self.assertIn("it runs", self.docker("run", "--rm", "berth/busybox", "echo", "it runs", limit=300))
        self.assertEqual(self.world.container_gets(NAME, "http://168.63.129.16/?comp=versions"), "", "a container asked the wire server")
        self.assertIn("Version", self.world.root(NAME, "curl -s 'http://168.63.129.16/?comp=versions'"))

    def test_2_its_security_report_passes_what_the_other_releases_pass(self):
        shown = self.world.json("vm", "docker", "show", NAME)
        self.assertTrue(shown["engine"]["answers"], shown["engine"])
        self.assertEqual(shown["containers"], {"total": 0, "running": 0})
        verdicts = {item["id"]: item["verdict"] for item in shown["security"]["items"]}
        for item in ("2.7-tls", "2.15-live-restore", "2.16-userland-proxy", "2.8-default-ulimits", "3.13-server-key", "5.22-seccomp", "cgroups"):
            self.assertEqual(verdicts.get(item), "pass", shown["security"])

    def test_3_a_docker_client_that_refuses_this_engine_is_told_which_side_to_change(self):
        played = self.world.folder / "played"
        played.mkdir()
        (played / "docker").write_text("#!/bin/sh\necho '29.1.3 1.52'\n")
        (played / "docker").chmod(0o755)
        path = self.world.env["PATH"]
        self.world.env["PATH"] = f"{played}:{path}"
        try:
            told = self.world.azure("vm", "docker", "show", NAME).stdout
            client = self.world.json("vm", "docker", "show", NAME)["client"]
        finally:
            self.world.env["PATH"] = path
        self.assertIn("speaks the Docker API from 1.44 on", told)
        self.assertIn("Change the host", told)
        self.assertFalse(client["fits"], client)
        self.assertTrue(self.world.json("vm", "docker", "show", NAME)["client"]["fits"], "the client that reached it just now")

    def test_4_compose_of_this_release(self):
        settings = self.world.arm("GET", f"/resourceGroups/{NAME}/providers/Microsoft.Compute/virtualMachines/{NAME}/extensions/DockerExtension")
        public = settings["properties"]["settings"]
        public["compose"] = {"services": {"sleeper": {"image": "berth/busybox", "command": "sleep 1000000"}}}
        self.world.azure("vm", "extension", "set", NAME, "DockerExtension", "Microsoft.Azure.Extensions", "1.3", "-i", json.dumps(public), limit=LIMIT)
        self.assertEqual(self.docker("ps", "--filter", "label=com.docker.compose.project=compose", "--format", "{{.State}}"), "running")
        ran = self.world.sudo(NAME, "grep -h command=.docker-compose /var/log/azure/Microsoft.Azure.Extensions.DockerExtension/docker-extension.log").stdout
        self.assertIn("command='docker-compose --file", ran)


if __name__ == "__main__":
    berth.main()
