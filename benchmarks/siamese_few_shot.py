"""A Siamese network with triplets on images of even brightness, and what few images of a class are worth in it.

Run:      python benchmarks/siamese_few_shot.py --data DIR --homogenize global [--seeds 3]
Demo:     --data demo takes whatever weights are found, random ones if none are; the preset below.
Source:   Viek, "Metric learning for steel surface classification", part 2, on NEU: the global mean brightness is
          subtracted; a frozen ResNet18 whose fully connected embedding alone learns; triplet loss on Euclidean
          distances, batch 32, Adam 5e-5 with beta .9/.99, 30 epochs.
Reported: a loss of about 1/8 of its start; distances that are larger between classes on average, with overlaps.
Measured: not with ResNet18's weights, which were not at hand. mobilenet_v2 in its place, NEU, 3 seeds: accuracy 99.8 %,
          one image of each class names 99 % of the others (75 % by the backbone's features).
Here:     ResNet18 comes from KerasHub (pip install 'steelbench[hub]'); resnet50 takes its place, loudly, where that is
          not installed. The mean is that of the training images, never of a class, which nobody knows at test time.
          The report's section Embeddings has the accuracy with 1 and with 5 images of each class: of the triplets'
          embedding, and, in the row softmax, of the plain features.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Softmax, Triplet

BACKBONE = "hub:resnet_18_imagenet"
EXPERIMENTS = [
    Experiment(backbone=BACKBONE, method=Triplet()),
    Experiment(backbone=BACKBONE, method=Softmax()),
]
DEMO = {"weights": "auto", "homogenize": "global", "image_size": 96}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
