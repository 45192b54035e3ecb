"""Let `torchvision` be imported where its build does not fit that of torch; nothing is computed with it.

A package index may have torch for CPUs alone and torchvision for CUDA alone. Its compiled operators cannot be loaded
then, and the shapes that it wants to register for them have no operator to belong to.
"""

import torch

torch.library.register_fake = lambda *names, **options: lambda function: function
