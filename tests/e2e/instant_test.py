"""Machines that do not boot but go on from a template: none of them is another one, and none is in the template."""
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import berth

COUNT = 6
SIZE, MIB = "Standard_B1s", 1024  # crash_test.py has machines of that size, too, and none at the same time

# What a machine says of itself, a line each.
WHO = r"""
echo machine-id: $(cat /etc/machine-id)
echo boot-id: $(cat /proc/sys/kernel/random/boot_id)
echo uuid: $(cat /sys/class/dmi/id/product_uuid)
echo host: $(hostname) $(cat /etc/hostname)
echo host-key: $(cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub)
echo host-keys: $(ls /etc/ssh/ssh_host_*_key | wc -l)
echo mac: $(cat /sys/class/net/en*/address)
echo address: $(ip -4 -o address show scope global | grep -v docker | tr -s ' ' | cut -d' ' -f4)
echo random: $(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' ')
echo openssl: $(openssl rand -hex 16)
echo agent: $(openssl x509 -in /var/lib/waagent/TransportCert.pem -noout -fingerprint)
echo engine: $(docker info --format '{{.ID}}') $(cat /var/lib/docker/engine-id)
echo seed: $(sha256sum /var/lib/systemd/random-seed 2>/dev/null | cut -c1-64)
echo journal: $(journalctl -q -n 1 -o cat | wc -l)
echo failed: $(systemctl --failed --no-legend | wc -l)
echo clock: $(date +%s)
"""
OWN = ("machine-id", "boot-id", "uuid", "host", "host-key", "mac", "random", "openssl", "agent", "engine")


class Watch(threading.Thread):
    """Asks a host's SSH port for its key from the first moment on, and keeps all answers."""

    def __init__(self, world, name):
        super().__init__(daemon=True)
        self.world, self.name, self.keys, self.over = world, name, set(), False

    def run(self):
        while not self.over:
            try:
                address, port = self.world.port(self.name, 22)
                out = self.world.run("ssh-keyscan", "-T", "5", "-t", "ed25519", "-p", port, address, check=False).stdout
                self.keys |= set(re.findall(r"ssh-ed25519 (\S+)", out))
            except Exception:  # not yet there
                time.sleep(0.05)


