"""What numbers of a run file are made of: expressions, parameter sets, BPX files, scales and units."""
