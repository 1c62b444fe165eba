"""The network of the talk (Lauritsen et al. 2021): a U-Net on the map at 250 um alone."""
