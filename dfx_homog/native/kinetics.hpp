// Butler-Volmer kinetics and double layer on Gamma (docs/theory.md section 3; [H] 6-8, 73-76), with exact derivatives.
#pragma once

#include "expression.hpp"

#include <cmath>
#include <limits>

namespace dfx_homog
{
/// Everything dimensionless; `ocp` and `Pi` are functions of c/c_max and T. c_e_ref: concentration at the lithium
/// electrode against which eta is measured, 0 for the paper's eta.
struct Kinetics
{
  double G, GC, beta, c_max, E_G, lam, gamma, R_f, c_e_ref;
  Program ocp, Pi;
};

/// The four scalars of a meso point (Value = double) or of `width` ones (Pack), and the rate d_t(Phi_s - Phi_e) of the
/// double layer with its derivative a0 in Phi_s.
template <typename Value>
struct MesoPoint
{
  Value Phi_s, Phi_e, c_e, T, rate;
  double a0;
};

/// Flux j = Gh(T) g + GC d_t D and its derivative in c.
struct Flux
{
  Pack j, j_c;
};

/// Flux, faradaic part Gh g, overpotential eta, heat h = lam Gh g (Phi_s - Phi_e - U + Pi), and their partial
/// derivatives at fixed c.
/// The derivatives in Phi_e are those in Phi_s with the other sign.
struct Response
{
  Pack j, j_c, j_Phi, j_ce, j_T, faradaic, eta, h, h_c, h_Phi, h_ce, h_T;
};

/// Root of the increasing f(s) = s + A [exp((1-b) s) - exp(-b s)] - y, A >= 0, by Halley's method from the smaller one
/// of two upper bounds of |s|: |y| and the root of A (exp(q |s|) - 1) = |y|, q = 1 - b for y > 0, else b.
inline Pack film_root(const Pack& y, const Pack& A, double b)
{
  constexpr int most = 30; // five are enough for |y| <= 80 and b within [0.1, 0.9]
  constexpr double tiny = std::numeric_limits<double>::min(), rounding = 4.0 * std::numeric_limits<double>::epsilon();
  const Pack size = y.abs(), q = (y > 0.0).select(Pack::Constant(1.0 - b), b);
  Pack s = y.sign() * size.min((size / (A + tiny)).log1p() / q);
  for (int i = 0; i < most; ++i)
  {
    const Pack out = A * ((1.0 - b) * s).exp(), in = A * (-b * s).exp();
    const Pack f = s + out - in - y, slope = 1.0 + (1.0 - b) * out + b * in;
    const Pack curvature = (1.0 - b) * (1.0 - b) * out - b * b * in;
    const Pack step = 2.0 * f * slope / (2.0 * slope.square() - f * curvature);
    s -= step;
    if ((step.abs() <= rounding * s.abs()).all())
      break;
  }
  return s;
}

/// The law at one meso point, for `width` values of c there, or at `width` meso points: what does not depend on c is
/// computed once.
template <typename Value>
class Law
{
public:
  Law(const Kinetics& kinetics, const MesoPoint<Value>& point)
      : _k(kinetics), _p(point), _absolute(1.0 + kinetics.gamma * point.T),
        _prefactor(kinetics.G * exponential(Value(kinetics.E_G * kinetics.gamma * point.T / _absolute))),
        _log_ce((1.0 - kinetics.beta) * logarithm(point.c_e)), _slope(kinetics.lam / _absolute),
        _log_ratio(kinetics.c_e_ref > 0.0 ? logarithm(Value(point.c_e / kinetics.c_e_ref)) : Value(0.0 * point.c_e))
  {
  }

  /// False where the law has no meaning: absolute temperature or c_e not positive, or an argument not finite.
  bool valid() const
  {
    return _absolute > 0.0 and _p.c_e > 0.0 and std::isfinite(_p.c_e) and std::isfinite(_prefactor)
           and std::isfinite(_p.Phi_s - _p.Phi_e) and std::isfinite(_p.rate);
  }

  Flux flux(const Pack& c) const
  {
    const Terms t(*this, c);
    return {_prefactor * t.g + _k.GC * _p.rate, _prefactor * t.g_c * t.damping};
  }

