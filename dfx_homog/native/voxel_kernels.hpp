// Loops of the voxel solver; included once for every instruction set, inside its own namespace VOXEL_ISA
// (voxel_generic.cpp, voxel_avx2.cpp, voxel_avx512.cpp), so that one binary runs on every node of a cluster.

namespace dfx_homog
{
namespace VOXEL_ISA
{
using Index = std::ptrdiff_t;

// Zeroed memory. Not std::vector: its functions would be shared with code for processors without these instructions.
template <typename T>
struct Buffer
{
  explicit Buffer(Index n) : data(new T[n]()) {}
  ~Buffer() { delete[] data; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data;
};

// Sums in 16 fixed lanes: vectorised without reassociation by the compiler, the same on every instruction set.
template <typename A, typename B>
inline double dot_row(const A* __restrict a, const B* __restrict b, Index n)
{
  double lane[16] = {};
  Index i = 0;
  for (; i + 16 <= n; i += 16)
    for (int l = 0; l < 16; ++l)
      lane[l] += double(a[i + l]) * double(b[i + l]);
  double sum = 0;
  for (; i < n; ++i)
    sum += double(a[i]) * double(b[i]);
  for (const double part : lane)
    sum += part;
  return sum;
}

// Two faces of one axis: flux towards voxel i and its part of the diagonal, both divided by k_i.
template <bool harmonic, typename Real>
inline void face_pair(Real ki, Real ka, Real kb, Real ui, Real ua, Real ub, Real& flux, Real& diagonal)
{
  if constexpr (harmonic)
  {
    constexpr Real tiny = Real(1e-18); // no 0/0 between two insulators; its square is still a normal float
    const Real da = ki + ka + tiny, db = ki + kb + tiny;
    const Real both = Real(2) / (da * db);
    const Real ta = ka * db * both, tb = kb * da * both;
    flux = ta * (ui - ua) + tb * (ui - ub);
    diagonal = ta + tb;
  }
  else
  {
    flux = ka * (ui - ua) + kb * (ui - ub);
    diagonal = ka + kb;
  }
}

template <bool harmonic, typename Real, typename K>
inline void fv_row(const VoxelShape& s, const K* __restrict k, const Real* __restrict u, Real* __restrict y,
                   Real* __restrict inverse)
{
  const Index n = s.m[2], row = s.row(), plane = s.plane();
  const Real w0 = Real(s.w[0]), w1 = Real(s.w[1]), w2 = Real(s.w[2]);
#pragma GCC ivdep
  for (Index x = 0; x < n; ++x)
  {
    const Real ki = Real(k[x]);
    Real f0, f1, f2, d0, d1, d2;
    face_pair<harmonic, Real>(ki, Real(k[x - plane]), Real(k[x + plane]), u[x], u[x - plane], u[x + plane], f0, d0);
    face_pair<harmonic, Real>(ki, Real(k[x - row]), Real(k[x + row]), u[x], u[x - row], u[x + row], f1, d1);
    face_pair<harmonic, Real>(ki, Real(k[x - 1]), Real(k[x + 1]), u[x], u[x - 1], u[x + 1], f2, d2);
    y[x] = ki * (w0 * f0 + w1 * f1 + w2 * f2);
    const Real d = ki * (w0 * d0 + w1 * d1 + w2 * d2);
    inverse[x] = d > Real(0) ? Real(1) / d : Real(0);
  }
}

// Adds the elements of one row, between the node rows (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1), to A u.
// K_e = H^T diag(k c) H with the Haar transform H of the element's eight nodes. `work`: 10 rows.
template <typename Real, typename K>
inline void q1_row(const VoxelShape& s, const K* __restrict k, const Real* __restrict a, Real* __restrict lower,
                   Real* __restrict upper, Real* __restrict work)
{
  const Index n = s.m[2] + 1, row = s.row(), plane = s.plane(); // elements; nodes are n + 1
  const Real *b = a + row, *c = a + plane, *d = a + plane + row;
  Real *ss = work, *sd = work + row, *ds = work + 2 * row, *dd = work + 3 * row;
#pragma GCC ivdep
  for (Index x = 0; x <= n; ++x)
  {
    const Real p = a[x] + b[x], q = a[x] - b[x], r = c[x] + d[x], t = c[x] - d[x];
    ss[x] = p + r, sd[x] = q + t, ds[x] = p - r, dd[x] = q - t;
  }
  // Mode m of axes 0, 1 (bits 2, 1 of c): k times sum and difference along axis 2 of every element, then its nodes.
  Real* __restrict S = work + 4 * row;
  Real* __restrict D = work + 5 * row;
  for (Index m = 0; m < 4; ++m)
  {
    const Real* __restrict v = work + m * row;
    Real* __restrict node = work + (6 + m) * row;
    const Real even = Real(s.c[2 * m]), odd = Real(s.c[2 * m + 1]);
#pragma GCC ivdep
    for (Index x = 0; x < n; ++x)
    {
      const Real kx = Real(k[x]);
      S[x] = kx * even * (v[x] + v[x + 1]);
      D[x] = kx * odd * (v[x] - v[x + 1]);
    }
#pragma GCC ivdep
    for (Index x = 1; x < n; ++x)
      node[x] = (S[x] + S[x - 1]) + (D[x] - D[x - 1]);
  }
  const Real* __restrict q0 = work + 6 * row;
  const Real* __restrict q1 = q0 + row;
  const Real* __restrict q2 = q1 + row;
  const Real* __restrict q3 = q2 + row;
#pragma GCC ivdep
  for (Index x = 1; x < n; ++x)
  {
    const Real p = q0[x] + q2[x], q = q1[x] + q3[x], r = q0[x] - q2[x], t = q1[x] - q3[x];
    lower[x] += p + q;
    lower[x + row] += p - q;
    upper[x] += r + t;
    upper[x + row] += r - t;
  }
}

// Calls sink(offset of the row, (A u) row, inverse diagonal row) for every row of unknowns.
template <typename Real, typename K, typename Sink>
inline void sweep(const VoxelShape& s, const K* k, const float* inverse, const Real* u, Sink&& sink)
{
  const Index row = s.row();
  if (s.scheme != Scheme::q1)
  {
    Buffer<Real> buffer(2 * row);
    Real *y = buffer.data, *inv = y + row;
    for (Index z = 0; z < s.m[0]; ++z)
      for (Index j = 0; j < s.m[1]; ++j)
      {
        const Index i = s.at(z, j, 0);
        if (s.scheme == Scheme::product)
          fv_row<false>(s, k + i, u + i, y, inv);
        else
          fv_row<true>(s, k + i, u + i, y, inv);
        sink(i, y, inv);
      }
    return;
  }
  Buffer<Real> sums(2 * s.plane()), work(10 * row);
  for (Index e = -1; e < s.m[0]; ++e)
  {
    Real* lower = sums.data + ((e + 1) % 2) * s.plane();
    Real* upper = sums.data + ((e + 2) % 2) * s.plane();
    for (Index i = 0; i < s.plane(); ++i)
      upper[i] = Real(0);
    for (Index j = -1; j < s.m[1]; ++j)
    {
      const Index i = s.at(e, j, -1);
      q1_row(s, k + i, u + i, lower + (j + 1) * row, upper + (j + 1) * row, work.data);
    }
    if (e >= 0)
      for (Index j = 0; j < s.m[1]; ++j)
      {
        const Index i = s.at(e, j, 0);
        sink(i, lower + (j + 1) * row + 1, inverse + i);
      }
  }
}

template <typename Real, typename K>
double apply(const VoxelShape& s, const K* k, const float* inverse, const Real* u, Real* out)
{
  const Index n = s.m[2];
  double sum = 0;
  sweep(s, k, inverse, u,
        [&](Index i, const Real* __restrict y, const auto* __restrict inv)
        {
          Real* __restrict o = out + i;
#pragma GCC ivdep
          for (Index x = 0; x < n; ++x)
            o[x] = inv[x] > 0 ? y[x] : Real(0);
          sum += dot_row(u + i, o, n);
        });
  return sum;
}

template <typename Real, typename K>
void smooth(const VoxelShape& s, const K* k, const float* inverse, const Real* u, const Real* r, double c, double a,
            double b, Real* out)
{
  const Index n = s.m[2];
  const Real cc = Real(c), aa = Real(a), bb = Real(b);
  sweep(s, k, inverse, u,
        [&](Index i, const Real* __restrict y, const auto* __restrict inv)
        {
          Real* __restrict o = out + i;
          const Real *__restrict ui = u + i, *__restrict ri = r + i;
          if (aa == Real(0)) // `out` may hold anything
          {
#pragma GCC ivdep
            for (Index x = 0; x < n; ++x)
              o[x] = cc * ui[x] + bb * Real(inv[x]) * (ri[x] - y[x]);
          }
          else
          {
#pragma GCC ivdep
            for (Index x = 0; x < n; ++x)
              o[x] = cc * ui[x] + aa * o[x] + bb * Real(inv[x]) * (ri[x] - y[x]);
          }
        });
}

template <typename Real, typename K>
void restrict_residual(const VoxelShape& s, const K* k, const float* inverse, const Real* u, const Real* r,
                       const std::int32_t* aggregate, double* coarse)
{
  const Index n = s.m[2];
  Buffer<Real> buffer(n + 1);
  Real* __restrict d = buffer.data;
  sweep(s, k, inverse, u,
        [&](Index i, const Real* __restrict y, const auto*)
        {
          const Real* __restrict ri = r + i;
          const std::int32_t* g = aggregate + i;
#pragma GCC ivdep
          for (Index x = 0; x < n; ++x)
            d[x] = ri[x] - y[x];
          Index x = 0;
          for (; x + 1 < n; x += 2) // two neighbours mostly belong to one aggregate
          {
            if (g[x] == g[x + 1])
              coarse[g[x]] += double(d[x]) + double(d[x + 1]);
            else
            {
              coarse[g[x]] += double(d[x]);
              coarse[g[x + 1]] += double(d[x + 1]);
            }
          }
          if (x < n)
            coarse[g[x]] += double(d[x]);
        });
}

template <typename Real, typename K>
void diagonal(const VoxelShape& s, const K* k, Real* out)
{
  const Index row = s.row(), plane = s.plane();
  double cd = 0;
  for (const double c : s.c)
    cd += c;
  Buffer<Real> zero(s.scheme == Scheme::q1 ? 0 : 3 * plane), buffer(2 * row);
  for (Index z = 0; z < s.m[0]; ++z)
    for (Index j = 0; j < s.m[1]; ++j)
    {
      const Index i = s.at(z, j, 0);
      if (s.scheme == Scheme::q1)
      {
        const K *p = k + i, *q = k + i - plane;
        for (Index x = 0; x < s.m[2]; ++x)
          out[i + x] = Real(cd * (double(p[x]) + p[x - 1] + p[x - row] + p[x - row - 1] + q[x] + q[x - 1]
                                  + q[x - row] + q[x - row - 1]));
        continue;
      }
      const Real* u = zero.data + s.at(0, j, 0);
      if (s.scheme == Scheme::product)
        fv_row<false>(s, k + i, u, buffer.data, buffer.data + row);
      else
        fv_row<true>(s, k + i, u, buffer.data, buffer.data + row);
      for (Index x = 0; x < s.m[2]; ++x)
        out[i + x] = buffer.data[row + x] > Real(0) ? Real(1) / buffer.data[row + x] : Real(0);
    }
}

template <bool harmonic, typename Real, typename K>
inline void jacobi_fv(const VoxelShape& s, const K* __restrict k, const Real* __restrict r, Real b,
                      Real* __restrict out)
{
  const Index n = s.m[2], row = s.row(), plane = s.plane();
  const Real w0 = Real(s.w[0]), w1 = Real(s.w[1]), w2 = Real(s.w[2]);
#pragma GCC ivdep
  for (Index x = 0; x < n; ++x)
  {
    const Real ki = Real(k[x]), o = Real(0);
    Real f, d0, d1, d2;
    face_pair<harmonic, Real>(ki, Real(k[x - plane]), Real(k[x + plane]), o, o, o, f, d0);
    face_pair<harmonic, Real>(ki, Real(k[x - row]), Real(k[x + row]), o, o, o, f, d1);
    face_pair<harmonic, Real>(ki, Real(k[x - 1]), Real(k[x + 1]), o, o, o, f, d2);
    const Real d = ki * (w0 * d0 + w1 * d1 + w2 * d2);
    out[x] = d > o ? b * r[x] / d : o;
  }
}

template <typename Real, typename K>
void jacobi(const VoxelShape& s, const K* k, const float* inverse, const Real* r, double b, Real* out)
{
  const Index n = s.m[2];
  const Real bb = Real(b);
  for (Index z = 0; z < s.m[0]; ++z)
    for (Index j = 0; j < s.m[1]; ++j)
    {
      const Index i = s.at(z, j, 0);
      if (s.scheme == Scheme::product)
        jacobi_fv<false>(s, k + i, r + i, bb, out + i);
      else if (s.scheme == Scheme::harmonic)
        jacobi_fv<true>(s, k + i, r + i, bb, out + i);
      else
      {
        const float* __restrict inv = inverse + i;
        const Real* __restrict ri = r + i;
        Real* __restrict o = out + i;
#pragma GCC ivdep
        for (Index x = 0; x < n; ++x)
          o[x] = bb * Real(inv[x]) * ri[x];
      }
    }
}

// The sum of T (u_{i+1} - u_i)(v_{i+1} - v_i), or with v null of T (u_{i+1} - u_i), over a row of faces.
template <typename Real, typename K>
inline double face_row(bool harmonic, const K* __restrict k, const Real* __restrict u, const Real* __restrict v,
                       Index step, Index n, double* __restrict t, double* __restrict d)
{
#pragma GCC ivdep
  for (Index x = 0; x < n; ++x)
  {
    const double ka = k[x], kb = k[x + step];
    t[x] = harmonic ? 2 * ka * kb / (ka + kb + 1e-300) : ka * kb;
  }
#pragma GCC ivdep
  for (Index x = 0; x < n; ++x)
    d[x] = double(u[x + step]) - double(u[x]);
  if (v)
  {
#pragma GCC ivdep
    for (Index x = 0; x < n; ++x)
      t[x] *= double(v[x + step]) - double(v[x]);
  }
  return dot_row(t, d, n);
}

template <typename Real, typename K>
inline void fv_faces(const VoxelShape& s, const K* k, const Real* u, const Real* v, const int* low, double* sums)
{
  const bool harmonic = s.scheme == Scheme::harmonic;
  Buffer<double> t(s.row()), d(s.row());
  for (Index z = low[0]; z < s.m[0]; ++z)
    for (Index j = low[1]; j < s.m[1]; ++j)
    {
      const Index i = s.at(z, j, 0);
      const auto row = [&](int axis, Index first, Index step)
      {
        sums[axis] += face_row(harmonic, k + i + first, u + i + first, v ? v + i + first : nullptr, step,
                               s.m[2] - first, t.data, d.data);
      };
      if (j >= 0)
        row(0, 0, s.plane());
      if (z >= 0)
        row(1, 0, s.row());
      if (z >= 0 && j >= 0)
        row(2, low[2], 1);
    }
}

// Haar modes of axes 0 and 1 (sums and differences of the four node rows around a row of elements), n + 1 nodes.
template <typename Real>
inline void haar_rows(const VoxelShape& s, const Real* __restrict a, Index n, double* __restrict out)
{
  const Index row = s.row();
  const Real *__restrict b = a + row, *__restrict c = a + s.plane(), *__restrict d = c + row;
#pragma GCC ivdep
  for (Index x = 0; x <= n; ++x)
  {
    const double p = double(a[x]) + b[x], q = double(a[x]) - b[x], r = double(c[x]) + d[x], t = double(c[x]) - d[x];
    out[x] = p + r;
    out[x + row] = q + t;
    out[x + 2 * row] = p - r;
    out[x + 3 * row] = q - t;
  }
}

// Sums over the elements of k c_m (H u)_m (H v)_m, or with v null of k (H u)_m for the modes of the mean gradient.
template <typename Real, typename K>
inline void q1_elements(const VoxelShape& s, const K* k, const Real* u, const Real* v, double* sums)
{
  const Index n = s.m[2], row = s.row();
  const Buffer<double> hu(4 * row), hv(4 * row), product(row), weight(row);
  double* __restrict f = product.data;
  double* __restrict kk = weight.data;
  for (Index z = 0; z < s.m[0]; ++z)
    for (Index j = 0; j < s.m[1]; ++j)
    {
      const Index i = s.at(z, j, 0);
#pragma GCC ivdep
      for (Index x = 0; x < n; ++x)
        kk[x] = double(k[i + x]);
      haar_rows(s, u + i, n, hu.data);
      if (v)
        haar_rows(s, v + i, n, hv.data);
      for (int m = 0; m < 4; ++m)
        for (int odd = 0; odd < 2; ++odd)
        {
          const double* __restrict p = hu.data + m * row;
          const double* __restrict q = hv.data + m * row;
          const double sign = odd ? -1 : 1;
          const int mode = 2 * m + odd;
          if (v and mode > 0)
          {
#pragma GCC ivdep
            for (Index x = 0; x < n; ++x)
              f[x] = (p[x] + sign * p[x + 1]) * (q[x] + sign * q[x + 1]);
            sums[0] += s.c[mode] * dot_row(f, kk, n);
          }
          else if (!v and (mode == 1 or mode == 2 or mode == 4))
          {
#pragma GCC ivdep
            for (Index x = 0; x < n; ++x)
              f[x] = p[x] + sign * p[x + 1];
            sums[mode == 4 ? 0 : mode == 2 ? 1 : 2] += dot_row(f, kk, n);
          }
        }
    }
}

template <typename Real, typename K>
double energy(const VoxelShape& s, const K* k, const Real* u, const Real* v, const int* low)
{
  double sums[3] = {};
  if (s.scheme == Scheme::q1)
  {
    q1_elements(s, k, u, v, sums);
    return sums[0];
  }
  fv_faces(s, k, u, v, low, sums);
  return s.w[0] * sums[0] + s.w[1] * sums[1] + s.w[2] * sums[2];
}

template <typename Real, typename K>
void flux(const VoxelShape& s, const K* k, const Real* u, const int* low, double* out)
{
  double sums[3] = {};
  const bool q1 = s.scheme == Scheme::q1;
  if (q1)
    q1_elements(s, k, u, static_cast<const Real*>(nullptr), sums);
  else
    fv_faces(s, k, u, static_cast<const Real*>(nullptr), low, sums);
  const double volume = s.h[0] * s.h[1] * s.h[2];
  for (int a = 0; a < 3; ++a) // the Haar difference is lower minus upper, over four edges
    out[a] = q1 ? -sums[a] * volume / (4 * s.h[a]) : s.w[a] * s.h[a] * sums[a];
}

template <typename Real>
double update(Index n, double alpha, const double* __restrict p, const double* __restrict q, double* __restrict x,
              double* __restrict r, Real* __restrict copy)
{
  double sum = 0;
  constexpr Index piece = 512; // stays in the first-level cache
  for (Index first = 0; first < n; first += piece)
  {
    const Index last = first + piece < n ? first + piece : n;
#pragma GCC ivdep
    for (Index i = first; i < last; ++i)
    {
      x[i] += alpha * p[i];
      r[i] -= alpha * q[i];
      copy[i] = Real(r[i]);
    }
    sum += dot_row(r + first, r + first, last - first);
  }
  return sum;
}

template <typename Real>
void direction(Index n, const Real* __restrict z, double beta, double* __restrict p)
{
#pragma GCC ivdep
  for (Index i = 0; i < n; ++i)
    p[i] = double(z[i]) + beta * p[i];
}

template <typename Real>
double dot(Index n, const double* r, const Real* z)
{
  return dot_row(r, z, n);
}

template <typename Real>
void prolong(const VoxelShape& s, const std::int32_t* aggregate, const double* coarse, double scale, Real* z)
{
  for (Index k = 0; k < s.m[0]; ++k)
    for (Index j = 0; j < s.m[1]; ++j)
    {
      const Index i = s.at(k, j, 0);
      const std::int32_t* __restrict g = aggregate + i;
      Real* __restrict zi = z + i;
#pragma GCC ivdep
      for (Index x = 0; x < s.m[2]; ++x)
        zi[x] += Real(scale * coarse[g[x]]);
    }
}

template <typename Real, typename K>
VoxelKernels<Real, K> kernels()
{
  return {apply<Real, K>,    smooth<Real, K>, restrict_residual<Real, K>, diagonal<Real, K>,
          jacobi<Real, K>, energy<Real, K>, flux<Real, K>};
}

template <typename Real>
VectorKernels<Real> vector_kernels()
{
  return {update<Real>, direction<Real>, dot<Real>, prolong<Real>};
}

VoxelTable voxel_table()
{
  return {kernels<float, float>(), kernels<double, float>(), kernels<double, double>(), vector_kernels<float>(),
          vector_kernels<double>()};
}
} // namespace VOXEL_ISA
} // namespace dfx_homog
