"""Resource Manager of a region, by its own certificate and credentials."""
import http.client
import json
import ssl
import threading
import time
import urllib.parse

VERSION = "api-version=2023-03-01"


class Arm:
    """Resource Manager by kept connections, one for each thread."""

    def __init__(self, region):
        self.region = region
        self.address = urllib.parse.urlsplit(region.facts["managementEndpoint"])
        self.tls = ssl.create_default_context(cafile=region.facts["caCertificate"])
        self.local = threading.local()
        self.token, self.signed_in = "", 0.0
        self.sign_in()

    def connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection(self.address.hostname, self.address.port, context=self.tls, timeout=600)
        return self.local.connection

    def exchange(self, method, path, body, headers):
        connection = self.connection()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def send(self, method, path, body, headers):
        """The region closes a connection that was idle for five minutes, as this one may be after a long part of the work in other threads."""
        try:
            return self.exchange(method, path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.connection().close()  # the next request opens it again
            return self.exchange(method, path, body, headers)

    def sign_in(self):
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": self.region.facts["clientId"], "client_secret": self.region.secret})
        _, body, _ = self.send("POST", "/adfs/oauth2/token/", form, {"Content-Type": "application/x-www-form-urlencoded"})
        self.token, self.signed_in = json.loads(body)["access_token"], time.monotonic()

    def call(self, method, path, body=None):
        """`path` below the subscription, or a whole address. Returns status, body as bytes, headers."""
        if time.monotonic() - self.signed_in > 1800:
            self.sign_in()
        if path.startswith("https://"):
            path = path.split(self.address.netloc, 1)[1]
        else:
            path = f"/subscriptions/{self.region.facts['subscriptionId']}{path}" + ("&" if "?" in path else "?") + VERSION
        return self.send(method, path, None if body is None else json.dumps(body), {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"})

    def json(self, method, path, body=None):
        status, text, _ = self.call(method, path, body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {text.decode()}")
        return json.loads(text or b"null")

    def wait(self, operation, limit=120):
        """Polls an operation until it has ended; its document."""
        until = time.monotonic() + limit
        while (document := self.json("GET", operation))["status"] == "InProgress":
            if time.monotonic() > until:
                raise AssertionError(f"still in progress: {document}")
            time.sleep(0.02)
        return document

    def done(self, method, path, body=None):
        """Sends it and waits for what it began, which must succeed. Returns the body."""
        status, text, headers = self.call(method, path, body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {text.decode()}")
        if operation := headers.get("Azure-AsyncOperation"):
            ended = self.wait(operation)
            if ended["status"] != "Succeeded":
                raise AssertionError(f"{method} {path}: {ended}")
        return json.loads(text or b"null")
