"""``python -m tests.killed N WHAT FILE …``: a command that is killed in its N-th write, by SIGKILL.

With N = 0 it comes to its end. WHAT is tasks, vectors, theory, torch or jax, FILE what it writes
in the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from accbo import cli
from accbo._pieces import files


def kill_in_write(number: int) -> None:
    """Let this process die when the content of its ``number``-th file is there, its name not."""
    real, count = os.fsync, [0]

    def fsync(descriptor: int) -> None:
        count[0] += 1
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    files.os.fsync = fsync


def tasks(path: str, *more: str) -> int:
    """The comparison of two methods on a finite sum."""
    from accbo.tasks import registry
    from accbo.tasks.task import Task
    from tests.test_tasks import instance

    registry.TASKS["toy-task"] = Task("toy-task", "A finite sum.", "Synthetic.", instance, 200)
    words = ["run", "toy-task", "--algorithm", "AccBO", "SLIP", "--seeds", "2", "--jobs", "1"]
    return cli.main([*words, "--json", path, *more])


def vectors(path: str, *_: str) -> int:
    """The vectors of four groups, which go on without being told."""
    from accbo.conformance.vectors import build

    chosen = dict(list(build.units().items())[:4])
    build.units = lambda method: chosen
    return cli.main(["vectors", "generate", "--jobs", "1", "--folder", str(Path(path).parent)])


def theory(path: str, *more: str) -> int:
    """One check, of a tenth of its draws."""
    from theory_checks import __main__ as command
    from theory_checks import neumann_bias

    neumann_bias.DRAWS["quick"] //= 10
    neumann_bias.GROUP //= 10
    return command.main(["--check", "neumann_bias", "--jobs", "1", "--json", path, *more])


def own(backend: str) -> Any:
    """The comparison of a method on the example of a user's own task."""
    file = Path(__file__).parents[1] / "examples" / f"own_task_{backend}.py"
    words = ["compare", f"{file}:task", "--algorithm", "SLIP", "--budget", "40", "--seeds", "1"]
    return lambda path, *more: cli.main([*words, "--jobs", "1", "--json", path, *more])


WHAT = {
    "tasks": tasks, "vectors": vectors, "theory": theory, "torch": own("torch"), "jax": own("jax"),
}  # fmt: skip


if __name__ == "__main__":
    kill_in_write(int(sys.argv[1]))
    sys.exit(WHAT[sys.argv[2]](*sys.argv[3:]))
