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
from pathlib import Path

MODULES = ("worker", "activation_maps_worker", "robustness_worker")


class Server:
    """Forks a process for each client; `clients` are the connections that wait for the end of theirs, with its id."""

    def __init__(self, place):
        self.waiting, self.clients, self.listener = selectors.DefaultSelector(), {}, socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{place}.new")
        self.listener.listen(64)
        # Who finds the name finds one that listens.
        Path(f"{place}.new").rename(place)
        self.waiting.register(self.listener, selectors.EVENT_READ)
        self.waiting.register(0, selectors.EVENT_READ)

    def serve(self):
        """Fork until standard input closes; return, in a forked process, the module that it is to run."""
        while True:
            for key, _ in self.waiting.select():
                if key.fileobj == 0:
                    return self.end()
                if key.fileobj is self.listener:
                    if found := self.fork():
                        return found
                elif key.data is None:
                    self.client_is_gone(key.fileobj)
                else:
                    self.process_is_done(key.fileobj, key.data)

    def end(self):
        for number in self.clients.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def fork(self):
        client, _ = self.listener.accept()
        _, pipes, _, _ = socket.recv_fds(client, 1, 3)
        request = json.loads(client.makefile("rb").readline())
        number = os.fork()
        if not number:
            lend(pipes, request)
            for own in (self.listener, client, *self.clients):
                own.close()
            return request["module"]
        for pipe in pipes:
            os.close(pipe)
        self.clients[client] = number
        self.waiting.register(client, selectors.EVENT_READ)
        self.waiting.register(os.pidfd_open(number), selectors.EVENT_READ, client)
        return None

    def client_is_gone(self, client):
        """Kill the process of a client that was killed."""
        self.waiting.unregister(client)
        if client in self.clients:
            os.kill(self.clients[client], signal.SIGKILL)

    def process_is_done(self, process, client):
        """Tell the client how its process ended."""
        self.waiting.unregister(process)
        os.close(process)
        _, status = os.waitpid(self.clients.pop(client), 0)
        with contextlib.suppress(KeyError, ValueError):
            self.waiting.unregister(client)
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
    if "STEELBENCH_TESTS_SMALL_NETWORKS" in os.environ:
        sys.path.append(str(Path(__file__).parent))
        import small_networks

        small_networks.install()


def ask(place, module, path):
    """Have the module run, and end as it ends."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(place)
    socket.send_fds(server, [b" "], [0, 1, 2])
    request = {"module": module, "argv": [module, path], "environ": dict(os.environ), "folder": str(Path.cwd())}
    server.sendall(json.dumps(request).encode() + b"\n")
    for own in (0, 1):
        # A pipe ends when the worker, not when this process lets it go.
        os.close(own)
    code = os.waitstatus_to_exitcode(int(server.makefile("rb").readline()))
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def main():
    if len(sys.argv) > 2:
        ask(*sys.argv[1:])
    import tensorflow  # noqa: F401

    for module in MODULES:
        __import__(f"steelbench.runs.{module}")
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, "a process with threads cannot be forked safely"
    if found := Server(sys.argv[1]).serve():
        sys.modules[f"steelbench.runs.{found}"].main()


if __name__ == "__main__":
    main()
