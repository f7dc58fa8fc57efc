"""The loop of those who write VM extensions, with two handlers that are not ours in their ways (handlers/): a shell script that fails
by its exit code and a Python program that works in the background and fails by its status. Each is published, enabled, changed, failed
on purpose, replaced, updated and removed on one real machine under the unmodified agent, once by `azure` and once by the unmodified
`az`. (Publishing is always by `azure`: `az` has no command for it.) Says how long a change takes until it runs."""
import json
import pathlib
import shutil
import subprocess
import time

import berth
import clients
from berth import PASSWORD

HANDLERS = pathlib.Path(__file__).resolve().parent / "handlers"
GROUP, VM, PUBLISHER = "authors", "authorvm", "Contoso.Test"
LIMIT = 900  # seconds for one change: a loaded machine emulates slowly


class Azure:
    """What a user of extensions does, by our own client."""

    name = "azure"
    keeps_secrets = True  # protected settings that it is not told

    def __init__(self, world):
        self.world = world

    def offered(self, extension):
        found = self.world.json("vm", "extension", "list", "-p", PUBLISHER)
        return sorted(one["version"] for one in found if one["name"] == extension)

    def set(self, extension, version, public=None, protected=None, check=True):
        options = ["-i", json.dumps(public)] if public else []
        options += ["-t", json.dumps(protected)] if protected else []
        return self.world.azure("vm", "extension", "set", VM, extension, PUBLISHER, version, *options, limit=LIMIT, check=check)

    def report(self, extension):
        shown = self.world.json("vm", "extension", "get", VM, extension)
        return shown["provisioningState"], shown["status"]["message"]

    def remove(self, extension):
        self.world.azure("vm", "extension", "set", VM, extension, PUBLISHER, "1.0", "-u", limit=LIMIT)

    def installed(self):
        return [one["name"] for one in self.world.json("vm", "extension", "get", VM)]


class Az:
    """The same by the unmodified az."""

    name = "az"
    keeps_secrets = False  # what it sends is the whole extension

    def __init__(self, world):
        self.az = clients.Az(world)

    def offered(self, extension):
        found = self.az("vm", "extension", "image", "list", "-l", "westus", "-p", PUBLISHER)
        return sorted(one["version"] for one in found if one["name"] == extension)

    def set(self, extension, version, public=None, protected=None, check=True):
        options = ["--settings", json.dumps(public)] if public else []
        options += ["--protected-settings", json.dumps(protected)] if protected else []
        return self.az("vm", "extension", "set", "-g", GROUP, "--vm-name", VM, "--publisher", PUBLISHER, "-n", extension,
                       "--version", version, *options, check=check)

    def report(self, extension):
        shown = self.az("vm", "extension", "show", "-g", GROUP, "--vm-name", VM, "-n", extension, "--instance-view")
        return shown["provisioningState"], shown["instanceView"]["statuses"][0]["message"]

    def remove(self, extension):
        self.az("vm", "extension", "delete", "-g", GROUP, "--vm-name", VM, "-n", extension)

    def installed(self):
        return [one["name"] for one in self.az("vm", "extension", "list", "-g", GROUP, "--vm-name", VM)]


