#!/usr/bin/env python3
"""An extension handler that says what it was given. Its enable command fails when the public settings say so,
any of its commands when there is a file fail-COMMAND in the agent's folder."""
import base64
import json
import os
import pathlib
import subprocess
import sys

command = sys.argv[1]
home = pathlib.Path(__file__).resolve().parent.parent
with open(home.parent / "commands", "a", encoding="utf-8") as log:
    print(command, home.name, file=log)
if (home.parent / f"fail-{command}").exists():
    sys.exit(f"{command} will not")
if command != "enable":
    sys.exit(0)

sequence = os.environ["ConfigSequenceNumber"]
settings = json.loads((home / "config" / f"{sequence}.settings").read_text())["runtimeSettings"][0]["handlerSettings"]
public = settings.get("publicSettings") or {}
protected = {}
if settings.get("protectedSettings"):
    thumbprint = settings["protectedSettingsCertThumbprint"]
    protected = json.loads(subprocess.run(
        ["openssl", "smime", "-inform", "DER", "-decrypt", "-recip", f"{home.parent}/{thumbprint}.crt",
         "-inkey", f"{home.parent}/{thumbprint}.prv"],
        input=base64.b64decode(settings["protectedSettings"]), stdout=subprocess.PIPE, check=True).stdout)
if public.get("fail"):
    sys.exit("no such thing")
(home / "status" / f"{sequence}.status").write_text(json.dumps([{
    "version": 1.0, "timestampUTC": "2026-01-01T00:00:00Z",
    "status": {"name": "Echo", "operation": "Enable", "status": public.get("status", "success"), "code": 0,
               "formattedMessage": {"lang": "en-US", "message": json.dumps([public, protected])}}}]))
