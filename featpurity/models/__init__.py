"""A name or a file becomes a CLIP model whose towers end in linear projections."""
