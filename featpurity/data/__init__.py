"""A name or a folder becomes images or pairs. No model."""
