// The particle problems of many meso points, condensed to the particle's surface Gamma.
#pragma once

#include "kinetics.hpp"

#include <Eigen/Dense>

#include <cstdint>
#include <vector>

namespace dfx_homog
{
using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstRows = Eigen::Map<const RowMatrix>;
using ConstVector = Eigen::Map<const Eigen::VectorXd>;
using FacetMap = Eigen::Array<std::int32_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Gamma: trace node of every facet node (nf, npf), shape values (nq, npf), quadrature weights with Jacobian (nf, nq).
struct Surface
{
  Surface(FacetMap facets, RowMatrix shape, const RowMatrix& weights, std::int32_t trace_nodes);
  void interpolate(const Eigen::VectorXd& x, double* at) const;
  void integrate(const double* at, double* y) const;
  void integrate(const double* at, Eigen::MatrixXd& matrix) const;

  static constexpr Eigen::Index max_facet_nodes = 6; // of quadratic triangles
  FacetMap facets;
  RowMatrix shape;
  std::int32_t trace_nodes;
  Eigen::ArrayXd weights; // (nf nq) row by row, padded with zeros to a multiple of `width`
  Eigen::Index quadrature_points;
};

/// What `solve` and `evaluate` return for P points; rows of failed points are zero, their trace is the start value.
struct TraceSolution
{
  TraceSolution(Eigen::Index points, Eigen::Index nodes, Eigen::Index fluxes);
  RowMatrix x, R;                       // (P, nG) trace and nodal fluxes R_i = int_Gamma j phi_i
  RowMatrix x_p;                        // (P, 3 nG) d x/d(Phi_s, c_e, T)
  Eigen::VectorXd J, faradaic, q;       // (P,) int j, int Gh g, int lam Gh g (eta + Pi) over Gamma
  RowMatrix dJ, dq;                     // (P, 4) derivatives in (Phi_s, Phi_e, c_e, T)
  std::vector<std::int32_t> iterations; // (P,) Newton updates
  std::vector<std::int32_t> failed;     // (P,) 0 solved, else a `Failure`
};

/// At the quadrature points of Gamma, (P, nf nq): faradaic flux Gh g, overpotential eta, heat lam Gh g (eta + Pi).
struct SurfaceValues
{
  SurfaceValues(Eigen::Index points, Eigen::Index quadrature_points);
  RowMatrix faradaic, eta, heat;
};

enum Failure : std::int32_t
{
  solved = 0,
  not_defined = 1,   // c_e or 1 + gamma T not positive, or an argument not finite
  no_descent = 2,    // no damped step reduces the residual: flux not finite, or no solution in 0 < c < c_max
  not_converged = 3, // the maximum number of iterations is reached
};

/// Implicit step with start value and data of all points; h enters through the trace of c* = A^-1 M h.
struct Step
{
  ConstRows start, c_star; // (P, nG)
  ConstRows stiffness;     // (nG, nG) symmetric, inverse of S = (A^-1)_GG
  ConstVector d_hist;      // (P,) d_t(Phi_s - Phi_e) = a0 (Phi_s - Phi_e) + d_hist
  double a0;
};

class ParticleKernel
{
public:
  ParticleKernel(Surface surface, Kinetics kinetics);

  /// Solve S^-1 (x - c*) + R(x; p) = 0 at every point; p (P, 4) = Phi_s, Phi_e, c_e, T.
  /// J and q carry the derivatives of the condensed maps p -> x(p) -> J, q.
  TraceSolution solve(const Step& step, const ConstRows& p, double tolerance, int max_iterations) const;

  /// J, q and derivatives at given traces x, which do not depend on p; no double layer.
  TraceSolution evaluate(const ConstRows& x, const ConstRows& p) const;

  /// Fluxes, overpotentials and heats, not integrated, at given traces x.
  SurfaceValues at_quadrature_points(const ConstRows& x, const ConstRows& p) const;

  std::int32_t trace_nodes() const { return _surface.trace_nodes; }
  const Surface& surface() const { return _surface; }
  const Kinetics& kinetics() const { return _kinetics; }

private:
  struct Workspace;
  struct Update
  {
    double absolute, relative, length;
  };
  bool gather(Workspace& w, const Eigen::VectorXd& x) const;
  bool make_admissible(Workspace& w) const;
  Update update(Workspace& w) const;
  bool advance(Workspace& w, const Law<double>& law, const Update& update, bool& stuck) const;
  bool residual(Workspace& w, const Law<double>& law) const;
  void factorise(Workspace& w) const;
  Failure newton(Workspace& w, const Law<double>& law, double tolerance, int max_iterations, int& iterations) const;
  Failure solve_point(Workspace& w, const Law<double>& law, const Eigen::VectorXd& start, double tolerance,
                      int max_iterations, int& iterations) const;
  bool respond(Workspace& w, const Law<double>& law, TraceSolution& out, Eigen::Index point, bool frozen) const;

  Surface _surface;
  Kinetics _kinetics;
};
} // namespace dfx_homog
