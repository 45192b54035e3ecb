"""Features of frozen encoders: engines that compute them, and the store that keeps them."""
