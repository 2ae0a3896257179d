"""Parameters of the models: expressions in the unknowns, and everything dimensionless in one object."""
