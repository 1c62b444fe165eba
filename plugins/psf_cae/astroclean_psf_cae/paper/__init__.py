"""The variant `paper`: the convolutional autoencoder of Sreejith et al. (2023), as published."""
