"""The stages of post-training quantization, from a float network to stored numbers, in the order of recipe.STAGES."""
