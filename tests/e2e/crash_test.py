"""berthd is killed with SIGKILL in the middle of a create: the create completes, or everything is rolled back."""
import os
import signal
import subprocess
import time
import unittest

import berth
from berth import BIN, PASSWORD


class Crash(unittest.TestCase):
    def setUp(self):
        self.world = berth.World()

    def tearDown(self):
        self.world.close()

    def kill_region(self):
        for pid, command in self.world.processes():
            if "berthd" in command.split()[0]:
                os.kill(pid, signal.SIGKILL)
                return
        self.fail("no berthd runs")

    def begin_create(self, name, *options):
        process = subprocess.Popen(
            [BIN / "azure", "vm", "docker", "create", "-e", "22", "-l", "West US", *options, name, self.world.image(), "ops",
             "--password-file", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.world.env, cwd=self.world.home)
        process.stdin.write(PASSWORD)
        process.stdin.close()
        process.stdin = None
        return process

    def test_a_create_survives_the_death_of_the_region(self):
        create = self.begin_create("phoenix", "--cold")
        berth.wait_until("the machine", lambda: any("qemu-system" in c for _, c in self.world.processes()), berth.CREATE_LIMIT)
        time.sleep(3)
        self.kill_region()
        out, _ = create.communicate(timeout=berth.CREATE_LIMIT)
        print(out)
        if create.returncode == 0:
            self.world.docker("--context", "phoenix", "info")
        else:
            self.assertNotIn("phoenix", self.world.azure("vm", "list").stdout)
            self.assertEqual([c for _, c in self.world.processes() if "qemu-system" in c], [])

    def test_a_region_that_dies_while_it_makes_a_template_leaves_none_and_makes_it_again(self):
        berth.remove_templates(1024)
        create = self.begin_create("early", "-z", "Standard_B1s")
        berth.wait_until("the template's machine", lambda: any("qemu-system" in c for _, c in self.world.processes()), berth.CREATE_LIMIT)
        self.kill_region()
        create.communicate(timeout=berth.CREATE_LIMIT)  # its machine is given up, and asked for again
        berth.wait_until("the end of the template's machine", lambda: not any("guest=template-" in c for _, c in self.world.processes()), 120)
        self.assertEqual([f.name for f in (self.world.region / "vm").glob("template-*")], [])
        out, _ = self.begin_create("late", "-z", "Standard_B1s").communicate(timeout=berth.CREATE_LIMIT)
        self.assertIn("Giving it an identity", out)
        self.world.docker("--context", "late", "info")

    def test_ctrl_c_leaves_nothing(self):
        create = self.begin_create("interrupted", "--cold")
        berth.wait_until("the machine", lambda: any("qemu-system" in c for _, c in self.world.processes()), berth.CREATE_LIMIT)
        create.send_signal(signal.SIGINT)
        out, _ = create.communicate(timeout=300)
        print(out)
        self.assertNotEqual(create.returncode, 0)
        berth.wait_until("the machine's end", lambda: not any("qemu-system" in c for _, c in self.world.processes()), 120)
        self.assertNotIn("interrupted", self.world.azure("vm", "list").stdout)
        self.assertNotIn("interrupted", self.world.docker("context", "ls").stdout)


if __name__ == "__main__":
    berth.main()
