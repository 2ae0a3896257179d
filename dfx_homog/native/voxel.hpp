// Kernels of the voxel solver on one rank's slab. No MPI here: ghost layers are filled by the caller.
//
// All fields are padded, (m0 + 2)(m1 + 2)(m2 + 2), one ghost layer around the m0 x m1 x m2 unknowns of this rank.
// fv: unknown i is the centre of voxel i, k[i] its conductivity. q1: unknown i is the lower corner of voxel i.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dfx_homog
{
enum class Scheme
{
  product,  ///< fv, conductivities 0 or 1: face transmissibility k_i k_j
  harmonic, ///< fv, any conductivity: 2 k_i k_j / (k_i + k_j)
  q1,       ///< trilinear finite elements, k per element
};

/// Operator on one slab.
struct VoxelShape
{
  Scheme scheme;
  std::ptrdiff_t m[3];
  double h[3];
  double w[3]; ///< fv: weight of a face normal to the axis, voxel volume / h^2
  double c[8]; ///< q1: energy coefficient of the element's Haar modes, bit 2, 1, 0: difference along axis 0, 1, 2

  std::ptrdiff_t row() const { return m[2] + 2; }
  std::ptrdiff_t plane() const { return (m[1] + 2) * row(); }
  std::ptrdiff_t size() const { return (m[0] + 2) * plane(); }
  std::ptrdiff_t at(std::ptrdiff_t z, std::ptrdiff_t y, std::ptrdiff_t x) const
  {
    return (z + 1) * plane() + (y + 1) * row() + x + 1;
  }
};

/// Kernels for fields of type Real and conductivities of type K. `inverse` is 1/diagonal, 0 at fixed nodes (q1 only;
/// null for fv, whose diagonal costs less to compute than to read).
template <typename Real, typename K>
struct VoxelKernels
{
  /// out = A u; returns u . out
  double (*apply)(const VoxelShape&, const K*, const float* inverse, const Real* u, Real* out);
  /// out = c u + a out + b D^-1 (r - A u)
  void (*smooth)(const VoxelShape&, const K*, const float* inverse, const Real* u, const Real* r, double c, double a,
                 double b, Real* out);
  /// coarse[aggregate[i]] += (r - A u)_i
  void (*restrict_residual)(const VoxelShape&, const K*, const float* inverse, const Real* u, const Real* r,
                            const std::int32_t* aggregate, double* coarse);
  /// diagonal of A
  void (*diagonal)(const VoxelShape&, const K*, Real* out);
  /// out = b D^-1 r
  void (*jacobi)(const VoxelShape&, const K*, const float* inverse, const Real* r, double b, Real* out);
  /// int A grad u . grad v over the faces (fv) or elements (q1) from index `low` on
  double (*energy)(const VoxelShape&, const K*, const Real* u, const Real* v, const int* low);
  /// int (A grad u)_a for the axes a = 0, 1, 2
  void (*flux)(const VoxelShape&, const K*, const Real* u, const int* low, double* out);
};

/// Kernels on whole padded arrays (their ghosts hold zero in r and A p).
template <typename Real>
struct VectorKernels
{
  /// x += alpha p, r -= alpha q, copy = r; returns r . r
  double (*update)(std::ptrdiff_t n, double alpha, const double* p, const double* q, double* x, double* r,
                   Real* copy);
  /// p = z + beta p
  void (*direction)(std::ptrdiff_t n, const Real* z, double beta, double* p);
  /// r . z
  double (*dot)(std::ptrdiff_t n, const double* r, const Real* z);
  /// z_i += scale coarse[aggregate[i]]
  void (*prolong)(const VoxelShape&, const std::int32_t* aggregate, const double* coarse, double scale, Real* z);
};

struct VoxelTable
{
  VoxelKernels<float, float> single;
  VoxelKernels<double, float> mixed;
  VoxelKernels<double, double> full;
  VectorKernels<float> vector32;
  VectorKernels<double> vector64;
};

namespace generic
{
VoxelTable voxel_table();
}
namespace avx2
{
VoxelTable voxel_table();
}
namespace avx512
{
VoxelTable voxel_table();
}
} // namespace dfx_homog
