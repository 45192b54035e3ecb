"""The rules of the house: imports point one way, tables name what exists, the command line starts without Keras."""

import ast
import hashlib
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from each import each
from results_folder import model_row, summary, write_folder

import steelbench
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import DATASETS, read_dataset
from steelbench.experiment import METHODS
from steelbench.features.cache import FeatureStore
from steelbench.features.engines import ENGINES
from steelbench.files import cache_folder
from steelbench.models.backbones import BACKBONES

PACKAGE = Path(steelbench.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Lowest first. A module imports from its own row and from rows above it here, never from a row below.
# What stands in one row does not import each other.
LAYERS = (
    ("errors", "printable"),
    ("files", "array_files", "machine", "progress", "arrays", "ray_session"),
    ("csv_files",),
    ("records",),
    ("notices",),
    ("methods",),
    ("experiment",),
    ("data", "evaluation"),
    ("models",),
    ("features",),
    ("audit",),
    ("training.loop",),
    ("training.methods", "training.baselines"),
    ("runs",),
    ("report", "inference"),
    ("cli",),
    ("__main__",),
)
HEAVY = {"keras", "tensorflow", "openvino", "torch", "jax", "ray"}


@cache
def tree(name):
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def room_of(name):
    """The entry of `LAYERS` that a module stands in, or None."""
    parts = name.split(".")[1:]
    known = {room for row in LAYERS for room in row}
    return next((room for size in (2, 1) if (room := ".".join(parts[:size])) in known), None)


def row_of(name):
    return next(number for number, row in enumerate(LAYERS) if room_of(name) in row)


def empty(name):
    """A folder's `__init__` that holds nothing but its docstring, such as that of `training`."""
    return MODULES[name].name == "__init__.py" and len(tree(name).body) == 1


def for_types_only(node):
    """`if TYPE_CHECKING:` names types of other layers, and is not there when the program runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(node):
    """Every module that is imported, also inside functions, absolute names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative import"
            # `from steelbench.report import words` imports the module steelbench.report.formatting
            inner = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from [name for name in inner if name in MODULES] or [child.module]
        elif not for_types_only(child):
            yield from imports(child)


def test_every_module_stands_in_a_layer():
    assert not [name for name in MODULES if name != "steelbench" and not empty(name) and room_of(name) is None]


def test_imports_point_one_way():
    def allowed(name, found):
        return room_of(found) == room_of(name) or row_of(found) < row_of(name)

    wrong = [
        f"{name} imports {found}"
        for name in MODULES
        if room_of(name)
        for found in imports(tree(name))
        if found in MODULES and room_of(found) and not allowed(name, found)
    ]

    assert not wrong, "\n".join(wrong)


def test_records_data_and_reports_know_no_network_library():
    light = ("errors", "files", "records", "methods", "experiment", "data", "evaluation", "report", "machine")
    wrong = [
        f"{name} imports {found}"
        for name in MODULES
        if room_of(name) in light
        for found in imports(tree(name))
        if found.split(".")[0] in HEAVY
    ]

    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle():
    """Counting only what is imported when a module is imported."""

    def at_import(name):
        found = (node for node in tree(name).body if isinstance(node, ast.Import | ast.ImportFrom))
        return set(imports(ast.Module(list(found), []))) & set(MODULES) - {"steelbench", name}

    waiting = {name: at_import(name) for name in MODULES}
    while free := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        for name in free:
            del waiting[name]

    assert not waiting


def test_modules_end_where_their_concept_ends():
    """Length is an alarm: look whether a longer module holds two concepts."""
    long = {name: count for name, path in MODULES.items() if (count := len(path.read_text("utf-8").splitlines())) > 350}

    assert not long


STATISTICS = {"matplotlib", "pandas", "scipy", "seaborn", "sklearn", "statsmodels"}
# Steps of one program, and the libraries that must not be loaded after each; lightest first, as they add up.
START_UP = {
    "help": ("assert main(['--help']) == main(['run', '--help']) == 0", {*HEAVY, *STATISTICS, "numpy"}),
    "page": ("import steelbench.report.results_page as page", {*HEAVY, *STATISTICS, "numpy", "jinja2"}),
    "list": ("assert main(['list']) == main(['cache', 'info']) == 0", HEAVY),
    "report": ("page.build_report(Path(results))", {*HEAVY, "sklearn"}),
    "gate": ("assert main(['gate', results, '--min-accuracy', '0.5']) == 0", HEAVY),
    "diff": ("assert main(['diff', results, results]) == 2", HEAVY),
    "audit": ("assert main(['audit', '--data', data, '--out', 'audit']) == 0", HEAVY),
    "no report": ("assert main(['report', data]) == 2", HEAVY),
    "no archive": ("assert main(['extract', '--data', 'nowhere', '--backbone', 'vgg19', '--out', 'x']) == 2", HEAVY),
    "no model": ("assert main(['predict', model, data]) == 2", HEAVY),
    "benchmarks": ("for path in programs: runpy.run_path(path, run_name='only_imported')", HEAVY),
    "run": ("import steelbench.runs.run; assert main(['run', '--data', data, '--folds', '9']) == 2", HEAVY),
}


def fill_cache(data):
    """Put features of every image into the cache, as a run does: with them an audit checks the labels as well."""
    images = inspect_dataset(read_dataset(str(data))[1]).images
    told = {"weights": {"kind": "imagenet", "digest": "0"}, "image_size": 224, "bit_depth": None, "engine": "keras"}
    store = FeatureStore(cache_folder(), "mobilenet_v2", 6, told)
    features = np.random.default_rng(0).standard_normal((len(images), 6)).astype(np.float32)
    with store.locked(), store.writer() as write:
        write([image.bytes_digest for image in images], features)


def test_what_trains_nothing_loads_no_network_library(tiny_images, tmp_path):
    """In a fresh interpreter. TensorFlow takes seconds to load, statistics half a second."""
    data = tiny_images(images=8)
    fill_cache(data)
    write_folder(tmp_path / "results", summary([model_row("vgg19", "softmax", 0.9)]))
    (tmp_path / "m.h5").write_text("text", encoding="utf-8")
    (tmp_path / "m.json").write_text("{}", encoding="utf-8")
    benchmarks = sorted((PACKAGE.parent / "benchmarks").glob("*.py"))
    lines = ["import json, runpy, sys", "from pathlib import Path", "from steelbench.cli.exit import main"]
    lines += ["data, results, model, *programs = sys.argv[1:]"]
    for name, (step, _) in START_UP.items():
        lines += [step, f"print('LOADED', json.dumps([{name!r}, sorted(sys.modules)]))"]

    arguments = [data, tmp_path / "results", tmp_path / "m.h5", *benchmarks]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert "of 24 labels" in done.stdout, "the audit checked the labels"
    loaded = [json.loads(line.removeprefix("LOADED")) for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert [name for name, _ in loaded] == list(START_UP)
    wrong = {name: sorted(START_UP[name][1] & set(modules)) for name, modules in loaded}
    assert not any(wrong.values()), wrong


def defined(module):
    return {node.name for node in tree(module).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@each("name", METHODS)
def test_methods_name_functions_that_exist(name):
    row = METHODS[name]
    named = [text.partition(":") for text in (row.train, row.train_images) if text]

    assert named
    assert all(function in defined(module) for module, _, function in named)


@pytest.mark.slow
@each("name", METHODS)
def test_methods_name_functions_that_can_be_imported(name):
    for text in filter(None, (METHODS[name].train, METHODS[name].train_images)):
        module, _, function = text.partition(":")

        assert callable(getattr(importlib.import_module(module), function))


@each("name", ENGINES)
def test_engines_name_functions_that_exist(name):
    module, _, function = ENGINES[name].open.partition(":")

    assert function in defined(module)
    assert ENGINES[name].batch > 0 and "float32" in ENGINES[name].precisions


@each("table", [METHODS, BACKBONES, DATASETS, ENGINES], ids=["method", "backbone", "data", "engine"])
def test_names_in_tables_are_slugs(table):
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in table)


# Keras's own words on each backbone, read as text: importing Keras takes seconds.
KERAS = Path(importlib.util.find_spec("keras").submodule_search_locations[0])
SOURCES = {
    "vgg19": "vgg19", "efficientnet_b0": "efficientnet", "xception": "xception", "inception_v3": "inception_v3",
    "resnet50": "resnet", "efficientnet_b3": "efficientnet", "efficientnet_v2_b0": "efficientnet_v2",
    "mobilenet_v2": "mobilenet_v2", "mobilenet_v2_035": "mobilenet_v2", "densenet121": "densenet",
}  # fmt: skip
LITE = [name for name, row in BACKBONES.items() if ":" in row.constructor]
# The key in a file's WEIGHTS_HASHES, and the name that goes before `_notop.h5`.
KEYS = {"efficientnet_b0": "b0", "efficientnet_b3": "b3", "efficientnet_v2_b0": "b0", "resnet50": "resnet50"}
STEMS = {
    "efficientnet_b0": "efficientnetb0",
    "efficientnet_b3": "efficientnetb3",
    "efficientnet_v2_b0": "efficientnetv2-b0",
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels",
}


def source(name):
    return (KERAS / "src" / "applications" / f"{SOURCES[name]}.py").read_text(encoding="utf-8")


def joined(text):
    """The source with strings that continue on the next line put together."""
    return re.sub(r'"\s*\n\s*f?"', "", text)


def keras_md5(name):
    """The md5 of the file without a top: second in WEIGHTS_HASHES, or beside the NO_TOP path; else None."""
    text = source(name)
    if name in KEYS:
        tables = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assign)]
        (hashes,) = [node.value for node in tables if ast.unparse(node.targets[0]) == "WEIGHTS_HASHES"]
        return ast.literal_eval(hashes)[KEYS[name]][1]
    calls = re.findall(r"get_file\((.*?)\n\s*\)", text, re.DOTALL)
    wanted = f"{SOURCES[name]}_" if name != "densenet121" else "densenet121_"
    found = [re.search(r'file_hash="(\w+)"', call) for call in calls if "NO_TOP" in call and wanted in call.lower()]
    return found[0].group(1) if found else None


