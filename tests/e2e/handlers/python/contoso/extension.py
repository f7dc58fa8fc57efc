"""What the handler does, and how it says so."""
import datetime
import json
import os
import pathlib

HOME = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = json.loads((HOME / "HandlerEnvironment.json").read_text())[0]["handlerEnvironment"]
SEQUENCE = os.environ.get("ConfigSequenceNumber", "0")
RELEASE = "first"


def log(text):
    with open(pathlib.Path(ENVIRONMENT["logFolder"]) / "python.log", "a", encoding="utf-8") as file:
        print(datetime.datetime.now().isoformat(timespec="seconds"), HOME.name, text, file=file)


def report(status, message, code=0, substatus=()):
    now = datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
    document = [{"version": 1.0, "timestampUTC": now, "status": {
        "name": "Python", "operation": "Enable", "configurationAppliedTime": now, "status": status, "code": code,
        "formattedMessage": {"lang": "en-US", "message": message},
        "substatus": [{"name": name, "status": state, "code": 0, "formattedMessage": {"lang": "en-US", "message": text}}
                      for name, state, text in substatus]}}]
    file = pathlib.Path(ENVIRONMENT["statusFolder"]) / f"{SEQUENCE}.status"
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(document))
    draft.replace(file)  # the agent reads at any moment


def work():
    settings = json.loads((pathlib.Path(ENVIRONMENT["configFolder"]) / f"{SEQUENCE}.settings").read_text())
    text = (settings["runtimeSettings"][0]["handlerSettings"].get("publicSettings") or {}).get("text", "nothing")
    log(f"working on {text}")
    if text == "fail":
        report("error", "the Python handler was told to fail", 42)
    else:
        report("success", f"{RELEASE} says {text}", substatus=[("length", "success", str(len(text)))])
