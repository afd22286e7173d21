"""Learn where the loss is high: fit the ensemble, bridge text to image space, weigh the evidence, give a verdict."""
