"""Cells with computed microstructures for other programs: BPX files and parameter values of PyBaMM."""
