"""Softmax heads on the four frozen backbones that matter most.

Run:      python benchmarks/compare_backbones.py --data DIR        (options as for `steelbench run`)
Demo:     --data demo takes whatever weights are found, random ones if none are; the preset below.
Source:   Maddali, "Detect the defects in steel with CNNs and transfer learning": frozen backbones and a Dense head on
          Severstal. Its /255 for every backbone, its split by rows and its missing test set are not repeated here.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Softmax

EXPERIMENTS = [
    Experiment(backbone=name, method=Softmax()) for name in ("vgg19", "efficientnet_b0", "xception", "inception_v3")
]
DEMO = {"weights": "auto"}

if __name__ == "__main__":
    from steelbench.__main__ import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
