"""The far-infrared sky: galaxies that nobody resolves, as Herschel/SPIRE and SCUBA-2 see them."""
