"""Text in, text out: caption files, swaps and nearest captions. No image, no model."""
