"""A Ray cluster as an executor."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from faceexp.contract import Executor, ExecutorPlugin, Jobs, LostError, Needs, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from types import ModuleType

# Bytes of a gigabyte, in which experiment files give memory.
GIGABYTE = 10**9


class Ray(ExecutorPlugin):
    """A Ray cluster: each job is a task, and what a lost node was doing runs again on another one.

    Every node has the same packages and the store at the same path. A script that has called `ray.init` itself keeps
    its own connection.
    """

    address: str | None = option(
        None,
        "The cluster: auto, the one that runs on this machine; or such as 10.0.0.1:6379 or ray://head:10001. Without "
        "it, Ray starts on this machine alone and ends with the run.",
        min_length=1,
    )
    grows: bool = option(
        False, "Whether the cluster adds nodes by itself: then jobs may need more than any node has at present."
    )

    def open(self, jobs: Jobs) -> Executor:
        """Connect to the cluster, or start Ray here.

        Raises:
            InputError: There is no such cluster, or none of its nodes has what a job needs.
        """
        ray = _imported()
        is_ours = not ray.is_initialized()
        if is_ours:
            _connect(ray, self.address)
        try:
            if not self.grows:
                _refuse_too_large(ray, jobs.needs)
            return Tasks(ray, jobs, is_ours=is_ours)
        except BaseException:
            if is_ours:
                ray.shutdown()
            raise


class Tasks(Executor):
    """Tasks of Ray. Nothing is retried by Ray itself: whoever submits a job is told that it was lost."""

    def __init__(self, ray: ModuleType, jobs: Jobs, *, is_ours: bool) -> None:
        """Send each node what it needs once, as soon as a job runs there."""
        needs = jobs.needs
        memory = {} if needs.memory is None else {"memory": int(needs.memory * GIGABYTE)}
        self._ray, self._is_ours = ray, is_ours
        self._call = ray.put(jobs.call)
        self._task = ray.remote(_done).options(
            name=jobs.name, num_cpus=needs.cpus, num_gpus=needs.gpus, max_retries=0, **memory
        )
        self._running: list[Any] = []

    def submit(self, jobs: Sequence[object]) -> Sequence[Future[Any]]:
        """Let Ray run tasks where there is room."""
        tasks = [self._task.remote(self._call, job) for job in jobs]
        self._running += tasks
        return [_future_of(self._ray, task) for task in tasks]

    def close(self) -> None:
        """Cancel what has not ended, and leave the cluster; a Ray that was started here ends."""
        # Those that wait come first: else each would take the place of one that was cancelled before it.
        for task in reversed(self._running):
            with contextlib.suppress(Exception):  # its node may be gone
                self._ray.cancel(task, force=True)
        if self._is_ours:
            self._ray.shutdown()


def _imported() -> ModuleType:
    """Import Ray, which tells nobody of its use, and warns of nothing that is so on purpose here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A task without GPUs sees none; that is what later versions do, and this one asks to be told.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
    return ray


def _connect(ray: ModuleType, address: str | None) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                include_dashboard=False if address is None else None,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(Problem(f"address = {address!r}: {lines[0]}")) from error


def _refuse_too_large(ray: ModuleType, needs: Needs) -> None:
    """Refuse jobs that would wait for ever, since no node of the cluster is large enough.

    Raises:
        InputError: None is.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": (needs.memory or 0) * GIGABYTE}
    if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        return
    names = {"CPU": "cores", "GPU": "GPUs", "memory": "bytes of memory"}
    asked = ", ".join(f"{amount:,.0f} {names[name]}" for name, amount in wanted.items() if amount)
    largest = ", ".join(
        f"{max((node.get(name, 0) for node in nodes), default=0):,.0f} {names[name]}"
        for name, amount in wanted.items()
        if amount
    )
    message = (
        f"a job needs {asked}, which no node of the cluster has (the most that one has: {largest}); ask for less, or "
        "set grows = true where the cluster adds nodes"
    )
    raise InputError(Problem(message))


def _done(call: Callable[[Any], Any], job: object) -> Any:  # noqa: ANN401 - whatever the call returns
    """Do a job on a node."""
    return call(job)


def _future_of(ray: ModuleType, task: Any) -> Future[Any]:  # noqa: ANN401 - Ray has no type for it that holds
    """Return what comes of a task, or why it was lost."""
    future: Future[Any] = Future()
    # What no other node would do either.
    nowhere = (ray.exceptions.RuntimeEnvSetupError, ray.exceptions.TaskUnschedulableError)

    def settle(settled: Future[Any]) -> None:
        error = settled.exception()
        if error is None:
            future.set_result(settled.result())
        elif isinstance(error, ray.exceptions.RayTaskError):
            future.set_exception(error.cause if isinstance(error.cause, Exception) else error)
        else:
            is_lost = isinstance(error, ray.exceptions.RayError) and not isinstance(error, nowhere)
            future.set_exception(LostError(_in_words(error)) if is_lost else error)

    task.future().add_done_callback(settle)
    return future


def _in_words(error: BaseException) -> str:
    """Return the first sentence of what Ray says, whose texts are as long as a page."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said.split('. ')[0][:200]}" if said else type(error).__name__
