"""Workers that start warm: processes forked from one that has imported TensorFlow, which costs each 7 s otherwise.

`warm_workers.py SOCKET` imports and then forks a process for each `warm_workers.py SOCKET MODULE REQUEST`, which lends
it its pipes, environment and folder, ends as it ends, and takes it along when it is killed. Nothing but the imports is
shared: TensorFlow has no thread and has computed nothing when it is forked.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import sys

MODULES = ("worker", "activation_maps_worker", "robustness_worker")


def serve(place):
    """Import, fork until standard input closes, and return in each forked process what it is to run."""
    import tensorflow  # noqa: F401, I001

    for module in MODULES:
        __import__(f"steelbench.runs.{module}")
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked safely"  # noqa: PTH208
    waiting, clients = selectors.DefaultSelector(), {}
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place + ".new")
    listener.listen(64)
    # Who looks for the name finds one that listens.
    os.rename(place + ".new", place)  # noqa: PTH104
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj == 0:
                for number in clients.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                return None
            if key.fileobj is listener:
                client, _ = listener.accept()
                _, pipes, _, _ = socket.recv_fds(client, 1, 3)
                request = json.loads(client.makefile("rb").readline())
                number = os.fork()
                if not number:
                    lend(pipes, request)
                    listener.close()
                    for other in (client, *clients):
                        other.close()
                    return request["module"]
                for pipe in pipes:
                    os.close(pipe)
                clients[client] = number
                waiting.register(client, selectors.EVENT_READ)
                waiting.register(os.pidfd_open(number), selectors.EVENT_READ, client)
            elif key.data is None:
                # The client was killed.
                os.kill(clients[key.fileobj], signal.SIGKILL)
                waiting.unregister(key.fileobj)
            else:
                client = key.data
                waiting.unregister(key.fileobj)
                os.close(key.fileobj)
                _, status = os.waitpid(clients.pop(client), 0)
                with contextlib.suppress(KeyError):
                    waiting.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(b"%d\n" % status)
                client.close()


def lend(pipes, request):
    """Take the standard streams, the environment, the folder and the arguments of the client."""
    for own, pipe in enumerate(pipes):
        os.dup2(pipe, own)
        os.close(pipe)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    sys.argv = request["argv"]


def ask(place, module, path):
    """Have the module run, and end as it ends."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(place)
    socket.send_fds(server, [b" "], [0, 1, 2])
    request = {"module": module, "argv": [module, path], "environ": dict(os.environ), "folder": os.getcwd()}
    server.sendall(json.dumps(request).encode() + b"\n")
    for own in (0, 1):
        # A pipe ends when the worker, not when this process lets it go.
        os.close(own)
    code = os.waitstatus_to_exitcode(int(server.makefile("rb").readline()))
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        ask(*sys.argv[1:])
    if found := serve(sys.argv[1]):
        sys.modules[f"steelbench.runs.{found}"].main()
