"""Images that share pixels: keypoints, candidate pairs, verification on pixels, in eight orientations."""
