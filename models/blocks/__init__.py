"""The pieces that models are made of."""
