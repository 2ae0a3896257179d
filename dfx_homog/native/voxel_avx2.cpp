// The voxel kernels for x86-64-v3 (AVX2).
#include "voxel.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v3")
#endif
#define VOXEL_ISA avx2
#include "voxel_kernels.hpp"