@each("name", SOURCES)
def test_md5_of_imagenet_weights_is_what_keras_says(name):
    stated = keras_md5(name)

    assert BACKBONES[name].imagenet.md5 == stated
    assert (stated is None) == name.startswith("mobilenet_v2")
    assert stated is None or re.fullmatch("[0-9a-f]{32}", stated)


@each("name", SOURCES)
def test_file_and_address_of_imagenet_weights_are_what_keras_says(name):
    row, text = BACKBONES[name].imagenet, joined(source(name))
    base = re.search(r'BASE_WEIGHTS?_PATH = \(?\s*"([^"]+)"', text)

    assert row.url.endswith("/")
    if name.startswith("mobilenet_v2"):
        pattern = re.search(r'"(mobilenet_v2_weights\w+_)\{float\(alpha\)\}_\{rows\}(_no_top\.h5)"', text)
        alpha = BACKBONES[name].arguments.get("alpha", 1.0)
        assert row.name == f"{pattern[1]}{float(alpha)}_{BACKBONES[name].image_size}{pattern[2]}"
        assert row.url == base[1]
    elif name in KEYS:
        stem = {
            "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels",
            "efficientnet_v2_b0": "efficientnetv2-b0",
        }.get(name, "efficientnet" + KEYS[name])
        assert row.url == base[1] and row.name == f"{stem}_notop.h5"
        # Those stems stand in the source as the model's name.
        assert f'"{stem.partition("_weights")[0]}"' in text
    else:
        addresses = text.replace("{BASE_WEIGHTS_PATH}", base[1]) if base else text
        assert f'"{row.url}{row.name}"' in addresses