class Handlers(berth.Case):
    @classmethod
    def prepare(cls):
        cls.azure, cls.az, cls.times = Azure(cls.world), Az(cls.world), {}
        cls.addClassCleanup(cls.tell_times)
        cls.az.az("group", "create", "-n", GROUP, "-l", "westus")
        cls.az.az("vm", "create", "-g", GROUP, "-n", VM, "--image", "Debian:debian-13:13:latest", "--admin-username", "ops",
                  "--admin-password", PASSWORD, "--public-ip-address-dns-name", VM)

    @classmethod
    def tell_times(cls):
        for what, seconds in cls.times.items():
            print(f"{seconds:6.1f} s  {what}", flush=True)

    def timed(self, what, act):
        began = time.monotonic()
        result = act()
        self.times[what] = time.monotonic() - began
        return result

    def extension(self, *argv, **options):
        return self.world.azure("vm", "extension", *argv, limit=LIMIT, **options)

    def logs(self, extension):
        logs = json.loads(self.extension("logs", VM, extension, "--password-file", "-", "--json", stdin=PASSWORD).stdout)
        return {pathlib.Path(log["file"]).name: log["lines"] for log in logs}

    def walk(self, client, extension, major, release_file, release, told):
        """The whole life of a handler. `told(release, text, secret)` is what it reports; its versions are `major`.0.0 and `major`.1.0."""
        work = self.world.folder / f"{extension}-{client.name}"
        shutil.copytree(HANDLERS / extension.lower(), work, ignore=shutil.ignore_patterns("__pycache__"))
        first, next_version = f"{major}.0.0", f"{major}.1.0"

        def publish(version):
            return self.extension("publish", work, "-p", PUBLISHER, "-n", extension, "--version", version)

        def change(old, new):
            text = (work / release_file).read_text()
            self.assertIn(release.format(old), text)
            (work / release_file).write_text(text.replace(release.format(old), release.format(new)))

        def step(what, act):
            return self.timed(f"{extension} by {client.name}: {what}", act)

        def expect(state, message):
            self.assertEqual(client.report(extension), (state, message))

        publish(first)
        self.assertEqual(client.offered(extension), [first])
        step("enabled for the first time", lambda: client.set(extension, f"{major}.0", {"text": "one"}, {"key": "12345"}))
        expect("Succeeded", told("first", "one", True))
        step("new settings", lambda: client.set(extension, f"{major}.0", {"text": "two"}))
        expect("Succeeded", told("first", "two", client.keeps_secrets))

        failed = step("a failure is told", lambda: client.set(extension, f"{major}.0", {"text": "fail"}, check=False))
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn("handler was told to fail", failed.stderr)
        for one in (self.azure, self.az):  # whoever asks
            state, message = one.report(extension)
            self.assertEqual(state, "Failed")
            self.assertIn("handler was told to fail", message)
        client.set(extension, f"{major}.0", {"text": "three"})
        expect("Succeeded", told("first", "three", client.keeps_secrets))

        change("first", "second")
        done = step("changed, published, enabled", lambda: publish(first))
        self.assertIn(f"{first}.1", done.stdout)
        expect("Succeeded", told("second", "three", client.keeps_secrets))
        change("second", "third")
        publish(next_version)
        expect("Succeeded", told("second", "three", client.keeps_secrets))
        step("updated to a new version", lambda: client.set(extension, f"{major}.1", {"text": "four"}))
        expect("Succeeded", told("third", "four", client.keeps_secrets))

        in_use = self.extension("unpublish", extension, PUBLISHER, next_version, check=False)
        self.assertEqual(in_use.returncode, 5)
        self.assertIn(VM, in_use.stderr)
        step("removed", lambda: client.remove(extension))
        self.assertEqual(client.installed(), [])
        for version in (first, next_version):
            self.extension("unpublish", extension, PUBLISHER, version)
        self.assertEqual(self.azure.offered(extension), [])

    def walk_shell(self, client, major):
        self.walk(client, "Shell", major, "bin/handler.sh", "release={}",
                  lambda release, text, secret: f"{release} says {text}, key of {5 if secret else 'none'} bytes")
        logs = self.logs(f"{PUBLISHER}.Shell")
        self.assertIn("the shell handler was told to fail", logs["handler.log"])
        self.assertTrue(any(f"{PUBLISHER}.Shell" in line for line in logs["waagent.log"]))
        steps = [line.split(" ", 1)[1] for line in logs["handler.log"] if " of " in line]
        self.assertEqual(steps[-6:], [f"disable of {major}.0.0.1 (second)", f"update of {major}.1.0 (third)",
                                      f"uninstall of {major}.0.0.1 (second)", f"enable of {major}.1.0 (third)",
                                      f"disable of {major}.1.0 (third)", f"uninstall of {major}.1.0 (third)"])

    def walk_python(self, client, major):
        self.walk(client, "Python", major, "contoso/extension.py", 'RELEASE = "{}"', lambda release, text, secret: f"{release} says {text}")
        self.assertIn("uninstall", self.logs(f"{PUBLISHER}.Python")["python.log"][-1])

    def test_01_what_cannot_work_is_told_before_it_is_sent(self):
        broken = self.world.folder / "broken"
        shutil.copytree(HANDLERS / "shell", broken)
        (broken / "bin/handler.sh").rename(broken / "bin/other.sh")
        done = self.extension("publish", broken, "-p", PUBLISHER, "-n", "Broken", "--version", "1.0.0", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn('names "bin/handler.sh", and there is no such file', done.stderr)

    def test_02_the_shell_script_by_azure(self):
        self.walk_shell(self.azure, 1)

    def test_03_the_shell_script_by_az(self):
        self.walk_shell(self.az, 2)

    def test_04_the_python_program_by_azure(self):
        self.walk_python(self.azure, 1)

    def test_05_the_python_program_by_az(self):
        self.walk_python(self.az, 2)

    def test_06_details_of_a_report_arrive(self):
        """A package that names itself; substatuses, and the code of a failure; advice of our client."""
        self.extension("publish", HANDLERS / "python")
        self.azure.set("Python", "1.0", {"text": "one"})
        part = self.world.json("vm", "extension", "get", VM, "Python")["substatuses"][0]
        self.assertEqual((part["code"], part["message"]), ("ComponentStatus/length/succeeded", "3"))
        failed = self.azure.set("Python", "1.0", {"text": "fail"}, check=False)
        self.assertEqual(failed.returncode, 5)
        self.assertIn("azure vm extension logs", failed.stderr)
        shown = self.world.json("vm", "extension", "get", VM, "Python")
        self.assertEqual((shown["version"], shown["status"]["code"]), ("1.0.0", "ProvisioningState/failed/42"))

    def test_07_azures_own_handlers_by_az(self):
        """CustomScript with a file from outside, run command, and users; as they are packed, under the unmodified agent."""
        vm = ("-g", GROUP, "--vm-name", VM)
        uri = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)dists/$(RELEASE)/Release"], capture_output=True, text=True,
                             check=True).stdout.split()[0]
        order = {"fileUris": [uri], "commandToExecute": "head -n 1 Release | cut -c 1-6; id -un; echo warned >&2"}
        self.timed("CustomScript", lambda: self.az.az(
            "vm", "extension", "set", *vm, "--publisher", "Microsoft.Azure.Extensions", "-n", "CustomScript", "--version", "2.0",
            "--settings", json.dumps(order)))
        self.assertEqual(self.az.report("CustomScript"), ("Succeeded", "Enable succeeded: \n[stdout]\nOrigin\nroot\n\n[stderr]\nwarned\n"))
        self.assertIn("Origin", self.world.root(VM, "cat /var/lib/waagent/custom-script/download/0/stdout"))

        done = self.timed("run command", lambda: self.az.az(
            "vm", "run-command", "invoke", "-g", GROUP, "-n", VM, "--command-id", "RunShellScript", "--scripts", "hostname", "echo $1-$name",
            "--parameters", "name=a b"))
        self.assertEqual(done["value"][0]["code"], "ProvisioningState/succeeded")
        self.assertEqual(done["value"][0]["message"], f"Enable succeeded: \n[stdout]\n{VM}\na b-a b\n\n[stderr]\n")

        self.az.az("vm", "user", "update", "-g", GROUP, "-n", VM, "-u", "eve", "-p", PASSWORD)
        self.assertIn("P", self.world.root(VM, "passwd --status eve").split())
        self.az.az("vm", "user", "delete", "-g", GROUP, "-n", VM, "-u", "eve")
        self.assertEqual(self.world.root(VM, "getent passwd eve || echo gone"), "gone")
        self.az.az("vm", "user", "reset-ssh", "-g", GROUP, "-n", VM)
        self.assertEqual(self.world.root(VM, "id -un"), "root")  # by ssh
        self.assertEqual([one for one in self.az.installed() if "RunCommand" in one], [])


if __name__ == "__main__":
    berth.main()
