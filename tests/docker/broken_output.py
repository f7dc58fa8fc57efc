#!/usr/bin/env python3
"""The handler does its work to the end when nobody reads its standard error any more, as after the agent's time limit.
Argument: the build folder."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

with tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/bin")
    shutil.copy(f"{sys.argv[1]}/bin/docker-extension", f"{folder}/bin")
    places = {f"{name}Folder": f"{folder}/{name}" for name in ("log", "config", "status")}
    with open(f"{folder}/HandlerEnvironment.json", "w") as file:
        json.dump([{"name": "Test", "version": 1.0, "handlerEnvironment": places}], file)
    reading, writing = os.pipe()
    os.close(reading)
    # An operation that there is not touches nothing, and has lines to say.
    code = subprocess.run([f"{folder}/bin/docker-extension", "none"], stderr=writing, restore_signals=True).returncode
    assert code == 2, f"exit code {code}, not 2"
    with open(f"{folder}/log/docker-extension.log") as file:
        assert "'none' is no operation" in file.read()
