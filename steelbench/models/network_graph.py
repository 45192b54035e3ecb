"""The network in an `.h5` as a graph of known layers: read from the configuration that Keras 2 or 3 wrote, bounded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steelbench.models.h5_file import MAX_LAYERS, quoted
from steelbench.models.layer_rules import RULES, NetworkError, checked

NETWORKS = ("Functional", "Model", "Sequential")
# Names of layers become names of TensorFlow's scopes.
LAYER_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.>=+ -]{0,199}")
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
# What Keras 2 calls otherwise, or writes only where Keras 3 has nothing of it.
RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
DROPPED = {"DepthwiseConv2D": {"groups": 1}, "SeparableConv2D": {"groups": 1}, "Conv2DTranspose": {"groups": 1}}
OLD_KINDS = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}

# A tensor: name of the layer that makes it, and which of the layer's calls does.
Ref = tuple[str, int]


@dataclass(frozen=True)
class Node:
    """A layer of a graph.

    Attributes:
        name: unique in its graph.
        kind: a key of `RULES`, or "Network".
        options: its settings, checked.
        dtype: a policy of Keras.
        trainable: as it was saved.
        network: of the kind Network, what it consists of.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    dtype: str = "float32"
    trainable: bool = True
    network: Graph | None = None


@dataclass(frozen=True)
class Graph:
    """A network with one input and one output.

    Attributes:
        name: as a scope of TensorFlow may be called.
        nodes: by name, without the input.
        calls: of layers on tensors, in an order in which they can be computed: name, inputs.
        source: name of the input.
        input_shape: without the batch, None for any length; None where it does not say.
        output: the tensor that it returns.
        trainable: as it was saved.
    """

    name: str
    nodes: Mapping[str, Node]
    calls: Sequence[tuple[Ref, Sequence[Ref]]]
    source: str
    input_shape: tuple[int | None, ...] | None
    output: Ref
    trainable: bool = True


def read_graph(config: Any) -> Graph:
    """Read a network.

    Args:
        config: as the file has it, of limited size and depth.

    Raises:
        NetworkError: for anything but one network of known layers with one input and one output.
    """
    try:
        return _network(_mapping(config, "its network"))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise NetworkError(f"has a configuration that Keras does not write ({type(error).__name__}: {error})") from None


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NetworkError(f"has {type(value).__name__} where {what} is described")
    return value


def _network(described: Mapping[str, Any]) -> Graph:
    kind, config = described.get("class_name"), described.get("config")
    if kind not in NETWORKS:
        raise NetworkError(f"holds a {quoted(kind)}; expected a network of Keras's own layers (Functional, Sequential)")
    if kind == "Sequential":
        return _sequential({"layers": config} if isinstance(config, list) else _mapping(config, "its network"))
    return _functional(_mapping(config, "its network"))


def _sequential(config: Mapping[str, Any]) -> Graph:
    described = _layers(config)
    shape = config.get("build_input_shape")
    first = _mapping(described[0]["config"], "a layer") if described else {}
    if described and described[0]["class_name"] == "InputLayer":
        shape, described = _batch_shape(first), described[1:]
    else:
        shape = first.get("batch_input_shape", shape)
    nodes = [_node(item) for item in described]
    if not nodes:
        raise NetworkError("holds a Sequential without layers")
    names = ["", *(node.name for node in nodes)]
    _refuse_doubled(names)
    calls = [((name, 0), [(before, 0)]) for before, name in itertools.pairwise(names)]
    return Graph(
        _scope(config.get("name")),
        {node.name: node for node in nodes},
        calls,
        "",
        _without_batch(shape),
        (names[-1], 0),
        config.get("trainable") is not False,
    )


