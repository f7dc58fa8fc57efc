"""The Docker extension under the unmodified agent, on an image without an engine: it installs one through the machine's own
network, changes its certificates, brings containers up, is upgraded, is there again after a reboot and leaves, and a container runs on through all
of it but the reboot.
BERTH_TEST_RELEASE names another release of the gallery than Debian-13."""
import base64
import json
import os
import ssl

import berth

NAME = "plainhost"
HANDLER = "Microsoft.Azure.Extensions.DockerExtension"
PORT = 4243
RELEASE = os.environ.get("BERTH_TEST_RELEASE", "Debian-13")
LIMIT = 900  # seconds for one change: an emulated processor installs packages slowly, and the machine may be loaded


class Extension(berth.Case):
    @classmethod
    def prepare(cls):
        cls.world.create(NAME, image=cls.world.image("plain", RELEASE))
        cls.path = f"/resourceGroups/{NAME}/providers/Microsoft.Compute/virtualMachines/{NAME}/extensions/DockerExtension"
        cls.settings = cls.world.arm("GET", cls.path)["properties"]["settings"]

    def root(self, script, **options):
        """Runs a shell script in the machine as root, and gives what it printed."""
        return self.world.root(NAME, script, **options)

    def docker(self, *argv, **options):
        return self.world.docker("--context", NAME, *argv, **options).stdout.strip()

    def put(self, version="1.3"):
        """Orders the extension as it shall be, and waits for what the agent makes of it."""
        properties = {"publisher": "Microsoft.Azure.Extensions", "type": "DockerExtension", "typeHandlerVersion": version,
                      "autoUpgradeMinorVersion": False, "settings": self.settings, "protectedSettings": self.protected}
        self.world.arm("PUT", self.path, {"location": "westus", "properties": properties})
        ended = berth.wait_until("the extension's end", lambda: self.ended(), LIMIT)
        if ended["properties"]["provisioningState"] != "Succeeded":
            print(self.root(f"tail -n 60 /var/log/azure/{HANDLER}/*.log", check=False))
        self.assertEqual(ended["properties"]["provisioningState"], "Succeeded", json.dumps(self.status()))

    def ended(self):
        document = self.world.arm("GET", self.path)
        return document if document["properties"]["provisioningState"] in ("Succeeded", "Failed") else None

    def status(self):
        view = self.world.arm("GET", self.path.rsplit("/extensions/", 1)[0] + "?$expand=instanceView")
        return view["properties"]["instanceView"]["extensions"][0]

    def process_of(self, container):
        return self.docker("inspect", "--format", "{{.State.Running}} {{.State.Pid}}", container)

    def engine_process(self):
        return self.root("systemctl show --property=ExecMainPID,ExecMainStartTimestampMonotonic docker.service")

    def served(self):
        return ssl.get_server_certificate(self.world.port(NAME, PORT), timeout=30)

    def mint(self):
        """A server certificate of the user's own authority: PEM texts (authority, certificate, key)."""
        docker, work = self.world.home / ".docker", self.world.folder
        address, _ = self.world.port(NAME, PORT)
        (work / "x.ext").write_text(f"extendedKeyUsage=serverAuth\nsubjectAltName=IP:{address},DNS:{NAME}.cloudapp.net,DNS:{NAME}\n")
        self.world.run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={NAME}",
                       "-keyout", work / "x.key", "-out", work / "x.csr")
        self.world.run("openssl", "x509", "-req", "-in", work / "x.csr", "-CA", docker / "ca.pem", "-CAkey", docker / "ca-key.pem", "-days", "30",
                       "-extfile", work / "x.ext", "-out", work / "x.pem")
        return (docker / "ca.pem").read_text(), (work / "x.pem").read_text(), (work / "x.key").read_text()

    def test_01_the_engine_was_installed_in_the_machine(self):
        address, port = self.world.port(NAME, PORT)
        self.assertIn("Server Version", self.world.docker("--tlsverify", "-H", f"tcp://{address}:{port}", "info").stdout)
        self.assertIn("install engine", self.root(f"cat /var/log/azure/{HANDLER}/docker-extension.log"))
        self.assertEqual(self.root("dpkg-query --show --showformat='${db:Status-Abbrev}' docker.io"), "ii")
        shown = self.world.json("vm", "docker", "show", NAME)
        self.assertEqual((shown["engine"]["answers"], shown["containers"]["total"]), (True, 0), shown)
        verdicts = {item["id"]: item["verdict"] for item in shown["security"]["items"]}
        for item in ("2.7-tls", "2.15-live-restore", "3.9-ca-certificate", "3.13-server-key", "5.22-seccomp", "cgroups"):
            self.assertEqual(verdicts.get(item), "pass", shown["security"])

    def test_02_rotation_takes_effect_and_a_container_keeps_its_process(self):
        self.world.import_busybox(NAME)
        self.docker("run", "--detach", "--name", "keeper", "berth/busybox", "sleep", "1000000", limit=300)
        type(self).keeper = self.process_of("keeper")
        self.assertTrue(self.keeper.startswith("true "))
        # What the user adds has to survive everything below.
        self.root("sed -i '0,/{/s//{ \"labels\": [\"mine=1\"],/' /etc/docker/daemon.json; echo mine > /etc/docker/mine")
        before = self.served()

        ca, certificate, key = self.mint()
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in (("ca", ca), ("cert", certificate), ("key", key))}
        type(self).protected = {"certs": encoded}
        self.put()

        self.assertNotEqual(self.served(), before)
        self.assertEqual(self.served(), ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(certificate)))
        self.assertEqual(self.process_of("keeper"), self.keeper)
        self.assertIn("mine=1", self.docker("info", "--format", "{{.Labels}}"))

    def test_03_compose_brings_containers_up(self):
        self.settings["compose"] = {"sleeper": {"image": "berth/busybox", "command": "sleep 1000000"}}
        self.put()
        up = self.docker("ps", "--filter", "label=com.docker.compose.service=sleeper", "--format", "{{.Names}}").split()
        self.assertEqual(len(up), 1)
        generation = self.docker("inspect", "--format", '{{index .Config.Labels "com.docker.compose.version"}}', up[0])
        self.assertRegex(generation, "^v?2[.]" if RELEASE == "Debian-13" else "^1[.]")
        self.assertEqual(self.process_of("keeper"), self.keeper)

    def test_04_a_restarted_agent_finds_nothing_to_do(self):
        def idle_enables():
            return int(self.root(f"grep --count 'nothing to do' /var/log/azure/{HANDLER}/docker-extension.log", check=False) or 0)

        before, since = idle_enables(), self.engine_process()
        self.root("systemctl restart walinuxagent")
        berth.wait_until("an enable", lambda: idle_enables() > before, LIMIT)
        self.assertEqual(self.engine_process(), since)

    def test_05_an_upgrade_leaves_engine_and_containers_alone(self):
        zip_file = berth.BIN.parent / f"test/extensions/{HANDLER}_1.3.1.zip"
        published = self.world.arm("PUT", "/providers/Berth.Local/extensions/Microsoft.Azure.Extensions/DockerExtension/1.3.1", file=zip_file)
        self.assertEqual(published["properties"]["version"], "1.3.1", published)
        since = self.engine_process()
        containers = self.docker("ps", "--quiet")

        self.put("1.3.1")

        self.assertEqual(self.status()["typeHandlerVersion"], "1.3.1")
        self.assertEqual(self.root("cd /var/lib/waagent && ls -d Microsoft.Azure.Extensions.DockerExtension-*/"), f"{HANDLER}-1.3.1/")
        self.assertEqual(self.engine_process(), since)
        self.assertEqual(self.docker("ps", "--quiet"), containers)
        self.assertEqual(self.process_of("keeper"), self.keeper)

    def test_06_after_a_reboot_everything_is_up_again_and_is_said_to_be(self):
        def boot():
            return self.root("cat /proc/sys/kernel/random/boot_id", check=False)

        def running():
            return set(self.docker("ps", "--format", "{{.Names}}", check=False).split())

        def parts():
            return {part["code"].split("/")[1]: part["code"].split("/")[2] for part in self.status().get("substatuses", [])}

        self.docker("run", "--detach", "--name", "restarter", "--restart", "always", "berth/busybox", "sleep", "1000000", limit=300)
        sleeper = (running() - {"keeper", "restarter"}).pop()  # compose gave it no restart policy: it is for the extension to start
        before = boot()

        self.world.azure("vm", "restart", NAME, limit=LIMIT)

        berth.wait_until("another boot", lambda: boot() not in ("", before), LIMIT)
        berth.wait_until("the enable of this boot", lambda: self.root(
            "since=$(date -u -d @$(awk '/^btime/ {print $2}' /proc/stat) +%FT%TZ);"
            f"awk -v since=$since '$1 >= since' /var/log/azure/{HANDLER}/docker-extension.log | grep -E 'applied seq|nothing to do'",
            check=False), LIMIT)
        # It says that all is well; so it has to be, now.
        self.assertEqual(running(), {"restarter", sleeper})
        self.assertEqual(self.status()["statuses"][0]["code"], "ProvisioningState/succeeded", self.status())
        self.assertEqual({name: parts().get(name) for name in ("tls", "engine", "compose")}, dict.fromkeys(("tls", "engine", "compose"), "succeeded"))
        self.assertIn("Server Version", self.docker("info"))

    def test_07_the_wire_server_is_closed_to_containers_of_an_engine_that_came_later(self):
        self.assertEqual(self.world.container_gets(NAME, "http://168.63.129.16/?comp=versions"), "")
        self.assertIn("168.63.129.16", self.root("curl -s 'http://168.63.129.16/machine/?comp=goalstate'"))
        self.assertIn(NAME, self.world.container_gets(NAME, "http://169.254.169.254/metadata/instance?api-version=2021-02-01", wait=60))

    def test_08_uninstall_removes_only_what_is_its_own(self):
        self.docker("start", "keeper")
        type(self).keeper = self.process_of("keeper")
        self.world.arm("DELETE", self.path)
        berth.wait_until("the extension's end", lambda: "error" in self.world.arm("GET", self.path), LIMIT)

        with self.assertRaises(OSError):
            self.served()
        left = self.root("cd / && find etc/docker etc/systemd/system/docker.service.d var/lib/docker-ext -type f 2>/dev/null | sort")
        # key.json is the engine's.
        self.assertEqual([file for file in left.split() if file != "etc/docker/key.json"], ["etc/docker/daemon.json", "etc/docker/mine"])
        self.assertEqual(json.loads(self.root("cat /etc/docker/daemon.json")), {"labels": ["mine=1"]})
        state = self.root("docker inspect --format '{{.State.Running}} {{.State.Pid}}' keeper")
        self.assertEqual(state, self.keeper)
        self.assertEqual(self.root("docker ps --quiet | wc --lines"), "3")


if __name__ == "__main__":
    berth.main()
