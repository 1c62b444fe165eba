"""Servers on loopback for tests of object stores: S3, and a plain web server. Both count."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import multiprocessing.forkserver
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUCKET = "sky"


class Counted:
    """A WSGI application in front of another, which counts what is asked for and sent."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.forget()

    def forget(self) -> None:
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.order: list[str] = []
        self.refused: dict[str, str] = {}
        """Beginning of a request, such as ``PUT out/x``, to the status that answers it."""

    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        name = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
        method = environ["REQUEST_METHOD"]
        request = f"{method} {name}"
        self.requests[request] += 1
        self.order.append(request)
        for start, status in self.refused.items():
            if request.startswith(start):
                start_response(status, [("Content-Length", "0")])
                return
        for part in self.application(environ, start_response):
            if method == "GET":
                self.sent[name] += len(part)
            yield part

    def fetched(self) -> set[str]:
        """Return the names of the objects of which bytes were sent."""
        keys = (text.partition(" ") for text in self.requests)
        return {name for method, _, name in keys if method == "GET" and name.endswith(".fits")}


class S3:
    """An S3 server with one bucket."""

    def __init__(self, counted: Counted, port: int) -> None:
        import boto3

        self.counted = counted
        self.environment = {
            "AWS_ACCESS_KEY_ID": "user-of-tests",
            "AWS_SECRET_ACCESS_KEY": "secret-of-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, file: Path) -> str:
        """Put a file; return its URL."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
        return f"s3://{BUCKET}/{key}"

    def put_folder(self, prefix: str, folder: Path) -> None:
        for file in sorted(folder.glob("*.fits")):
            self.put(f"{prefix}/{file.name}", file)

    def empty(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)
        self.counted.forget()

    def digests(self, prefix: str) -> dict[str, str]:
        """Return each data file directly below a prefix with its digest."""
        names = [key.removeprefix(f"{prefix}/") for key in self.keys(f"{prefix}/")]
        files = [n for n in names if "/" not in n and not n.endswith((".json", ".html"))]
        return {n: hashlib.sha256(self.get(f"{prefix}/{n}")).hexdigest() for n in files}

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str = "") -> list[str]:
        told = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in told.get("Contents", [])]


@contextlib.contextmanager
def s3_server() -> Iterator[S3]:
    """Run an S3 server; skip the test where moto is not installed."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    from werkzeug.serving import make_server

    counted = Counted(server.DomainDispatcherApplication(server.create_backend_app))
    with _served(make_server("127.0.0.1", 0, counted, threaded=True)) as port:
        yield S3(counted, port)


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """One server: workers come from a process that has the environment of the first test."""
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def s3(toys: Path, server: S3) -> Iterator[S3]:
    server.empty()
    _stop_processes()  # they have the environment of whoever started their server
    yield server
    _stop_processes()


def _stop_processes() -> None:
    """End the server of worker processes, so that the next one is born of this environment."""
    vars(multiprocessing.forkserver)["_forkserver"]._stop()


@contextlib.contextmanager
def _served(server: Any) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Web:
    """A web server of a folder; a test may answer requests itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.requests: list[str] = []
        self.answers: dict[str, Callable[[Any], bool]] = {}
        """Path to what answers it, and returns whether it did."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, web: Web, *args: Any) -> None:
        self.web = web
        super().__init__(*args, directory=str(web.folder))

    def send_head(self) -> Any:
        self.web.requests.append(f"{self.command} {self.path}")
        answer = self.web.answers.get(self.path)
        return None if answer is not None and answer(self) else super().send_head()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[Web]:
    """Run a web server; skip the test where aiohttp is not installed."""
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    web = Web(folder)
    handler = functools.partial(_Handler, web)
    with _served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        web.url = f"http://127.0.0.1:{port}"
        yield web
