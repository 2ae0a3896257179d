// Python class VoxelStencil: the voxel solver's kernels on one rank's slab (dfx_homog/voxels/operators.py).
#include "voxel.hpp"
#include "voxel_aggregate.hpp"
#include "voxel_coarse.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace nb = nanobind;

namespace dfx_homog
{
namespace
{
template <typename T>
using Field = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

VoxelTable best_table()
{
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") and __builtin_cpu_supports("fma") and __builtin_cpu_supports("bmi")
      and __builtin_cpu_supports("bmi2"))
  {
    if (__builtin_cpu_supports("avx512f") and __builtin_cpu_supports("avx512bw")
        and __builtin_cpu_supports("avx512cd") and __builtin_cpu_supports("avx512dq")
        and __builtin_cpu_supports("avx512vl"))
      return avx512::voxel_table();
    return avx2::voxel_table();
  }
#endif
  return generic::voxel_table();
}

const VoxelTable& table()
{
  static const VoxelTable chosen = best_table();
  return chosen;
}

template <typename Real>
const VectorKernels<Real>& vectors()
{
  if constexpr (std::is_same_v<Real, float>)
    return table().vector32;
  else
    return table().vector64;
}

template <typename T>
nb::object owned(std::vector<T>&& values)
{
  auto* kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner));
}

class VoxelStencil
{
  template <typename A>
  void check(const A& a) const
  {
    for (int axis = 0; axis < 3; ++axis)
      if (std::ptrdiff_t(a.shape(axis)) != _shape.m[axis] + 2)
        throw std::invalid_argument("a field must have the padded shape of the slab");
  }
  const float* inverse() const
  {
    if (_shape.scheme == Scheme::q1 and not _inverse)
      throw std::invalid_argument("set_inverse first");
    return _inverse ? _inverse->data() : nullptr;
  }
  template <typename Real, typename F>
  auto with(F&& f) const
  {
    if constexpr (std::is_same_v<Real, float>)
      return f(table().single, _k.data());
    else if (_exact)
      return f(table().full, _exact->data());
    else
      return f(table().mixed, _k.data());
  }

  VoxelShape _shape{};
  Field<const float> _k;
  std::optional<Field<const double>> _exact;
  std::optional<Field<const float>> _inverse;

public:
  VoxelStencil(int scheme, std::array<std::int64_t, 3> shape, std::array<double, 3> h, std::array<double, 3> w,
               std::array<double, 8> c, Field<const float> k, std::optional<Field<const double>> exact)
      : _k(k), _exact(exact)
  {
    if (scheme < 0 or scheme > 2)
      throw std::invalid_argument("scheme must be 0, 1 or 2");
    _shape.scheme = static_cast<Scheme>(scheme);
    for (int a = 0; a < 3; ++a)
    {
      if (shape[a] < 1)
        throw std::invalid_argument("a slab needs at least one unknown along every axis");
      _shape.m[a] = shape[a], _shape.h[a] = h[a], _shape.w[a] = w[a];
    }
    for (int m = 0; m < 8; ++m)
      _shape.c[m] = c[m];
    check(k);
    if (exact)
      check(*exact);
  }

  void set_inverse(Field<const float> inverse)
  {
    check(inverse);
    _inverse = inverse;
  }

