"""What tensorflow-addons says of the batches: each function's own single number, and contrastive_loss pair by pair."""

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa
from batches import MARGIN, TEMPERATURE, batches, numbers, pairs, write

# Every batch has another shape, so every call is traced anew, and TensorFlow warns of that.
tf.get_logger().setLevel("ERROR")
cases = {}
for name, (labels, embeddings) in batches().items():
    y = np.int32(labels)
    cases[name] = {
        "labels": labels,
        "embeddings": numbers(embeddings),
        "temperature": TEMPERATURE,
        "margin": MARGIN,
        # "L2" is the Euclidean distance; "squared-L2" would be its square.
        "npairs": numbers(tfa.losses.npairs_loss(y, embeddings @ embeddings.T / np.float32(TEMPERATURE))),
        "semihard": numbers(tfa.losses.triplet_semihard_loss(y, embeddings, MARGIN, "L2")),
        "hard": numbers(tfa.losses.triplet_hard_loss(y, embeddings, MARGIN, False, "L2")),
        "hard_soft": numbers(tfa.losses.triplet_hard_loss(y, embeddings, MARGIN, True, "L2")),
    }
same, distances = pairs()
cases["of pairs"] = {
    "same": same,
    "distances": numbers(distances),
    "margin": 1.0,
    "contrastive": numbers(tfa.losses.contrastive_loss(np.float32(same), distances, 1.0)),
}
write("tfa", {"tensorflow-addons": tfa.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}, cases)
