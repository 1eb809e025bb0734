"""The second network: reads strokes, and answers ink beside the network for images."""