  template <typename Real>
  double apply(Field<const Real> u, Field<Real> out) const
  {
    check(u), check(out);
    return with<Real>([&](const auto& f, const auto* k)
                      { return f.apply(_shape, k, inverse(), u.data(), out.data()); });
  }
  template <typename Real>
  void smooth(Field<const Real> u, Field<const Real> r, double c, double a, double b, Field<Real> out) const
  {
    check(u), check(r), check(out);
    with<Real>([&](const auto& f, const auto* k)
               { f.smooth(_shape, k, inverse(), u.data(), r.data(), c, a, b, out.data()); });
  }
  template <typename Real>
  void jacobi(Field<const Real> r, double b, Field<Real> out) const
  {
    check(r), check(out);
    with<Real>([&](const auto& f, const auto* k)
               { f.jacobi(_shape, k, inverse(), r.data(), b, out.data()); });
  }
  template <typename Real>
  void diagonal(Field<Real> out) const
  {
    check(out);
    with<Real>([&](const auto& f, const auto* k) { f.diagonal(_shape, k, out.data()); });
  }
  template <typename Real>
  void restrict_residual(Field<const Real> u, Field<const Real> r, Field<const std::int32_t> aggregate,
                         Flat<double> coarse) const
  {
    check(u), check(r), check(aggregate);
    with<Real>(
        [&](const auto& f, const auto* k) {
          f.restrict_residual(_shape, k, inverse(), u.data(), r.data(), aggregate.data(), coarse.data());
        });
  }
  template <typename Real>
  void prolong(Field<const std::int32_t> aggregate, Flat<const double> coarse, double scale, Field<Real> z) const
  {
    check(aggregate), check(z);
    vectors<Real>().prolong(_shape, aggregate.data(), coarse.data(), scale, z.data());
  }
  double energy(Field<const double> u, Field<const double> v, std::array<int, 3> low) const
  {
    check(u), check(v);
    return with<double>([&](const auto& f, const auto* k)
                        { return f.energy(_shape, k, u.data(), v.data(), low.data()); });
  }
  std::tuple<double, double, double> flux(Field<const double> u, std::array<int, 3> low) const
  {
    check(u);
    double out[3];
    with<double>([&](const auto& f, const auto* k) { f.flux(_shape, k, u.data(), low.data(), out); });
    return {out[0], out[1], out[2]};
  }

  std::int32_t aggregate(double strong, Field<std::int32_t> out) const
  {
    check(out);
    return dfx_homog::aggregate(_shape, _k.data(), inverse(), strong, out.data());
  }
  nb::tuple coarse(Field<const std::int32_t> aggregate, std::int32_t first, std::int32_t rows, double shift) const
  {
    check(aggregate);
    // from rounded conductivities: it only preconditions
    CoarseMatrix a = coarse_matrix(_shape, _k.data(), aggregate.data(), first, rows, shift);
    return nb::make_tuple(owned(std::move(a.offsets)), owned(std::move(a.columns)), owned(std::move(a.values)));
  }
  /// (rows,) which block of 4 x 4 x 4 unknowns an aggregate lies in.
  nb::object blocks(Field<const std::int32_t> aggregate, std::int32_t first, std::int32_t rows) const
  {
    check(aggregate);
    std::vector<std::int32_t> out(rows);
    const std::ptrdiff_t n1 = (_shape.m[1] + 3) / 4, n2 = (_shape.m[2] + 3) / 4;
    for (std::ptrdiff_t z = 0; z < _shape.m[0]; ++z)
      for (std::ptrdiff_t y = 0; y < _shape.m[1]; ++y)
        for (std::ptrdiff_t x = 0; x < _shape.m[2]; ++x)
          if (const std::int32_t g = aggregate.data()[_shape.at(z, y, x)]; g >= 0)
            out[g - first] = static_cast<std::int32_t>((z / 4 * n1 + y / 4) * n2 + x / 4);
    return owned(std::move(out));
  }
  /// Global numbers of the own unknowns to local ones: -1 becomes `rows`, the place of a zero.
  void localise(Field<std::int32_t> aggregate, std::int32_t first, std::int32_t rows) const
  {
    check(aggregate);
    std::int32_t* g = aggregate.data();
    for (std::ptrdiff_t z = 0; z < _shape.m[0]; ++z)
      for (std::ptrdiff_t y = 0; y < _shape.m[1]; ++y)
        for (std::ptrdiff_t i = _shape.at(z, y, 0), end = i + _shape.m[2]; i < end; ++i)
          g[i] = g[i] < 0 ? rows : g[i] - first;
  }
  /// Periodic ghosts within the planes (axes 1 and 2), for all planes.
  template <typename T>
  void wrap(Field<T> u, bool axis1, bool axis2) const
  {
    check(u);
    const std::ptrdiff_t row = _shape.row(), n = _shape.m[2];
    for (std::ptrdiff_t z = -1; z <= _shape.m[0]; ++z)
    {
      T* plane = u.data() + _shape.at(z, -1, -1);
      if (axis2)
        for (std::ptrdiff_t y = 1; y <= _shape.m[1]; ++y)
        {
          T* r = plane + y * row;
          r[0] = r[n];
          r[n + 1] = r[1];
        }
      if (axis1)
      {
        std::copy(plane + _shape.m[1] * row, plane + (_shape.m[1] + 1) * row, plane);
        std::copy(plane + row, plane + 2 * row, plane + (_shape.m[1] + 1) * row);
      }
    }
  }
};

