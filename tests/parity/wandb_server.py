"""A stand-in for W&B's server, on loopback, that keeps what `wandb sync` sends of a run."""

import http.server
import json
import threading


class Server:
    """`calls`: names of the GraphQL operations; `upserts`: variables of UpsertBucket; `lines`: by file, lines of the file
    stream; `complete`: the exit code that the stream ended with."""

    def __init__(self):
        self.calls, self.upserts, self.lines, self.complete = [], [], {}, None
        handler = type("Handler", (Handler,), {"server_of": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def graphql(self, request):
        name = request.get("operationName") or request["query"].split("(")[0].split("{")[0].split()[-1]
        self.calls.append(name)
        variables = request.get("variables") or {}
        if name == "UpsertBucket":
            self.upserts.append(variables)
            project = {"name": variables.get("project") or "", "entity": {"name": variables.get("entity") or "someone"}}
            return {"upsertBucket": {"bucket": {"id": "id", "name": variables["name"], "displayName": "shown",
                                                "description": "", "sweepName": None, "historyLineCount": 0,
                                                "config": "{}", "project": project}, "inserted": True}}
        if name == "Viewer":
            return {"viewer": {"id": "id", "entity": "someone", "username": "someone", "flags": "{}",
                               "teams": {"edges": []}}}
        if name == "RunResumeStatus":
            return {"model": None}
        if name == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if name == "CreateRunFiles":
            url = self.url + "/storage/"
            files = [{"name": f, "uploadUrl": url + f} for f in variables["files"]]
            return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, body):
        for file, part in (body.get("files") or {}).items():
            lines = self.lines.setdefault(file, [])
            lines[part["offset"]:] = part["content"]
        if body.get("complete"):
            self.complete = body.get("exitcode")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, content):
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip
            data = gzip.decompress(data)
        return data

    def do_POST(self):
        content = json.loads(self.body())
        if self.path == "/graphql":
            self.answer({"data": self.server_of.graphql(content)})
        else:
            assert self.path.endswith("/file_stream"), self.path
            self.server_of.stream(content)
            self.answer({})

    def do_PUT(self):
        self.body()
        self.answer({})

    def do_GET(self):
        self.answer({})

    def log_message(self, *_):
        pass
