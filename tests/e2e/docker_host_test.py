"""The article's walk, with the real programs: a Docker host from one command, used, compared with a second one, deleted."""
import base64
import os
import pathlib
import socket
import ssl
import subprocess
import time

import berth
from berth import PASSWORD
from wire_rules import WireRules


class DockerHost(WireRules, berth.Case):
    @classmethod
    def prepare(cls):
        cls.created = cls.world.create("mydockerhost", wait=False).stdout

    def url(self, name="mydockerhost"):
        address, port = self.world.port(name, 4243)
        return f"tcp://{address}:{port}"

    def switch_seconds(self):
        """The processor time that the switches have used so far."""
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                  for pid, command in self.world.processes() if "berth-switch" in command]
        self.assertTrue(fields, "no switch runs")
        return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")

    def assert_switch_rests(self, when):
        """A switch that spins uses all of a processor; one with an idle host next to nothing."""
        before = self.switch_seconds()
        time.sleep(10)
        used = self.switch_seconds() - before
        self.assertLess(used, 2, f"seconds of processor time in 10 s, {when}")

    def open_ports(self):
        """What listens on this machine at the addresses of the region's hosts."""
        out = subprocess.run(["ss", "-Hltun"], capture_output=True, text=True, check=True).stdout
        addresses = {a["properties"].get("ipAddress") for a in self.documents("Network/publicIPAddresses")}
        return sorted((words[0], words[4]) for words in map(str.split, out.splitlines())
                      if words[4].rpartition(":")[0].split("%")[0] in addresses)

    def documents(self, kind):
        """Every document of this kind that the region gives."""
        return [document for group in self.world.arm("GET", "/resourcegroups")["value"]
                for document in self.world.arm("GET", f"/resourceGroups/{group['name']}/providers/Microsoft.{kind}")["value"]]

    def state(self):
        """What a restart of the region may not change: what it answers, and what it has opened on this machine."""
        kinds = ("Network/networkSecurityGroups", "Network/networkInterfaces", "Network/publicIPAddresses", "Network/virtualNetworks",
                 "Compute/disks")
        machines = [self.world.arm("GET", machine["id"] + "/extensions")["value"] for machine in self.documents("Compute/virtualMachines")]
        return {"ports": self.open_ports(), "extensions": machines, **{kind: self.documents(kind) for kind in kinds}}

    def test_01_output_tells_each_phase_and_the_docker_command(self):
        for text in ("vm docker create command OK", "Giving it an identity", "The guest agent's own report follows", "docker --tls -H tcp://"):
            self.assertIn(text, self.created)
        berth.wait_until("the extension's report", lambda: "1.3.0: Succeeded" in self.world.azure("vm", "docker", "show", "mydockerhost").stdout, 300)
        self.assertEqual(self.world.azure("vm", "docker", "show", "mydockerhost").stdout.count("action: none"), 2, "engine and front go on as they were")

    def test_02_docker_reaches_it_over_tls(self):
        self.assertIn("Server Version", self.world.docker("--tls", "-H", self.url(), "info").stdout)

    def test_03_docker_verifies_its_certificate(self):
        self.assertIn("Server Version", self.world.docker("--tlsverify", "-H", self.url(), "info").stdout)

    def test_04_the_articles_name_resolves_for_root_and_the_hosts_file_is_left_alone_for_others(self):
        if os.geteuid() != 0:
            self.assertNotIn("mydockerhost", pathlib.Path("/etc/hosts").read_text())
            return
        _, port = self.world.port("mydockerhost", 4243)
        self.world.docker("--tlsverify", "-H", f"tcp://mydockerhost.cloudapp.net:{port}", "info")

    def test_05_the_context_was_written_and_not_switched_to(self):
        contexts = self.world.docker("context", "ls", "--format", "{{.Name}} {{.Current}}").stdout
        self.assertIn("mydockerhost false", contexts)
        self.assertIn("default true", contexts)

    def test_06_a_container_runs(self):
        self.world.import_busybox("mydockerhost")
        out = self.world.docker("--context", "mydockerhost", "run", "--rm", "berth/busybox", "echo", "it runs", limit=300).stdout
        self.assertIn("it runs", out)

    def test_07_a_client_that_leaves_in_the_middle_of_output_costs_nothing_afterwards(self):
        self.world.docker("--context", "mydockerhost", "run", "-d", "--name", "wk", "berth/busybox", "sleep", "3600", limit=300)
        client = subprocess.Popen(["docker", "--context", "mydockerhost", "exec", "wk", "/busybox", "sh", "-c",
                                   "/busybox yes | /busybox head -c 50000000"], env=self.world.env, stdout=subprocess.PIPE)
        self.assertEqual(client.stdout.readline(), b"y\n")
        client.stdout.close()
        client.kill()
        client.wait()
        berth.wait_until("the end of what the client had started", lambda: " yes" not in self.world.docker(
            "--context", "mydockerhost", "top", "wk", limit=300).stdout, 300)
        self.assert_switch_rests("after a client left")
        self.world.docker("--context", "mydockerhost", "rm", "-f", "wk", limit=300)

    def test_08_only_root_reaches_the_wire_server_and_nobody_gets_the_key_again(self):
        self.assert_closed_to_all_but_root("mydockerhost")
        self.assert_metadata_is_open("mydockerhost")
        self.assert_the_key_is_not_given_again("mydockerhost")

    def test_09_ssh_works_with_the_password(self):
        self.assertIn("mydockerhost", self.world.ssh("mydockerhost", "hostname; id -un").stdout)

    def test_10_a_client_without_a_certificate_is_refused(self):
        address, port = self.world.port("mydockerhost", 4243)
        context = ssl.create_default_context(cafile=self.world.home / ".docker/ca.pem")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with context.wrap_socket(socket.create_connection((address, port), 30), server_hostname="mydockerhost") as tls:
                tls.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                if not tls.recv(1):
                    raise ConnectionError("closed")

    def test_11_plain_http_is_refused(self):
        address, port = self.world.port("mydockerhost", 4243)
        with socket.create_connection((address, port), 30) as plain:
            plain.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                answer = plain.recv(4096)
            except ConnectionResetError:
                answer = b""
        self.assertNotIn(b"200 OK", answer)
        self.assertNotIn(b"ApiVersion", answer)

    def test_12_list_and_show_tell_the_truth(self):
        self.assertIn("mydockerhost", self.world.azure("vm", "list").stdout)
        shown = self.world.azure("vm", "show", "mydockerhost").stdout
        for text in ("running", "DockerExtension"):
            self.assertIn(text, shown)
        self.assertRegex(shown, r"Agent +2\.\d+\.\d+\S* \(Ready\)")

    def test_13_secrets_rest_nowhere_in_clear(self):
        key = self.world.sudo("mydockerhost", "cat /etc/docker/key.pem").stdout
        line = key.strip().splitlines()[1].encode()
        self.assertGreater(len(line), 30)
        needles = [PASSWORD.encode(), line, base64.b64encode(line)[:40], base64.b64encode(PASSWORD.encode())[:-2]]
        self.assertEqual(self.world.files_with(*needles), [])
        for pid, command in self.world.processes():
            self.assertNotIn(PASSWORD, command)
        self.assertNotIn(PASSWORD, self.world.sudo("mydockerhost", "cat /var/lib/waagent/ovf-env.xml").stdout)

    def test_14_link_local_and_the_hosts_loopback_are_out_of_reach(self):
        out = self.world.ssh("mydockerhost", "for a in 169.254.1.1 172.16.0.1; do timeout 5 bash -c \"</dev/tcp/$a/22\" && echo reached $a; done; true").stdout
        self.assertNotIn("reached", out)

    def test_15_a_second_create_of_the_same_name_changes_nothing(self):
        done = self.world.create("mydockerhost", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("already", done.stderr + done.stdout)
        self.world.docker("--tlsverify", "-H", self.url(), "version")

    def test_16_a_second_host_beside_it_with_ssh_at_another_port_and_an_address_of_its_choice(self):
        self.world.create("second", "-w", "mydockerhost", "-S", "172.16.0.20", ssh_port=2222)
        self.world.docker("--context", "second", "info")
        out = self.world.ssh("second", "hostname -I; for name in mydockerhost.internal mydockerhost; do timeout 30 bash -c \"exec 3<>/dev/tcp/$name/22; head -c 7 <&3\"; done",
                             ssh_port=2222).stdout
        self.assertEqual(out.count("SSH-2.0"), 2, "by the whole name and by the bare one")
        self.assertIn("172.16.0.20", out)
        shown = self.world.show("second")
        self.assertEqual([port["port"] for port in shown["ports"]], [2222, 4243])

    def test_17_the_region_restarts_and_its_hosts_go_on(self):
        before = [pid for pid, command in self.world.processes() if "qemu-system" in command]
        state = self.state()
        self.assertGreaterEqual(len(state["ports"]), 4, "ssh and docker of two hosts")
        self.world.azure("region", "stop")
        self.world.docker("--context", "mydockerhost", "version")
        self.assert_switch_rests("with no region")
        self.world.start()
        self.maxDiff = None
        self.assertEqual(self.state(), state)
        self.world.azure("region", "stop")
        for file in self.world.region.glob("net/*/switch.pid"):
            os.kill(int(file.read_text().split()[0]), 9)
        berth.wait_until("docker through the new switch, with no region",
                         lambda: self.world.docker("--context", "mydockerhost", "version", check=False).returncode == 0, 120)
        self.world.start()
        berth.wait_until("word of the switch's death", lambda: "signal 9" in self.world.show("mydockerhost")["networkNews"], 60)
        self.assertIn("mydockerhost", self.world.azure("vm", "list").stdout)
        self.assertEqual(sorted(before), sorted(pid for pid, command in self.world.processes() if "qemu-system" in command))

    def test_18_a_switch_that_dies_comes_back(self):
        for pid, command in self.world.processes():
            if "berth-switch" in command:
                os.kill(pid, 9)
        berth.wait_until("docker through the new switch",
                         lambda: self.world.docker("--context", "mydockerhost", "version", check=False).returncode == 0, 120)

    def test_19_shut_down_and_started_again_it_is_the_same_docker_host(self):
        before = self.world.docker("--context", "second", "info", "--format", "{{.ID}}").stdout
        self.world.azure("vm", "shutdown", "second", limit=300)
        self.assertEqual(self.world.show("second")["status"], "deallocated")
        said = (self.world.region / "berthd.log").read_text()
        self.assertFalse("cut the power" in said, "the machine did not shut itself down")
        self.world.azure("vm", "start", "second", limit=900)
        berth.wait_until("docker on the started host",
                         lambda: self.world.docker("--context", "second", "info", "--format", "{{.ID}}", check=False).stdout == before, 600)

    def test_20_a_host_of_an_image_of_ones_own(self):
        self.world.sudo("second", "waagent -deprovision+user -force", ssh_port=2222)
        self.world.azure("vm", "shutdown", "second", limit=300)
        self.world.azure("vm", "capture", "second", "mine", limit=600)
        self.world.create("third", image="mine")
        self.world.docker("--context", "third", "info")
        self.assertIn("third", self.world.ssh("third", "hostname").stdout)
        self.world.azure("vm", "delete", "third", "--quiet", limit=300)
        self.world.azure("vm", "delete", "second", "--quiet", limit=300)
        self.world.azure("vm", "image", "delete", "mine")

    def test_21_delete_leaves_nothing_of_it(self):
        address, _ = self.world.port("mydockerhost", 4243)
        self.world.azure("vm", "delete", "mydockerhost", "--quiet", limit=300)
        self.assertEqual([c for _, c in self.world.processes() if "qemu-system" in c or "berth-switch" in c], [])
        self.assertNotIn("mydockerhost", self.world.docker("context", "ls").stdout)
        self.assertNotIn("mydockerhost", pathlib.Path("/etc/hosts").read_text())
        self.assertEqual([p for p in self.world.region.glob("disks/*")] + [p for p in self.world.region.glob("vm/*")]
                         + [p for p in self.world.region.glob("net/*")], [])
        with self.assertRaises(OSError):
            socket.create_connection((address, 4243), 5)
        self.assertTrue((self.world.home / ".docker/ca.pem").exists(), "the certificates are the user's own")


if __name__ == "__main__":
    berth.main()