  Response response(const Pack& c) const
  {
    const Terms t(*this, c);
    Dual Pi = _k.Pi(c / _k.c_max, _p.T);
    Pi.dc /= _k.c_max;
    // d/dT acts through the Arrhenius factor, the exponent's 1/(1 + gamma T), U(c, T) and the lithium electrode.
    const Value G_T = _prefactor * _k.E_G * _k.gamma / (_absolute * _absolute);
    const Pack g_T = -t.g_eta * (t.U.dT + _k.gamma * _log_ratio / _k.lam + _k.gamma / _absolute * t.eta);
    const Value one_minus_b_over_ce = (1.0 - _k.beta) / _p.c_e;
    const Value reference_ce = _k.c_e_ref > 0.0 ? Value(1.0 / (_slope * _p.c_e)) : Value(0.0 * _p.c_e);
    const Pack driving = _p.Phi_s - _p.Phi_e - t.U.value + Pi.value;
    const Pack faradaic_Phi = _prefactor * t.g_eta * t.damping;
    Response r;
    r.faradaic = _prefactor * t.g;
    r.eta = t.eta;
    r.j = r.faradaic + _k.GC * _p.rate;
    r.j_c = _prefactor * t.g_c * t.damping;
    r.j_Phi = faradaic_Phi + _k.GC * _p.a0;
    r.j_ce = (one_minus_b_over_ce * r.faradaic - _prefactor * t.g_eta * reference_ce) * t.damping;
    r.j_T = (G_T * t.g + _prefactor * g_T) * t.damping;
    r.h = _k.lam * r.faradaic * driving;
    r.h_c = _k.lam * (r.j_c * driving + r.faradaic * (Pi.dc - t.U.dc));
    r.h_Phi = _k.lam * (faradaic_Phi * driving + r.faradaic);
    r.h_ce = _k.lam * r.j_ce * driving;
    r.h_T = _k.lam * (r.j_T * driving + r.faradaic * (Pi.dT - t.U.dT));
    return r;
  }

private:
  static double exponential(double x) { return std::exp(x); }
  static Pack exponential(const Pack& x) { return x.exp(); }
  static double logarithm(double x) { return std::log(x); }
  static Pack logarithm(const Pack& x) { return x.log(); }

  /// g = c^b (1 - c/c_max)^(1-b) c_e^(1-b) [exp((1-b) s) - exp(-b s)], s = lam eta/(1 + gamma T), with
  /// eta = Phi_s - Phi_e - U - R_f Gh g [- ((1 + gamma T)/lam) ln(c_e/c_e_ref)]. The derivatives are those at constant
  /// film drop R_f Gh g; times `damping` = 1/(1 + R_f Gh dg/deta) they are the total ones (implicit function).
  struct Terms
  {
    Terms(const Law& law, const Pack& c) : U(law._k.ocp(c / law._k.c_max, law._p.T))
    {
      const double b = law._k.beta;
      U.dc /= law._k.c_max;
      eta = law._p.Phi_s - law._p.Phi_e - U.value - law._log_ratio / law._slope;
      const Pack vacant = law._k.c_max - c;
      const Pack exchange = b * c.log() + (1.0 - b) * (vacant / law._k.c_max).log() + law._log_ce;
      Pack s = law._slope * eta;
      if (law._k.R_f > 0.0)
      {
        s = film_root(s, law._slope * law._k.R_f * law._prefactor * exchange.exp(), b);
        eta = s / law._slope;
      }
      const Pack out = (exchange + (1.0 - b) * s).exp(), in = (exchange - b * s).exp();
      g = out - in;
      g_eta = law._slope * ((1.0 - b) * out + b * in);
      g_c = g * (b / c - (1.0 - b) / vacant) - g_eta * U.dc;
      damping = law._k.R_f > 0.0 ? Pack((1.0 + law._k.R_f * law._prefactor * g_eta).inverse()) : Pack(Pack::Ones());
    }
    Dual U;
    Pack eta, g, g_eta, g_c, damping;
  };

  const Kinetics& _k;
  const MesoPoint<Value>& _p;
  Value _absolute, _prefactor, _log_ce, _slope, _log_ratio;
};
} // namespace dfx_homog
