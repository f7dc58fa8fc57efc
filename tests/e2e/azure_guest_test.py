"""What scripts written for Azure's machines find in one from the gallery: the names of its disks, also of those that come and go while it runs, a
temporary disk of the size's, the usual tools, custom data in cloud-init's hands, and the time of day."""
import email.mime.multipart
import email.mime.text

import berth

NAME = "azureguest"
LIMIT = 900  # seconds for one change: an emulated processor, and the machine may be loaded
TOOLS = "host dig file fdisk sfdisk parted wget nc unzip python python3 cloud-init curl iptables eject openssl sudo".split()


def custom_data():
    """Several parts, as `cloud-init devel make-mime` puts them together."""
    whole = email.mime.multipart.MIMEMultipart()
    for kind, text in (("cloud-config", "#cloud-config\nruncmd:\n  - touch /run/by-runcmd\nwrite_files:\n  - path: /etc/by-write-files\n    content: hi\n"),
                       ("x-shellscript", "#!/bin/sh\nid -u > /etc/by-script\ncloud-id > /etc/cloud-id\n")):
        whole.attach(email.mime.text.MIMEText(text, kind, "utf-8"))
    return whole.as_string()


class AzureGuest(berth.Case):
    @classmethod
    def prepare(cls):
        data = cls.world.folder / "custom-data"
        data.write_text(custom_data())
        cls.world.create(NAME, "--custom-data", data)
        cls.path = f"/resourceGroups/{NAME}/providers/Microsoft.Compute/virtualMachines/{NAME}"

    def root(self, script, **options):
        return self.world.root(NAME, script, **options)

    def disks(self):
        """Name of the link below /dev/disk/azure -> name of the disk."""
        lines = self.root("cd /dev/disk/azure && find . -type l | while read -r l; do echo $l $(basename $(readlink -f $l)); done").splitlines()
        return {link.removeprefix("./"): device for link, device in (line.split() for line in lines)}

    def put_data_disks(self, *luns):
        vm = self.world.arm("GET", self.path)
        present = {disk["lun"]: disk for disk in vm["properties"]["storageProfile"]["dataDisks"]}
        vm["properties"]["storageProfile"]["dataDisks"] = [
            present.get(lun, {"lun": lun, "name": f"data{lun}", "createOption": "Empty", "diskSizeGB": 1}) for lun in luns]
        for key in ("osProfile", "instanceView", "provisioningState", "vmId", "timeCreated"):
            vm["properties"].pop(key, None)
        self.world.arm("PUT", self.path, {"location": vm["location"], "properties": vm["properties"]})
        ended = berth.wait_until("the change of disks", lambda: next(
            (state for state in [self.world.arm("GET", self.path)["properties"]["provisioningState"]] if state in ("Succeeded", "Failed")), None), LIMIT)
        self.assertEqual(ended, "Succeeded")

    def test_01_the_os_disk_is_sda_and_the_temporary_one_sdb(self):
        disks = self.disks()
        self.assertEqual((disks["root"], disks["resource"]), ("sda", "sdb"), disks)
        self.assertEqual(self.root("findmnt --noheadings --output SOURCE /"), "/dev/sda")

    def test_02_the_temporary_disk_has_the_sizes_size_and_is_mounted(self):
        sizes = self.world.arm("GET", "/providers/Microsoft.Compute/locations/westus/vmSizes")["value"]
        size = self.world.arm("GET", self.path)["properties"]["hardwareProfile"]["vmSize"]
        wanted = next(one["resourceDiskSizeInMB"] for one in sizes if one["name"] == size)
        self.assertEqual(int(self.root("blockdev --getsize64 /dev/disk/azure/resource")), wanted << 20)
        berth.wait_until("its mount", lambda: self.root("findmnt --noheadings --output SOURCE /mnt/resource", check=False) == "/dev/sdb1", LIMIT)
        self.assertIn("DATALOSS_WARNING_README.txt", self.root("ls /mnt/resource"))

    def test_03_data_disks_keep_their_links_while_they_come_and_go(self):
        self.put_data_disks(0, 5)
        berth.wait_until("both links", lambda: {"scsi1/lun0", "scsi1/lun5"} <= self.disks().keys(), LIMIT)
        disks = self.disks()
        self.assertEqual({disks["scsi1/lun0"], disks["scsi1/lun5"]}, {"sdc", "sdd"})
        self.root("echo ',' | sfdisk --quiet --label gpt /dev/disk/azure/scsi1/lun5 && udevadm settle")
        self.assertEqual(self.disks()["scsi1/lun5-part1"], disks["scsi1/lun5"] + "1")
        self.put_data_disks(5)
        berth.wait_until("the link to go", lambda: "scsi1/lun0" not in self.disks(), LIMIT)
        self.assertEqual(self.disks()["scsi1/lun5"], disks["scsi1/lun5"])

    def test_04_tools_are_there(self):
        self.assertEqual(self.root(f"for t in {' '.join(TOOLS)}; do command -v $t >/dev/null || echo $t; done"), "")

    def test_05_every_part_of_custom_data_was_run(self):
        self.root("cloud-init status --wait", check=False, limit=LIMIT)
        self.assertEqual(self.root("cat /etc/by-write-files /etc/by-script /etc/cloud-id; test -e /run/by-runcmd && echo ran").split(), ["hi", "0", "azure", "ran"])
        self.assertIn("done", self.root("cloud-init status"))

    def test_06_the_administrator_is_as_the_agent_made_him(self):
        self.assertEqual(self.world.ssh(NAME, "sudo -n true 2>/dev/null && echo without a password; true").stdout.strip(), "")
        self.assertEqual(self.root("getent passwd debian", check=False), "")

    def test_07_the_time_is_right_again_soon_after_it_was_wrong(self):
        self.root("date --set '10 minutes ago'")
        berth.wait_until("the right time", lambda: abs(int(self.root("date +%s")) - int(self.world.run("date", "+%s").stdout)) < 60, 120)


if __name__ == "__main__":
    berth.main()
