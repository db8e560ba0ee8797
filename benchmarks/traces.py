"""``python -m benchmarks traces [PART …] [--json FILE]``: what traces find, and what they cost.

Parts: ``catalogue`` (mistakes found and named at d = 10³ in float64 and, of AccBO, at d = 10⁶ in
float32), ``false_alarms`` (200 right runs), ``overhead`` (an LSTM of 10⁶ parameters, traced and
not, in turns, by processor time), ``reading`` (10⁵ iterations verified: seconds and memory).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from benchmarks import environment

PARTS = ("catalogue", "false_alarms", "overhead", "reading")


def main(arguments: list[str]) -> int:
    """Run the parts and print what they found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks traces", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="one that is there, to read")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    environment.one_thread()
    found: dict[str, Any] = {"environment": environment.describe()}
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts or PARTS:
            path = Path(folder) / "run.jsonl"
            if part == "reading" and options.trace is not None:
                found[part] = _read(options.trace)
            else:
                found[part] = globals()[part](path)
            print(part, json.dumps(found[part], ensure_ascii=False, indent=1), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return 0


def catalogue(path: Path) -> dict[str, Any]:
    """Mistakes found and named; those of AccBO at 10⁶ entries too."""
    from accbo.conformance.methods import METHODS

    answer = {}
    for name in METHODS:
        seen = answer[f"{name}, d = 1000, float64"] = _seen(name, 1000, "float64", path)
        print(name, seen, flush=True)
    answer["AccBO, d = 1000000, float32"] = _seen("AccBO", 10**6, "float32", path)
    return answer


def _seen(method: str, d: int, dtype: str, path: Path) -> dict[str, Any]:
    from benchmarks.trace_cases import every, judged

    unnamed, unseen, count = {}, [], 0
    for case in every(d, dtype, method):
        verdict = judged(case, path)
        count += 1
        assert case.mistake is not None
        if not verdict.departures:
            unseen.append(case.mistake)
        elif case.mistake not in verdict.names:
            unnamed[case.mistake] = verdict.names
    named = count - len(unseen) - len(unnamed)
    return {
        "mistakes": count,
        "found": count - len(unseen),
        "named": named,
        "found, not by its name": unnamed,
        "not found": unseen,
    }


def false_alarms(path: Path) -> dict[str, Any]:
    """Right runs of other seeds that are said to depart."""
    from benchmarks.trace_cases import judged, right

    answer = {}
    for d, dtype, runs in ((1000, "float64", 200), (10**5, "float32", 20)):
        verdicts = [judged(right("AccBO", d, dtype, seed), path) for seed in range(runs)]
        worst = max(
            kept.worst for v in verdicts for group in v.groups for kept in group.keys.values()
        )
        answer[f"d = {d}, {dtype}"] = {
            "runs": runs,
            "departures": sum(bool(v.departures) for v in verdicts),
            "largest error in units of the tolerance": round(worst, 4),
        }
    return answer


class Quiet:
    """A recorder that records nothing: the loop beside it."""

    def log(self, **values: Any) -> None:
        """Nothing."""

    def step(self) -> Quiet:
        """A context without effect."""
        return self

    def part(self, *names: str) -> Quiet:
        """A context without effect."""
        return self

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def overhead(path: Path) -> dict[str, Any]:
    """An LSTM of 10⁶ parameters, everything logged, in turns with the same loop unlogged."""
    import numpy as np
    import torch

    from accbo.tracing import Recorder
    from accbo.tracing.projection import Projector
    from examples.traced_lstm import CONSTANTS, Net, train

    torch.set_num_threads(1)
    net = Net(hidden=480, features=64, batch=32, length=24)
    parameters = sum(p.numel() for p in net.x0)
    times: dict[str, list[float]] = {"plain": [], "traced": []}
    steps = 3
    for turn in range(6):
        for name in ("plain", "traced"):
            recorder: Any = Quiet()
            if name == "traced":
                recorder = Recorder(path, algorithm="AccBO", constants=CONSTANTS)
            before = time.process_time()
            train(net, recorder, steps, seed=turn)
            if name == "traced":
                recorder.close()
            times[name].append((time.process_time() - before) / steps)
    ratios = [b / a - 1 for a, b in zip(times["plain"][1:], times["traced"][1:], strict=True)]
    vector = np.ones(10**6, dtype=np.float32)
    projector = Projector(0, "x", (vector.size,), 2)
    projector([vector])
    tracemalloc.start()
    projector([vector])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "parameters": parameters,
        "batch, length": [32, 24],
        "seconds a step, plain": round(statistics.median(times["plain"][1:]), 4),
        "seconds a step, traced": round(statistics.median(times["traced"][1:]), 4),
        "overhead, median of turns": round(statistics.median(ratios), 4),
        "overhead, largest of turns": round(max(ratios), 4),
        "memory of a projection, in vectors": round(peak / vector.nbytes, 3),
    }


def reading(path: Path, steps: int = 10**5) -> dict[str, Any]:
    """A trace of 10⁵ iterations, everything logged, verified in a process of its own."""
    from benchmarks.trace_cases import right, write

    write(right("AccBO", 8, steps=steps), path)
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-m", "accbo.cli", "trace", "verify", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "says": (ended.stdout or ended.stderr).splitlines()[0].rpartition(": ")[2],
        "bytes": path.stat().st_size,
        "exit code": ended.returncode,
        "processor seconds": round(cpu, 2),
        "seconds": round(wall, 2),
        "peak memory, MB": round(after.ru_maxrss / 1024, 1),
    }