def _functional(config: Mapping[str, Any]) -> Graph:
    described = _layers(config)
    names = [_name(item) for item in described]
    _refuse_doubled(names)
    source = _only(config.get("input_layers"), "input", "one image")[0]
    result = _only(config.get("output_layers"), "output", "one vector of probabilities")
    inputs = [item for item in described if item["class_name"] == "InputLayer"]
    if len(inputs) != 1 or _name(inputs[0]) != source:
        raise NetworkError(f"takes {len(inputs)} inputs; expected one image")
    nodes = {_name(item): _node(item) for item in described if item["class_name"] != "InputLayer"}
    calls = {
        (_name(item), number): list(_sources(nodes[_name(item)], call))
        for item in described
        if item["class_name"] != "InputLayer"
        for number, call in enumerate(_sequence(item.get("inbound_nodes", [])))
    }
    if len(calls) > MAX_LAYERS:
        raise NetworkError(f"calls its layers {len(calls)} times, expected at most {MAX_LAYERS}")
    renumbered = _renumbered([*calls.values(), [result]], calls)
    placed = {call: [renumbered(ref) for ref in refs] for call, refs in calls.items()}
    return Graph(
        _scope(config.get("name")),
        nodes,
        list(_ordered(placed, (source, 0))),
        source,
        _without_batch(_batch_shape(_mapping(inputs[0]["config"], "its input"))),
        renumbered(result),
        config.get("trainable") is not False,
    )


