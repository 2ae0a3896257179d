"""A checked run file as the models see it: all numbers dimensionless, and the way back to SI."""
