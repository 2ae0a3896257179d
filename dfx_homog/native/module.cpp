// Python module dfx_homog._native; its types are described in dfx_homog/_native.pyi.
#include "variable_diffusion.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace nb = nanobind;
using namespace dfx_homog;

namespace dfx_homog
{
void register_voxels(nb::module_&);
}

void bind_components(nb::module_& m); // components.cpp
void bind_assembly(nb::module_& m);   // assembly.cpp

namespace
{
template <typename T, int dim>
using In = nb::ndarray<const T, nb::ndim<dim>, nb::c_contig, nb::device::cpu>;

Program program(const In<std::int32_t, 1>& ops, const In<double, 1>& args)
{
  return Program({ops.data(), ops.size()}, {args.data(), args.size()});
}

ConstRows rows(const In<double, 2>& a, std::size_t n, std::size_t m, const char* name)
{
  if (a.shape(0) != n or a.shape(1) != m)
    throw std::invalid_argument(std::string(name) + " must have the shape (" + std::to_string(n) + ", "
                                + std::to_string(m) + ")");
  return {a.data(), static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(m)};
}

ConstRows rows(const In<double, 2>& a) { return {a.data(), Eigen::Index(a.shape(0)), Eigen::Index(a.shape(1))}; }

/// A read-only view of a member array: it keeps the solution that owns it alive.
template <auto member, typename Owner = TraceSolution>
auto view2(Owner& s)
{
  auto& a = s.*member;
  return nb::ndarray<nb::numpy, const double, nb::ndim<2>, nb::c_contig>(
      a.data(), {std::size_t(a.rows()), std::size_t(a.cols())}, nb::find(s));
}
template <auto member>
auto view1(TraceSolution& s)
{
  auto& a = s.*member;
  using Value = std::remove_cvref_t<decltype(a[0])>;
  return nb::ndarray<nb::numpy, const Value, nb::ndim<1>, nb::c_contig>(a.data(), {std::size_t(a.size())},
                                                                        nb::find(s));
}
} // namespace

