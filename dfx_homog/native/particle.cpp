#include "particle.hpp"

#include <array>
#include <limits>
#include <stdexcept>

namespace dfx_homog
{
namespace
{
Eigen::Index padded(Eigen::Index n) { return (n + width - 1) / width * width; }
} // namespace

Surface::Surface(FacetMap facet_nodes, RowMatrix shape_values, const RowMatrix& facet_weights, std::int32_t nodes)
    : facets(std::move(facet_nodes)), shape(std::move(shape_values)), trace_nodes(nodes),
      weights(Eigen::ArrayXd::Zero(padded(facet_weights.size()))), quadrature_points(facet_weights.size())
{
  if (facets.rows() != facet_weights.rows() or shape.rows() != facet_weights.cols() or shape.cols() != facets.cols())
    throw std::invalid_argument("facets (nf, npf), shape (nq, npf) and weights (nf, nq) do not fit together");
  if (facets.cols() > max_facet_nodes)
    throw std::invalid_argument("facets may have at most " + std::to_string(max_facet_nodes) + " nodes");
  if (facets.size() > 0 and (facets.minCoeff() < 0 or facets.maxCoeff() >= nodes))
    throw std::invalid_argument("facets must hold trace nodes 0 .. " + std::to_string(nodes - 1));
  Eigen::Map<RowMatrix>(weights.data(), facet_weights.rows(), facet_weights.cols()) = facet_weights;
}

/// Values at the quadrature points of the nodal vector x: at[f nq + q] = sum_k N_k(q) x[k of f].
void Surface::interpolate(const Eigen::VectorXd& x, double* at) const
{
  std::array<double, max_facet_nodes> local{};
  for (Eigen::Index f = 0; f < facets.rows(); ++f)
  {
    for (Eigen::Index k = 0; k < facets.cols(); ++k)
      local[static_cast<std::size_t>(k)] = x[facets(f, k)];
    for (Eigen::Index q = 0; q < shape.rows(); ++q, ++at)
    {
      double value = 0.0;
      for (Eigen::Index k = 0; k < facets.cols(); ++k)
        value += shape(q, k) * local[static_cast<std::size_t>(k)];
      *at = value;
    }
  }
}

/// Adds int (integrand) phi_i to y, the integrand times its weights being given at the quadrature points.
void Surface::integrate(const double* at, double* y) const
{
  for (Eigen::Index f = 0; f < facets.rows(); ++f, at += shape.rows())
    for (Eigen::Index k = 0; k < facets.cols(); ++k)
    {
      double sum = 0.0;
      for (Eigen::Index q = 0; q < shape.rows(); ++q)
        sum += shape(q, k) * at[q];
      y[facets(f, k)] += sum;
    }
}

/// Adds int (integrand) phi_i phi_j to the matrix.
void Surface::integrate(const double* at, Eigen::MatrixXd& matrix) const
{
  for (Eigen::Index f = 0; f < facets.rows(); ++f, at += shape.rows())
    for (Eigen::Index k = 0; k < facets.cols(); ++k)
      for (Eigen::Index l = 0; l <= k; ++l)
      {
        double sum = 0.0;
        for (Eigen::Index q = 0; q < shape.rows(); ++q)
          sum += shape(q, k) * shape(q, l) * at[q];
        matrix(facets(f, k), facets(f, l)) += sum;
        if (l != k)
          matrix(facets(f, l), facets(f, k)) += sum;
      }
}

TraceSolution::TraceSolution(Eigen::Index points, Eigen::Index nodes, Eigen::Index fluxes)
    : x(RowMatrix::Zero(points, nodes)), R(RowMatrix::Zero(points, fluxes)), x_p(RowMatrix::Zero(points, 3 * nodes)), J(Eigen::VectorXd::Zero(points)),
      faradaic(Eigen::VectorXd::Zero(points)), q(Eigen::VectorXd::Zero(points)), dJ(RowMatrix::Zero(points, 4)),
      dq(RowMatrix::Zero(points, 4)), iterations(static_cast<std::size_t>(points), 0),
      failed(static_cast<std::size_t>(points), solved)
{
}

SurfaceValues::SurfaceValues(Eigen::Index points, Eigen::Index quadrature_points)
    : faradaic(points, quadrature_points), eta(points, quadrature_points), heat(points, quadrature_points)
{
}

/// What one point's solution needs; allocated once for all points.
struct ParticleKernel::Workspace
{
  enum Column // of `at`, integrands at the quadrature points times their weights
  {
    flux,
    flux_c,
    flux_Phi,
    flux_ce,
    flux_T,
    heat_c,
    columns
  };

