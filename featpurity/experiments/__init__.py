"""One module a chapter: loaded models, data and settings in, tidy tables and effects out."""
