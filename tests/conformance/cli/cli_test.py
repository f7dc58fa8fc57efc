"""Our own command line against a real region of played machines: ports and endpoints, many machines at once, defaults, and the sign-in to
a region as to any other Resource Manager. What Docker itself says is tested against the fake of src/cli and in virtual machines.
BERTH_BIN names the folder of the programs."""
import fcntl
import json
import os
import pathlib
import pty
import re
import ssl
import stat
import struct
import subprocess
import sys
import termios
import time
import unittest
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
from arm_client import Arm  # noqa: E402
from fake_region import BIN, FakeRegion  # noqa: E402

GOLDEN = {
    "vm-list": ("vm", "list"),
    "vm-show": ("vm", "show", "plain"),
    "vm-endpoint-list": ("vm", "endpoint", "list", "balanced"),
    "vm-endpoint-show": ("vm", "endpoint", "show", "plain", "ssh"),
    "vm-docker-list": ("vm", "docker", "list"),
    "vm-docker-ip": ("vm", "docker", "ip", "plain"),
    "vm-start": ("vm", "start", "plain"),
    "config-list": ("config", "list"),
    "account-list": ("account", "list"),
    "account-env-list": ("account", "env", "list"),
    "account-env-show": ("account", "env", "show", "AzureCloud"),
    "vm-docker-port-help": ("help", "vm", "docker", "port", "publish"),
    "vm-docker-help": ("help", "vm", "docker"),
}
NO_JSON = {"vm-docker-port-help", "vm-docker-help"}
IMAGE = "berth__Debian-12-amd64-docker-20.10-en-us-30GB"


