"""Connection to Ray: a local one that starts and ends with the command, or a cluster that runs already."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from steelbench.errors import SteelbenchError

# That a cluster has to answer within.
SECONDS = 5
# Times that a task is tried again which Ray ended for want of memory.
OOM_RETRIES = 2


def refuse_missing() -> None:
    """Raise if Ray is not installed.

    Raises:
        SteelbenchError: with what to install.
    """
    if importlib.util.find_spec("ray") is None:
        raise SteelbenchError(
            "--runner ray needs the package ray, which is not installed; "
            "pip install 'steelbench[cluster]', or use --runner local."
        )


def refuse_unusable(address: str | None) -> None:
    """Raise for what can be found without a connection: Ray is not installed, or nothing listens at an address.

    Raises:
        SteelbenchError: with what to install or to start.
    """
    refuse_missing()
    if address:
        _refuse_silent(address)


@contextmanager
def connected(
    address: str | None,
    environment: Mapping[str, str],
    tell: Callable[[str], None] = print,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[None]:
    """Connect to Ray, and end the connection afterwards; with it ends a local Ray and every task of this command.

    Args:
        address: of a cluster, such as `10.0.0.1:6379` or `auto`; None starts a local Ray.
        environment: variables that the processes of tasks start with.
        tell: called with the address of Ray's dashboard, if it has one.
        settings: of a local Ray, by the names of its configuration.

    Raises:
        SteelbenchError: if Ray is not installed, or no cluster answers at the address.
    """
    refuse_unusable(address)
    for name, value in settings.items():
        os.environ.setdefault(f"RAY_{name}", value)
    # Without a bound, a task that wants more memory than there is would be started again without end.
    os.environ.setdefault("RAY_task_oom_retries", str(OOM_RETRIES))
    # Ray would give the processes of tasks the lowest priority but a few, so that any other program would hold them up.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Ray would report its use over the network, and says so on the terminal.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        context = ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": dict(environment)},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        where = f"--ray-address {address}: no cluster answers" if address else "a local Ray cannot start"
        raise SteelbenchError(
            f"{where} ({reason}); start a cluster by `ray start --head`, or use --runner local."
        ) from None
    try:
        if context.dashboard_url:
            tell(f"Ray's dashboard: http://{context.dashboard_url}")
        yield
    finally:
        ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Raise if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SteelbenchError(
            f"--ray-address {address}: no cluster answers ({error}); start one with `ray start --head`, "
            "or leave the address out for a local one."
        ) from None
