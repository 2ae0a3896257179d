// The voxel kernels for x86-64-v4 (AVX-512).
#include "voxel.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif
#define VOXEL_ISA avx512
#include "voxel_kernels.hpp"
