"""The commands that docs/clients.md tells users to type."""
import pathlib
import re
import shlex

CLIENTS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "clients.md"


def command(beginning, facts):
    """The words after "az" of the command that begins so; `facts`: what "$(info KEY)" gives."""
    text = CLIENTS.read_text().replace("\\\n", " ")
    line = next(line.strip() for line in text.splitlines() if line.strip().startswith(beginning))
    return shlex.split(re.sub(r"\$\(info (\w+)\)", lambda found: facts[found[1]], line))[1:]
