// The voxel kernels for any processor.
#include "voxel.hpp"

#define VOXEL_ISA generic
#include "voxel_kernels.hpp"
