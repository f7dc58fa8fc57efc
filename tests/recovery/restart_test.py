"""All that berthd answers is the same after it was started again; and a document that it gave can be put back."""
import pathlib
import re
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from every_kind import (SERVICES, all_of, all_of_resource_manager, add_image, differences, make_everything, without_etags)  # noqa: E402
from arm_client import Arm  # noqa: E402
from fake_region import FakeRegion  # noqa: E402


def settled(answer, limit=60):
    """What answer() gives once it gives it twice."""
    until = time.monotonic() + limit
    before = answer()
    while (now := answer()) != before:
        if time.monotonic() > until:
            raise AssertionError("it does not come to rest: " + "\n".join(differences(before, now)[:5]))
        before = now
    return now


class Restart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.region = FakeRegion(prepare=add_image)
        cls.arm, cls.classic = make_everything(cls.region)

    @classmethod
    def tearDownClass(cls):
        cls.region.close()

    def restart(self, end):
        end()
        self.region.process.wait(30)
        self.region.start()

    def same(self, before, after):
        self.assertEqual(differences(before, after), [])

    def test_all_is_as_it_was_after_each_start(self):
        before = settled(lambda: all_of(self.arm, self.classic))
        self.assertGreater(len(before), 100)
        self.assertIn("10.1.2.0/24", str(before))
        for _ in range(2):
            self.restart(self.region.stop)
            self.same(before, settled(lambda: all_of(self.arm, self.classic)))
        self.restart(self.region.process.kill)
        self.same(before, settled(lambda: all_of(self.arm, self.classic)))

    def test_the_store_holds_the_same_after_each_start(self):
        """Ports that are open on the host are kept there, too."""
        def rows():
            with sqlite3.connect(self.region.home / "region.db") as store:
                return {(kind, key): text for kind, key, text in store.execute("SELECT kind, key, document FROM document") if kind != "operation"}
        settled(lambda: all_of(self.arm, self.classic))
        before = rows()
        self.assertTrue(any('"host_port":22' in text for (kind, _), text in before.items() if kind == "address"))
        self.restart(self.region.stop)
        settled(lambda: all_of(self.arm, self.classic))
        self.same(before, rows())

    def test_what_resource_manager_gives_can_be_put_back(self):
        put = 0
        for path, document in all_of_resource_manager(self.arm).items():
            if not isinstance(document, dict) or "id" not in document or "?" in path or path.endswith("/instanceView"):
                continue
            if any(word in path.lower() for word in ("/deployments/", "/frontendipconfigurations/")):
                continue  # these are no documents that a client may put
            before = without_etags(self.arm.json("GET", path))
            self.arm.done("PUT", path, document)
            with self.subTest(path):
                self.same(before, without_etags(self.arm.json("GET", path)))
            put += 1
        self.assertGreater(put, 25)

    def test_what_the_classic_api_gives_can_be_put_back(self):
        for role in ("cloud1", "second"):
            path = f"{SERVICES}/cloud1/deployments/cloud1/roles/{role}"
            before = self.classic.get(path)
            self.classic.done("PUT", path, re.sub(r"<(/?)PersistentVMRole", r"<\1PersistentVMRole", before))
            self.assertEqual(self.classic.get(path), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
