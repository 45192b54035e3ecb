"""`predict.py` beside an exported file: answers with the format's runtime, NumPy and OpenCV, without steelbench."""

from __future__ import annotations

_COMMON = '''"""Print the answers of {file} on image files as lines of JSON: python predict.py IMAGE...

pip install {packages} numpy opencv-python-headless
"""
import json
import sys
from pathlib import Path

import cv2
import numpy as np
{opening}

def read(path):
    """Return raw pixels, float32 [1, height, width, 3], RGB, 0..255: the network resizes and preprocesses itself."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise SystemExit(f"{{path}} is no image of 8 or 16 bits")
    if image.dtype == np.uint16:
        image = np.rint(image * np.float32(255 / (2 ** (contract["bit_depth"] or 16) - 1)))
        if image.max() > 255:
            raise SystemExit(f"{{path}} has more than {{contract['bit_depth']}} bits")
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2RGB)[None]


for path in sys.argv[1:]:
    own = [float(value) for value in probabilities(read(path))[0]]
    best = max(range(len(own)), key=own.__getitem__)
    answer = {{"path": path, "class": contract["classes"][best], "probability": own[best]}}
    if contract["threshold"] is not None:
        answer["uncertain"] = own[best] < contract["threshold"]
    print(json.dumps({{**answer, "probabilities": dict(zip(contract["classes"], own))}}))
'''

_ONNX = """import onnxruntime

HERE = Path(__file__).resolve().parent
session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
contract = json.loads(session.get_modelmeta().custom_metadata_map["steelbench"])


def probabilities(images):
    return session.run(["probabilities"], {"image": images})[0]
"""
_OPENVINO = """import openvino

HERE = Path(__file__).resolve().parent
core = openvino.Core()
model = core.read_model(HERE / "model.xml")
contract = json.loads(model.get_rt_info(["steelbench"]).astype(str))
# In float32: OpenVINO's own default is bfloat16 where the processor has it.
compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def probabilities(images):
    return compiled({"image": images})["probabilities"]
"""
_LITERT = """import zipfile

from ai_edge_litert.interpreter import Interpreter

FILE = str(Path(__file__).resolve().parent / "model.tflite")
contract = json.loads(zipfile.ZipFile(FILE).read("steelbench.json"))
interpreter = Interpreter(model_path=FILE)
taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]


def probabilities(images):
    interpreter.resize_tensor_input(taken, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken, images)
    interpreter.invoke()
    return interpreter.get_tensor(given)
"""
_SAVED_MODEL = """import tensorflow as tf

FOLDER = Path(__file__).resolve().parent / "model"
contract = json.loads((FOLDER / "assets.extra" / "steelbench.json").read_text())
loaded = tf.saved_model.load(str(FOLDER))


def probabilities(images):
    return loaded.signatures["serving_default"](image=tf.constant(images))["probabilities"].numpy()
"""
_KERAS = """import zipfile

import keras

FILE = Path(__file__).resolve().parent / "model.keras"
contract = json.loads(zipfile.ZipFile(FILE).read("steelbench.json"))
network = keras.models.load_model(FILE, compile=False)


def probabilities(images):
    return keras.ops.convert_to_numpy(network(images, training=False))
"""
_SCRIPTS = {
    "onnx": ("model.onnx", "onnxruntime", _ONNX),
    "openvino": ("model.xml", "openvino", _OPENVINO),
    "openvino-int8": ("model.xml, 8-bit integers", "openvino", _OPENVINO),
    "litert": ("model.tflite", "ai-edge-litert", _LITERT),
    "savedmodel": ("the folder model", "tensorflow", _SAVED_MODEL),
    "keras": ("model.keras", "keras tensorflow", _KERAS),
}


def script(name: str) -> str:
    """Return the text of `predict.py` for a format, or for `openvino-int8`."""
    file, packages, opening = _SCRIPTS[name]
    return _COMMON.format(file=file, packages=packages, opening=opening)
