"""The battery level (MODEL section 6, [H] 5): macro heat equation, cell models at groups of its points, coupling.

laminate   K_batt and theta_batt of one meso cell and its extra layers
domain     meshes of the battery: boxes, cylinders, files; named faces; groups
heat       theta_batt d_t T = div(K_batt grad T) + Q_batt, one implicit step
cells      one cell model a rank, and the states of all groups that the rank has
model      both together, as a model that goes through a protocol
"""
