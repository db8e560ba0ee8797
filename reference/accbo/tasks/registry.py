"""The tasks by name. Data are read when a task is built, not when it is listed."""

from __future__ import annotations

import difflib

from accbo.tasks import cleaning, few_shots, penalties, sentiment
from accbo.tasks.own import own_task
from accbo.tasks.task import Task, TaskError

TASKS: dict[str, Task] = {
    task.name: task for task in (sentiment.TASK, cleaning.TASK, penalties.TASK, few_shots.TASK)
}


def task_named(name: str) -> Task:
    """The task, of ours or, as FILE.py:NAME, of the user's; raises ``TaskError`` for none."""
    if ":" in name:
        return own_task(name)
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TaskError(f"there is no task {name!r}{hint} (accbo list shows them)")
    return TASKS[name]
