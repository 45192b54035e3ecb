"""Processes that begin at one moment."""

import multiprocessing


def _wait(function, arguments, ready, go):
    ready.release()
    go.wait(60)
    function(*arguments)


def run_at_once(function, *calls):
    """Call a function with each of these tuples of arguments, in a new process each; all begin when all are there.

    Returns:
        The exit codes.
    """
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    processes = [context.Process(target=_wait, args=(function, arguments, ready, go)) for arguments in calls]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=60)
    go.set()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]
