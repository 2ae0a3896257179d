"""The equations, term by term, in pure UFL: no meshes, no solvers, no files.

Every function returns a flux, a rate or a weak residual and states it in its docstring in the symbols of
docs/theory.md. The resolved and the homogenised model, and the manufactured solutions, use the same functions.
"""
