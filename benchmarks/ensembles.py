"""Two backbones apart and joined: do their features together tell more than those of one?

Run:      python benchmarks/ensembles.py --data DIR [--folds 5]
Takes:    some minutes for NEU with --folds 5 on 2 cores.
Demo:     --data demo takes whatever weights are found, random ones if none are; the preset below.
Source:   Besbes, "eight tips for visual similarity", on whale flukes: the embeddings of two models, one behind the
          other, as one.
Reported: they retrieve better than those of either model.
Measured: NEU, --folds 5, accuracy of linear / softmax / knn in %: mobilenet_v2 99.4 / 99.4 / 98.3, mobilenet_v2_035
          99.2 / 99.6 / 98.5, joined 99.8 / 99.6 / 98.4. None of the differences of a method is shown to be real.
Here:     frozen backbones; `a+b` has the pooled features of both, and takes the time of both for each image. These two
          were trained on the same images; backbones of other kinds may err on other ones.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Knn, Linear, Softmax

BACKBONES = ("mobilenet_v2", "mobilenet_v2_035")
EXPERIMENTS = [
    Experiment(backbone=backbone, method=method)
    for backbone in (*BACKBONES, "+".join(BACKBONES))
    for method in (Linear(), Softmax(), Knn())
]
DEMO = {"weights": "auto"}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
