"""Networks in Keras 3: the finder, the profiles, and the one of the paper."""
