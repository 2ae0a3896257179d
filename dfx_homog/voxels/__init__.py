"""Voxel images: distributed grids, images and random media, topology, statistics and solvers on voxels."""