class World(unittest.TestCase):
    """A region with two hosts: one whose address is its own, and one behind a load balancer."""

    @classmethod
    def setUpClass(cls):
        cls.region = FakeRegion()
        cls.env = dict(cls.region.env, BERTH_HOME=str(cls.region.home))
        cls.arm = Arm(cls.region)
        for name, ssh in (("plain", "22"), ("balanced", "2222")):
            cls.make_host(name, ssh)

    @classmethod
    def tearDownClass(cls):
        cls.region.close()

    @classmethod
    def azure(cls, *words, code=0, env=None):
        done = subprocess.run([BIN / "azure", *words], env=env or cls.env, capture_output=True, text=True, timeout=120)
        if done.returncode != code:
            raise AssertionError(f"azure {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    @classmethod
    def json(cls, *words, **more):
        return json.loads(cls.azure(*words, "--json", **more))

    @classmethod
    def make_host(cls, name, ssh):
        """As `vm docker create` makes it, but for the Docker that would have to answer."""
        template = cls.region.folder / f"{name}.json"
        cls.azure("vm", "docker", "create", "-e", ssh, "-l", "West US", "--template", str(template), name, IMAGE, "ops", "Str0ng!pass")
        document = json.loads(template.read_text())
        document["resources"] = [one for one in document["resources"] if not one["type"].endswith("/extensions")]
        document["parameters"].pop("dockerCertificates")
        cls.arm.json("PUT", f"/resourcegroups/{name}", {"location": "westus"})
        status, body, headers = cls.arm.call("PUT", f"/resourcegroups/{name}/providers/Microsoft.Resources/deployments/d", {"properties": {
            "mode": "Incremental", "template": document, "parameters": {"adminPassword": {"value": "Str0ng!pass"}}}})
        if status >= 300:
            raise AssertionError(body)
        cls.wait_for(lambda: cls.state(name) in ("Succeeded", "Failed"))
        assert cls.state(name) == "Succeeded", cls.arm.call("GET", f"/resourcegroups/{name}/providers/Microsoft.Resources/deployments/d")

    @classmethod
    def state(cls, name):
        _, body, _ = cls.arm.call("GET", f"/resourcegroups/{name}/providers/Microsoft.Resources/deployments/d")
        return json.loads(body)["properties"]["provisioningState"]

    @classmethod
    def wait_for(cls, holds):
        until = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < until, "it did not happen within a minute"
            time.sleep(0.05)


class CommandLine(World):
    def place(self, name, port):
        return next(one for one in self.json("vm", "endpoint", "list", name) if one["publicPort"] == port)

    def test_a_port_is_a_rule_and_is_open_where_the_command_says(self):
        said = self.azure("vm", "docker", "port", "publish", "plain", "8080", "9000-9003/udp")
        self.assertIn("8080/tcp is open at 127.", said)
        self.assertEqual(self.place("plain", "9000-9003")["protocol"], "udp")
        address, port = self.place("plain", "8080")["reachableAt"].split(":")
        shown = self.json("vm", "show", "plain")
        self.assertEqual(address, shown["ipAddress"])
        self.assertIn(int(port), [one["hostPort"] for one in shown["ports"] if one["port"] == 8080])
        self.assertIn("9000-9003/udp open", self.azure("vm", "show", "plain"))
        self.assertIn("is open already", self.azure("vm", "endpoint", "create", "plain", "8080", "-n", "other", code=5))
        self.azure("vm", "docker", "port", "remove", "plain", "8080", "9000-9003/udp")
        self.assertEqual([one["name"] for one in self.json("vm", "endpoint", "list", "plain")], ["ssh", "docker"])
        self.assertNotIn(8080, [one["port"] for one in self.json("vm", "show", "plain")["ports"]])

    def test_behind_a_load_balancer_a_port_leads_to_another_one(self):
        self.azure("vm", "endpoint", "create", "balanced", "80", "8080", "-n", "http")
        shown = [one for one in self.json("vm", "show", "balanced")["ports"] if one["port"] == 80]
        self.assertEqual([one["guestPort"] for one in shown], [8080])
        self.assertEqual(self.place("balanced", "80")["localPort"], "8080")
        self.azure("vm", "endpoint", "delete", "balanced", "http")
        self.assertEqual([one["publicPort"] for one in self.json("vm", "endpoint", "list", "balanced")], ["2222", "4243"])
        self.assertEqual([one["port"] for one in self.json("vm", "show", "balanced")["ports"] if one["port"] == 80], [])
        self.azure("vm", "endpoint", "create", "plain", "80", "8080", code=2)

    def test_all_are_shut_down_and_started(self):
        self.azure("vm", "shutdown", "--all")
        self.assertEqual({one["status"] for one in self.json("vm", "list")}, {"deallocated"})
        self.assertIn("No virtual machine runs", self.azure("vm", "shutdown", "--all"))
        self.azure("vm", "start", "--all")
        self.assertEqual({one["status"] for one in self.json("vm", "list")}, {"running"})

    def test_places_sizes_and_groups_are_listed_and_a_machine_gets_another_size(self):
        self.assertIn("westus", {one["name"] for one in self.json("vm", "location", "list")})
        self.assertIn("Standard_B2s", {one["name"] for one in self.json("vm", "size", "list", "-l", "West US")})
        size = self.json("vm", "show", "plain")["vmSize"]
        self.azure("vm", "resize", "plain", "Standard_A2")
        self.assertEqual(self.json("vm", "show", "plain")["vmSize"], "Standard_A2")
        self.azure("vm", "resize", "plain", size)
        self.azure("vm", "resize", "plain", "Standard_Huge", code=2)
        self.azure("group", "create", "mine", "West US")
        self.assertIn("mine", {one["name"] for one in self.json("group", "list")})
        self.assertEqual(self.json("group", "show", "mine")["resources"], [])
        self.azure("group", "delete", "mine", "-q")
        self.azure("group", "show", "mine", code=4)

    def test_a_region_is_signed_in_to_as_any_other_resource_manager(self):
        home = self.region.folder / "elsewhere"
        home.mkdir()
        env = dict(self.env, HOME=str(home), BERTH_HOME=str(home / "no-region"))
        facts = self.region.facts
        metadata = facts["managementEndpoint"].rstrip("/") + "/metadata/endpoints?api-version=2022-09-01"
        self.azure("account", "env", "add", "theirs", "--metadata", metadata, "--ca-file", facts["caCertificate"], env=env)
        self.azure("login", "-e", "theirs", "--service-principal", "-u", facts["clientId"], "--password-file", facts["clientSecretFile"],
                   "--tenant", facts["tenantId"], env=env)
        self.assertEqual({one["name"] for one in self.json("vm", "list", env=env)}, {"plain", "balanced"})
        tokens = home / ".config/berth/tokens.json"
        self.assertEqual(stat.S_IMODE(os.stat(tokens).st_mode), 0o600)
        for file in (one for one in (home / ".config/berth").rglob("*") if one.is_file()):
            self.assertNotIn(self.region.secret, file.read_text())
        document = json.loads(tokens.read_text())
        for one in document.values():  # what the region did not sign: it is asked anew in the middle of the command
            one["accessToken"] = one["accessToken"][:-2]
        tokens.write_text(json.dumps(document))
        self.assertEqual(len(self.json("vm", "list", env=env)), 2)
        self.assertFalse((home / "no-region").exists())
        certificate = facts["clientCertificateFile"]
        self.assertEqual(stat.S_IMODE(os.stat(certificate).st_mode), 0o600)
        for user, code in (("00000000-0000-0000-0000-000000000000", 3), (facts["clientId"], 0)):
            self.azure("login", "-e", "theirs", "--service-principal", "-u", user, "--certificate", certificate, "--tenant",
                       facts["tenantId"], env=env, code=code)
        self.assertEqual(len(self.json("vm", "list", env=env)), 2)
        wrong = home / "wrong"
        wrong.write_text("wrong")
        self.azure("login", "-e", "theirs", "--service-principal", "-u", facts["clientId"], "--password-file", str(wrong),
                   "--tenant", facts["tenantId"], env=env, code=3)

    def test_a_person_signs_in_by_a_code_on_the_regions_page(self):
        home = self.region.folder / "person"
        home.mkdir()
        env = dict(self.env, HOME=str(home), BERTH_HOME=str(home / "no-region"))
        endpoint, ca = self.region.facts["managementEndpoint"].rstrip("/"), self.region.facts["caCertificate"]
        self.azure("account", "env", "add", "theirs", "--metadata", endpoint + "/metadata/endpoints?api-version=2022-09-01",
                   "--ca-file", ca, env=env)
        login = subprocess.Popen([BIN / "azure", "login", "-e", "theirs"], env=env, stdout=subprocess.PIPE, text=True)
        code = None
        for line in login.stdout:
            if code := re.search(r"open (https://\S+) in a browser.* code (\w+)", line):
                break
        form = urllib.parse.urlencode({"code": code[2], "secret": self.region.secret}).encode()
        with urllib.request.urlopen(code[1], form, context=ssl.create_default_context(cafile=ca)) as answer:
            self.assertEqual(answer.status, 200)
        self.assertIn("Added subscription", login.communicate(timeout=60)[0])
        self.assertEqual(login.returncode, 0)
        tokens = home / ".config/berth/tokens.json"
        document = json.loads(tokens.read_text())
        for one in document.values():
            one["goodUntil"] = 1
        tokens.write_text(json.dumps(document))
        self.assertEqual(len(self.json("vm", "list", env=env)), 2)
        self.assertIn("are forgotten", self.azure("logout", env=env))

    def test_in_a_pipe_nothing_is_coloured_or_redrawn(self):
        self.assertNotIn("\x1b", self.azure("vm", "list"))
        self.assertNotIn("\r", self.azure("vm", "start", "plain"))


class Printed(World):
    def test_what_is_printed_on_a_terminal_in_a_pipe_and_as_json_is_as_it_was(self):
        """golden/NAME has all three; BERTH_GOLDEN=write writes them anew, for a look at the difference."""
        for name, words in GOLDEN.items():
            with self.subTest(name):
                parts = {"terminal of 80 columns": self.on_terminal(*words), "pipe": self.azure(*words)}
                if name not in NO_JSON:
                    parts["json"] = self.azure(*words, "--json")
                text = "".join(f"=== {where}\n{self.plain(said)}" for where, said in parts.items())
                file = HERE.parent / "golden" / name
                if os.environ.get("BERTH_GOLDEN") == "write":
                    file.parent.mkdir(exist_ok=True)
                    file.write_text(text)
                self.assertEqual(text, file.read_text())

    def on_terminal(self, *words):
        """What a terminal of 80 columns gets; lines that were redrawn are left out, colours are spelled [32m."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(BIN / "azure", ["azure", *words], dict(self.env, TERM="xterm"))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        said = b""
        while True:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # how Linux says that the other side is closed
                more = b""
            if not more:
                break
            said += more
        os.waitpid(pid, 0)
        os.close(terminal)
        text = said.decode().replace("\r\n", "\n")
        return re.sub(r"\r\x1b\[K[^\n]*?(?=\r\x1b\[K)|\r\x1b\[K", "", text).replace("\x1b", "")

    def plain(self, text):
        """What differs from run to run, by name: addresses, ports that moved, ids, folders, times."""
        text = text.replace(str(self.region.folder), "FOLDER").replace(self.region.facts["subscriptionId"], "SUBSCRIPTION")
        text = re.sub(r"https://127\.0\.0\.1:\d+", "https://REGION", text)
        text = re.sub(r"diagnostics/[^/]+/", "diagnostics/SIGNATURE/", text)
        text = re.sub(r"127\.\d+\.\d+\.\d+", "ADDRESS", text)
        text = re.sub(r"\(\d+\.\d s\)", "(TIME)", text)
        text = re.sub(r"(ADDRESS:|hostPort\": )\d+", r"\1PORT", text)
        text = re.sub(r"open as \d+( \([^)]*\))?|-p \d+ |(?<=movedBecause\": \")[^\"]*", lambda found: "open" if found[0].startswith("open") else "", text)
        text = re.sub(r"(?m)^\S*warn:.*\n", "", text)  # as an ordinary user ports move
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
        return re.sub(r"(-{3,}|  +)", lambda found: found[0][:3], text)  # columns are as wide as what is in them

    def test_colours_are_for_terminals_that_want_them(self):
        self.assertIn("[32m", self.on_terminal("vm", "list"))
        self.env["NO_COLOR"] = "1"
        try:
            self.assertNotIn("[32m", self.on_terminal("vm", "list"))
        finally:
            del self.env["NO_COLOR"]


if __name__ == "__main__":
    unittest.main()