@each("name", SOURCES)
def test_constructors_exist_in_keras(name):
    exported = (KERAS / "applications" / "__init__.py").read_text(encoding="utf-8")

    names = {
        alias.asname or alias.name for node in ast.walk(ast.parse(exported)) for alias in getattr(node, "names", [])
    }
    assert BACKBONES[name].constructor in names


def test_every_backbone_is_of_keras_or_our_own():
    assert {*SOURCES, *LITE} == set(BACKBONES)
    for name in LITE:
        module, _, function = BACKBONES[name].constructor.partition(":")
        assert function in defined(module)


@pytest.mark.parametrize("name", LITE)
def test_weights_of_a_package_are_what_the_table_says(name):
    file, row = BACKBONES[name].imagenet, BACKBONES[name]

    # The name has the first digits of the sha256; the file holds a classifier of 1000 classes, too.
    assert file.name == f"{name.replace('_lite', '-lite')}-{file.sha256[:8]}.pth"
    assert file.megabytes * 1e6 == pytest.approx(4 * (row.params + 1281 * 1000), rel=0.01)
    spec = importlib.util.find_spec(file.package)
    if spec is None:
        pytest.skip(f"the package {file.package} is not installed")
    content = (Path(spec.submodule_search_locations[0]) / "models" / file.name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == file.sha256
    assert len(content) == pytest.approx(file.megabytes * 1e6, abs=5e4)


def test_noisy_student_weights_are_what_their_package_says():
    spec = importlib.util.find_spec("efficientnet")
    if spec is None:
        pytest.skip("the package efficientnet is not installed")
    text = (Path(spec.submodule_search_locations[0]) / "weights.py").read_text(encoding="utf-8")
    table = {ast.unparse(node.targets[0]): node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)}
    hashes, path = (ast.literal_eval(table[name]) for name in ("NS_WEIGHTS_HASHES", "NS_WEIGHTS_PATH"))
    rows = {name: row.noisy_student for name, row in BACKBONES.items() if row.noisy_student}

    assert set(rows) == {"efficientnet_b0", "efficientnet_b3"}
    for name, row in rows.items():
        model = f"efficientnet-{KEYS[name]}"
        assert (row.url, row.md5) == (path, hashes[model][1])
        assert row.name == f"{model}_noisy-student_notop.h5"