template <typename Real>
void vector_functions(nb::module_& m)
{
  m.def(
      "voxel_update",
      [](double alpha, Field<const double> p, Field<const double> q, Field<double> x, Field<double> r,
         Field<Real> copy)
      { return vectors<Real>().update(p.size(), alpha, p.data(), q.data(), x.data(), r.data(), copy.data()); },
      nb::arg("alpha"), nb::arg("p"), nb::arg("q"), nb::arg("x"), nb::arg("r"), nb::arg("copy").noconvert());
  m.def(
      "voxel_direction",
      [](Field<const Real> z, double beta, Field<double> p)
      { vectors<Real>().direction(p.size(), z.data(), beta, p.data()); },
      nb::arg("z").noconvert(), nb::arg("beta"), nb::arg("p"));
  m.def(
      "voxel_dot", [](Field<const double> r, Field<const Real> z)
      { return vectors<Real>().dot(r.size(), r.data(), z.data()); }, nb::arg("r"), nb::arg("z").noconvert());
}

template <typename Real>
void stencil_functions(nb::class_<VoxelStencil>& c)
{
  c.def("apply", &VoxelStencil::apply<Real>, nb::arg("u").noconvert(), nb::arg("out").noconvert())
      .def("smooth", &VoxelStencil::smooth<Real>, nb::arg("u").noconvert(), nb::arg("r").noconvert(), nb::arg("c"),
           nb::arg("a"), nb::arg("b"), nb::arg("out").noconvert())
      .def("jacobi", &VoxelStencil::jacobi<Real>, nb::arg("r").noconvert(), nb::arg("b"),
           nb::arg("out").noconvert())
      .def("diagonal", &VoxelStencil::diagonal<Real>, nb::arg("out").noconvert())
      .def("restrict", &VoxelStencil::restrict_residual<Real>, nb::arg("u").noconvert(), nb::arg("r").noconvert(),
           nb::arg("aggregate").noconvert(), nb::arg("coarse").noconvert())
      .def("prolong", &VoxelStencil::prolong<Real>, nb::arg("aggregate").noconvert(), nb::arg("coarse").noconvert(),
           nb::arg("scale"), nb::arg("z").noconvert())
      .def("wrap", &VoxelStencil::wrap<Real>, nb::arg("u").noconvert(), nb::arg("axis1"), nb::arg("axis2"));
}
template <typename T>
void check_length(const Flat<T>& a, std::int32_t n)
{
  if (a.size() != std::size_t(n))
    throw std::invalid_argument("a vector must have " + std::to_string(n) + " entries");
}

