// The particle problems of many meso points with a diffusivity that depends on concentration and temperature.
#pragma once

#include "particle.hpp"
#include "sparse_lu.hpp"

#include <array>
#include <memory>

namespace dfx_homog
{
using CellMap = Eigen::Array<std::int32_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The solid's elements: nodes of every cell (nc, k), shape values (nq, k), weights with Jacobian (nc, nq), and
/// slopes (nc, nq k d), row by row: sqrt(weight) L^T grad phi_k with A = L L^T the constant tensor of the diffusivity.
struct Solid
{
  CellMap cells;
  RowMatrix shape, weights, slopes;
  Eigen::Index dim;
};

/// D = D_ref(c/c_max, T) exp(E gamma T/(1 + gamma T)).
struct Diffusivity
{
  Program reference;
  double E;
  bool depends_on_c;
};

/// Implicit step of all points; the concentration is c = c0 + d with c0 = h/a0 and d_t c = a0 d.
struct FieldStep
{
  ConstRows start, c0; // (P, n) start value of d, and c0
  ConstVector d_hist;  // (P,) as in `Step`
  double a0;
};

/// What is solved for: x = d and x_p its derivatives, (P, n) and (P, 3 n); R is empty.
using FieldSolution = TraceSolution;

/// Newton's method for all nodes of the solid, for `width` points at a time:
///
///     a0 M d + int D(c, T) A grad c . grad phi_i + R_i(c on Gamma; p) = 0,   c = c0 + d,
///
/// with a Jacobian that is not symmetric, int D_c phi_j A grad c . grad phi_i. A diffusivity without c needs K once.
class VariableDiffusion
{
public:
  VariableDiffusion(const ParticleKernel& kernel, Solid solid, std::span<const std::int32_t> trace, std::int32_t nodes,
                    Diffusivity diffusivity);

  /// J and q carry the derivatives of the maps p -> c(p) -> J, q; J = -a0 int d, so that lithium is conserved.
  FieldSolution solve(const FieldStep& step, const ConstRows& p, double tolerance, int max_iterations) const;

  Eigen::Index nodes() const { return Eigen::Index(_pattern.number.size()); }
  std::size_t factor_entries() const { return _pattern.upper.column.size(); }

private:
  struct Batch;
  struct Update
  {
    Pack absolute, relative, length;
  };
  void assemble_constant();
  Dual diffusivity(const Pack& c, const Pack& T) const;
  void diffuse(Batch& b) const;
  Mask residual(Batch& b) const;
  void factorise(Batch& b) const;
  void add_cells(Batch& b) const;
  Update update(Batch& b) const;
  Mask advance(Batch& b, const Mask& active, const Update& update) const;
  void make_admissible(Batch& b, const Mask& todo) const;
  void newton(Batch& b, Mask active, double tolerance, int max_iterations) const;
  void solve_batch(Batch& b, const Field& start, double tolerance, int max_iterations) const;
  void add_temperature(const Batch& b, Field& F_T) const;
  void respond(Batch& b, FieldSolution& out, Eigen::Index first) const;

  Surface _surface;
  Kinetics _kinetics;
  Solid _solid;
  Diffusivity _diffusivity;
  Pattern _pattern;
  FacetMap _facets;                         // nodes of Gamma's facets
  std::vector<std::int32_t> _cell_position; // (nc k k) of the element matrices' entries in those of the pattern
  std::vector<std::int32_t> _facet_position;
  Eigen::ArrayXd _mass, _stiffness; // M, and K for D = 1, at the pattern's entries
  Eigen::ArrayXd _volume;           // M 1
};
} // namespace dfx_homog