@each("name", sorted(set(SOURCES) - {"mobilenet_v2_035"}))
def test_a_weights_file_has_four_bytes_for_each_weight(name):
    row = BACKBONES[name]

    for file in filter(None, (row.imagenet, row.noisy_student)):
        assert file.megabytes * 1e6 == pytest.approx(4 * row.params, rel=0.06)


def test_the_small_mobilenet_has_as_much_beside_its_weights_as_the_large_one():
    """HDF5's own structure, .4 MB for this many layers, is a fifth of the small file."""
    large, small = BACKBONES["mobilenet_v2"], BACKBONES["mobilenet_v2_035"]

    difference = large.imagenet.megabytes - small.imagenet.megabytes
    assert difference == pytest.approx(4e-6 * (large.params - small.params), abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_params_and_features_are_what_keras_builds(name, tmp_path):
    from steelbench.models import saved_model
    from steelbench.models.encoder import build_encoder
    from steelbench.models.head import Dense, Head
    from steelbench.models.safe_load import inspect

    encoder = build_encoder(name)

    assert encoder.count_params() == BACKBONES[name].params
    assert encoder.output_shape == (None, BACKBONES[name].feature_dim)
    # The door for model files knows every layer of it.
    head = Head((Dense(np.zeros((BACKBONES[name].feature_dim, 3), np.float32), np.zeros(3, np.float32), "softmax"),))
    saved_model.save(saved_model.stitch(encoder, head, name), tmp_path / "m.h5")
    assert inspect(tmp_path / "m.h5")[1] == 3
