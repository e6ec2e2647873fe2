"""An OpenID Connect provider on a socket: it signs everybody in who comes, as the test says.

It holds callers to the protocol: the redirect address that was registered, PKCE (S256), the client's
secret, each code once. ``claims`` change what its ID tokens say, ``keys`` what it signs with.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "awizo:page", "s3cret +%/"
_KEY = RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})


class OidcProvider:
    """Open until ``close``. redirects: the addresses registered for the client."""

    def __init__(self):
        provider = self
        self.claims = {}
        self.key = _KEY
        self.ways = ["client_secret_basic"]
        self.secret = SECRET
        self.refusal = None  # instead of a code, such as access_denied
        self.redirects = set()
        self.asked = []
        self._codes = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                provider.asked.append(url.path)
                query = dict(parse_qsl(url.query))
                if url.path == "/authorize":
                    self._answer(302, location=provider.authorize(query))
                elif url.path == "/end":
                    self._answer(302, location=query["post_logout_redirect_uri"])
                else:
                    self._answer(200, provider.publish(url.path))

            def do_POST(self):
                provider.asked.append(self.path)
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*provider.trade(form, self.headers.get("authorization")))

            def _answer(self, status, found=None, location=None):
                body = json.dumps(found).encode() if found is not None else b""
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def publish(self, path):
        """Return the discovery document, or the keys."""
        if path == "/keys":
            return {"keys": [_KEY.as_dict(private=False)]}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize?realm=firma",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/end",
            "token_endpoint_auth_methods_supported": self.ways,
        }

    def authorize(self, query):
        """Return where a browser that asks for a sign-in is led."""
        assert query["realm"] == "firma"
        assert query["redirect_uri"] in self.redirects
        assert (query["client_id"], query["response_type"]) == (CLIENT, "code")
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        back = {"state": query["state"], "iss": self.url}
        if self.refusal:
            back["error"] = self.refusal
        else:
            back["code"] = secrets.token_urlsafe()
            self._codes[back["code"]] = query
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def trade(self, form, authorization):
        """Return status and answer of the token endpoint."""
        if not self._knows_client(form, authorization):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or asked["redirect_uri"] != form["redirect_uri"]
            or asked["code_challenge"] != challenge
        ):
            return 400, {"error": "invalid_grant"}
        at = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": "anna", "nonce": asked["nonce"],
            "iat": at, "exp": at + 300, "awizo_role": "admin",
        } | self.claims  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": token}

    def _knows_client(self, form, authorization):
        if self.secret is None:
            return form["client_id"] == CLIENT and authorization is None
        if "client_secret_post" in self.ways:
            return (form["client_id"], form["client_secret"]) == (CLIENT, self.secret)
        wanted = f"{quote_plus(CLIENT)}:{quote_plus(self.secret)}".encode()
        return authorization == f"Basic {base64.b64encode(wanted).decode()}"