def _layers(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = config.get("layers")
    if not isinstance(found, list) or len(found) > MAX_LAYERS:
        raise NetworkError(f"describes no list of at most {MAX_LAYERS} layers")
    return [_mapping(item, "a layer") for item in found]


def _name(described: Mapping[str, Any]) -> str:
    name = described.get("name", _mapping(described.get("config"), "a layer").get("name"))
    if not isinstance(name, str) or not LAYER_NAME.fullmatch(name):
        raise NetworkError(f"has a layer called {quoted(name)}; expected letters, digits and _ . - only")
    return name


def _refuse_doubled(names: Sequence[str]) -> None:
    doubled = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if doubled is not None:
        raise NetworkError(f"has two layers called {quoted(doubled)}")


def _scope(name: Any) -> str:
    """Return a network's name as TensorFlow takes it; nothing goes by it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(name)[:100]).lstrip("_-") or "network"


def _node(described: Mapping[str, Any]) -> Node:
    name, kind = _name(described), described.get("class_name")
    config = _mapping(described.get("config"), "a layer")
    trainable = config.get("trainable") is not False
    if kind in NETWORKS:
        return Node(name, "Network", {}, trainable=trainable, network=_network(described))
    kind = OLD_KINDS.get(kind, kind) if isinstance(kind, str) else ""
    if kind not in RULES:
        raise NetworkError(
            f"has a layer {name} of the kind {quoted(kind)}, which is not rebuilt from a file; expected Keras's own "
            "layers for images"
        )
    return Node(name, kind, checked(kind, name, _of_today(kind, config)), _policy(name, config.get("dtype")), trainable)


def _of_today(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's settings by the names of Keras 3."""
    dropped, renamed = DROPPED.get(kind, {}), RENAMED.get(kind, {})
    kept = {key: value for key, value in config.items() if not (key in dropped and value == dropped[key])}
    return {renamed.get(key, key): value for key, value in kept.items()}


def _policy(layer: str, dtype: Any) -> str:
    if isinstance(dtype, dict):
        dtype = _mapping(dtype.get("config"), "a type").get("name")
    if dtype is not None and dtype not in POLICIES:
        raise NetworkError(f"has a layer {layer} of the type {quoted(dtype)}; expected {', '.join(POLICIES)}")
    return dtype or "float32"


def _batch_shape(config: Mapping[str, Any]) -> Any:
    return config.get("batch_shape", config.get("batch_input_shape"))


def _without_batch(shape: Any) -> tuple[int | None, ...] | None:
    if shape is None:
        return None
    if not isinstance(shape, list) or not 1 <= len(shape) <= 6:
        raise NetworkError(f"has an input of the shape {shape!a:.60}")
    for length in shape:
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
            raise NetworkError(f"has an input of the shape {shape!a:.60}")
    return tuple(shape[1:])


def _only(described: Any, what: str, expected: str) -> Ref:
    """Return the one input or output, which is written as `[name, 0, 0]` or as a list of such."""
    if isinstance(described, dict):
        raise NetworkError(f"has {what}s by name ({quoted(', '.join(map(str, described)))}); expected {expected}")
    if isinstance(described, list) and described and not isinstance(described[0], str):
        if len(described) != 1:
            raise NetworkError(f"has {len(described)} {what}s; expected {expected}")
        described = described[0]
    return _ref(described)


def _ref(described: Any) -> Ref:
    if not isinstance(described, list) or len(described) < 3 or not isinstance(described[0], str):
        raise NetworkError(f"names a tensor {quoted(described)}, which is none")
    name, call, tensor = described[:3]
    if not isinstance(call, int) or call < 0 or tensor != 0:
        raise NetworkError(f"names a tensor {quoted(described)}, which is none")
    return name, call


def _sequence(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise NetworkError(f"has {type(value).__name__} where calls of a layer are listed")
    return value


def _sources(node: Node, call: Any) -> Iterator[Ref]:
    """Yield the tensors that a call of a layer takes, as Keras 2 (lists) or Keras 3 (objects) writes them."""
    if isinstance(call, dict):
        arguments, words = _sequence(call.get("args")), _mapping(call.get("kwargs", {}), "a call")
        if len(arguments) != 1:
            raise NetworkError(f"calls its layer {node.name} with {len(arguments)} arguments; expected one")
        _check_words(node, words)
        found = arguments[0] if isinstance(arguments[0], list) else arguments
        yield from (
            _ref(_mapping(_mapping(item, "a tensor").get("config"), "a tensor")["keras_history"]) for item in found
        )
        return
    described = list(_sequence(call))
    for item in [described] if described and isinstance(described[0], str) else described:
        yield _ref(item)
        if len(item) > 3:
            _check_words(node, _mapping(item[3], "a call"))


def _check_words(node: Node, words: Mapping[str, Any]) -> None:
    """Refuse a call with more than tensors: in training mode, answers of many layers are drawn by lot."""
    for key, value in words.items():
        # Keras 3 notes `training: true` for layers that prepare images; those that draw by lot become an identity.
        same = key == "training" and (node.kind in ("Resizing", "Rescaling") or _is_random(node))
        if value not in (None, False) and not same:
            raise NetworkError(
                f"calls its layer {node.name} with {quoted(key)}: {quoted(value)}; expected tensors only"
            )


def _is_random(node: Node) -> bool:
    return node.network is None and RULES[node.kind].random


def _renumbered(used: Sequence[Sequence[Ref]], calls: Mapping[Ref, Any]) -> Callable[[Ref], Ref]:
    """Return what maps tensors to calls: of a network inside, Keras 2 counts its own construction as the first call."""
    times, largest = dict[str, int](), dict[str, int]()
    for name, number in calls:
        times[name] = max(times.get(name, 0), number + 1)
    for name, number in (ref for refs in used for ref in refs):
        largest[name] = max(largest.get(name, 0), number)
    late = {name for name, number in largest.items() if number == times.get(name, 0) > 0}
    return lambda ref: (ref[0], ref[1] - 1) if ref[0] in late else ref


def _ordered(calls: Mapping[Ref, Sequence[Ref]], source: Ref) -> Iterator[tuple[Ref, Sequence[Ref]]]:
    """Yield the calls, each behind those whose tensors it takes."""
    waiting = {call: {ref for ref in refs if ref != source} for call, refs in calls.items()}
    users: dict[Ref, list[Ref]] = {}
    for call, refs in waiting.items():
        for ref in refs:
            if ref not in calls:
                raise NetworkError(f"has a layer {call[0]} on the output of {quoted(ref[0])}, which is not there")
            users.setdefault(ref, []).append(call)
    free = [call for call, refs in waiting.items() if not refs]
    for call in free:
        yield call, calls[call]
        for user in users.get(call, []):
            waiting[user].discard(call)
            if not waiting[user]:
                free.append(user)
    if len(free) < len(calls):
        raise NetworkError("has layers in a circle")
