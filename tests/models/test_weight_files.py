"""Files of weights: found in order, verified before use, fetched whole or not at all (from a server of our own)."""

import dataclasses
import hashlib
import http.server
import threading
import urllib.error

import h5py
import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.models import weight_files
from steelbench.models.backbones import BACKBONES, Backbone, WeightsFile
from steelbench.models.weight_files import NotFoundError, Origin, resolve, search_folders

PARAMS = 1000


def write_weights(path, values=PARAMS, seed=0, optimizer=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file["layers/conv/kernel"] = rng.standard_normal((values - 1) // 3 * 3).reshape(3, -1).astype("f4")
        file["layers/conv/bias"] = rng.standard_normal(values - (values - 1) // 3 * 3).astype("f4")
        if optimizer:
            file["optimizer_weights/adam/m"] = np.zeros(optimizer, "f4")
    return path


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def says(error, *parts):
    """One line that names every part."""
    text = str(error.value)
    assert "\n" not in text and text.endswith("."), text
    for part in parts:
        assert str(part) in text, (part, text)


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    """No folder of this machine is looked through, and no server outside is asked."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("STEELBENCH_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weight_files, "_unreachable", set())


@pytest.fixture
def good(tmp_path):
    return write_weights(tmp_path / "published" / "tiny_notop.h5")


@pytest.fixture
def tiny(good, monkeypatch):
    """A backbone of 1000 weights, published at an address that nobody answers."""
    wanted = WeightsFile("tiny_notop.h5", "http://127.0.0.1:9/", md5(good), 0.01, also=("tiny.weights.h5",))
    row = Backbone("Tiny", "tf", 32, 4, PARAMS, wanted)
    monkeypatch.setitem(BACKBONES, "tiny", row)
    return row


def unreachable(monkeypatch):
    asked = []

    def urlopen(url, timeout):
        asked.append((url, timeout))
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(weight_files.urllib.request, "urlopen", urlopen)
    return asked


def test_named_folder_comes_before_the_environment_and_that_before_keras(tiny, tmp_path, monkeypatch):
    named, environment, keras_home = (tmp_path / name for name in ("named", "environment", "keras/models"))
    monkeypatch.setenv("STEELBENCH_WEIGHTS_DIR", str(environment))
    published = tmp_path / "published" / "tiny_notop.h5"
    for folder in (named, environment, keras_home):
        folder.mkdir(parents=True)
        (folder / "tiny_notop.h5").write_bytes(published.read_bytes())

    assert resolve("tiny", "imagenet", named).path == str(named / "tiny_notop.h5")
    assert resolve("tiny", "imagenet").path == str(environment / "tiny_notop.h5")
    (environment / "tiny_notop.h5").unlink()
    assert resolve("tiny", "imagenet").path == str(keras_home / "tiny_notop.h5")
    assert search_folders(named) == [named, keras_home]


def test_found_file_is_recorded_with_its_md5_and_without_its_folder(tiny, good):
    origin = resolve("tiny", "imagenet", good.parent)

    assert origin == Origin("imagenet", "tiny_notop.h5", md5(good), str(good))
    assert origin.record == {"kind": "imagenet", "file": "tiny_notop.h5", "md5": md5(good)}


def test_another_known_name_is_found_and_has_its_own_md5(tiny, tmp_path):
    other = write_weights(tmp_path / "weights" / "tiny.weights.h5", seed=1)

    origin = resolve("tiny", "imagenet", other.parent)

    assert (origin.file, origin.md5) == ("tiny.weights.h5", md5(other))


def test_published_name_comes_before_the_other_names(tiny, good):
    write_weights(good.parent / "tiny.weights.h5", seed=1)

    assert resolve("tiny", "imagenet", good.parent).file == "tiny_notop.h5"


def test_changed_file_is_refused_by_its_md5(tiny, tmp_path):
    changed = write_weights(tmp_path / "weights" / "tiny_notop.h5", seed=1)

    with pytest.raises(SteelbenchError) as error:
        resolve("tiny", "imagenet", changed.parent)

    says(error, changed, md5(changed), tiny.imagenet.md5, "steelbench weights download")


def truncated(path):
    path.write_bytes(write_weights(path).read_bytes()[:-1500])


@pytest.mark.parametrize(
    "damage",
    [truncated, lambda path: path.write_text("<html>404</html>"), lambda path: path.write_bytes(b"")],
    ids=["truncated", "html", "empty"],
)
def test_damaged_file_is_refused(tiny, tmp_path, damage):
    damage(tmp_path / "mine.h5")

    with pytest.raises(SteelbenchError) as error:
        resolve("tiny", str(tmp_path / "mine.h5"))

    says(error, tmp_path / "mine.h5", "tiny", "damaged", "Fetch it again")


@pytest.mark.parametrize("values", [PARAMS - 7, PARAMS + 1, PARAMS + 5000], ids=["less", "more", "classifier on top"])
def test_file_of_another_architecture_is_refused(tiny, tmp_path, values):
    with pytest.raises(SteelbenchError) as error:
        resolve("tiny", str(write_weights(tmp_path / "mine.h5", values)))

    says(error, values, PARAMS, "another architecture", "classifier on top", "include_top=False")


def test_numbers_of_the_optimizer_do_not_count(tiny, tmp_path):
    mine = write_weights(tmp_path / "mine.h5", optimizer=2 * PARAMS)

    assert resolve("tiny", str(mine)) == Origin("file", "mine.h5", md5(mine), str(mine))


def test_file_without_the_normalization_may_be_noisy_student(tiny, tmp_path, monkeypatch):
    wanted = WeightsFile("noisy.h5", "http://127.0.0.1:9/", None, 0.01)
    monkeypatch.setitem(BACKBONES, "tiny", dataclasses.replace(tiny, noisy_student=wanted))
    write_weights(tmp_path / "noisy.h5", PARAMS - 7)

    assert resolve("tiny", "noisy-student", tmp_path).kind == "noisy-student"


def test_missing_path_is_told_with_the_other_choices(tiny, tmp_path):
    with pytest.raises(SteelbenchError) as error:
        resolve("tiny", str(tmp_path / "absent.h5"))

    says(error, tmp_path / "absent.h5", "imagenet", "noisy-student", "random", "auto")


def test_no_noisy_student_weights_of_vgg19():
    with pytest.raises(SteelbenchError) as error:
        resolve("vgg19", "noisy-student")

    says(error, "vgg19", "efficientnet_b0", "efficientnet_b3", "--weights imagenet")


def test_unknown_backbone_is_told_with_the_closest():
    with pytest.raises(SteelbenchError, match="did you mean 'vgg19'"):
        resolve("vgg-19", "imagenet")


def test_random_weights_ask_no_host(tiny, monkeypatch):
    asked = unreachable(monkeypatch)

    assert resolve("tiny", "random") == Origin("random")
    assert not asked


def test_auto_without_file_and_network_is_random_and_asks_a_host_once(tiny, monkeypatch):
    asked = unreachable(monkeypatch)

    assert [resolve("tiny", "auto") for _ in range(3)] == [Origin("random")] * 3
    assert asked == [("http://127.0.0.1:9/tiny_notop.h5", weight_files.CONNECT_SECONDS)]


def test_auto_does_not_hide_a_damaged_file(tiny, tmp_path):
    changed = write_weights(tmp_path / "weights" / "tiny_notop.h5", seed=1)

    with pytest.raises(SteelbenchError, match="md5"):
        resolve("tiny", "auto", changed.parent)


def test_unreachable_weights_are_told_with_the_way_by_hand(tiny, tmp_path, monkeypatch):
    unreachable(monkeypatch)

    with pytest.raises(NotFoundError) as error:
        resolve("tiny", "imagenet", tmp_path / "here")

    says(
        error, "tiny_notop.h5", "Name or service not known", tiny.imagenet.md5, "0.01 MB", tmp_path / "here",
        "http://127.0.0.1:9/tiny_notop.h5", "--weights random",
    )  # fmt: skip


class Publisher(http.server.BaseHTTPRequestHandler):
    """Answers as the first part of the path says."""

    content = b""
    # Set at the end of the test, and when a client closes the connection while there was more to come.
    ended = threading.Event()
    hung_up = threading.Event()

    def do_GET(self):
        behaviour = self.path.split("/")[1]
        if behaviour == "absent":
            return self.send_error(404)
        if behaviour == "garbage":
            return self.wfile.write(b"what?\r\n\r\n")
        self.send_response(200)
        if behaviour == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            return self.wfile.write(b"400\r\n" + self.content[:100])
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        getattr(self, behaviour)()

    def good(self):
        self.wfile.write(self.content)

    def cut(self):
        self.wfile.write(self.content[: len(self.content) // 2])

    def stall(self):
        self.cut()
        if self.connection.recv(1) == b"":
            self.hung_up.set()

    def trickle(self):
        for byte in self.content:
            self.wfile.write(bytes([byte]))
            if self.ended.wait(0.05):
                return

    def endless(self):
        while not self.ended.is_set():
            self.wfile.write(b"\0" * 10_000)

    def handle(self):
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.hung_up.set()

    def log_message(self, *args):
        pass


@pytest.fixture
def publish(good, monkeypatch):
    """A function from a behaviour to the file that a server publishes in that way."""
    monkeypatch.setattr(Publisher, "content", good.read_bytes())
    monkeypatch.setattr(Publisher, "ended", threading.Event())
    monkeypatch.setattr(Publisher, "hung_up", threading.Event())
    monkeypatch.setattr(weight_files, "CONNECT_SECONDS", 0.5)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield lambda behaviour: WeightsFile("tiny_notop.h5", f"{url}/{behaviour}/", md5(good), 0.01)
    Publisher.ended.set()
    server.shutdown()
    server.server_close()


def test_fetched_file_is_whole_and_progress_ends_at_its_size(publish, good, tmp_path):
    told = []

    path = weight_files.download(publish("good"), tmp_path / "here", lambda *step: told.append(step))

    assert path.read_bytes() == good.read_bytes()
    assert told[-1] == ("tiny_notop.h5", len(good.read_bytes()), len(good.read_bytes()))
    assert [file.name for file in path.parent.iterdir()] == ["tiny_notop.h5"]


def test_resolve_fetches_verifies_and_finds_it_the_next_time(publish, tiny, good, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "tiny", dataclasses.replace(tiny, imagenet=publish("good")))

    first = resolve("tiny", "imagenet", tmp_path / "here")
    asked = unreachable(monkeypatch)

    assert resolve("tiny", "imagenet", tmp_path / "here") == first
    assert (first.kind, first.md5, asked) == ("imagenet", md5(good), [])


@pytest.mark.parametrize("behaviour", ["cut", "chunked", "garbage", "stall", "trickle", "endless", "absent"])
def test_what_does_not_arrive_whole_leaves_nothing_and_is_not_waited_for(publish, tmp_path, behaviour):
    with pytest.raises(NotFoundError) as error:
        weight_files.download(publish(behaviour), tmp_path / "here")

    if behaviour in ("stall", "trickle", "endless"):
        assert Publisher.hung_up.wait(60), "the server could have gone on"
    assert not list((tmp_path / "here").glob("*")) or not (tmp_path / "here").exists()
    says(error, "tiny_notop.h5", tmp_path / "here", "--weights random")


def test_file_with_another_md5_is_not_kept(publish, tmp_path):
    wanted = dataclasses.replace(publish("good"), md5="0" * 32)

    with pytest.raises(SteelbenchError) as error:
        weight_files.download(wanted, tmp_path / "here")

    assert not isinstance(error.value, NotFoundError)
    assert not list((tmp_path / "here").iterdir())
    says(error, "0" * 32, hashlib.md5(Publisher.content).hexdigest(), "not kept")


def test_a_missing_file_does_not_make_its_host_unreachable(publish, good, tmp_path):
    with pytest.raises(NotFoundError, match="Not Found"):
        weight_files.download(publish("absent"), tmp_path)

    assert weight_files.download(publish("good"), tmp_path).read_bytes() == good.read_bytes()


def test_fetching_leaves_an_older_file_alone_until_the_new_one_is_whole(publish, tmp_path):
    (tmp_path / "tiny_notop.h5").write_bytes(b"old")

    with pytest.raises(NotFoundError):
        weight_files.download(publish("cut"), tmp_path)

    assert (tmp_path / "tiny_notop.h5").read_bytes() == b"old"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2_035", "mobilenet_v2"])
def test_genuine_files_are_found_under_their_other_name(name, weights_folder, monkeypatch):
    asked = unreachable(monkeypatch)

    origin = resolve(name, "auto", weights_folder)

    assert not asked
    assert origin.kind == "imagenet"
    assert origin.file == BACKBONES[name].imagenet.also[0]
    assert origin.md5 == md5(weights_folder / origin.file)
