"""Downloads against a server on this machine: checked, atomic, cached, and clear about what went wrong."""

import contextlib
import hashlib
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from polytask.datasets.download import Copy, File, cache, download, locate
from polytask.errors import DataError

BODY = b"a,b\n1,2\n"
SHA = hashlib.sha256(BODY).hexdigest()
OTHER = hashlib.sha256(b"something else").hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves BODY under /good, breaks off under /short, knows nothing else; counts what was asked for."""

    def __init__(self, asked, *args):
        self.asked = asked
        super().__init__(*args)

    def do_GET(self):
        self.asked.append(self.path)
        if self.path not in ("/good", "/short"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY) + 10 * (self.path == "/short")))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def serving():
    asked = []
    server = HTTPServer(("127.0.0.1", 0), partial(Handler, asked))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, no folder of local copies, no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("POLYTASK_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def test_a_file_is_downloaded_once_and_then_read_from_the_cache(server):
    address, asked = server
    file = File("toy.csv", f"{address}/good", SHA)
    first, second = locate("toy", file, None), locate("toy", file, None)
    assert first == second == cache() / "toy" / "toy.csv"
    assert first.read_bytes() == BODY
    assert asked == ["/good"]


def test_a_wrong_digest_leaves_nothing_behind(server):
    address, _ = server
    with pytest.raises(DataError, match=f"expected SHA-256 {OTHER}, found {SHA}"):
        locate("toy", File("toy.csv", f"{address}/good", OTHER), None)
    assert list((cache() / "toy").iterdir()) == []


def test_without_a_recorded_digest_later_changes_are_noticed(server):
    address, _ = server
    file = File("toy.csv", f"{address}/good")
    path = locate("toy", file, None)
    assert locate("toy", file, None) == path
    path.write_bytes(b"changed")
    with pytest.raises(DataError, match=r"Delete .* to download it again"):
        locate("toy", file, None)


def test_a_spoilt_cache_is_noticed(server):
    address, _ = server
    file = File("toy.csv", f"{address}/good", SHA)
    locate("toy", file, None).write_bytes(b"half a fi")
    with pytest.raises(DataError, match="expected SHA-256"):
        locate("toy", file, None)


@pytest.mark.parametrize("path", ["/absent", "/short"])
def test_a_failed_download_says_what_to_do_and_leaves_nothing(server, path):
    address, _ = server
    with pytest.raises(DataError, match=r"cannot reach .*(\n.*)?set POLYTASK_DATA to a folder that holds toy/toy\.csv"):
        locate("toy", File("toy.csv", address + path), None)
    assert list((cache() / "toy").iterdir()) == []


def test_offline(tmp_path):
    with socket.socket() as free:  # bound but not listening: connections are refused
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/toy.csv"
        with pytest.raises(DataError, match=r"cannot reach .*refused"):
            download(File("toy.csv", url), tmp_path / "toy" / "toy.csv", timeout=5)


def test_a_silent_server_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/toy.csv"
        with pytest.raises(DataError, match="timed out"):
            download(File("toy.csv", url), tmp_path / "toy" / "toy.csv", timeout=0.2)


def test_a_folder_is_used_instead_of_the_network(home, monkeypatch):
    file = File("toy.csv", "http://127.0.0.1:9/never", SHA, (Copy("joined/toy.txt", OTHER),))
    folder = home / "copies"
    (folder / "joined").mkdir(parents=True)
    (folder / "joined" / "toy.txt").write_bytes(b"something else")
    assert locate("toy", file, folder) == folder / "joined" / "toy.txt"
    (folder / "toy").mkdir()
    (folder / "toy" / "toy.csv").write_bytes(BODY)
    monkeypatch.setenv("POLYTASK_DATA", str(folder))
    assert locate("toy", file, None) == folder / "toy" / "toy.csv"


def test_a_spoilt_copy_is_noticed(home):
    (home / "toy.txt").write_bytes(BODY)
    with pytest.raises(DataError, match=f"toy.txt: expected SHA-256 {OTHER}"):
        locate("toy", File("toy.csv", "http://127.0.0.1:9/never", None, (Copy("toy.txt", OTHER),)), home)


def test_an_absent_copy_names_what_is_looked_for(home):
    with pytest.raises(DataError, match=r"expected one of toy/toy.csv, a/b.gz; found none"):
        locate("toy", File("toy.csv", "http://127.0.0.1:9/never", None, (Copy("a/b.gz", OTHER),)), home)
