"""A hub that holds one repository, the store to which it redirects large files, and a proxy, all on this machine, with the
standard library alone. It answers as the public hub does (hub_client_test.py pulls from it with huggingface_hub), writes
down each request, and misbehaves as it is told. It knows nothing of this project's client.

    with Hub({"config.json": b"...", "model.safetensors": b"..."}) as hub:
        hub.faults["model.safetensors"] = [("cut", 1000), ("status", 429, {"Retry-After": "1"})]
        ... pull from hub.endpoint ...
        hub.requests  # what was asked for
"""
import hashlib
import json
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a ConnectionError only means that the client disconnected
            super().handle_error(request, client_address)


class Request:
    """A received request, and which of the servers received it."""

    def __init__(self, server, handler):
        self.server, self.method, self.path = server, handler.command, handler.path
        self.token = handler.headers.get("Authorization")
        self.range = handler.headers.get("Range")
        self.if_range = handler.headers.get("If-Range")


class Hub:
    """`files` maps names to contents. Files larger than `lfs_bytes` are in Git LFS, so the hub redirects requests for them to the store."""

    def __init__(self, files, repository="org/model", lfs_bytes=10_000, token=None, card=None, prefix="", certificate=None):
        self.files, self.repository, self.token, self.card, self.prefix = dict(files), repository, token, card, prefix
        self.is_lfs = {name: len(content) > lfs_bytes for name, content in files.items()}
        self.commit = hashlib.sha1(repr(sorted(files)).encode()).hexdigest()
        self.revisions = {"main": self.commit, "v1.0": self.commit, "refs/pr/1": self.commit, self.commit: self.commit}
        self.requests = []
        self.faults = {}  # maps a file's name, or "listing", to a list of faults, one for each request in order
        self.change_listing = lambda listing: listing
        self.servers = {}
        for name, handler in (("hub", HubHandler), ("store", StoreHandler), ("proxy", ProxyHandler)):
            server = Server(("127.0.0.1", 0), handler)
            server.hub = self
            self.servers[name] = server
        self.scheme = "https" if certificate else "http"  # only of the hub; store and proxy use plain HTTP
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.servers["hub"].socket = context.wrap_socket(self.servers["hub"].socket, server_side=True)

    def __enter__(self):
        for server in self.servers.values():
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def address(self, server):
        return f"http://127.0.0.1:{self.servers[server].server_address[1]}"

    @property
    def endpoint(self):
        return self.address("hub").replace("http:", self.scheme + ":") + self.prefix

    def git_hash(self, name):
        content = self.files[name]
        if self.is_lfs[name]:
            content = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256(name)}\nsize {len(content)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def sha256(self, name):
        return hashlib.sha256(self.files[name]).hexdigest()

    def listing(self):
        siblings = []
        for name, content in self.files.items():
            entry = {"rfilename": name, "blobId": self.git_hash(name), "size": len(content)}
            if self.is_lfs[name]:
                entry["lfs"] = {"sha256": self.sha256(name), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        listing = {"_id": "1", "id": self.repository, "modelId": self.repository, "sha": self.commit, "private": False,
                   "gated": False, "tags": [], "downloads": 7, "siblings": siblings}
        if self.card:
            listing["cardData"] = self.card
        return self.change_listing(listing)

    def asked(self, name, server=None):
        """The GET requests for a file, from all servers or only from one."""
        return [r for r in self.requests if r.method == "GET" and r.path.split("?")[0].endswith("/" + name)
                and (server is None or r.server == server)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_name = ""

    def log_message(self, *_):
        pass

    def note(self):
        self.server.hub.requests.append(Request(self.server_name, self))
        return self.server.hub

    def answer(self, status, content=b"", headers=(), length=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def hang_up(self):
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def fault_of(self, name, *kinds):
        """Removes and returns the next fault of a file if it is one of these kinds; otherwise returns None."""
        waiting = self.server.hub.faults.get(name, [])
        if self.command != "GET" or not waiting or waiting[0][0] not in kinds:
            return None
        return waiting.pop(0)

    def content(self, name, headers):
        """Sends the file, or the requested part of it, with the file's next fault."""
        hub = self.server.hub
        whole = hub.files[name]
        fault = self.fault_of(name, "cut", "quiet-cut", "stall", "wrong", "longer", "shorter", "no-ranges", "changed", "wrong-range",
                              "status", "slow")
        kind = fault[0] if fault else ""
        if kind == "status":
            return self.answer(fault[1], fault[3] if len(fault) > 3 else b"", fault[2] if len(fault) > 2 else {})
        if kind == "wrong":
            whole = bytes([whole[0] ^ 1]) + whole[1:]
        if kind == "longer":
            whole = whole + b"!"
        if kind == "shorter":
            whole = whole[:-1]
        etag = headers.get("ETag", "")
        if kind == "changed":
            etag = '"another"'
        headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        unchanged = self.headers.get("If-Range") in (None, etag)
        if not wanted or kind == "no-ranges" or not unchanged:
            status, part = 200, whole
        elif int(wanted[1]) >= len(whole):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(whole)}"})
        else:
            first = int(wanted[1])
            status, part = 206, whole[first:]
            shown = first + 1 if kind == "wrong-range" else first
            headers["Content-Range"] = f"bytes {shown}-{len(whole) - 1}/{len(whole)}"
        if kind in ("cut", "stall", "slow"):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if kind == "slow":
                for at in range(0, len(part), fault[1]):
                    self.wfile.write(part[at:at + fault[1]])
                    time.sleep(fault[2])
                return None
            self.wfile.write(part[:fault[1]])
            self.wfile.flush()
            if kind == "stall":
                time.sleep(fault[2])
            return self.hang_up()
        if kind == "quiet-cut":  # without Content-Length, so that the cut looks like a regular end
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(part[:fault[1]])
            return self.hang_up()
        return self.answer(status, part, headers)


class HubHandler(Handler):
    server_name = "hub"

    def do_HEAD(self):
        self.do_GET()

    def refuse(self, status, code, message, headers=()):
        self.answer(status, json.dumps({"error": message}).encode(),
                    {"Content-Type": "application/json", "X-Error-Code": code, "X-Error-Message": message, **dict(headers)})

    def do_GET(self):
        hub = self.note()
        path = self.path.removeprefix(hub.prefix) if self.path.startswith(hub.prefix) else "/no-hub"
        path = path.split("?")[0]
        if hub.token and self.headers.get("Authorization") != "Bearer " + hub.token:
            # Like the public hub for private and unknown repositories. Unlike it, the message repeats the token that was sent.
            return self.refuse(401, "RepoNotFound", f"Invalid username or password: {self.headers.get('Authorization')}")
        listed = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/([^/]+))?", path)
        if listed:
            return self.list(listed[1], urllib.parse.unquote(listed[3] or "main"))
        wanted = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not wanted or wanted[1] != hub.repository:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        commit, name = hub.revisions.get(urllib.parse.unquote(wanted[2])), urllib.parse.unquote(wanted[3])
        if commit is None:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id: " + wanted[2])
        if name not in hub.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        return self.file(commit, name)

    def list(self, repository, revision):
        hub = self.server.hub
        fault = self.fault_of("listing", "status", "body", "renamed")
        if fault and fault[0] == "status":
            return self.answer(fault[1], fault[3] if len(fault) > 3 else b"", fault[2] if len(fault) > 2 else {})
        if fault and fault[0] == "body":
            return self.answer(200, fault[1], {"Content-Type": fault[2]})
        if fault:
            return self.answer(307, b"", {"Location": f"{hub.prefix}/api/models/{hub.repository}/revision/{revision}?blobs=true"})
        if repository != hub.repository:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if revision not in hub.revisions:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id: " + revision)
        return self.answer(200, json.dumps(hub.listing()).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def file(self, commit, name):
        hub = self.server.hub
        fault = self.fault_of(name, "no-location", "loop", "gated", "other-commit", "other-etag", "expired")
        kind = fault[0] if fault else ""
        if kind == "gated":
            return self.refuse(403, "GatedRepo", "Access to model is restricted")
        headers = {"X-Repo-Commit": "0" * 40 if kind == "other-commit" else commit}
        if not hub.is_lfs[name]:
            digits = "1" * 40 if kind == "other-etag" else hub.git_hash(name)
            return self.content(name, {**headers, "ETag": f'"{digits}"', "Content-Type": "text/plain"})
        headers["X-Linked-Etag"] = f'"{"1" * 64 if kind == "other-etag" else hub.sha256(name)}"'
        headers["X-Linked-Size"] = str(len(hub.files[name]))
        headers["ETag"] = headers["X-Linked-Etag"]
        if kind == "loop":
            headers["Location"] = self.path
        elif kind != "no-location":
            signature = "old" if kind == "expired" else "fresh"
            headers["Location"] = f"{hub.address('store')}/{name}?signature=secret-{signature}"
        return self.answer(302, b"Found. Redirecting", headers)


class StoreHandler(Handler):
    server_name = "store"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.note()
        name = urllib.parse.unquote(self.path.split("?")[0]).lstrip("/")
        if self.path.endswith("secret-old"):
            return self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        return self.content(name, {"ETag": f'"{hub.sha256(name)[:32]}"'})


class ProxyHandler(Handler):
    """Passes requests for hub.invalid on to the hub."""
    server_name = "proxy"

    def do_GET(self):
        hub = self.note()
        url = self.path.replace("http://hub.invalid", hub.address("hub"))
        headers = {name: value for name, value in self.headers.items() if name in ("Range", "If-Range", "Accept")}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as response:
            content = response.read()
            kept = ("Content-Type", "ETag", "X-Repo-Commit", "X-Linked-Etag")
            self.answer(response.status, content, {key: value for key, value in response.headers.items() if key in kept})
