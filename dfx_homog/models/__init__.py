"""What is coupled to what: cell problems, particle problems, the resolved and the homogenised model."""
