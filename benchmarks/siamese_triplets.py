"""A Siamese network with triplets on images of even brightness.

Run:      python benchmarks/siamese_triplets.py --data DIR --homogenize global [--seeds 3]
Demo:     --data demo takes whatever weights are found, random ones if none are; the preset below.
Source:   Viek, "Metric learning for steel surface classification", part 2, on NEU: the global mean brightness is
          subtracted; a frozen ResNet18 whose fully connected embedding alone learns; triplet loss on Euclidean
          distances, batch 32, Adam 5e-5 with beta .9/.99, 30 epochs. It reports a loss of about 1/8 of its start and
          distances that are larger between classes on average, with overlaps.
Here:     resnet50, because Keras has no ResNet18. The mean is that of the training images, never of a class, which
          nobody knows at test time.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Softmax, Triplet

EXPERIMENTS = [
    Experiment(backbone="resnet50", method=Triplet()),
    Experiment(backbone="resnet50", method=Softmax()),
]
DEMO = {"weights": "auto", "homogenize": "global"}

if __name__ == "__main__":
    from steelbench.__main__ import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
