#!/usr/bin/env python3
"""A manager in a hundred lines, with Python's standard library alone: it enrols hosts with a one-use token, takes their heartbeats,
and embeds a document of desired state in its replies. It has no authority, no users and no database. Read README.md beside it.
    example_manager.py --listen 127.0.0.1:8443 --tls server.pem --tokens tokens --state state.json [--desired desired.json]
"""
import argparse, hashlib, http.server, json, os, secrets, ssl, sys, threading, uuid
from datetime import datetime, timedelta, timezone

PREFIX, BODY_MAX = "/manager_api/api/v1", 1 << 20

class Refused(Exception):
    """An answer that is not 200: status, code of the contract, sentence."""

def now(days=0):
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")

def digest(secret):
    return hashlib.sha256(secret.encode()).hexdigest()

class Hosts:
    """What is kept: of each host the hash of its secret, and what its last heartbeat was. One file, replaced whole."""
    def __init__(self, options):
        self.options, self.lock = options, threading.Lock()
        self.known = json.load(open(options.state)) if os.path.exists(options.state) else {}

    def save(self):
        with open(self.options.state + ".new", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump(self.known, file)
        os.replace(self.options.state + ".new", self.options.state)

    def enroll(self, token, body):
        """The same request with the same token again gets the same host and a new secret; with another key it is refused."""
        if token not in open(self.options.tokens).read().split():
            raise Refused(401, "invalid_token", "this enrolment token is not known here")
        request = digest(body["csr_pem"])  # a host repeats its request letter for letter
        spent = [(name, host) for name, host in self.known.items() if host["token"] == digest(token)]
        if spent and spent[0][1]["request"] != request:
            raise Refused(409, "enrol_used", "this token was used with another key")
        name, secret = spent[0][0] if spent else str(uuid.uuid4()), secrets.token_urlsafe(32)
        self.known[name] = {"secret": digest(secret), "token": digest(token), "request": request, "boots": [], "seq": -1}
        self.save()  # before the answer: a host that has a secret must be known after a crash
        return {"server_id": name, "secret": secret, "not_after": now(days=365), "enabled": True}

    def heartbeat(self, token, body):
        host = self.known.get(body["server_id"])
        if host is None or not secrets.compare_digest(host["secret"], digest(token)):
            raise Refused(401, "invalid_token", "this secret is not the one of this host")
        boot, seq, observed = body["boot_id"], body["seq"], body["observed"]
        if boot in host["boots"][:-1] or (boot in host["boots"] and seq <= host["seq"]):
            raise Refused(409, "duplicate_agent", "another host reports under this id")
        host["boots"], host["seq"] = ([b for b in host["boots"] if b != boot] + [boot])[-8:], seq
        print(body["server_id"], seq, body["status"], "applied", observed["epoch"], observed["applied_revision"], flush=True)
        reply = {"server_time": now(), "next_heartbeat_s": int(self.options.every or 30)}
        wish = json.load(open(self.options.desired)) if self.options.desired else observed
        if (wish["epoch"], wish["revision"]) != (observed["epoch"], observed["revision"]):
            reply["desired_state"] = wish
        return reply

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, timeout, hosts = "HTTP/1.1", 400, None  # a host keeps its connection from heartbeat to heartbeat
    def do_POST(self):
        act = {PREFIX + "/enroll": self.hosts.enroll, PREFIX + "/heartbeat": self.hosts.heartbeat}.get(self.path)
        length = int(self.headers["Content-Length"] if (self.headers["Content-Length"] or "").isdecimal() else 0)
        text, self.close_connection = self.rfile.read(min(length, 4 * BODY_MAX)), length > 4 * BODY_MAX
        if act is None or length > BODY_MAX:  # behind the body: an earlier answer may be lost. No code: it is not about the host
            return self.answer(404 if act is None else 413, {"error_message": "not here, or too large"})
        try:
            body, bearer = json.loads(text), self.headers["Authorization"] or ""
            with self.hosts.lock:
                status, reply = 200, act(bearer.removeprefix("Bearer "), body)
        except Refused as refused:
            status, reply = refused.args[0], {"code": refused.args[1], "error_message": refused.args[2]}
        except (KeyError, TypeError, ValueError, OSError) as fault:  # 500 and not 400: it may be a file of this manager
            status, reply = 500, {"code": "internal", "error_message": f"{type(fault).__name__}: {fault}"}
        self.answer(status, reply)

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET, log_message = do_POST, lambda *_: None  # no GET is here; a line of that log would hold what a stranger sends

def serve(handler, arguments):
    parser = argparse.ArgumentParser()
    for name in ("--listen", "--tls", "--tokens", "--state", "--desired", "--every"):
        parser.add_argument(name, required=name not in ("--desired", "--every"))
    handler.hosts = Hosts(options := parser.parse_args(arguments))
    server = http.server.ThreadingHTTPServer((options.listen.rsplit(":")[0], int(options.listen.rsplit(":")[-1])), handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls)
    # The handshake is in the thread of its connection: one that hangs must not keep the others out.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("listening on", server.server_address[1], flush=True)
    server.serve_forever()

if __name__ == "__main__":
    serve(Handler, sys.argv[1:])
