"""The compiled floor: kernels on plain addresses, which know no nouns.

A kernel is a Python function `(args, arena)` of two addresses, made by a factory: `args` points to int64 numbers (sizes, offsets
into the arena, addresses of constants), `arena` to the memory that holds all tensors of one run.  `compiling` turns it into machine
code once and keeps the object code on disk; `raw` gives typed views of addresses.
"""