class Instant(berth.Case):
    @classmethod
    def prepare(cls):
        berth.remove_templates(MIB)
        cls.world.azure("vm", "image", "warm", cls.world.image(), "-z", SIZE, limit=berth.CREATE_LIMIT)
        cls.names = [f"clone{i}" for i in range(COUNT)]
        cls.watch = Watch(cls.world, cls.names[0])
        cls.watch.start()
        cls.created = [cls.world.create(name, "-z", SIZE, wait=False).stdout for name in cls.names]
        for name in cls.names:
            berth.wait_until(f"the report of {name}", lambda: "1.3.0: Succeeded" in cls.world.azure("vm", "docker", "show", name).stdout, 600)
        cls.watch.over = True
        cls.said = [dict(line.split(": ", 1) for line in cls.world.root(name, WHO).splitlines() if ": " in line) for name in cls.names]

    def test_01_none_of_them_booted(self):
        for out in self.created:
            self.assertIn("Giving it an identity", out)
            self.assertNotIn("Making the image's template", out)
        for log in (self.world.region / "vm").glob("*/serial.log"):
            self.assertNotIn(b"Linux version", log.read_bytes())
            self.assertIn(b"become: done", log.read_bytes())

    def test_02_the_list_of_images_says_that_there_is_a_template(self):
        states = {i["name"]: i["template"] for i in self.world.json("vm", "image", "list")}
        self.assertEqual(states[self.world.image()], "ready")

    def test_03_no_two_of_them_have_anything_in_common_that_is_ones_own(self):
        for what in OWN:
            values = [said[what] for said in self.said]
            self.assertNotIn("", values, what)
            self.assertEqual(len(set(values)), COUNT, f"{what}: {values}")

    def test_04_each_is_who_it_was_told_to_be(self):
        for name, said in zip(self.names, self.said):
            self.assertEqual(said["host"], f"{name} {name}")
            self.assertEqual(*said["engine"].split(), "in the engine's memory and in its file")
            self.assertEqual((said["host-keys"], said["failed"], said["journal"]), ("1", "0", "1"))
            self.assertLess(abs(int(said["clock"]) - time.time()), 600)
            self.assertEqual(len(said["address"].split()), 1)

    def test_05_nothing_of_them_is_in_the_template(self):
        for folder in berth.templates(MIB):
            for file in folder.iterdir():
                data = file.read_bytes()
                for said in self.said:
                    for what in ("machine-id", "host-key", "mac", "agent", "boot-id"):
                        self.assertFalse(said[what].encode() in data, f"{what} in {file}")  # assertNotIn would print the file

    def test_06_the_ssh_port_never_had_another_key(self):
        self.assertEqual(self.watch.keys, {self.said[0]["host-key"]})

    def test_07_a_host_that_loses_power_boots_as_who_it_was(self):
        name, before = self.names[1], self.said[1]
        pid = next(pid for pid, command in self.world.processes() if f"guest={name}" in command)
        os.kill(pid, signal.SIGKILL)
        berth.wait_until("the region's notice", lambda: "stopped" in self.world.azure("vm", "show", name).stdout, 60)
        self.world.azure("vm", "start", name, "--wait", limit=berth.CREATE_LIMIT)
        self.assertIn("Server Version", self.world.docker("--context", name, "info", limit=300).stdout)
        said = dict(line.split(": ", 1) for line in self.world.root(name, WHO).splitlines() if ": " in line)
        for what in ("machine-id", "uuid", "host", "host-key", "mac", "engine", "address"):
            self.assertEqual(said[what], before[what], what)
        self.assertNotEqual(said["boot-id"], before["boot-id"])

    def test_08_a_damaged_template_is_made_anew_and_those_that_run_go_on(self):
        (folder,) = berth.templates(MIB)
        with open(folder / "memory", "r+b") as memory:
            memory.seek(1 << 20)
            memory.write(b"not what was frozen")
        out = self.world.create("after", "-z", SIZE, wait=False).stdout
        self.assertIn("Making the image's template", out)
        self.assertIn("Giving it an identity", out)
        (now,) = berth.templates(MIB)
        self.assertNotEqual(now, folder)
        self.assertTrue((folder / "disk.qcow2").exists())
        self.world.docker("--context", self.names[2], "info", limit=300)

    def test_09_it_boots_when_it_is_asked_to(self):
        out = self.world.create("cold", "-z", SIZE, "--cold").stdout
        self.assertIn("It boots, because it was asked to", out)
        self.assertIn("Waiting for the guest agent", out)
        self.world.docker("--context", "cold", "info", limit=300)

    def test_10_a_port_does_not_outlive_the_extension_that_it_was_opened_for(self):
        self.world.create("short", "-z", SIZE, wait=False)
        self.world.arm("DELETE", "/resourceGroups/short/providers/Microsoft.Compute/virtualMachines/short/extensions/DockerExtension")
        berth.wait_until("a closed port", lambda: self.world.docker("--context", "short", "info", check=False).returncode != 0, 300)
        left = "cd /etc/docker && test -z \"$(find . -name '*.pem' -o -name tls-front.conf)\" && echo nothing"
        berth.wait_until("no files", lambda: self.world.root("short", left, check=False) == "nothing", 300)

    def test_11_who_connects_to_a_host_that_sleeps_is_held_and_wakes_it(self):
        name = self.names[0]
        docker = ("--context", name)
        self.world.import_busybox(name)
        self.world.docker(*docker, "run", "-d", "--name", "counts", "berth/busybox", "sh", "-c",
                          "i=0; while /busybox sleep 1; do i=$((i + 1)); echo $i > /count; done")
        stream = subprocess.Popen(["docker", *docker, "events"], env=self.world.env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(stream.kill)
        boot = self.world.ssh(name, "cat /proc/sys/kernel/random/boot_id").stdout

        self.world.azure("vm", "docker", "sleep", name)
        self.assertEqual(self.world.show(name)["status"], "asleep")
        self.assertFalse([pid for pid, command in self.world.processes() if f"guest={name}" in command])
        self.assertIn("asleep", self.world.azure("vm", "docker", "list").stdout)
        time.sleep(15)
        self.assertEqual(self.world.show(name)["status"], "asleep", "nobody wanted it")

        pings = [threading.Thread(target=self.world.docker, args=(*docker, "ps")) for _ in range(8)]
        for ping in pings:
            ping.start()
        for ping in pings:
            ping.join()
        self.assertEqual(self.world.show(name)["status"], "running")
        count = int(self.world.docker(*docker, "exec", "counts", "/busybox", "cat", "/count").stdout)
        self.assertLess(count, 15 + 60, "it did not run meanwhile")
        self.assertEqual(self.world.ssh(name, "cat /proc/sys/kernel/random/boot_id").stdout, boot)
        berth.wait_until("the right time", lambda: abs(float(self.world.ssh(name, "date +%s").stdout) - time.time()) < 10, 60)
        self.world.docker(*docker, "rm", "-f", "counts")
        self.assertIn("counts", next(line for line in stream.stdout if "destroy" in line), "the stream went on")

    def test_12_a_region_that_is_killed_finds_the_sleeping_host_again(self):
        name = self.names[0]
        self.world.azure("vm", "docker", "sleep", name)
        for pid, command in self.world.processes():
            if "berthd" in command:
                os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.world.show(name)["status"], "asleep")
        self.assertIn("Server Version", self.world.docker("--context", name, "info", limit=300).stdout)
        self.assertEqual(self.world.show(name)["status"], "running")

    def test_13_a_host_is_killed_while_it_falls_asleep_or_wakes_and_loses_nothing_but_its_memory(self):
        name = self.names[0]
        self.world.ssh(name, "echo kept > kept && sync")
        sleeping = threading.Thread(target=self.world.azure, args=("vm", "docker", "sleep", name), kwargs={"check": False})
        sleeping.start()
        drafts = self.world.region / "vm"
        while sleeping.is_alive() and not list(drafts.glob("*/hibernation.new")):
            time.sleep(0.01)
        for pid, command in self.world.processes():
            if f"guest={name}" in command:
                os.kill(pid, signal.SIGKILL)
        sleeping.join()
        berth.wait_until("the region's notice", lambda: self.world.show(name)["status"] in ("stopped", "asleep"), 60)
        self.world.azure("vm", "start", name, "--wait", limit=berth.CREATE_LIMIT)
        self.assertEqual(self.world.ssh(name, "cat kept").stdout.strip(), "kept")
        self.assertFalse(list(drafts.glob("*/hibernation*")))


if __name__ == "__main__":
    berth.main()
