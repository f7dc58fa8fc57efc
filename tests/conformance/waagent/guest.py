#!/usr/bin/env python3
"""A VM's worth of surroundings for the unmodified Azure Linux Agent, without a VM.

Usage: unshare [--map-root-user] --mount --net --pid --fork --mount-proc --kill-child guest.py FOLDER VM_ID AGENT

In namespaces of its own: a network whose 168.63.129.16 and 169.254.169.254 lead to the sockets VM_ID.* in FOLDER, a
read-only root with its own /var/lib, /var/log, /run and /tmp, and FOLDER/guest as /var/lib/waagent. Then the part
of the agent runs that handles extensions, from the folder AGENT; the part that sets up users needs a real machine.
"""
import os
import socket
import subprocess
import sys
import threading

CONFIGURATION = """\
Provisioning.Agent=disabled
Extensions.Enabled=y
Extensions.GoalStatePeriod=1
Extensions.InitialGoalStatePeriod=1
AutoUpdate.Enabled=n
OS.EnableFirewall=n
Logs.Console=y
Provisioning.MonitorHostName=n
"""


def run(*command):
    subprocess.run(command, check=True)


def shut_in(folder, code):
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "none", "/run")
    os.mkdir("/run/sockets")
    os.mkdir("/run/agent")
    run("mount", "--bind", code, "/run/agent")
    os.makedirs(folder + "/guest", exist_ok=True)
    run("mount", "--bind", folder, "/run/sockets")
    for path in ("/var/lib", "/var/log", "/tmp"):
        run("mount", "-t", "tmpfs", "none", path)
    os.mkdir("/var/lib/waagent")
    run("mount", "--bind", "/run/sockets/guest", "/var/lib/waagent")
    subprocess.run(["mount", "-o", "remount,bind,ro", "/"], check=False)  # not everybody may


def connect_network():
    for command in (
        "link set lo up",
        "address add 168.63.129.16/32 dev lo",
        "address add 169.254.169.254/32 dev lo",
        "link add eth0 type veth peer name eth1",
        "link set eth0 up",
        "link set eth1 up",
        "address add 10.0.0.4/24 dev eth0",
        "route add default via 10.0.0.1",
        "route add 168.63.129.16/32 via 10.0.0.1",  # the agent looks for this route
    ):
        run("ip", *command.split())


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def forward(listener, path):
    while True:
        client, _ = listener.accept()
        service = socket.socket(socket.AF_UNIX)
        try:
            service.connect(path)
        except OSError:
            client.close()
            continue
        for pair in ((client, service), (service, client)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def run_agent(code):
    sys.dont_write_bytecode = True
    sys.path.insert(0, code)
    with open("/run/waagent.conf", "w", encoding="utf-8") as file:
        file.write(CONFIGURATION)
    with open("/var/lib/waagent/WireServerEndpoint", "w", encoding="utf-8") as file:
        file.write("168.63.129.16")
    from azurelinuxagent.agent import Agent
    from azurelinuxagent.common.utils.cryptutil import CryptUtil
    agent = Agent(False, conf_file_path="/run/waagent.conf")
    CryptUtil("/usr/bin/openssl").gen_transport_cert("/var/lib/waagent/TransportPrivate.pem",
                                                     "/var/lib/waagent/TransportCert.pem")
    agent.run_exthandlers(True)


def main():
    folder, vm_id, code = sys.argv[1:]
    shut_in(folder, code)
    connect_network()
    listeners = []
    for address, port, name in (("168.63.129.16", 80, "wire"), ("168.63.129.16", 32526, "plug"),
                                ("169.254.169.254", 80, "meta")):
        listener = socket.create_server((address, port), backlog=64)
        listeners.append((listener, f"/run/sockets/{vm_id}.{name}"))
    agent = os.fork()
    if agent == 0:
        run_agent("/run/agent")
        os._exit(1)
    for pair in listeners:
        threading.Thread(target=forward, args=pair, daemon=True).start()
    while os.wait()[0] != agent:  # what handlers leave behind becomes ours
        pass


main()
