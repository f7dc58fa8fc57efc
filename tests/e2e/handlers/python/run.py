#!/usr/bin/python3
"""A handler that works in the background: enable answers at once, what comes of it stands in the status file later."""
import os
import subprocess
import sys

from contoso import extension

if __name__ == "__main__":
    command = sys.argv[1]
    extension.log(command)
    if command == "enable":
        extension.report("transitioning", "at work")
        subprocess.Popen([sys.executable, __file__, "work"], start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    elif command == "work":
        extension.work()
