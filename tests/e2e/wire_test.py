"""Who may ask a machine's wire server, which hands out its key: the agent and root, and neither an ordinary user nor a container; and once the
agent has the key, nobody gets it again before the next boot. Metadata and names stay open to all."""
import berth

NAME = "wirehost"
WIRE, METADATA = "http://168.63.129.16", "http://169.254.169.254"
LIMIT = 900  # seconds for a boot or a change on an emulated processor under load
# Asks for the machine's certificate and key with a transport certificate of one's own, as the agent does; prints the answer's status.
STEAL = """
cd $(mktemp -d)
openssl req -x509 -nodes -subj /CN=LinuxTransport -days 2 -newkey rsa:2048 -keyout key.pem -out cert.pem 2>/dev/null
cert=$(openssl x509 -in cert.pem -outform DER | base64 -w0)
curl -s -m 120 -o answer -w '%{http_code}' -H 'x-ms-version: 2012-11-30' -H 'x-ms-cipher-name: AES128_CBC' \
  -H "x-ms-guest-agent-public-x509-cert: $cert" 'http://168.63.129.16/machine/c/i?comp=certificates'
"""


class Wire(berth.Case):
    @classmethod
    def prepare(cls):
        cls.world.create(NAME)
        cls.world.import_busybox(NAME)

    def docker(self, *argv, **options):
        return self.world.docker("--context", NAME, *argv, **options)

    def status(self, url, *options, root=False):
        """The answer's status for a user of the machine, or for root; 000 for none."""
        line = " ".join(["curl", "-s", "--connect-timeout", "8", "-m", "120", "-o", "/dev/null", "-w", "%{http_code}", *options, f"'{url}'"])
        return (self.world.sudo if root else self.world.ssh)(NAME, line, check=False).stdout.strip()

    def container_gets(self, url, *options, **how):
        return " 200 " in self.world.container_gets(NAME, url, *options, **how).partition("\n")[0]

    def refused(self):
        return (self.world.region / "berthd.log").read_text().count(f"certificate refused vm={NAME}")

    def boot(self):
        return self.world.ssh(NAME, "cat /proc/sys/kernel/random/boot_id", check=False).stdout.strip()

    def agents_start(self):
        return self.world.sudo(NAME, "systemctl show --property=ExecMainStartTimestampMonotonic walinuxagent", check=False).stdout.strip()

    def closed_to_all_but_root(self):
        for port in ("80/?comp=versions", "32526/versions"):
            self.assertEqual(self.status(f"{WIRE}:{port}"), "000", port)
            self.assertEqual(self.status(f"{WIRE}:{port}", root=True), "200", port)
            self.assertFalse(self.container_gets(f"{WIRE}:{port}"), port)

    def test_01_the_wire_server_answers_root_alone(self):
        self.closed_to_all_but_root()

    def test_02_metadata_and_names_are_open_to_all(self):
        self.assertEqual(self.status(f"{METADATA}/metadata/instance?api-version=2021-02-01", "-H", "Metadata:true"), "200")
        self.assertTrue(self.container_gets(f"{METADATA}/metadata/instance?api-version=2021-02-01", wait=60))
        self.world.ssh(NAME, f"getent hosts {NAME}.internal && timeout 60 bash -c '</dev/tcp/168.63.129.16/53'")
        self.docker("run", "--rm", "berth/busybox", "nslookup", f"{NAME}.internal", "168.63.129.16", limit=300)

    def test_03_a_container_in_the_hosts_network_is_who_it_runs_as(self):
        self.assertFalse(self.container_gets(f"{WIRE}/?comp=versions", "--network", "host", "--user", "1000"))
        # As root it is root of this machine's network, here as in Azure; what it cannot get is in the next test.
        self.assertTrue(self.container_gets(f"{WIRE}/?comp=versions", "--network", "host", wait=60))

    def test_04_nobody_gets_the_key_again_and_the_log_names_the_machine(self):
        before = self.refused()
        self.assertEqual(self.world.root(NAME, STEAL), "409")
        self.assertEqual(self.refused(), before + 1)

    def test_05_the_rules_stay_when_the_engine_restarts(self):
        self.world.sudo(NAME, "systemctl restart docker", limit=LIMIT)
        self.closed_to_all_but_root()

    def test_06_an_agent_that_was_restarted_still_reads_protected_settings(self):
        start = self.agents_start()
        self.world.sudo(NAME, "systemctl restart walinuxagent", limit=LIMIT)
        self.assertNotEqual(self.agents_start(), start)
        handler = berth.PROJECT / "tests/e2e/handlers/shell"
        self.world.azure("vm", "extension", "publish", handler, "-p", "Contoso.Test", "-n", "Wire", "--version", "1.0.0")
        self.world.azure("vm", "extension", "set", NAME, "Wire", "Contoso.Test", "1.0", "-i", '{"a": 1}', "-t", '{"b": "x"}', limit=LIMIT)

    def test_07_another_boot_is_closed_before_its_network_is_there_and_gives_the_key_once(self):
        before = self.boot()
        self.world.azure("vm", "restart", NAME, limit=LIMIT)
        berth.wait_until("another boot", lambda: self.boot() not in ("", before), LIMIT)
        times = self.world.ssh(NAME, "systemctl show --value --property=ActiveEnterTimestampMonotonic wire-rules systemd-networkd").stdout.split()
        self.assertLess(0, int(times[0]))
        self.assertLess(int(times[0]), int(times[1]))
        berth.wait_until("the agent's report of this boot", lambda: self.world.show(NAME).get("agent", {}).get("status") == "Ready", LIMIT)
        self.assertEqual(self.world.root(NAME, STEAL), "409")
        berth.wait_until("the engine", lambda: self.docker("version", check=False).returncode == 0, LIMIT)
        self.closed_to_all_but_root()


if __name__ == "__main__":
    berth.main()