  Workspace(const Surface& surface, double c_max)
      : x(surface.trace_nodes), c_star(surface.trace_nodes), nodal(surface.trace_nodes, columns),
        c(Eigen::VectorXd::Constant(surface.weights.size(), 0.5 * c_max)),
        dc(Eigen::VectorXd::Zero(surface.weights.size())), at(surface.weights.size(), columns)
  {
  }

  /// S^-1 of the step; separate spheres have a diagonal one, and no need of dense matrices.
  void set(const ConstRows& stiffness_of_step, const Surface& surface)
  {
    stiffness = stiffness_of_step;
    row_sums = stiffness.rowwise().sum();
    separate = surface.facets.cols() == 1 and stiffness.isDiagonal(0.0);
    if (separate)
      diagonal = stiffness.diagonal();
  }
  template <typename Vector>
  Eigen::VectorXd times_stiffness(const Vector& v) const
  {
    return separate ? Eigen::VectorXd(diagonal.cwiseProduct(v)) : Eigen::VectorXd(stiffness * v);
  }

  /// Factorise S^-1 + dR/dx: symmetric, and positive definite unless U increases steeply with c.
  void factorise()
  {
    cholesky.compute(matrix);
    definite = cholesky.info() == Eigen::Success;
    if (not definite)
      lu.compute(matrix);
  }
  template <typename Rhs>
  void solve_in_place(Rhs& b) const
  {
    if (separate)
      b.array().colwise() *= inverse.array();
    else if (definite)
      cholesky.solveInPlace(b);
    else
      b = lu.solve(b).eval();
  }