void coarse_level(nb::module_& m)
{
  using In = Flat<const double>;
  using Numbers = Flat<const std::int32_t>;
  nb::class_<CoarseLevel>(m, "CoarseLevel")
      .def(
          "__init__",
          [](CoarseLevel* self, std::int32_t first, std::int32_t rows, std::pair<std::int32_t, std::int32_t> before,
             std::pair<std::int32_t, std::int32_t> after, Numbers offsets, Numbers columns, In values)
          {
            new (self) CoarseLevel({first, rows, before.first, before.second, after.first, after.second},
                                   {offsets.data(), offsets.size()}, {columns.data(), columns.size()},
                                   {values.data(), values.size()});
          },
          nb::arg("first"), nb::arg("rows"), nb::arg("before"), nb::arg("after"), nb::arg("offsets"),
          nb::arg("columns"), nb::arg("values"))
      .def("spectrum", &CoarseLevel::spectrum)
      .def(
          "jacobi",
          [](const CoarseLevel& self, In r, double b, Flat<double> out)
          {
            check_length(r, self.range().rows), check_length(out, self.range().size());
            self.jacobi(r.data(), b, out.data());
          },
          nb::arg("r"), nb::arg("b"), nb::arg("out").noconvert())
      .def(
          "smooth",
          [](const CoarseLevel& self, In u, In r, double c, double a, double b, Flat<double> out)
          {
            check_length(u, self.range().size()), check_length(out, self.range().size());
            check_length(r, self.range().rows);
            self.smooth(u.data(), r.data(), c, a, b, out.data());
          },
          nb::arg("u"), nb::arg("r"), nb::arg("c"), nb::arg("a"), nb::arg("b"), nb::arg("out").noconvert())
      .def(
          "restrict",
          [](const CoarseLevel& self, In u, In r, Numbers aggregate, Flat<double> coarse)
          {
            check_length(u, self.range().size()), check_length(r, self.range().rows);
            check_length(aggregate, self.range().rows);
            self.restrict_residual(u.data(), r.data(), aggregate.data(), coarse.data());
          },
          nb::arg("u"), nb::arg("r"), nb::arg("aggregate"), nb::arg("coarse").noconvert())
      .def(
          "aggregate",
          [](const CoarseLevel& self, Numbers block, double strong, Flat<std::int32_t> out)
          {
            check_length(block, self.range().rows), check_length(out, self.range().rows);
            return self.aggregate(block.data(), strong, out.data());
          },
          nb::arg("block"), nb::arg("strong"), nb::arg("out").noconvert())
      .def(
          "coarse",
          [](const CoarseLevel& self, Numbers aggregate, std::int32_t first, std::int32_t rows)
          {
            check_length(aggregate, self.range().size());
            CoarseMatrix a = self.coarse(aggregate.data(), first, rows);
            return nb::make_tuple(owned(std::move(a.offsets)), owned(std::move(a.columns)),
                                  owned(std::move(a.values)));
          },
          nb::arg("aggregate"), nb::arg("first"), nb::arg("rows"));
}
} // namespace

void register_voxels(nb::module_& m)
{
  nb::class_<VoxelStencil> c(m, "VoxelStencil");
  c.def(nb::init<int, std::array<std::int64_t, 3>, std::array<double, 3>, std::array<double, 3>,
                 std::array<double, 8>, Field<const float>, std::optional<Field<const double>>>(),
        nb::kw_only(), nb::arg("scheme"), nb::arg("shape"), nb::arg("h"), nb::arg("w"), nb::arg("c"),
        nb::arg("k").noconvert(), nb::arg("exact").none());
  stencil_functions<float>(c);
  stencil_functions<double>(c);
  c.def("set_inverse", &VoxelStencil::set_inverse, nb::arg("inverse").noconvert());
  c.def("wrap", &VoxelStencil::wrap<std::int32_t>, nb::arg("u").noconvert(), nb::arg("axis1"), nb::arg("axis2"))
      .def("energy", &VoxelStencil::energy, nb::arg("u").noconvert(), nb::arg("v").noconvert(), nb::arg("low"))
      .def("flux", &VoxelStencil::flux, nb::arg("u").noconvert(), nb::arg("low"))
      .def("aggregate", &VoxelStencil::aggregate, nb::arg("strong"), nb::arg("out").noconvert())
      .def("coarse", &VoxelStencil::coarse, nb::arg("aggregate").noconvert(), nb::arg("first"), nb::arg("rows"),
           nb::arg("shift"))
      .def("blocks", &VoxelStencil::blocks, nb::arg("aggregate").noconvert(), nb::arg("first"), nb::arg("rows"))
      .def("localise", &VoxelStencil::localise, nb::arg("aggregate").noconvert(), nb::arg("first"),
           nb::arg("rows"));
  coarse_level(m);
  vector_functions<float>(m);
  vector_functions<double>(m);
}
} // namespace dfx_homog
