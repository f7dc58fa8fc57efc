"""What an unmodified client can do here, as a table in docs/conformance.md that the client's own test keeps true.

    from table import NOT_THERE, REFUSED, WORKS, Table
    table = Table("az")                                   # the section of docs/conformance.md, a name of your choice
    table.row("az vm list", WORKS)                        # once it did what its user expects
    table.row("az vm create --zone", REFUSED, "There are no zones in this region.")  # the reason as it is shown
    table.row("az aks", NOT_THERE)
    table.finish()                                        # last, and only when everything before it passed

finish() compares the rows with the section as it is committed and raises AssertionError, naming each row that is missing,
new or different: nothing that works today stops working unseen. With BERTH_UPDATE_DOCS=1 in the environment it writes the section
instead; look at the difference before you commit it:

    BERTH_UPDATE_DOCS=1 ctest --test-dir build -R conformance.az

A command may be recorded more than once with the same outcome; the first note stays. A note must be the same in every run: no
ports, dates or folders. The text around the sections belongs to people; a section that is not there yet is added at the end.
"""
import fcntl
import os
import pathlib
import re

WORKS, REFUSED, NOT_THERE = "works", "refused", "not there"
DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
HEAD = "| command | outcome | |\n|---|---|---|\n"


def cell(text):
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


class Table:
    def __init__(self, section, document=DOCUMENT):
        self.document, self.rows = pathlib.Path(document), {}
        self.begin, self.end = f"<!-- begin {section}: written by its test -->\n", f"<!-- end {section} -->\n"

    def row(self, command, outcome, note=""):
        assert outcome in (WORKS, REFUSED, NOT_THERE), outcome
        known, _ = self.rows.setdefault(cell(command), (outcome, cell(note)))
        assert known == outcome, f"'{command}' is recorded as {known} and as {outcome}"

    def finish(self, update=bool(os.environ.get("BERTH_UPDATE_DOCS"))):
        seen = [f"| `{command}` | {outcome} | {note} |\n" for command, (outcome, note) in sorted(self.rows.items())]
        if update:
            self.write(seen)
            return
        committed = self.committed()
        differences = [f"  no longer so: {row}" for row in committed if row not in seen]
        differences += [f"  not recorded: {row}" for row in seen if row not in committed]
        if differences:
            raise AssertionError(f"{self.document.name} says otherwise (BERTH_UPDATE_DOCS=1 records what was seen):\n{''.join(differences)}")

    def split(self):
        """The document before, in and behind the section."""
        text = self.document.read_text()
        if self.begin not in text:
            return text.rstrip("\n") + "\n\n", "", ""
        before, rest = text.split(self.begin)
        inside, after = rest.split(self.end)
        return before, inside, after

    def committed(self):
        return [line for line in self.split()[1].splitlines(keepends=True) if line.startswith("| `")]

    def write(self, rows):
        with open(self.document, "r+") as document:  # tests of other sections may be writing theirs
            fcntl.flock(document, fcntl.LOCK_EX)
            before, _, after = self.split()
            text = before + self.begin + HEAD + "".join(rows) + self.end + after
            document.write(text)
            document.truncate()
