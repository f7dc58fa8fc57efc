"""What docker_host_test shows of the wire server's rules (wire_rules.py) stays so when the engine, the agent or the machine restarts."""
import berth
from wire_rules import STEAL, WireRules

NAME = "wirehost"
LIMIT = 900  # seconds for a boot or a change on an emulated processor under load


class Wire(WireRules, berth.Case):
    @classmethod
    def prepare(cls):
        cls.world.create(NAME)
        cls.world.import_busybox(NAME)

    def boot(self):
        return self.world.ssh(NAME, "cat /proc/sys/kernel/random/boot_id", check=False).stdout.strip()

    def agents_start(self):
        return self.world.sudo(NAME, "systemctl show --property=ExecMainStartTimestampMonotonic walinuxagent", check=False).stdout.strip()

    def test_1_the_rules_stay_when_the_engine_restarts(self):
        self.world.sudo(NAME, "systemctl restart docker", limit=LIMIT)
        self.assert_closed_to_all_but_root(NAME)

    def test_2_an_agent_that_was_restarted_still_reads_protected_settings(self):
        start = self.agents_start()
        self.world.sudo(NAME, "systemctl restart walinuxagent", limit=LIMIT)
        self.assertNotEqual(self.agents_start(), start)
        handler = berth.PROJECT / "tests/e2e/handlers/shell"
        self.world.azure("vm", "extension", "publish", handler, "-p", "Contoso.Test", "-n", "Wire", "--version", "1.0.0")
        self.world.azure("vm", "extension", "set", NAME, "Wire", "Contoso.Test", "1.0", "-i", '{"a": 1}', "-t", '{"b": "x"}', limit=LIMIT)

    def test_3_another_boot_is_closed_before_its_network_is_there_and_gives_the_key_once(self):
        before = self.boot()
        self.world.azure("vm", "restart", NAME, limit=LIMIT)
        berth.wait_until("another boot", lambda: self.boot() not in ("", before), LIMIT)
        times = self.world.ssh(NAME, "systemctl show --value --property=ActiveEnterTimestampMonotonic wire-rules systemd-networkd").stdout.split()
        self.assertLess(0, int(times[0]))
        self.assertLess(int(times[0]), int(times[1]))
        berth.wait_until("the agent's report of this boot", lambda: self.world.show(NAME).get("agent", {}).get("status") == "Ready", LIMIT)
        self.assertEqual(self.world.root(NAME, STEAL), "409")
        berth.wait_until("the engine", lambda: self.world.docker("--context", NAME, "version", check=False).returncode == 0, LIMIT)
        self.assert_closed_to_all_but_root(NAME)


if __name__ == "__main__":
    berth.main()
