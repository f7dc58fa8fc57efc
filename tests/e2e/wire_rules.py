"""Who may ask a machine's wire server, which hands out its key: the agent and root, and neither an ordinary user nor a container; and once the
agent has the key, nobody gets it again before the next boot. Metadata and names stay open to all."""
WIRE, METADATA = "http://168.63.129.16", "http://169.254.169.254"
# Asks for the machine's certificate and key with a transport certificate of one's own, as the agent does; prints the answer's status.
STEAL = """
cd $(mktemp -d)
openssl req -x509 -nodes -subj /CN=LinuxTransport -days 2 -newkey rsa:2048 -keyout key.pem -out cert.pem 2>/dev/null
cert=$(openssl x509 -in cert.pem -outform DER | base64 -w0)
curl -s -m 120 -o answer -w '%{http_code}' -H 'x-ms-version: 2012-11-30' -H 'x-ms-cipher-name: AES128_CBC' \
  -H "x-ms-guest-agent-public-x509-cert: $cert" 'http://168.63.129.16/machine/c/i?comp=certificates'
"""


class WireRules:
    """For a berth.Case whose host has the image berth/busybox."""

    def status(self, name, url, *options, root=False):
        """The answer's status for a user of the machine, or for root; 000 for none."""
        line = " ".join(["curl", "-s", "--connect-timeout", "8", "-m", "120", "-o", "/dev/null", "-w", "%{http_code}", *options, f"'{url}'"])
        return (self.world.sudo if root else self.world.ssh)(name, line, check=False).stdout.strip()

    def container_gets(self, name, url, *options, **how):
        return " 200 " in self.world.container_gets(name, url, *options, **how).partition("\n")[0]

    def assert_closed_to_all_but_root(self, name):
        for port in ("80/?comp=versions", "32526/versions"):
            self.assertEqual(self.status(name, f"{WIRE}:{port}"), "000", port)
            self.assertEqual(self.status(name, f"{WIRE}:{port}", root=True), "200", port)
            self.assertFalse(self.container_gets(name, f"{WIRE}:{port}"), port)
        # In the host's network a container is who it runs as: as root it is root of this machine, here as in Azure.
        self.assertFalse(self.container_gets(name, f"{WIRE}/?comp=versions", "--network", "host", "--user", "1000"))

    def assert_metadata_is_open(self, name):
        self.assertEqual(self.status(name, f"{METADATA}/metadata/instance?api-version=2021-02-01", "-H", "Metadata:true"), "200")
        self.assertTrue(self.container_gets(name, f"{METADATA}/metadata/instance?api-version=2021-02-01", wait=60))
        self.world.ssh(name, f"getent hosts {name}.internal && timeout 60 bash -c '</dev/tcp/168.63.129.16/53'")
        self.world.docker("--context", name, "run", "--rm", "berth/busybox", "nslookup", f"{name}.internal", "168.63.129.16", limit=300)

    def assert_the_key_is_not_given_again(self, name):
        refused = lambda: (self.world.region / "berthd.log").read_text().count(f"certificate refused vm={name}")
        before = refused()
        self.assertEqual(self.world.root(name, STEAL), "409")
        self.assertEqual(refused(), before + 1)