  Eigen::MatrixXd stiffness;            // S^-1
  Eigen::VectorXd row_sums;             // of S^-1
  Eigen::VectorXd diagonal, inverse;    // of S^-1 and, factorised, of S^-1 + dR/dx, if they are diagonal
  Eigen::VectorXd x, c_star, F, dx, x_trial;
  Eigen::MatrixXd nodal;                // int (integrand) phi_i for every column of `at`
  Eigen::VectorXd c, dc;                // at the quadrature points, padded with c_max/2 and 0
  Eigen::MatrixXd at, matrix;
  Eigen::LLT<Eigen::MatrixXd> cholesky;
  Eigen::PartialPivLU<Eigen::MatrixXd> lu;
  bool definite = true, separate = false;
  bool factor_is_current = false;       // it belongs to w.x, but for an update below the tolerance
};

ParticleKernel::ParticleKernel(Surface surface, Kinetics kinetics)
    : _surface(std::move(surface)), _kinetics(std::move(kinetics))
{
}

/// Values of a nodal vector at the quadrature points: w.c; false where the kinetics are not defined.
bool ParticleKernel::gather(Workspace& w, const Eigen::VectorXd& x) const
{
  _surface.interpolate(x, w.c.data());
  return w.c.minCoeff() > 0.0 and w.c.maxCoeff() < _kinetics.c_max; // the padding lies in between
}

/// Bring a start value into the domain of the kinetics, node by node. False if that is not enough: for order 2 values
/// between the nodes may leave the range of the nodes.
bool ParticleKernel::make_admissible(Workspace& w) const
{
  if (not w.x.allFinite())
    return false;
  if (gather(w, w.x))
    return true;
  const double margin = 1e-3 * _kinetics.c_max;
  w.x = w.x.cwiseMax(margin).cwiseMin(_kinetics.c_max - margin);
  return gather(w, w.x);
}

/// Newton update w.dx at w.x from the factorisation at hand, and its size: absolute, and against the distances to 0
/// and c_max at the quadrature points.
ParticleKernel::Update ParticleKernel::update(Workspace& w) const
{
  w.dx = -w.F;
  w.solve_in_place(w.dx);
  _surface.interpolate(w.dx, w.dc.data());
  const auto c = w.c.array(), dc = w.dc.array();
  constexpr double rounding = 4.0 * std::numeric_limits<double>::epsilon();
  const double absolute = w.dx.lpNorm<Eigen::Infinity>() / _kinetics.c_max;
  // near c_max less than a rounding error of c is no change
  const double relative = ((dc.abs() - rounding * c) / c.min(_kinetics.c_max - c)).maxCoeff();
  // The longest step that leaves a tenth of every distance.
  const double outward = (dc / (dc < 0.0).select(-c, _kinetics.c_max - c)).maxCoeff();
  return {absolute, relative, outward > 0.9 ? 0.9 / outward : 1.0};
}

/// F = S^-1 (x - c*) + R(x) for x = w.x and its values w.c; also the slope of the flux. False if not finite.
bool ParticleKernel::residual(Workspace& w, const Law<double>& law) const
{
  for (Eigen::Index i = 0; i < w.c.size(); i += width)
  {
    const Flux flux = law.flux(w.c.segment<width>(i).array());
    const Pack weight = _surface.weights.segment<width>(i);
    w.at.col(Workspace::flux).segment<width>(i) = weight * flux.j;
    w.at.col(Workspace::flux_c).segment<width>(i) = weight * flux.j_c;
  }
  w.dx = w.x - w.c_star;
  w.F = w.times_stiffness(w.dx);
  _surface.integrate(w.at.col(Workspace::flux).data(), w.F.data());
  return std::isfinite(w.F.squaredNorm());
}

/// Factorise S^-1 + dR/dx with the slope of the flux in w.at.
void ParticleKernel::factorise(Workspace& w) const
{
  if (w.separate)
  {
    w.inverse = w.diagonal;
    const auto slope = w.at.col(Workspace::flux_c);
    for (Eigen::Index f = 0; f < _surface.facets.rows(); ++f)
      for (Eigen::Index q = 0; q < _surface.shape.rows(); ++q)
        w.inverse[_surface.facets(f, 0)]
            += _surface.shape(q, 0) * _surface.shape(q, 0) * slope[f * _surface.shape.rows() + q];
    w.inverse = w.inverse.cwiseInverse().eval();
    return;
  }
  w.matrix = w.stiffness;
  _surface.integrate(w.at.col(Workspace::flux_c).data(), w.matrix);
  w.factorise();
}

/// Go along w.dx to a smaller residual; true if the whole update was possible. Sets `stuck` if there is none.
bool ParticleKernel::advance(Workspace& w, const Law<double>& law, const Update& update, bool& stuck) const
{
  constexpr int halvings = 20;
  const double norm = w.F.norm();
  const Eigen::VectorXd from = w.x, direction = w.dx;
  const auto descends = [&] { return gather(w, w.x) and residual(w, law) and w.F.norm() < norm; };
  stuck = false;
  if (update.length < 1.0)
  {
    // Nodes that would leave the range go most of the way to its end and the others all of theirs: one length for
    // all would be dictated by the node nearest to 0 or c_max.
    const auto x = from.array();
    w.x = (x + direction.array()).max(0.1 * x).min(0.1 * x + 0.9 * _kinetics.c_max).matrix();
    if (descends())
      return false;
  }
  double length = update.length;
  for (int i = 0; i < halvings; ++i, length *= 0.5)
  {
    w.x = from + length * direction;
    if (descends())
      return length == 1.0;
  }
  stuck = true;
  w.x = from;
  gather(w, w.x);
  residual(w, law);
  return false;
}

/// Damped Newton from w.x. A factorisation is kept while it reduces the updates a hundredfold, which changes neither
/// the solution nor its derivatives (those have a factorisation of their own).
Failure ParticleKernel::newton(Workspace& w, const Law<double>& law, double tolerance, int max_iterations,
                               int& iterations) const
{
  constexpr double contraction = 0.01;
  constexpr double linear = 1e-6;   // relative updates below this change the flux linearly, to rounding
  constexpr double rounding = 1e-9; // below this, updates that no longer shrink are rounding errors
  w.factor_is_current = false;
  if (not make_admissible(w))
    return not_defined;
  if (not residual(w, law))
    return no_descent;
  double previous = 0.0; // size of the last update, if it was made in full; 0 asks for a new factorisation
  for (int i = 0; i < max_iterations; ++i, ++iterations)
  {
    Update step{};
    if (previous > 0.0)
      step = update(w);
    const bool fresh = not(previous > 0.0 and step.absolute <= std::max(tolerance, contraction * previous));
    if (fresh)
    {
      factorise(w);
      step = update(w);
    }
    if (not(std::isfinite(step.absolute) and std::isfinite(step.relative)))
      return no_descent;
    const bool settled = step.relative <= linear and step.absolute <= rounding and fresh;
    const bool stagnates = settled and previous > 0.0 and step.absolute >= 0.5 * previous;
    if (stagnates or (step.relative <= linear and step.absolute <= tolerance))
    {
      w.x += w.dx;
      ++iterations;
      w.factor_is_current = fresh;
      return gather(w, w.x) ? solved : no_descent;
    }
    bool stuck = false;
    previous = advance(w, law, step, stuck) ? step.absolute : 0.0;
    if (stuck and fresh)
      return settled ? solved : no_descent;
  }
  return not_converged;
}

/// Fluxes, heat and derivatives at w.x. With R(x, p): (S^-1 + R_x) x_p = -R_p, dJ/dp = 1^T (R_p + R_x x_p)
/// = -1^T S^-1 x_p (no cancellation for fast kinetics), dq/dp = q_p + q_x x_p. At frozen x: x_p = 0.
/// The same factorisation gives a last Newton update of x, R, J and q, so that charge is balanced to rounding: R
/// becomes -S^-1 (x - c*).
bool ParticleKernel::respond(Workspace& w, const Law<double>& law, TraceSolution& out, Eigen::Index point, bool frozen) const
{
  Pack faradaic = Pack::Zero(), h = Pack::Zero(), h_Phi = Pack::Zero(), h_ce = Pack::Zero(), h_T = Pack::Zero();
  for (Eigen::Index i = 0; i < w.c.size(); i += width)
  {
    const Response r = law.response(w.c.segment<width>(i).array());
    const Pack weight = _surface.weights.segment<width>(i);
    faradaic += weight * r.faradaic, h += weight * r.h;
    h_Phi += weight * r.h_Phi, h_ce += weight * r.h_ce, h_T += weight * r.h_T;
    w.at.col(Workspace::flux).segment<width>(i) = weight * r.j;
    w.at.col(Workspace::flux_c).segment<width>(i) = weight * r.j_c;
    w.at.col(Workspace::flux_Phi).segment<width>(i) = weight * r.j_Phi;
    w.at.col(Workspace::flux_ce).segment<width>(i) = weight * r.j_ce;
    w.at.col(Workspace::flux_T).segment<width>(i) = weight * r.j_T;
    w.at.col(Workspace::heat_c).segment<width>(i) = weight * r.h_c;
  }
  w.nodal.setZero();
  for (int column = 0; column < Workspace::columns; ++column)
    _surface.integrate(w.at.col(column).data(), w.nodal.col(column).data());
  const auto R_p = w.nodal.middleCols<3>(Workspace::flux_Phi);
  Eigen::RowVector3d dJ = R_p.colwise().sum(), dq(h_Phi.sum(), h_ce.sum(), h_T.sum());
  Eigen::VectorXd R = w.nodal.col(Workspace::flux);
  double dR = 0.0, heat = h.sum();
  if (not frozen)
  {
    if (not w.factor_is_current)
      factorise(w);
    const auto q_x = w.nodal.col(Workspace::heat_c);
    Eigen::MatrixXd b(R.size(), 4);
    b.leftCols<3>() = -R_p;
    b.col(3) = -R - w.times_stiffness(w.x - w.c_star);
    w.solve_in_place(b);
    w.x += b.col(3);
    R = w.times_stiffness(w.c_star - w.x);
    dR = R.sum() - w.nodal.col(Workspace::flux).sum();
    heat += q_x.dot(b.col(3));
    const auto x_p = b.leftCols<3>();
    dJ = -w.row_sums.transpose() * x_p;
    dq += q_x.transpose() * x_p;
    Eigen::Map<RowMatrix>(out.x_p.row(point).data(), R.size(), 3) = x_p;
  }
  if (not(dJ.allFinite() and dq.allFinite() and w.nodal.allFinite() and R.allFinite()))
  {
    out.x_p.row(point).setZero();
    return false;
  }
  out.x.row(point) = w.x;
  out.R.row(point) = R;
  out.J[point] = R.sum();
  out.faradaic[point] = faradaic.sum() + dR;
  out.q[point] = heat;
  out.dJ.row(point) << dJ[0], -dJ[0], dJ[1], dJ[2];
  out.dq.row(point) << dq[0], -dq[0], dq[1], dq[2];
  return true;
}

/// Newton from the given start and, should it fail, from c* and from c_max/2: a start on the wrong side of the exchange
/// current's maximum may lead to c = 0 or c_max. These first two get a third of the iterations.
Failure ParticleKernel::solve_point(Workspace& w, const Law<double>& law, const Eigen::VectorXd& start, double tolerance,
                                    int max_iterations, int& iterations) const
{
  w.x = start;
  Failure failed = newton(w, law, tolerance, max_iterations / 3, iterations);
  if (failed != solved)
  {
    w.x = w.c_star;
    failed = newton(w, law, tolerance, max_iterations / 3, iterations);
  }
  if (failed != solved)
  {
    w.x.setConstant(0.5 * _kinetics.c_max);
    failed = newton(w, law, tolerance, max_iterations, iterations);
  }
  return failed;
}

TraceSolution ParticleKernel::solve(const Step& step, const ConstRows& p, double tolerance, int max_iterations) const
{
  TraceSolution out(p.rows(), _surface.trace_nodes, _surface.trace_nodes);
  Workspace w(_surface, _kinetics.c_max);
  w.set(step.stiffness, _surface);
  for (Eigen::Index i = 0; i < p.rows(); ++i)
  {
    const double rate = step.a0 * (p(i, 0) - p(i, 1)) + step.d_hist[i];
    const MesoPoint<double> point{p(i, 0), p(i, 1), p(i, 2), p(i, 3), rate, step.a0};
    const Law<double> law(_kinetics, point);
    w.c_star = step.c_star.row(i);
    auto& failed = out.failed[static_cast<std::size_t>(i)];
    failed = law.valid() and w.c_star.allFinite()
                 ? solve_point(w, law, step.start.row(i), tolerance, max_iterations,
                               out.iterations[static_cast<std::size_t>(i)])
                 : not_defined;
    if (failed == solved and not respond(w, law, out, i, false))
      failed = no_descent;
    if (failed != solved)
      out.x.row(i) = step.start.row(i);
  }
  return out;
}

TraceSolution ParticleKernel::evaluate(const ConstRows& x, const ConstRows& p) const
{
  TraceSolution out(p.rows(), _surface.trace_nodes, _surface.trace_nodes);
  Workspace w(_surface, _kinetics.c_max);
  for (Eigen::Index i = 0; i < p.rows(); ++i)
  {
    const MesoPoint<double> point{p(i, 0), p(i, 1), p(i, 2), p(i, 3), 0.0, 0.0};
    const Law<double> law(_kinetics, point);
    w.x = x.row(i);
    if (not law.valid() or not gather(w, w.x) or not respond(w, law, out, i, true))
    {
      out.failed[static_cast<std::size_t>(i)] = not_defined;
      out.x.row(i) = x.row(i);
    }
  }
  return out;
}

SurfaceValues ParticleKernel::at_quadrature_points(const ConstRows& x, const ConstRows& p) const
{
  SurfaceValues out(p.rows(), _surface.quadrature_points);
  Workspace w(_surface, _kinetics.c_max);
  Eigen::ArrayXXd at(w.c.size(), 3); // padded
  for (Eigen::Index i = 0; i < p.rows(); ++i)
  {
    const MesoPoint<double> point{p(i, 0), p(i, 1), p(i, 2), p(i, 3), 0.0, 0.0};
    const Law<double> law(_kinetics, point);
    w.x = x.row(i);
    _surface.interpolate(w.x, w.c.data());
    for (Eigen::Index k = 0; k < w.c.size(); k += width)
    {
      const Response r = law.response(w.c.segment<width>(k).array());
      at.col(0).segment<width>(k) = r.faradaic;
      at.col(1).segment<width>(k) = r.eta;
      at.col(2).segment<width>(k) = r.h;
    }
    out.faradaic.row(i) = at.col(0).head(_surface.quadrature_points);
    out.eta.row(i) = at.col(1).head(_surface.quadrature_points);
    out.heat.row(i) = at.col(2).head(_surface.quadrature_points);
  }
  return out;
}
} // namespace dfx_homog
