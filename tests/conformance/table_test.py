"""The table of docs/conformance.md says so when a client does something else than it did."""
import pathlib
import tempfile
import unittest

from table import NOT_THERE, REFUSED, WORKS, Table


class TableTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.document = pathlib.Path(folder.name) / "conformance.md"
        self.document.write_text("# Clients\n\nWords of people.\n")

    def table(self, *rows, section="one"):
        table = Table(section, self.document)
        for row in rows:
            table.row(*row)
        return table

    def test_what_was_recorded_is_found_again(self):
        rows = [("vm list", WORKS), ("vm create --zone", REFUSED, "No zones: a|b\n here."), ("aks", NOT_THERE)]
        self.table(*rows).finish(update=True)
        self.table(*reversed(rows)).finish(update=False)
        self.assertIn("| `vm create --zone` | refused | No zones: a\\|b here. |\n", self.document.read_text())

    def test_a_row_that_is_gone_or_new_or_different_is_named(self):
        self.table(("gone", WORKS), ("worse", WORKS), ("same", WORKS)).finish(update=True)
        with self.assertRaises(AssertionError) as failed:
            self.table(("worse", REFUSED, "Why."), ("same", WORKS), ("new", WORKS)).finish(update=False)
        said = str(failed.exception)
        for line in ("no longer so: | `gone` | works", "no longer so: | `worse` | works", "not recorded: | `worse` | refused | Why.", "not recorded: | `new` | works"):
            self.assertIn(line, said)
        self.assertNotIn("same", said)

    def test_a_client_without_a_section_has_recorded_nothing(self):
        with self.assertRaises(AssertionError):
            self.table(("vm list", WORKS)).finish(update=False)

    def test_writing_one_section_leaves_the_others_and_the_words_around_them(self):
        self.table(("a", WORKS)).finish(update=True)
        self.document.write_text(self.document.read_text() + "More words.\n")
        self.table(("b", WORKS), section="two").finish(update=True)
        self.table(("c", WORKS)).finish(update=True)
        self.table(("b", WORKS), section="two").finish(update=False)
        text = self.document.read_text()
        self.assertIn("Words of people.", text)
        self.assertIn("More words.", text)
        self.assertNotIn("| `a`", text)

    def test_one_command_has_one_outcome(self):
        table = self.table(("vm list", WORKS), ("vm list", WORKS, "again"))
        with self.assertRaises(AssertionError):
            table.row("vm list", REFUSED)


if __name__ == "__main__":
    unittest.main()