NB_MODULE(_native, m)
{
  m.doc() = "Condensed particle problems at many meso points; connected components of voxels and graphs.";

  bind_components(m);
  bind_assembly(m);

  nb::class_<TraceSolution>(m, "TraceSolution")
      .def_prop_ro("x", &view2<&TraceSolution::x>)
      .def_prop_ro("R", &view2<&TraceSolution::R>)
      .def_prop_ro("J", &view1<&TraceSolution::J>)
      .def_prop_ro("faradaic", &view1<&TraceSolution::faradaic>)
      .def_prop_ro("q", &view1<&TraceSolution::q>)
      .def_prop_ro("dJ", &view2<&TraceSolution::dJ>)
      .def_prop_ro("dq", &view2<&TraceSolution::dq>)
      .def_prop_ro("iterations", &view1<&TraceSolution::iterations>)
      .def_prop_ro("failed", &view1<&TraceSolution::failed>)
      .def_prop_ro("x_p",
                   [](TraceSolution& s)
                   {
                     return nb::ndarray<nb::numpy, const double, nb::ndim<3>, nb::c_contig>(
                         s.x_p.data(), {std::size_t(s.x.rows()), std::size_t(s.x.cols()), 3}, nb::find(s));
                   });

  nb::class_<SurfaceValues>(m, "SurfaceValues")
      .def_prop_ro("faradaic", &view2<&SurfaceValues::faradaic, SurfaceValues>)
      .def_prop_ro("eta", &view2<&SurfaceValues::eta, SurfaceValues>)
      .def_prop_ro("heat", &view2<&SurfaceValues::heat, SurfaceValues>);

  nb::class_<ParticleKernel>(m, "ParticleKernel")
      .def(
          "__init__",
          [](ParticleKernel* self, const In<std::int32_t, 2>& facets, const In<double, 2>& shape,
             const In<double, 2>& weights, std::int32_t trace_nodes, double G, double GC, double beta, double c_max,
             double E_G, double lam, double gamma, double R_f, double c_e_ref, const In<std::int32_t, 1>& ocp_ops,
             const In<double, 1>& ocp_args, const In<std::int32_t, 1>& Pi_ops, const In<double, 1>& Pi_args)
          {
            const Eigen::Map<const FacetMap> nodes(facets.data(), Eigen::Index(facets.shape(0)),
                                                   Eigen::Index(facets.shape(1)));
            new (self) ParticleKernel(
                Surface(nodes, rows(shape), rows(weights), trace_nodes),
                Kinetics{G, GC, beta, c_max, E_G, lam, gamma, R_f, c_e_ref,
                         program(ocp_ops, ocp_args), program(Pi_ops, Pi_args)});
          },
          nb::kw_only(), nb::arg("facets"), nb::arg("shape"), nb::arg("weights"), nb::arg("trace_nodes"),
          nb::arg("G"), nb::arg("GC"), nb::arg("beta"), nb::arg("c_max"), nb::arg("E_G"), nb::arg("lam"),
          nb::arg("gamma"), nb::arg("R_f"), nb::arg("c_e_ref"), nb::arg("ocp_ops"), nb::arg("ocp_args"), nb::arg("Pi_ops"),
          nb::arg("Pi_args"))
      .def(
          "solve",
          [](const ParticleKernel& self, const In<double, 2>& start, const In<double, 2>& c_star,
             const In<double, 2>& stiffness, const In<double, 2>& p, const In<double, 1>& d_hist, double a0,
             double tolerance, int max_iterations)
          {
            const std::size_t points = p.shape(0), n = std::size_t(self.trace_nodes());
            if (d_hist.shape(0) != points)
              throw std::invalid_argument("d_hist must have one value a point");
            const Step step{rows(start, points, n, "start"), rows(c_star, points, n, "c_star"),
                            rows(stiffness, n, n, "stiffness"),
                            ConstVector(d_hist.data(), Eigen::Index(points)), a0};
            const ConstRows scalars = rows(p, points, 4, "p");
            const nb::gil_scoped_release release;
            return self.solve(step, scalars, tolerance, max_iterations);
          },
          nb::kw_only(), nb::arg("start"), nb::arg("c_star"), nb::arg("stiffness"), nb::arg("p"), nb::arg("d_hist"),
          nb::arg("a0"), nb::arg("tolerance") = 1e-10, nb::arg("max_iterations") = 60)
      .def(
          "evaluate",
          [](const ParticleKernel& self, const In<double, 2>& x, const In<double, 2>& p)
          {
            const std::size_t points = p.shape(0);
            const ConstRows trace = rows(x, points, std::size_t(self.trace_nodes()), "x");
            const ConstRows scalars = rows(p, points, 4, "p");
            const nb::gil_scoped_release release;
            return self.evaluate(trace, scalars);
          },
          nb::kw_only(), nb::arg("x"), nb::arg("p"))
      .def(
          "at_quadrature_points",
          [](const ParticleKernel& self, const In<double, 2>& x, const In<double, 2>& p)
          {
            const std::size_t points = p.shape(0);
            const ConstRows trace = rows(x, points, std::size_t(self.trace_nodes()), "x");
            const ConstRows scalars = rows(p, points, 4, "p");
            const nb::gil_scoped_release release;
            return self.at_quadrature_points(trace, scalars);
          },
          nb::kw_only(), nb::arg("x"), nb::arg("p"));

  nb::class_<VariableDiffusion>(m, "VariableDiffusion")
      .def(
          "__init__",
          [](VariableDiffusion* self, const ParticleKernel& kernel, const In<std::int32_t, 2>& cells,
             const In<double, 2>& shape, const In<double, 2>& weights, const In<double, 4>& slopes,
             const In<std::int32_t, 1>& trace, std::int32_t nodes, const In<std::int32_t, 1>& D_ops,
             const In<double, 1>& D_args, double E_D, bool depends_on_c)
          {
            const Eigen::Map<const CellMap> map(cells.data(), Eigen::Index(cells.shape(0)), Eigen::Index(cells.shape(1)));
            if (map.size() > 0 and (map.minCoeff() < 0 or map.maxCoeff() >= nodes))
              throw std::invalid_argument("cells must hold nodes 0 .. " + std::to_string(nodes - 1));
            const ConstRows gradients{slopes.data(), Eigen::Index(slopes.shape(0)),
                                      Eigen::Index(slopes.shape(1) * slopes.shape(2) * slopes.shape(3))};
            new (self) VariableDiffusion(
                kernel, Solid{map, rows(shape), rows(weights), gradients, Eigen::Index(slopes.shape(3))},
                {trace.data(), trace.size()}, nodes, Diffusivity{program(D_ops, D_args), E_D, depends_on_c});
          },
          nb::kw_only(), nb::arg("kernel"), nb::arg("cells"), nb::arg("shape"), nb::arg("weights"), nb::arg("slopes"),
          nb::arg("trace"), nb::arg("nodes"), nb::arg("D_ops"), nb::arg("D_args"), nb::arg("E_D"),
          nb::arg("depends_on_c"))
      .def_prop_ro("factor_entries", &VariableDiffusion::factor_entries)
      .def(
          "solve",
          [](const VariableDiffusion& self, const In<double, 2>& start, const In<double, 2>& c0,
             const In<double, 2>& p, const In<double, 1>& d_hist, double a0, double tolerance, int max_iterations)
          {
            const std::size_t points = p.shape(0), n = std::size_t(self.nodes());
            if (d_hist.shape(0) != points)
              throw std::invalid_argument("d_hist must have one value a point");
            const FieldStep step{rows(start, points, n, "start"), rows(c0, points, n, "c0"),
                                 ConstVector(d_hist.data(), Eigen::Index(points)), a0};
            const ConstRows scalars = rows(p, points, 4, "p");
            const nb::gil_scoped_release release;
            return self.solve(step, scalars, tolerance, max_iterations);
          },
          nb::kw_only(), nb::arg("start"), nb::arg("c0"), nb::arg("p"), nb::arg("d_hist"), nb::arg("a0"),
          nb::arg("tolerance") = 1e-10, nb::arg("max_iterations") = 60);

  register_voxels(m);
}
